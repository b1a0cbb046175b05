"""What a component sends: messages, acknowledgements, and questions to silent peers; as far as there is room, at once.

Nothing here waits. What finds no room stays where it is, in its stream, and `blocked` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maro.communication import clock
from maro.communication.connections import Connections
from maro.communication.delivery import ASKED, Delivery
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.flusher import Pace
from maro.communication.lanes import Lane
from maro.communication.membership import Membership, Peer, PeerState
from maro.communication.packets import Buffer, Encoded
from maro.communication.sessions import Requests
from maro.communication.streams import Entry, ReceiveStream, StreamReceipt

_ACKNOWLEDGE_AFTER_S = 0.002
_ACKNOWLEDGE_EACH = 64
"""While a component goes on receiving without a pause, its peers are told so often how far it is; more often costs
packets, more rarely makes senders with small caches wait."""
_READ_EACH = 16
"""A component that only sends looks for acknowledgements so often, once a cache is half full."""


class Outbound:
    """The sending half of an exchange.

    Args:
        driver: with the sockets.
        connections: opened and closed by this.
        delivery: what is kept, and what is to be acknowledged.
        membership: who can be sent to.
        requests: told of whom was asked.
        introduce: called with the name and the type of a sender that is to be told something, and is not known.
        read: takes in what arrived.
    """

    def __init__(
        self,
        driver: AbsDriver,
        connections: Connections,
        delivery: Delivery[Encoded],
        membership: Membership,
        requests: Requests,
        introduce: Callable[[str, str], None],
        read: Callable[[], None],
    ) -> None:
        self.lanes: dict[str, Lane] = {}
        """To every peer that is connected, whether it is present or not."""
        self.ready: dict[str, Lane] = {}
        """To those that can be sent to at once: present, and nothing waits for them."""
        self.blocked: dict[str, None] = {}
        """The peers that are present while something waits for them, for lack of room."""
        self.waiting: dict[str, Lane] = {}
        """With messages that wait for company."""
        self._driver = driver
        self._send: Callable[[str, Sequence[Buffer]], bool] = driver.send_frames
        self._connections = connections
        self._delivery = delivery
        self._due = delivery.due
        self._unsettled = delivery.unsettled
        self._membership = membership
        self._requests = requests
        self._introduce = introduce
        self._read = read
        self.untold = 0
        """Messages that the application took since it paused, or its peers were told of them."""
        self._untold_since = 0.0

    # Connections.

    def open(self, peer: Peer) -> None:
        """A peer has joined, or an incarnation of it: connect, and send what is kept for it."""
        self._connections.open(peer)
        self._renew_lane(peer)

    def returned(self, peer: Peer) -> None:
        """The same incarnation is back."""
        self._connections.returned(peer)
        self._delivery.confirm(peer.name, peer.incarnation)
        self._renew_lane(peer)
        self._delivery.ask_now(peer.name)

    def lost(self, peer: Peer, process_ended: bool) -> None:
        """The peer is away."""
        self.ready.pop(peer.name, None)
        self.blocked.pop(peer.name, None)
        self._connections.lost(peer, process_ended)
        self._forget_closed()

    def close_long_absent(self) -> None:
        """Close the connections that lead nowhere."""
        if self._connections.close_long_absent():
            self._forget_closed()

    def arrived_from(self, stream: ReceiveStream) -> None:
        """A component, or an incarnation of it, was heard first: packets to it acknowledge what it sends."""
        lane = self.lanes.get(stream.source)
        if lane is not None and lane.route.destination_incarnation == stream.incarnation:
            lane.receiving = stream

    # Messages.

    def at_once(
        self,
        name: str,
        session_id: str,
        encoded: Encoded,
        *,
        soon: bool = False,
        awaited: bool = False,
        answers: StreamReceipt | None = None,
    ) -> bool:
        """Send a message if nothing else is to be done first; with `soon` it may wait a moment for company.

        See `Entry` for the other arguments.
        """
        lane = self.ready.get(name)
        if lane is None:
            return False
        stream = lane.stream
        if stream is None:
            if not (lane.push(encoded, 0) if soon else lane.send_now(encoded, 0)):
                return False
            if answers is not None:
                answers.finish()
        else:
            if stream.is_full:
                return False
            entry = Entry(session_id, encoded, awaited, answers)
            self._delivery.accept(stream, entry)
            number = entry.sequence
            if answers is not None:
                self._delivery.about_to_send(stream, entry, stream.incarnation)
            if lane.push(encoded, number) if soon else lane.send_now(encoded, number):
                stream.sent = number
                if name not in self._unsettled:
                    self._unsettled[name] = stream
            else:
                self._hold_back(name)
            if not number % _READ_EACH and 2 * len(stream) > stream.bound:
                self._read()
        self._requests.asked(session_id, lane.route)
        return True

    def keep(self, name: str, entry: Entry[Encoded]) -> bool:
        """Keep a message for a peer that can't be sent to at once; False where no more can be kept."""
        stream = self._delivery.stream_to(name)
        if stream.is_full:
            return False
        self._delivery.accept(stream, entry)
        self.ready.pop(name, None)
        route = self._connections.routes.get(name)
        if route is not None:
            self._requests.asked(entry.session_id, route)
        return True

    def flush(self, name: str) -> bool:
        """Send what is kept for a peer and was not sent yet; whether nothing is left of that."""
        peer = self._membership.peers[name]
        lane = self.lanes.get(name)
        if lane is None or peer.state is not PeerState.PRESENT or peer.superseded:
            self.blocked.pop(name, None)
            return False
        stream = lane.stream
        if stream is not None:
            while (entry := stream.first_unsent()) is not None:
                self._delivery.about_to_send(stream, entry, stream.incarnation)
                if not lane.push(entry.content, entry.sequence):
                    self._hold_back(name)
                    return False
                self._delivery.sent(stream, entry)
        self.blocked.pop(name, None)
        self.ready[name] = lane
        return True

    def send_again(self, name: str) -> None:
        """A peer misses what was sent to it."""
        lane = self.lanes.get(name)
        if lane is not None and name in self._membership.peers:
            lane.discard()
            self.ready.pop(name, None)
            self.flush(name)

    # What else there is to say.

    def wanted_pace(self) -> Pace:
        """What waits that the next blocking call sends, or else the flusher."""
        if self.waiting:
            return Pace.MESSAGES
        return Pace.NEWS if self._due else Pace.IDLE

    def flush_waiting(self) -> None:
        """Send what waits for company, and acknowledgements, as far as there is room."""
        if self.waiting:
            for name in [name for name, lane in self.waiting.items() if lane.flush()]:
                del self.waiting[name]
        if self._due:
            self._acknowledge()

    def note_progress(self) -> None:
        """The application goes on receiving: acknowledge now and then."""
        now = clock.monotonic()
        if not self.untold:
            self._untold_since = now
        self.untold += 1
        if self.untold >= _ACKNOWLEDGE_EACH or now - self._untold_since > _ACKNOWLEDGE_AFTER_S:
            self._acknowledge()

    def control(self, name: str, flags: int, number: int = 0, token: int = 0) -> bool:
        """Send a packet without a message to a peer; False where it can't go out now."""
        lane = self.lanes.get(name)
        return lane is not None and lane.control(flags, number, token)

    def ask_silent(self, now: float) -> None:
        """Ask the peers that were silent for too long what they received."""
        for name in self._delivery.silent(now):
            peer = self._membership.peers.get(name)
            if peer is not None and peer.state is PeerState.PRESENT and not peer.superseded:
                self.control(name, ASKED)

    # Inside.

    def _acknowledge(self) -> None:
        self.untold = 0
        # Taken out before it is told: the application may finish something meanwhile, and put it in again.
        for name in list(self._due):
            stream = self._due.pop(name)
            lane = self.lanes.get(name)
            if not stream.is_news and not stream.misses:
                continue  # a message has told it
            if lane is None or lane.receiving is not stream:
                stream.is_news = False  # it is noted again when there is a way
                if name not in self._membership.peers:
                    self._introduce(name, stream.source_type)
            elif not lane.may_tell or not lane.control(0):
                self._due[name] = stream

    def _renew_lane(self, peer: Peer) -> None:
        """Have a lane over the connection that there is now, if there is one."""
        name = peer.name
        if name not in self._connections:
            self._forget_closed()
            return
        route = self._connections.routes[name]
        lane = self.lanes.get(name)
        if lane is None or lane.route is not route:
            self.waiting.pop(name, None)
            stream = self._delivery.begin(name, route.destination_incarnation)
            if stream is not None:
                if lane is not None and lane.bodies:
                    stream.rewind(lane.first - 1)
                for entry in stream.entries.values():
                    self._requests.asked(entry.session_id, route)
            limit = self._driver.limits.max_bytes
            lane = self.lanes[name] = Lane(route, self._send, stream, self.waiting, limit)
        receiving = self._delivery.receiving.get(name)
        if receiving is not None and receiving.incarnation == route.destination_incarnation:
            lane.receiving = receiving
            self._delivery.note_all(name)

    def _forget_closed(self) -> None:
        for name in [name for name in self.lanes if name not in self._connections]:
            lane = self.lanes.pop(name)
            self.waiting.pop(name, None)
            if lane.stream is not None and lane.bodies:
                lane.stream.rewind(lane.first - 1)

    def _hold_back(self, name: str) -> None:
        self.blocked[name] = None
        self.ready.pop(name, None)
