"""Which items a source has to send, and send again, until each is known to have arrived. Pure.

At least once: an item that is not confirmed in time is sent again, for it, or its confirmation, may have been lost with
whoever was killed. What was confirmed by a sink that has lost its ledger since is worth nothing, and all is sent again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

_MOST_DOUBLINGS = 2


@dataclass
class _Outstanding:
    due_s: float
    repeats: int = 0


class Deliveries:
    """The items 0 .. count - 1 of one run.

    Args:
        count: of the items.
        window: how many may be unconfirmed at a time. More keep more stages busy, and more are lost with one.
        patience_s: after which an item is sent again. Doubled for each repeat, up to four times as long, so that a
            pipeline that is merely slow is not flooded.
    """

    def __init__(self, count: int, window: int, patience_s: float) -> None:
        self.confirmed: set[int] = set()
        self.repeats = 0
        """How many items were sent again."""
        self.ledger: str | None = None
        """Key of the ledger that the confirmed items are in."""
        self._count = count
        self._window = window
        self._patience_s = patience_s
        self._unsent = deque(range(count))
        self._outstanding: dict[int, _Outstanding] = {}
        self._lost_ledgers: set[str] = set()

    def __repr__(self) -> str:
        return f"Deliveries({len(self.confirmed)} of {self._count}, {len(self._outstanding)} on their way)"

    @property
    def complete(self) -> bool:
        """Whether all items are in one ledger."""
        return len(self.confirmed) == self._count

    @property
    def lost_ledgers(self) -> int:
        """How often a sink has lost everything."""
        return len(self._lost_ledgers)

    def take_due(self, now_s: float) -> list[int]:
        """The items to send now; from here on they count as sent."""
        due = [item for item, sent in self._outstanding.items() if sent.due_s <= now_s]
        for item in due:
            sent = self._outstanding[item]
            sent.repeats += 1
            sent.due_s = now_s + self._patience_s * 2 ** min(sent.repeats, _MOST_DOUBLINGS)
        self.repeats += len(due)
        while self._unsent and len(self._outstanding) < self._window:
            item = self._unsent.popleft()
            if item not in self.confirmed:
                self._outstanding[item] = _Outstanding(now_s + self._patience_s)
                due.append(item)
        return due

    def next_due_s(self) -> float:
        """When the next item is to be sent again, infinity if none is on its way."""
        return min((sent.due_s for sent in self._outstanding.values()), default=math.inf)

    def confirm(self, item: int, ledger: str) -> bool:
        """An item is in a ledger; whether that is news."""
        self.found(ledger)
        if ledger != self.ledger or item in self.confirmed:
            return False
        self._outstanding.pop(item, None)
        self.confirmed.add(item)
        return True

    def found(self, ledger: str) -> None:
        """The sink keeps this ledger now. If it is another one than before, all items are to be sent again.

        News of a ledger come before those of its successor: the group's connections keep that order.
        """
        if ledger == self.ledger or ledger in self._lost_ledgers:
            return
        if self.ledger is not None:
            self._lost_ledgers.add(self.ledger)
            self.confirmed.clear()
            self._outstanding.clear()
            self._unsent = deque(range(self._count))
        self.ledger = ledger
