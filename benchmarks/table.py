"""What the figures look like: as a table for people, and as JSON for programs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.figures import Goal, Line, Of, Spread
from benchmarks.row import Row

Results = dict[str, tuple[Row, list[Line]]]
"""What was measured, by the row's name."""


@dataclass(frozen=True)
class Machine:
    """Where, and beside what else, a run was made."""

    cores: int
    load_average: float
    """Over the minute before the run."""
    redis: str
    pyzmq: str
    python: str = field(default_factory=platform.python_version)

    @property
    def is_busy(self) -> bool:
        """Whether others want more than there is: figures are off then."""
        return self.load_average > self.cores


def machine_lines(machine: Machine) -> list[str]:
    """The lines above the table; a warning among them where the machine is busy."""
    load, software = f"load average {machine.load_average:.2f}", f"Python {machine.python}, pyzmq {machine.pyzmq}"
    lines = [f"{machine.cores} cores, {load}; {software}, Redis: {machine.redis}"]
    if machine.is_busy:
        lines.append(
            f"warning: the load average is above {machine.cores}, the number of cores. Absolute figures are off, and "
            "ratios less certain; run again when the machine is idle."
        )
    return lines


def make_table(results: Results, repetitions: int) -> Table:
    """The table of all rows that were measured."""
    times = "1 repetition" if repetitions == 1 else f"{repetitions} interleaved repetitions"
    table = Table(title=f"Medians of {times}, least and most in brackets", title_justify="left")
    table.add_column("work")
    table.add_column("contender")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("goal")
    for row, lines in results.values():
        for number, line in enumerate(lines):
            table.add_row(
                Text.assemble(row.title, (f" [{row.name}]", "dim")) if number == 0 else "",
                line.contender,
                show_spread(line.value),
                row.unit,
                _ratio(line, row),
                verdict(line),
                end_section=number == len(lines) - 1,
            )
    return table


def _ratio(line: Line, row: Row) -> str:
    if line.ratio is not None:
        return show_spread(line.ratio)
    return "1" if line.contender == row.reference else ""


def verdict(line: Line) -> Text:
    """The goal of a line, and whether it is met; empty where there is none."""
    if line.goal is None:
        return Text()
    word, style = ("met", "bold green") if line.met else ("missed", "bold red")
    return Text.assemble(f"{describe(line.goal)}: ", (word, style))


def describe(goal: Goal) -> str:
    """A goal in signs: `<= 1.8x` of the reference, or `< 60` in the unit of the row."""
    return f"{goal.bound.value} {goal.limit:g}{'x' if goal.of is Of.RATIO else ''}"


def show_spread(spread: Spread) -> str:
    """A median with its least and most."""
    return f"{show(spread.median)} ({show(spread.least)} .. {show(spread.most)})"


def show(value: float) -> str:
    """A figure with three digits that count; above a thousand, all before the point."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    decimals = 2 if abs(value) >= 1 else 3
    if abs(value) >= 100:
        decimals = 0
    elif abs(value) >= 10:
        decimals = 1
    return f"{value:.{decimals}f}"


def make_report(machine: Machine, results: Results, failed: Mapping[str, str], repetitions: int) -> dict[str, Any]:
    """All figures, with every value that was measured."""
    return {
        "machine": {
            "cores": machine.cores,
            "load_average": machine.load_average,
            "python": machine.python,
            "pyzmq": machine.pyzmq,
            "redis": machine.redis,
        },
        "repetitions": repetitions,
        "rows": [
            {"name": row.name, "title": row.title, "unit": row.unit, "lines": [_line_report(line) for line in lines]}
            for row, lines in results.values()
        ],
        "failed": dict(failed),
    }


def _line_report(line: Line) -> dict[str, Any]:
    return {
        "contender": line.contender,
        "values": list(line.values),
        "value": _spread_report(line.value),
        "ratio": _spread_report(line.ratio) if line.ratio else None,
        "goal": {"of": line.goal.of.value, "bound": line.goal.bound.value, "limit": line.goal.limit}
        if line.goal
        else None,
        "met": line.met,
    }


def _spread_report(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "least": spread.least, "most": spread.most}
