"""Who is in the group, in which incarnation, and whether it can be reached: observations in, changes out.

Pure: no clock, no socket, no Redis. The directory says what it saw and whether an absence counts; drivers say who was
heard. What a peer can be, and what moves it from one state to another, is in the table below.

    state     means                                                    sends to it
    PRESENT   registered, lease held                                   go out
    AWAY      lease gone, process gone, or leaving                     are kept or dropped; an error without rejoin
    LEFT      left under its own power, or used up its restart budget  fail; it is no longer waited for

    from      on                                 to
    -         lease of an awaited peer seen      PRESENT  (JOINED)
    PRESENT   lease absent for good              AWAY     (LOST)
    PRESENT   notice: leaving, gone              AWAY     (LOST)
    AWAY      lease of the same incarnation      PRESENT  (RETURNED), but not while it is leaving
    AWAY      lease absent while it was leaving  AWAY     (LOST again: its process has ended)
    any       lease of a newer incarnation       PRESENT  (REJOINED), with rejoin on
    any       notice: left, given up             LEFT     (DEPARTED)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from maro.communication.observations import Fenced, Introduced, Notice, NoticeKind, Observation, PeerRecord, Sighting

NAME_INFIX = "_proxy_"
"""Between the type and the unique part of a name that nobody chose."""
_NAMES_KEPT = 65_536
"""Senders whose types are remembered; whoever comes later is known by name only."""


_READINGS_TO_DENY = 2
"""One reading may have been made before the newer incarnation registered."""


class PeerState(Enum):
    """See the table at the top."""

    PRESENT = "present"
    AWAY = "away"
    LEFT = "left"


class ChangeKind(Enum):
    """What happened to a peer."""

    JOINED = "joined"
    REJOINED = "rejoined"
    RETURNED = "returned"
    LOST = "lost"
    DEPARTED = "departed"


@dataclass(eq=False)
class Peer:
    """A component that this one sends to or hears from."""

    record: PeerRecord
    expected: bool
    """Whether it counts: it is in `peers_name`. Others are known only so that they can be answered."""
    state: PeerState = PeerState.PRESENT
    reason: str = ""
    """Why it is not present, in words."""
    leaving: bool = False
    superseded: int = 0
    """A newer incarnation was heard of whose address is not known yet. Counts down with each reading that does not
    know of it either: then it was a false alarm, or a stranger's."""
    last_heard_s: float = field(default=float("-inf"))

    @property
    def name(self) -> str:
        """Its name in the group."""
        return self.record.name

    @property
    def incarnation(self) -> int:
        """Its newest incarnation whose address is known."""
        return self.record.incarnation


@dataclass(frozen=True)
class Change:
    """Something that the Proxy has to act upon."""

    kind: ChangeKind
    peer: Peer
    process_ended: bool = False
    """The peer's process is known to have ended: nothing can come through its connection any more."""


