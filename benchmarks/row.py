"""A row of the table: its contenders, measured in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.figures import Line, differences, make_lines, running_order
from benchmarks.goals import goals_of
from benchmarks.harness import Lab

Measure = Callable[[Lab], float]
"""Starts what it needs, measures one value, and ends what it started."""


@dataclass(frozen=True)
class Row:
    """One piece of work, and who does it."""

    name: str
    """As `--only` takes it."""
    title: str
    unit: str
    contenders: Mapping[str, Measure]
    """In the order of the table."""
    reference: str | None = None
    """The contender that the others are compared with."""
    less_reference: Mapping[str, str] = field(default_factory=dict)
    """Lines that show the difference of a contender and the reference: the line's name -> the contender."""
    unmeasured_rounds: int = 0
    """Whole repetitions that come first and do not count, such as one that compiles modules."""

    def __post_init__(self) -> None:
        named = {self.reference, *self.less_reference.values()} - {None} - set(self.contenders)
        if named:
            raise ValueError(f"the row {self.name!r} names {named}; its contenders are {list(self.contenders)}")

    def measure(self, lab: Lab, repetitions: int, progress: Callable[[int], None]) -> list[Line]:
        """Measure all contenders, interleaved.

        Args:
            lab: where processes are started.
            repetitions: values for each contender, at least one.
            progress: called with the number of repetitions that are done.

        Raises:
            MeasurementError: a process failed, or did not end in time.
        """
        names = list(self.contenders)
        samples: dict[str, list[float]] = {name: [] for name in names}
        for repetition in range(-self.unmeasured_rounds, repetitions):
            for name in running_order(names, repetition):
                value = self.contenders[name](lab)
                if repetition >= 0:
                    samples[name].append(value)
            progress(max(0, repetition + 1))
        goals = goals_of(self.name)
        lines = make_lines(samples, self.reference, goals)
        if self.reference is not None:
            references = samples[self.reference]
            rests = {line: differences(samples[of], references) for line, of in self.less_reference.items()}
            lines += make_lines(rests, None, goals)
        return lines
