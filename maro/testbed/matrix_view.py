"""How the matrix looks: a line for each cell that has ended, those that run (on a terminal), and a table in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from maro.testbed.cell import Cell, Outcome, Verdict

_STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.INTERRUPTED: "yellow",
    Verdict.NOT_RUN: "dim",
}


class View:
    """Shows how cells go; entered while they do.

    Args:
        console: where to.
        count: of all cells.
    """

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._count = count
        self._done = 0
        self._is_stopping = False
        self._lock = threading.Lock()
        self._doing: dict[Cell, tuple[float, str]] = {}
        """Since when each cell runs that does, and what it is doing."""
        self._live = Live(
            console=console, refresh_per_second=4, transient=True, get_renderable=self._picture, redirect_stdout=False
        )

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tell(self, cell: Cell, doing: str) -> None:
        """A cell is doing something else now; any thread may say so."""
        with self._lock:
            since, _ = self._doing.get(cell, (time.monotonic(), ""))
            self._doing[cell] = since, doing

    def take(self, outcome: Outcome) -> None:
        """A cell has ended: print its line."""
        with self._lock:
            self._doing.pop(outcome.cell, None)
        if outcome.verdict is Verdict.NOT_RUN:
            return
        self._done += 1
        line = Text(f"{self._done:3d}/{self._count}  ")
        line.append(f"{outcome.verdict.value:<7}", _STYLES[outcome.verdict])
        line.append(f"  {outcome.seconds:6.1f} s  {outcome.cell}")
        if outcome.back:
            line.append(f"; back in {outcome.back}")
        if outcome.verdict is Verdict.FAILED:
            line.append(f": {_first_line(outcome.reason)}")
        self._console.print(line, soft_wrap=True)

    def stopping(self) -> None:
        """The run is to end before its time."""
        if not self._is_stopping:
            self._is_stopping = True
            self._console.print("Interrupted; what runs is being removed.", style="yellow")

    def summarise(self, outcomes: Sequence[Outcome], seconds: float, junit: Path) -> None:
        """Print the table, why cells failed, and where to read on."""
        self._console.print(summary_table(outcomes))
        for outcome in outcomes:
            if outcome.verdict is Verdict.FAILED:
                line = Text.assemble(("failed", _STYLES[Verdict.FAILED]), f" {outcome.cell}: {outcome.reason}")
                self._console.print(line.append(f"\n  logs: {outcome.logs}"), soft_wrap=True)
        counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
        told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
        self._console.print(Text(f"{told}, in {_duration(seconds)}. JUnit: {junit}"), soft_wrap=True)

    def _picture(self) -> Group:
        with self._lock:
            doing = list(self._doing.items())
        now = time.monotonic()
        return Group(
            *(Text(f"{'':9}running  {now - since:6.1f} s  {cell}: {what}") for cell, (since, what) in doing),
        )


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each cell: the dimensions in which cells differ, and what became of it; above, what all have."""
    values: dict[str, set[str]] = {}
    for outcome in outcomes:
        for name, value in outcome.cell.dimensions.items():
            values.setdefault(name, set()).add(value)
    names = [name for name, found in values.items() if len(found) > 1]
    same = ", ".join(f"{name} {next(iter(found))}" for name, found in values.items() if len(found) == 1)
    table = Table(box=box.SIMPLE, title=same or None, title_justify="left")
    for name in names:
        table.add_column(name, no_wrap=True)
    table.add_column("back in", justify="right", no_wrap=True)
    table.add_column("messages", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        dimensions = outcome.cell.dimensions
        table.add_row(
            *(Text(dimensions.get(name, "")) for name in names),
            Text(outcome.back or "-"),
            Text(str(outcome.messages or "-")),
            Text(f"{outcome.seconds:.1f}" if outcome.seconds else "-"),
            Text(outcome.verdict.value, _STYLES[outcome.verdict]),
        )
    return table


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
