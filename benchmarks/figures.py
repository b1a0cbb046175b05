"""From measured values to the lines of the table: medians, ratios, and whether goals are met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Spread:
    """The median of some values, with the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value; ValueError where there is none."""
        if not values:
            raise ValueError("there is no median of no values: measure at least once")
        return cls(statistics.median(values), min(values), max(values))


class Of(Enum):
    """What a goal is about."""

    RATIO = "ratio"
    """The contender's value divided by the reference's of the same repetition."""
    VALUE = "value"


class Bound(Enum):
    """On which side of its limit a figure should be."""

    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"


@dataclass(frozen=True)
class Goal:
    """A limit for the median."""

    of: Of
    bound: Bound
    limit: float

    def is_met(self, median: float) -> bool:
        """Whether a median is on the right side."""
        if self.bound is Bound.AT_LEAST:
            return median >= self.limit
        return median < self.limit if self.bound is Bound.BELOW else median <= self.limit


@dataclass(frozen=True)
class Line:
    """What came out for one contender."""

    contender: str
    values: tuple[float, ...]
    """One a repetition."""
    value: Spread
    ratio: Spread | None
    """To the reference, of pairs from the same repetition; None for the reference itself, and where there is none."""
    goal: Goal | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        spread = self.ratio if self.goal.of is Of.RATIO else self.value
        if spread is None:
            raise ValueError(f"the goal of {self.contender!r} is a ratio, but there is no reference to divide by")
        return self.goal.is_met(spread.median)


def ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Each value divided by the reference of the same repetition; ValueError where they are not as many."""
    return [value / reference for value, reference in _pairs(values, references)]


def differences(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Each value less the reference of the same repetition; ValueError where they are not as many."""
    return [value - reference for value, reference in _pairs(values, references)]


def _pairs(values: Sequence[float], references: Sequence[float]) -> list[tuple[float, float]]:
    if len(values) != len(references):
        raise ValueError(
            f"{len(values)} values can't be paired with {len(references)} references: measure both as often"
        )
    return list(zip(values, references, strict=True))


def make_lines(samples: Mapping[str, Sequence[float]], reference: str | None, goals: Mapping[str, Goal]) -> list[Line]:
    """The lines of one row of the table.

    Args:
        samples: by contender, a value for each repetition.
        reference: the contender that the others are divided by, if any.
        goals: by contender, where there is one.
    """
    lines = []
    for contender, values in samples.items():
        ratio = None
        if reference is not None and contender != reference:
            ratio = Spread.of(ratios(values, samples[reference]))
        lines.append(Line(contender, tuple(values), Spread.of(values), ratio, goals.get(contender)))
    return lines


def running_order(contenders: Sequence[str], repetition: int) -> list[str]:
    """Who goes first in a repetition: forwards and backwards in turn, so that drift of the machine favours nobody."""
    return list(contenders) if repetition % 2 == 0 else list(reversed(contenders))
