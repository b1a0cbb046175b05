"""Small helpers: copies, dotted dictionaries, seeds, and the files that `maro` keeps in the home folder."""

from __future__ import annotations

import operator
import sys
from typing import Any, SupportsIndex, TypeVar

from maro.utils.dottable import DottableDict
from maro.utils.exception.cli_exception import DeploymentError

__all__ = ["DottableDict", "check_deployment_status", "clone", "convert_dottable", "deploy", "set_seeds"]

_T = TypeVar("_T")


def clone(obj: _T) -> _T:
    """A deep copy made by pickling: independent of the original, and proof that the object can be sent."""
    import pickle

    copy: _T = pickle.loads(pickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL))
    return copy


def convert_dottable(natural_dict: dict[Any, Any]) -> DottableDict:
    """A dottable copy of a dictionary; nested dictionaries, also those in lists, are dottable too."""
    return DottableDict(natural_dict)


def set_seeds(seed: SupportsIndex) -> None:
    """Seed `random`, and NumPy and Torch where they are installed.

    Args:
        seed: any integer; NumPy, which takes 32 bits, gets its lowest, Torch its lowest 64.

    Raises:
        TypeError: it is no integer.
    """
    import random

    number = operator.index(seed)
    random.seed(number)
    if (numpy := _module("numpy")) is not None:
        numpy.random.seed(number % 2**32)
    if (torch := _module("torch")) is not None:
        torch.manual_seed(number % 2**64)


def check_deployment_status() -> bool:
    """Whether `deploy` has something to do: nothing is deployed yet, it is of another version, or files are missing.

    Raises:
        DeploymentError: this installation lacks the files that it should deploy, or there is no home folder.
    """
    from maro.utils.deployment import Deployment

    return Deployment.here().is_needed()


def deploy(hide_info: bool = True) -> None:
    """Copy the topologies and image files that come with the package to `~/.maro`.

    An older copy is replaced as a whole or not at all; other things in the folder, such as logs, are left alone.

    Args:
        hide_info: print nothing; otherwise what was done, or why it failed, is printed.

    Raises:
        DeploymentError: it did not work; what was deployed before is still there.
    """
    from maro.utils.deployment import Deployment

    try:
        deployed = Deployment.here().run()
    except DeploymentError as error:
        if not hide_info:
            print(f"Deployment failed: {error}", file=sys.stderr)
        raise
    if not hide_info:
        print(f"Deployed {', '.join(str(path) for path in deployed)}.")


def _module(name: str) -> Any:
    """The module, or `None` where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
