"""What travels through the pipeline, and what a sink keeps of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

Visit = tuple[str, float]
"""Where an item was: the stage's name, and when its process started, by the wall clock."""


@dataclass(frozen=True, slots=True)
class Item:
    """A number on its way from the source to the sink."""

    origin: str
    """Name of the source, who is told when the item has arrived."""
    run: str
    """Which of its runs the item belongs to: a source that is started again begins a new one."""
    number: int
    """What is left of the number to take apart."""
    factors: tuple[int, ...] = ()
    """The prime factors found so far."""
    visits: tuple[Visit, ...] = ()
    """The stages that it has passed."""

    def after(self, visit: Visit, factors: Iterable[int], rest: int) -> Item:
        """The item as it leaves a stage, which has found some factors and left the rest."""
        return replace(self, number=rest, factors=(*self.factors, *factors), visits=(*self.visits, visit))


@dataclass(frozen=True, slots=True)
class Total:
    """What some items add up to."""

    items: int = 0
    factors: int = 0
    """How many prime factors they have, repeated ones counted each time."""
    sum: int = 0
    """Of these factors."""

    def plus(self, factors: Iterable[int]) -> Total:
        """The total with one more item."""
        found = tuple(factors)
        return Total(self.items + 1, self.factors + len(found), self.sum + sum(found))

    def __str__(self) -> str:
        return f"{self.items} numbers with {self.factors} prime factors that add up to {self.sum}"


class Ledger:
    """What a sink has received in one run of a source, every item counted once.

    Args:
        key: tells this ledger from any other one, also from that of the same sink before it was killed.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.total = Total()
        self._seen: set[str] = set()

    def __repr__(self) -> str:
        return f"Ledger({self.key!r}, {self.total})"

    def enter(self, session_id: str, item: Item) -> bool:
        """Count an item; False for one whose session was counted before: it was sent twice."""
        if session_id in self._seen:
            return False
        self._seen.add(session_id)
        self.total = self.total.plus(item.factors)
        return True
