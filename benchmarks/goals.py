"""What the library is to reach, in one table. A contender that is not in it is measured for information."""

from __future__ import annotations

from benchmarks.figures import Bound, Goal, Of

GOALS: dict[tuple[str, str], Goal] = {
    ("round-trip", "Proxy.send / reply"): Goal(Of.RATIO, Bound.AT_MOST, 1.8),
    ("one-way", "Proxy.isend / receive"): Goal(Of.RATIO, Bound.AT_LEAST, 0.2),
    ("round-trip-kept", "cache on"): Goal(Of.RATIO, Bound.AT_MOST, 1.3),
    ("one-way-kept", "cache on"): Goal(Of.RATIO, Bound.AT_LEAST, 0.6),
    ("arrays", "Proxy, zero_copy"): Goal(Of.RATIO, Bound.AT_LEAST, 0.85),
    ("arrays", "Proxy, writable arrays"): Goal(Of.RATIO, Bound.AT_LEAST, 0.7),
    ("joining", "Proxy()"): Goal(Of.RATIO, Bound.AT_MOST, 3.0),
    ("dispatch", "1,000 events"): Goal(Of.RATIO, Bound.AT_MOST, 3.0),
    ("import", "import maro.communication"): Goal(Of.VALUE, Bound.BELOW, 0.2),
    ("memory", "idle component"): Goal(Of.VALUE, Bound.BELOW, 60.0),
}
"""By the row's name and the contender's."""

REQUIRED_RETURN = 475.0
"""Mean return over 100 evaluation episodes that every seed of the workload `rollout` is to reach."""
SEEDS = range(10)
ACTORS = 4


def goals_of(row: str) -> dict[str, Goal]:
    """The goals of a row, by contender."""
    return {contender: goal for (name, contender), goal in GOALS.items() if name == row}
