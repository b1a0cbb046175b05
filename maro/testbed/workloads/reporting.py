"""How a component of a workload says how its work goes: lines of JSON for programs, lines of text for people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

PROGRESS_EVERY_S = 0.25
"""Progress is told at most so often; everything else always."""

Report = dict[str, Any]
"""What is told at one time. `event`, `who`, `at` (seconds of the epoch) and `seconds` (since the start) are always in
it; the other figures are the workload's own."""
Write = Callable[[Report], None]


class Reporter:
    """Tells how the work of one component goes.

    Args:
        write: gets each report.
        figures: the workload's own part of a report; called only for what is told.
    """

    def __init__(self, write: Write, figures: Callable[[], Report]) -> None:
        self._write = write
        self._figures = figures
        self._started = time.monotonic()
        self._told = float("-inf")

    def __call__(self, event: str, who: str | None = None, **more: Any) -> None:
        """Tell what has happened.

        Args:
            event: such as `ready`, `progress`, `finished` or `failed`.
            who: the peer that it is about.
            more: figures of this report alone.
        """
        now = time.monotonic()
        if event == "progress" and now - self._told < PROGRESS_EVERY_S:
            return
        self._told = now
        head = {"event": event, "who": who, "at": time.time(), "seconds": round(now - self._started, 3)}
        self._write({**head, **self._figures(), **more})


def print_json(report: Report) -> None:
    """One line for programs."""
    print(json.dumps(report), flush=True)


def text_printer(describe: Callable[[Report], str]) -> Write:
    """Print one line for people: when, what and who, then what `describe` makes of the workload's figures.

    Where `MARO_REPORT` is `json` in the environment a program reads along, and gets lines of JSON.
    """
    if os.environ.get("MARO_REPORT") == "json":
        return print_json

    def print_text(report: Report) -> None:
        head = f"{report['seconds']:6.1f} s  {report['event']:<10}  {report['who'] or '':<12}"
        print(f"{head}{describe(report)}", flush=True)

    return print_text
