"""What happened in a run, as the applications saw it: what they sent, what they were handed, what they finished.

Pure data. The checker reads it; nobody takes it for more than it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Start(NamedTuple):
    """One incarnation of a component: its name, and the number of the start."""

    name: str
    number: int


class Key(NamedTuple):
    """One message: who sent it in which start, its number there, and whom it is for.

    The numbers of a start rise in the order in which it sent, whomever to; a broadcast has one for all.
    """

    sender: Start
    number: int
    receiver: str


@dataclass(slots=True)
class Sent:
    """A message, from the call that sent it."""

    at: float
    asks: bool
    """A reply is expected."""
    blocks: bool
    """The caller waits for the reply inside the call."""
    accepted_at: float | None = None
    """When the call returned without an exception."""
    answered_at: float | None = None
    """When a reply was handed to the start that had asked."""
    origin: Key | None = None
    """The message that this one passes on."""
    answers: Key | None = None
    """The message that this one replies to."""


class Handed(NamedTuple):
    """A message that an application got."""

    at: float
    to: Start
    key: Key
    message_id: str


class End(NamedTuple):
    """How an incarnation came to its end."""

    at: float
    how: str
    """`crashed`, `left`, `fenced`, `gone` for one that ended by an exception, or `finished` with the run."""


@dataclass
class History:
    """Of one run."""

    sent: dict[Key, Sent] = field(default_factory=dict)
    handed: list[Handed] = field(default_factory=list)
    received: list[Handed] = field(default_factory=list)
    """What `receive` gave, in order; part of it an application may have later, from conditional events, or never."""
    handed_of: dict[Key, list[Handed]] = field(default_factory=dict)
    finished: dict[tuple[Start, Key], float] = field(default_factory=dict)
    """When an application was done with a message that it had been handed, so far as the library can know."""
    ends: dict[Start, End] = field(default_factory=dict)
    registered: dict[str, Start] = field(default_factory=dict)
    """By name, who registered last; a start that was stopped before it could may be that, though others came later."""
    superseded_at: dict[Start, float] = field(default_factory=dict)
    """When another start took the name of this one."""
    rank: dict[Start, int] = field(default_factory=dict)
    """The order in which they registered."""
    incarnations: dict[Start, int] = field(default_factory=dict)
    """Of those that have joined."""
    known: dict[tuple[Start, str], list[tuple[float, int]]] = field(default_factory=dict)
    """When a start came to know an incarnation of another component, by the other's name."""
    refused: int = 0
    """Calls that ended with an error of the documented kinds."""
    impeded: set[tuple[str, str]] = field(default_factory=set)
    """From whom to whom there was no room at some time, or something was lost."""
    disturbances: list[tuple[float, float, frozenset[str]]] = field(default_factory=list)
    """When what was wrong, with whom: nobody named means everybody."""

    def sending(self, keys: Iterable[Key], sent: Sent) -> None:
        """A call begins that sends these."""
        for key in keys:
            self.sent[key] = Sent(sent.at, sent.asks, sent.blocks, origin=sent.origin, answers=sent.answers)

    def accepted(self, keys: Iterable[Key], at: float) -> None:
        """That call returned without an exception."""
        for key in keys:
            self.sent[key].accepted_at = at

    def hand(self, handed: Handed) -> None:
        """An application got a message."""
        self.handed.append(handed)
        self.handed_of.setdefault(handed.key, []).append(handed)

    def registers(self, start: Start, at: float) -> None:
        """A start takes its name."""
        before = self.registered.get(start.name)
        if before is not None:
            self.superseded_at[before] = at
        self.registered[start.name] = start
        self.rank[start] = len(self.rank)

    def knows(self, start: Start, name: str, incarnation: int, at: float) -> None:
        """A start has learnt of an incarnation of another component."""
        self.known.setdefault((start, name), []).append((at, incarnation))

    def ended_at(self, start: Start) -> float | None:
        """When that incarnation ended, or a successor took its name; None while neither has happened."""
        end = self.ends.get(start)
        times = [end.at if end is not None else None, self.superseded_at.get(start)]
        return min((at for at in times if at is not None), default=None)

    def ended(self, start: Start) -> bool:
        """Whether that incarnation is no more, or has a successor that took its name."""
        end = self.ends.get(start)
        return (end is not None and end.how != "finished") or self.registered.get(start.name, start) != start
