"""Copies, seeds, and what importing the package costs."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import types
from pathlib import Path

import pytest

from maro.utils import clone, set_seeds

_SPY = """
import os, sys, threading
reads = []
class Environment(type(os.environ)):
    def __getitem__(self, key):
        reads.append(key)
        return super().__getitem__(key)
os.environ.__class__ = Environment
written = []
def hook(event, args):
    if event == "os.mkdir" or (event == "open" and args[1] not in (None, "r", "rb")):
        written.append((event, args))
sys.addaudithook(hook)
import maro.utils, maro.utils.logger, maro.utils.utils, maro.utils.exit_code
heavy = [name for name in ("numpy", "torch", "redis", "zmq", "logging", "socket", "pickle") if name in sys.modules]
print([written, reads, threading.active_count(), heavy])
"""


def test_clone_is_deep() -> None:
    """Given nested objects, when cloned and changed, then the original stays as it was."""
    original = {"a": [1, {2, 3}], "b": bytearray(b"x")}

    copy = clone(original)
    copy["a"].append(4)  # type: ignore[attr-defined]

    assert original == {"a": [1, {2, 3}], "b": bytearray(b"x")}
    assert copy["a"] == [1, {2, 3}, 4]


def test_clone_refuses_what_can_not_be_sent() -> None:
    """Given an object that can't be pickled, when cloned, then that fails."""
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):  # which one depends on Python's version
        clone(lambda: None)


@pytest.mark.parametrize("seed", [0, 42, -1, 2**40])
def test_seeds_repeat_random_and_numpy(seed: int) -> None:
    """Given any integer, when it is set as the seed twice, then the same numbers come twice; others for another."""
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed; `pip install maro[examples]` brings it")

    def drawn(number: int) -> tuple[float, float]:
        set_seeds(number)
        return random.random(), float(numpy.random.rand())

    assert drawn(seed) == drawn(seed)
    assert all(left != right for left, right in zip(drawn(seed), drawn(seed + 1), strict=True))


def test_seeds_reach_torch_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a module called torch, when seeds are set, then it gets the seed, within the 64 bits that it takes."""
    seeds: list[int] = []
    torch = types.ModuleType("torch")
    torch.manual_seed = seeds.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)

    set_seeds(7)
    set_seeds(2**70 + 9)

    assert seeds == [7, 9]


def test_seeds_do_without_torch_and_numpy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Given neither NumPy nor Torch, when seeds are set, then `random` is seeded and nothing is said."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "numpy", None)

    set_seeds(5)

    assert random.random() == random.Random(5).random()
    assert capsys.readouterr() == ("", "")


def test_a_seed_is_an_integer() -> None:
    """Given a seed that is no integer, when set, then it is refused and `random` is not disturbed."""
    set_seeds(1)
    with pytest.raises(TypeError):
        set_seeds("1")  # type: ignore[arg-type]
    assert random.random() == random.Random(1).random()


def test_importing_does_nothing(tmp_path: Path) -> None:
    """Given a fresh interpreter, when the package is imported, then no file, thread or heavy module comes of it.

    Nor is the environment read; bytecode is switched off because writing it is the interpreter's doing.
    """
    ended = subprocess.run(
        [sys.executable, "-B", "-c", _SPY],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.stdout.strip(), ended.stderr) == ("[[], [], 1, []]", "")
    assert list(tmp_path.iterdir()) == []
