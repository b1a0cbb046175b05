"""A line for everything that happens in a run, to read and to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from tests.simulation.history import Key


class Trace:
    """The lines of one run.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._clock = clock
        self._began = clock()

    def line(self, word: str, *details: object) -> None:
        """Something happened."""
        self.lines.append(f"{self._clock() - self._began:11.6f}  {word:<10} {' '.join(map(_brief, details))}")

    def hash(self) -> str:
        """The same for two runs in which the same happened at the same times."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


class TraceLog:
    """What a Proxy logs of its peers, in the trace.

    Args:
        trace: that the lines go to.
        label: whose they are.
    """

    def __init__(self, trace: Trace, label: str) -> None:
        self._trace = trace
        self._label = label

    def info(self, text: str, *details: Any) -> None:
        """A line."""
        self._trace.line("log", self._label, text % details)

    debug = warn = warning = error = info

    def close(self) -> None:
        """No more."""


def _brief(detail: object) -> str:
    """A key as `source_0.1#7>sink_0`."""
    if isinstance(detail, Key):
        return f"{detail.sender.name}.{detail.sender.number}#{detail.number}>{detail.receiver}"
    return str(detail)