class Membership:
    """The peers of one component.

    Args:
        own_name: not a peer, also where its own type is expected.
        expected: how many peers of each type are waited for.
        enable_rejoin: whether peers may come back, and more may join while running. Without it, the first by name
            are taken as soon as there are enough, and stay.
        lease_s: a peer that was heard this short a time ago is not away, whatever Redis says.
    """

    def __init__(self, own_name: str, expected: Mapping[str, int], enable_rejoin: bool, lease_s: float) -> None:
        self.peers: dict[str, Peer] = {}
        self.incarnations: dict[str, int] = {}
        """The newest incarnation of each peer whose address is known: `heard` may be told of these directly."""
        self.heard: set[str] = set()
        """Who was heard in a known incarnation since the last reading."""
        self.version = 0
        """Grows with every change of `names`."""
        self.fenced_by: int | None = None
        self.superseded = False
        """Whether a peer ever was; most groups never see it, and the message path asks this first."""
        self._own_name = own_name
        self._expected = dict(expected)
        self._enable_rejoin = enable_rejoin
        self._lease_s = lease_s
        self._candidates: dict[str, dict[str, PeerRecord]] = {component_type: {} for component_type in expected}
        self._present: dict[str, dict[str, None]] = {component_type: {} for component_type in expected}
        self._types: dict[str, str] = {}

    # What is known.

    def names(self, component_type: str) -> list[str]:
        """The names of the peers of a type, sorted: those present; without rejoin, those that joined at the start."""
        return sorted(self._present[component_type])

    def count(self, component_type: str) -> int:
        """How many `names` has."""
        return len(self._present[component_type])

    def expected_peers(self, component_type: str) -> list[Peer]:
        """The peers of an expected type, whatever their state, by name."""
        return [
            peer
            for name, peer in sorted(self.peers.items())
            if peer.expected and peer.record.component_type == component_type
        ]

    @property
    def types(self) -> Iterable[str]:
        """The expected types."""
        return self._expected.keys()

    def type_of(self, name: str) -> str | None:
        """The type of a component: the one that it joined or was heard under, else the one that its name tells."""
        known = self._types.get(name)
        if known is None:
            told = name.rpartition(NAME_INFIX)[0]
            return told if told in self._expected else None
        return known

    def is_present(self, name: str) -> bool:
        """Whether `names` has it."""
        return name in self._present.get(self._types.get(name, ""), ())

    def missing(self) -> dict[str, int]:
        """How many peers of each type have yet to register, for this component to go ahead with all of them."""
        short = {
            kind: wanted - len(self._present[kind]) - len(self._candidates[kind])
            for kind, wanted in self._expected.items()
        }
        return {kind: count for kind, count in short.items() if count > 0}

    # What happens.

    def hear(self, name: str, component_type: str, incarnation: int) -> bool:
        """A packet arrived: a sign of life.

        Returns:
            False for an incarnation that is known to be superseded, whose packets are to be refused.
        """
        peer = self.peers.get(name)
        if peer is None:
            if len(self._types) < _NAMES_KEPT:
                self._types.setdefault(name, component_type)
            return True
        if incarnation and incarnation != peer.record.incarnation:
            if incarnation < peer.record.incarnation:
                return False
            if self._enable_rejoin or not peer.expected:
                peer.superseded = peer.superseded or _READINGS_TO_DENY
                self.superseded = True
            return True
        self.heard.add(name)
        return True

    def adopt(self, record: PeerRecord) -> list[Change]:
        """Take in a registered component whose joining was not noticed, to answer it.

        With rejoin on one of an expected type is a peer like the others, only earlier; else it stays outside `names`.
        """
        peer = self.peers.get(record.name)
        if peer is not None:
            return list(self._see(record))
        for candidates in self._candidates.values():
            candidates.pop(record.name, None)
        return [self._join(record, expected=self._enable_rejoin and record.component_type in self._expected)]

    def observe(self, observation: Observation) -> list[Change]:
        """Take in what the directory saw."""
        if isinstance(observation, Fenced):
            self.fenced_by = observation.newer
            return []
        if isinstance(observation, Introduced):
            return self.adopt(observation.record)
        if isinstance(observation, Notice):
            return list(self._notice(observation))
        return list(self._sight(observation))

    def supersedes(self, observation: Observation) -> bool:
        """Whether taking this in would turn away what an incarnation sent that was fine until now."""
        if isinstance(observation, Notice):
            return observation.record.name in self.peers
        if isinstance(observation, Sighting):
            known = ((self.peers.get(record.name), record) for record in observation.records)
            return any(peer is not None and record.incarnation > peer.incarnation for peer, record in known)
        return False

    def unreachable(self, peer: Peer, reason: str) -> None:
        """There is no way to connect to what a peer registered."""
        for _ in self._lose(peer, reason):
            pass

    def _notice(self, notice: Notice) -> Iterator[Change]:
        record, kind = notice.record, notice.kind
        if kind in (NoticeKind.JOIN, NoticeKind.REJOIN):
            yield from self._see(record)
            if record.component_type in self._expected:
                yield from self._choose(record.component_type)
            return
        candidates = self._candidates.get(record.component_type, {})
        candidate = candidates.get(record.name)
        if candidate is not None and candidate.incarnation <= record.incarnation:
            del candidates[record.name]
        peer = self.peers.get(record.name)
        if peer is None or record.incarnation < peer.incarnation:
            return
        if kind is NoticeKind.LEAVING:
            peer.leaving = True
            yield from self._lose(peer, "it is leaving the group")
        elif kind is NoticeKind.GONE:
            yield from self._lose(peer, "its process ended without leaving the group", process_ended=True)
        elif peer.state is not PeerState.LEFT:
            used_up = kind is NoticeKind.GIVEN_UP
            peer.reason = "it used up its restart budget" if used_up else "it left the group"
            self._set_state(peer, PeerState.LEFT)
            yield Change(ChangeKind.DEPARTED, peer, process_ended=True)

    def _sight(self, sighting: Sighting) -> Iterator[Change]:
        for name in self.heard:
            if name in self.peers:
                self.peers[name].last_heard_s = sighting.at_s
        self.heard.clear()
        for record in sighting.records:
            if sighting.leases.get(record.name) == record.incarnation:
                yield from self._see(record)
        for name, incarnation in sighting.leases.items():
            if incarnation is None:
                for candidates in self._candidates.values():
                    candidates.pop(name, None)
        for component_type in self._expected:
            yield from self._choose(component_type)
        for name, incarnation in sighting.leases.items():
            peer = self.peers.get(name)
            if peer is None:
                continue
            if incarnation == peer.incarnation:
                yield from self._return(peer)
            elif incarnation is None and sighting.absence_counts and sighting.at_s - peer.last_heard_s >= self._lease_s:
                # Who died while it was leaving will not reply any more.
                died_leaving = peer.leaving and peer.state is PeerState.AWAY
                peer.leaving = False
                yield from self._lose(peer, "its lease ran out", process_ended=died_leaving)

    def _see(self, record: PeerRecord) -> Iterator[Change]:
        """A component holds this record."""
        peer = self.peers.get(record.name)
        if peer is None:
            if record.name != self._own_name:
                self._nominate(record)
        elif record.incarnation == peer.incarnation:
            yield from self._return(peer)
        elif record.incarnation > peer.incarnation:
            if not self._enable_rejoin and peer.expected:
                yield from self._lose(peer, "its process was replaced by a new one", process_ended=True)
                return
            if record.component_type != peer.record.component_type:
                self._change_type(peer, record.component_type)
            peer.record = record
            self.incarnations[record.name] = record.incarnation
            peer.superseded = 0
            peer.leaving = False
            peer.reason = ""
            self._set_state(peer, PeerState.PRESENT)
            yield Change(ChangeKind.REJOINED, peer)

    def _nominate(self, record: PeerRecord) -> None:
        """A component may join, in place of what an earlier incarnation of it was, perhaps of another type."""
        for candidates in self._candidates.values():
            earlier = candidates.get(record.name)
            if earlier is not None and earlier.incarnation > record.incarnation:
                return
            candidates.pop(record.name, None)
        if record.component_type in self._candidates:
            self._candidates[record.component_type][record.name] = record

    def _choose(self, component_type: str) -> Iterator[Change]:
        """Let candidates in: all of them with rejoin on, else the first by name once there are enough."""
        candidates = self._candidates[component_type]
        chosen = sorted(candidates)
        if not self._enable_rejoin:
            wanted = self._expected[component_type]
            if len(self._present[component_type]) >= wanted or len(chosen) < wanted:
                return
            chosen = chosen[:wanted]
        for name in chosen:
            yield self._join(candidates.pop(name), expected=True)

    def _join(self, record: PeerRecord, expected: bool) -> Change:
        peer = self.peers[record.name] = Peer(record, expected)
        self.incarnations[record.name] = record.incarnation
        self._types[record.name] = record.component_type
        self._set_state(peer, PeerState.PRESENT)
        return Change(ChangeKind.JOINED, peer)

    def _change_type(self, peer: Peer, component_type: str) -> None:
        """A name was taken over by a component of another type: it counts there, if anywhere."""
        if self._present.get(peer.record.component_type, {}).pop(peer.name, ...) is None:
            self.version += 1
        peer.expected = self._enable_rejoin and component_type in self._expected
        self._types[peer.name] = component_type

    def _return(self, peer: Peer) -> Iterator[Change]:
        if peer.superseded:
            peer.superseded -= 1
            if peer.superseded == 0 and peer.state is PeerState.PRESENT:
                yield Change(ChangeKind.RETURNED, peer)
        if peer.state is PeerState.AWAY and not peer.leaving:
            peer.reason = ""
            self._set_state(peer, PeerState.PRESENT)
            yield Change(ChangeKind.RETURNED, peer)

    def _lose(self, peer: Peer, reason: str, process_ended: bool = False) -> Iterator[Change]:
        if peer.state is PeerState.PRESENT or (peer.state is PeerState.AWAY and process_ended):
            peer.reason = reason
            self._set_state(peer, PeerState.AWAY)
            yield Change(ChangeKind.LOST, peer, process_ended)

    def _set_state(self, peer: Peer, state: PeerState) -> None:
        peer.state = state
        if not peer.expected:
            return
        present = self._present[peer.record.component_type]
        if state is PeerState.PRESENT:
            if peer.name in present:
                return
            present[peer.name] = None
        elif not self._enable_rejoin or present.pop(peer.name, ...) is ...:
            return
        self.version += 1
