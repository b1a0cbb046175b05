"""What can be seen of a group: registrations, leases, and the news that components tell of themselves. Plain facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class PeerRecord:
    """What a component registered."""

    name: str
    component_type: str
    incarnation: int
    addresses: Mapping[str, str]
    """Socket type (a number as text) to endpoint."""


class NoticeKind(Enum):
    """What a component, or the agent for it, made known to its group."""

    JOIN = "join"
    REJOIN = "rejoin"
    LEAVING = "leaving"
    LEFT = "left"
    GONE = "gone"
    GIVEN_UP = "given-up"


@dataclass(frozen=True)
class Notice:
    """News of a component. A hint: it may be late, or missed; the table and the leases are what counts."""

    kind: NoticeKind
    record: PeerRecord


@dataclass(frozen=True)
class Sighting:
    """What was read of some components at one time: their records, and the incarnations that hold a lease."""

    at_s: float
    """When, on the reader's own clock."""
    absence_counts: bool
    """Whether a missing lease means anything: not soon after an outage of Redis or of one's own."""
    records: tuple[PeerRecord, ...]
    leases: Mapping[str, int | None]
    """The incarnation that holds the lease of each name that was asked for; None where nobody does."""


@dataclass(frozen=True)
class Introduced:
    """A component that was asked for: it is registered, and holds a lease."""

    record: PeerRecord


@dataclass(frozen=True)
class Fenced:
    """A newer incarnation has one's own name."""

    newer: int


Observation = Notice | Sighting | Introduced | Fenced
