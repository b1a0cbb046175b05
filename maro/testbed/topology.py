"""What a program has to know of a compose file to run it as a topology: the file's `x-maro` block.

    x-maro:
      verdict: server    # the service whose end is the verdict: code 0, and its last report is `finished`
      crash: worker      # a service whose containers may crash at any time
      size: WORKERS      # the variable that says how many of these there are

The file also takes the variables `RESTART`, the restart policy of what may crash, `MAIN_RESTART`, that of the rest,
`REMOVAL`, whether an agent replaces what failed (1 or 0), and `MARO_REPORT`: with `json` the service of the verdict
prints its reports as lines of JSON, each with an `event`: `progress` as the work goes on; `ready` with the name (`who`)
of a peer that has come or come back, and when that was (`at`, in seconds of the epoch); and `finished`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maro.utils.deployment import packaged_files

BLOCK = "x-maro"
AGENT_OVERLAY = "agent.yaml"
OVERLAYS = (AGENT_OVERLAY,)
"""Files that are no topologies, but change one."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class TopologyError(Exception):
    """A compose file is not there, or can't be run as a topology; the text says why."""


@dataclass(frozen=True, slots=True)
class Topology:
    """A compose file, and what its `x-maro` block says."""

    name: str
    """That of the file, without its ending."""
    file: Path
    verdict: str
    """The service whose end is the verdict; where it has several containers, all of them have to agree."""
    crash: str
    """The service whose containers may crash."""
    size_variable: str
    """Says how many containers `crash` has."""

    @property
    def least_size(self) -> int:
        """The smallest size that tells anything.

        Where those that are judged are those that crash, two have to be left that go on with each other.
        """
        return 3 if self.verdict == self.crash else 1


def shipped_topologies() -> list[Topology]:
    """The topologies that come with the package, by name.

    Raises:
        TopologyError: the installation has none.
    """
    try:
        folder = packaged_files(Path(__file__).resolve().parents[1]) / "compose"
    except FileNotFoundError as error:
        raise TopologyError(str(error)) from error
    return [read_topology(file) for file in sorted(folder.glob("*.yaml")) if file.name not in OVERLAYS]


def read_topology(file: Path) -> Topology:
    """The topology that a compose file describes.

    Raises:
        TopologyError: it can't be read, or its `x-maro` block is missing or does not fit the file.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError(f"{file} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise TopologyError(f"{file} is no YAML: {error}") from error
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict):
        raise TopologyError(f"{file} is no compose file: it has no services")
    block = _block(file, content)
    for key in ("verdict", "crash"):
        if block[key] not in services:
            raise TopologyError(
                f"{BLOCK} of {file} says `{key}: {block[key]}`, but the file's services are {', '.join(services)}"
            )
    if not _VARIABLE.fullmatch(block["size"]):
        raise TopologyError(f"{BLOCK} of {file} says `size: {block['size']}`, which is no name of a variable")
    return Topology(file.stem, file, block["verdict"], block["crash"], block["size"])


def _block(file: Path, content: dict[str, Any]) -> dict[str, str]:
    """The `x-maro` block, its three entries there."""
    block = content.get(BLOCK)
    if not isinstance(block, dict):
        raise TopologyError(
            f"{file} has no {BLOCK} block, which names the services whose end is the verdict (`verdict`) and whose "
            "containers may crash (`crash`), and the variable with their number (`size`)"
        )
    missing = [key for key in ("verdict", "crash", "size") if not isinstance(block.get(key), str)]
    if missing:
        raise TopologyError(f"{BLOCK} of {file} lacks {', '.join(missing)}")
    return block
