"""When learners that end together may end, and what came out. Pure: what was heard goes in, decisions come out.

A learner may leave once it has the result of every other one, and every other one that is still there is known to have
its own: then nobody is left waiting for news that nobody will repeat. A result is a process's own: a learner that was
killed and started again has none, however far the process before it had come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Standing:
    """What a learner tells the others about itself."""

    name: str
    started_s: float
    """When its process started, by the wall clock: of two standings of one name the later start counts."""
    reached: bool | None = None
    """Whether it has reached its goal; None while it trains."""
    heard: Mapping[str, float] = field(default_factory=dict)
    """The others whose results it has: when their processes started, by name."""


class Agreement:
    """What one learner knows of all.

    Args:
        name: its own.
        started_s: when its process started, by the wall clock.
        others: how many other learners belong to the group.
    """

    def __init__(self, name: str, started_s: float, others: int) -> None:
        self._name = name
        self._started_s = started_s
        self._others = others
        self._reached: bool | None = None
        self._standings: dict[str, Standing] = {}

    def __repr__(self) -> str:
        return f"Agreement({self.own()!r}, others={self.results()!r})"

    def end(self, reached: bool) -> None:
        """The learner's own training is over."""
        self._reached = reached

    def take(self, standing: Standing) -> None:
        """Another learner has told how it stands; what a process before it told is forgotten."""
        known = self._standings.get(standing.name)
        if standing.name != self._name and (known is None or standing.started_s >= known.started_s):
            self._standings[standing.name] = standing

    def own(self) -> Standing:
        """What to tell the others."""
        heard = {other.name: other.started_s for other in self._standings.values() if other.reached is not None}
        return Standing(self._name, self._started_s, self._reached, heard)

    def results(self) -> dict[str, bool | None]:
        """Whether each of the others has reached its goal, by name; None where it is still training."""
        return {name: standing.reached for name, standing in sorted(self._standings.items())}

    def is_settled(self, present: Collection[str]) -> bool:
        """Whether this learner may leave.

        Args:
            present: the other learners that are in the group now.
        """
        ended = {name for name, reached in self.results().items() if reached is not None}
        return (
            self._reached is not None
            and len(ended) >= self._others
            and all(name in ended and self._is_heard_by(name) for name in present)
        )

    def misses(self, present: Collection[str]) -> int:
        """How many learners neither have a result nor are there to get one."""
        ended = {name for name, reached in self.results().items() if reached is not None}
        return max(0, self._others - len(ended.union(present)))

    @property
    def succeeded(self) -> bool:
        """Whether all of them have reached their goals."""
        # Who neither ended nor is there any more was replaced by somebody of another name, or is missed.
        reached = [self._reached, *self.results().values()]
        return reached.count(True) > self._others and False not in reached

    def _is_heard_by(self, name: str) -> bool:
        return self._standings[name].heard.get(self._name) == self._started_s
