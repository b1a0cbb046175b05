"""The message cache: what waits, in order, for peers that are away. Pure.

Bounded for each peer, and never evicts: when it is full, the sender has to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Content = TypeVar("Content")


class Posted(Enum):
    """What became of a message."""

    SENT = "sent"
    KEPT = "kept"
    """The peer is away; it gets the message when it is back."""
    DROPPED = "dropped"
    """The peer is away, and nothing is kept for it."""


@dataclass(frozen=True)
class Kept(Generic[Content]):
    """A message that waits."""

    session_id: str
    content: Content
    """What is to be sent; encoded already, so it can't change any more."""
    reported: bool
    """Whether its sender has got the session id already."""
    awaited: bool
    """Whether its sender was waiting for the reply."""


@dataclass(frozen=True)
class Delivered:
    """A message that went out after waiting, and whose session id nobody has got yet."""

    session_id: str
    awaited: bool


class Outbox(Generic[Content]):
    """The messages that wait for each peer.

    Args:
        bound: how many may wait for one peer.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.dropped = 0
        """Messages that were dropped because their peer left for good."""
        self.waiting: dict[str, deque[Kept[Content]]] = {}
        """By peer; only this class changes it. Others ask whether it is empty, on the message path."""
        self.delivered: dict[str, deque[Delivered]] = {}
        """By peer, what `take_delivered` has; likewise."""
        self._unreported_drops: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Outbox(waiting={ {peer: len(kept) for peer, kept in self.waiting.items()} }, bound={self.bound})"

    def __len__(self) -> int:
        return sum(len(kept) for kept in self.waiting.values())

    def waits_for(self, peer: str) -> bool:
        """Whether anything waits for the peer; if so, newer messages have to queue up behind."""
        return peer in self.waiting

    def length(self, peer: str) -> int:
        """How many messages wait for the peer."""
        return len(self.waiting.get(peer, ()))

    def peers(self) -> Iterator[str]:
        """The peers that something waits for."""
        return iter(list(self.waiting))

    def keep(self, peer: str, kept: Kept[Content]) -> bool:
        """Keep a message; False, and nothing kept, where the bound is reached."""
        waiting = self.waiting.get(peer)
        if waiting is None:
            waiting = self.waiting[peer] = deque()
        elif len(waiting) >= self.bound:
            return False
        waiting.append(kept)
        return True

    def first(self, peer: str) -> Kept[Content]:
        """The message that goes out next."""
        return self.waiting[peer][0]

    def sent(self, peer: str) -> None:
        """The first message went out."""
        waiting = self.waiting[peer]
        kept = waiting.popleft()
        if not waiting:
            del self.waiting[peer]
        if not kept.reported:
            delivered = self.delivered.setdefault(peer, deque())
            delivered.append(Delivered(kept.session_id, kept.awaited))

    def take_delivered(self, peer: str) -> list[Delivered]:
        """What went out to the peer since the last call and was not reported; each is returned once."""
        return list(self.delivered.pop(peer, ()))

    def drop(self, peer: str) -> int:
        """The peer left for good: forget what waits for it; returns how much that was."""
        count = len(self.waiting.pop(peer, ()))
        self.delivered.pop(peer, None)
        if count:
            self.dropped += count
            self._unreported_drops[peer] = self._unreported_drops.get(peer, 0) + count
        return count

    def take_drops(self, peer: str) -> int:
        """How many messages were dropped since the last call, to tell the next sender."""
        return self._unreported_drops.pop(peer, 0)
