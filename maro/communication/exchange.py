"""The insides of a Proxy: carries messages between a component and its peers, whatever happens to them meanwhile.

It owns the driver and what may wait on the way, takes in what the directory saw, and carries out what follows from it.
Everything runs in the thread that calls, but for `flush_late`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from maro.communication import clock
from maro.communication.admission import Admission
from maro.communication.codec import Encoder
from maro.communication.collecting import Collecting
from maro.communication.connections import Connections
from maro.communication.deadline import Deadline
from maro.communication.delivery import Delivery
from maro.communication.directory import Directory
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.flusher import Flusher, Pace
from maro.communication.guard import ThreadGuard
from maro.communication.inbound import Inbound
from maro.communication.membership import Change, ChangeKind, Membership, Peer, PeerState
from maro.communication.message import Message
from maro.communication.observations import NoticeKind, PeerRecord
from maro.communication.outbound import Outbound
from maro.communication.packets import Encoded
from maro.communication.posting import Posting
from maro.communication.registration import StoreUnavailableError
from maro.communication.sessions import Requests
from maro.communication.settings import ProxySettings
from maro.communication.streams import StreamReceipt
from maro.utils.exception.communication_exception import (
    ComponentFencedError,
    DriverTypeError,
    PeersMissError,
    PeersRejoinTimeout,
    ProxyClosedError,
)
from maro.utils.logger import DummyLogger, InternalLogger

logger = logging.getLogger(__name__)

_READ_WHILE_BLOCKED = 1000
"""How many messages a blocked sender takes in, so that two that send to each other do not block for ever. With the
message cache on their caches are the bound."""
_MESSAGES = Pace.MESSAGES


class Exchange:
    """Between one component and its peers.

    Args:
        settings: of the Proxy.
        record: the component's own registration.
        driver: with which it registered.
        directory: watching the group already.
        log: told of what happens to peers.

    Raises:
        DriverTypeError: the message cache is on, and the driver can't number messages.
    """

    inbound_class = Inbound
    collecting_class = Collecting
    posting_class = Posting
    encoder_class = Encoder

    def __init__(
        self,
        settings: ProxySettings,
        record: PeerRecord,
        driver: AbsDriver,
        directory: Directory,
        log: InternalLogger | DummyLogger,
    ) -> None:
        if settings.enable_message_cache and not driver.carries_envelopes:
            raise DriverTypeError(
                f"{type(driver).__name__} can't number messages, which the message cache needs; derive it from "
                "FramedDriver, or leave enable_message_cache_for_rejoin off"
            )
        self.driver = driver
        self.directory = directory
        self.guard = ThreadGuard(f"the Proxy of {settings.name!r}")
        self.membership = Membership(settings.name, settings.expected_peers, settings.enable_rejoin, settings.lease_s)
        bound = settings.max_length_for_message_cache if settings.enable_message_cache else None
        self.delivery = self._make_delivery(bound)
        self.requests = Requests()
        self.short_of_peers = False
        """Fewer peers of some type are present than sending needs."""
        self._hindered = False
        """That, or being fenced: nothing goes out at once."""
        self._interrupted = False
        self._settings = settings
        self._record = record
        self._log = log
        self._mailbox = directory.mailbox
        self._news = directory.mailbox.items
        self._looked_for: set[str] = set()
        """The peers whose new address the directory was asked for."""
        self.losses = 0
        """How often a peer, or an incarnation of one, was lost."""
        self.admission = Admission(record, self.membership, self._look_for)
        self._inbound = self.inbound_class(driver, self.delivery, self.requests, self.admission)
        self.inbox = self._inbound.inbox
        self._take = self._inbound.take
        connections = Connections(record, driver, self.membership, settings.lease_s)
        self._outbound = Outbound(
            driver, connections, self.delivery, self.membership, self.requests, self._introduce, self._inbound.read
        )
        self._ready = self._outbound.ready
        self._blocked = self._outbound.blocked
        self._waiting = self._outbound.waiting
        self._due = self.delivery.due
        self.delivery.on_new_stream = self._outbound.arrived_from
        self.delivery.hand.on_done = self._is_done
        self.posting = self.posting_class(self, self._outbound, settings, record.incarnation)
        self._inbound.on_missing = self._outbound.send_again
        self._inbound.on_blocked = self.posting.peer_is_blocked
        self.collect = self.collecting_class(self, self._inbound).collect
        self.flusher = Flusher(self.flush_late, self._outbound.wanted_pace, self.guard, settings.name)
        self._count_peers()

    # Peers.

    def pump(self) -> None:
        """Take in what the directory saw since the last time, and act upon it.

        Raises:
            ComponentFencedError: a newer incarnation has this component's name.
        """
        if self._news:
            for observation in self._mailbox.take_all():
                if self.membership.supersedes(observation):
                    self._inbound.read()  # what they sent counts
                for change in self.membership.observe(observation):
                    self._carry_out(change)
            self._count_peers()
            self._outbound.close_long_absent()
        for name in list(self._blocked):
            self._outbound.flush(name)
        self.check_fence()

    def keep_up(self) -> bool:
        """`pump`, if there is anything to be looked at; whether there was."""
        if self._news or self._blocked or self._hindered:
            self.pump()
            return True
        return False

    def prepare(self) -> None:
        """Before sending: be up to date, and have enough peers."""
        self.pump()
        if self.short_of_peers:
            self.await_minimal_peers()

    def interrupt(self) -> None:
        """From any thread: end the call that is under way, and every later one but `close`, with ProxyClosedError."""
        self._interrupted = True
        self._hindered = True
        self._mailbox.wake()

    def check_fence(self) -> None:
        """Raise ComponentFencedError where a newer incarnation has this component's name.

        And ProxyClosedError where the call was interrupted.
        """
        if self._interrupted:
            raise ProxyClosedError(f"the Proxy of {self._settings.name!r} is being closed; the call was interrupted")
        if self.membership.fenced_by is not None:
            raise ComponentFencedError(
                f"{self._settings.name!r} was started again elsewhere (incarnation {self.membership.fenced_by}, this "
                f"is {self._record.incarnation}): this one is cut off. End it, and give each component its own name"
            )

    def peer(self, name: str) -> Peer:
        """The peer of a name; one that is registered, but was not expected, is taken in.

        Raises:
            PeersMissError: nobody of the group has the name.
        """
        self.pump()
        peer = self.membership.peers.get(name)
        if peer is not None:
            return peer
        component_type = self.membership.type_of(name)
        record = None
        if component_type is not None and name != self._settings.name:
            try:
                record = self.directory.find(component_type, name)
            except StoreUnavailableError as error:
                raise PeersMissError(
                    f"{name!r} is no peer of {self._settings.name!r}, and the group can't be asked for it: {error}"
                ) from error
        if record is None:
            raise PeersMissError(
                f"{name!r} is no peer of {self._settings.name!r}; its peers are "
                f"{ {kind: self.membership.names(kind) for kind in self.membership.types} }"
            )
        self._adopt(record)
        return self.membership.peers[name]

    def await_minimal_peers(self) -> None:
        """Wait until enough peers of each type are present.

        Raises:
            PeersRejoinTimeout: they did not come in time.
        """
        deadline = Deadline.in_s(self._settings.timeout_for_minimal_peers_s)
        while self.short_of_peers:
            if deadline.passed():
                raise PeersRejoinTimeout(
                    f"{self._settings.name!r} waited {self._settings.timeout_for_minimal_peers_s} s for enough peers: "
                    + ", ".join(
                        f"{self.membership.count(kind)} of at least {count} {kind}"
                        for kind, count in self._settings.minimal_peers.items()
                        if self.membership.count(kind) < count
                    )
                )
            self.sleep(deadline)
            self.pump()

    # Sending.

    def post_at_once(
        self,
        name: str,
        session_id: str,
        encoded: Encoded,
        *,
        soon: bool = False,
        awaited: bool = False,
        answers: StreamReceipt | None = None,
    ) -> bool:
        """Send a message if nothing else is to be done first; False means: `prepare`, and `posting.post`.

        With `soon` nobody waits for it: it may wait a moment for others that it can travel with.
        """
        if self._news or self._blocked or self._hindered or self.delivery.delivered:
            return False
        if not self._outbound.at_once(name, session_id, encoded, soon=soon, awaited=awaited, answers=answers):
            return False
        if soon and self._waiting and self.flusher.pace is not _MESSAGES:
            self.flusher.wake(_MESSAGES)
        return True

    # Receiving.

    def next_at_once(self) -> Message | None:
        """The next message, if it is there and nothing else is to be looked at first."""
        if self._news or self._blocked or self._hindered or self.inbox.messages:
            return None
        message = self._take()
        if message is not None and self._due:
            self._outbound.note_progress()
            if not self.flusher.pace:
                self.flusher.wake(Pace.NEWS)
        return message

    def next_message(self, deadline: Deadline, *, until_change_of: int | None = None) -> Message | None:
        """The next message that nobody has had, waiting until the deadline.

        Args:
            deadline: when to give up and return None.
            until_change_of: a version of the membership; None is returned as soon as it is another.
        """
        while True:
            self.keep_up()
            message = self.inbox.pop() if self.inbox.messages else self._take()
            if message is not None:
                if self._due:
                    self._outbound.note_progress()
                break
            if until_change_of is not None and self.membership.version != until_change_of:
                break
            if deadline.passed():
                break
            self.wait(deadline)
        self.leave_call()
        return message

    # Leaving, and what goes on between calls.

    def close(self, kind: NoticeKind) -> None:
        """Leave the group as `kind`, sending what is queued, at most for the linger time."""
        fenced = self.membership.fenced_by is not None
        try:
            self.flusher.close()
            if kind is NoticeKind.LEFT and not fenced:
                self.directory.announce(NoticeKind.LEAVING)
            linger = Deadline(self._settings.linger_ms)
            self._send_rest(linger)
            absent = [peer.name for peer in self.membership.peers.values() if peer.state is not PeerState.PRESENT]
            if not self.driver.shutdown(int(linger.left_ms() or 0), absent):
                self._log.warn("closed with messages that were not sent within %s ms", self._settings.linger_ms)
            left = {peer: len(stream) for peer, stream in self.delivery.sending.items() if len(stream)}
            if left:
                self._log.warn("closed with messages that were not finished, by peer: %s", left)
        finally:  # also when a signal ends the wait
            self.directory.stop(None if fenced else kind)

    def deregister(self, kind: NoticeKind) -> None:
        """End the registration and nothing else: the process ends while a call is under way, which has the sockets."""
        self.directory.stop(None if self.membership.fenced_by is not None else kind, mailbox_is_in_use=True)

    def flush_late(self) -> bool:
        """Between two calls: send what the last one left unsent; whether something still waits."""
        self._outbound.flush_waiting()
        return self._outbound.wanted_pace() is not Pace.IDLE

    def leave_call(self) -> None:
        """A call that may have left something unsent returns."""
        pace = self.flusher.pace
        if (self._waiting and pace is not _MESSAGES) or (self._due and not pace):
            self.flusher.wake(self._outbound.wanted_pace())

    def sleep(self, deadline: Deadline, writable: Collection[str] = ()) -> None:
        """Wait for the directory, for room, or for acknowledgements; then read what arrived while there is a place."""
        self.wait(deadline, [*self._present(writable), *self._blocked], self._has_place())
        while self._has_place() and (message := self._take()) is not None:
            self.inbox.push(message)

    # Inside.

    def _make_delivery(self, bound: int | None) -> Delivery[Encoded]:
        return Delivery(bound)

    def _has_place(self) -> bool:
        return self.delivery.bound is not None or len(self.inbox) < _READ_WHILE_BLOCKED

    def _send_rest(self, linger: Deadline) -> None:
        """Send what is kept for peers that are present, and wait until they have received it."""
        outbound = self._outbound
        for name in list(self.delivery.sending):
            if name in self.membership.peers:
                outbound.flush(name)
        outbound.flush_waiting()
        while self._is_anything_on_its_way() and not linger.passed():
            try:
                self.pump()
                self.sleep(linger, self._blocked)
            except (ComponentFencedError, ProxyClosedError):
                return

    def _is_anything_on_its_way(self) -> bool:
        return any(
            stream.last > stream.received and self.membership.peers[name].state is PeerState.PRESENT
            for name, stream in self.delivery.sending.items()
            if name in self.membership.peers
        )

    def _look_for(self, name: str) -> None:
        """A newer incarnation of a peer was heard: learn its address, and send nothing to the old one."""
        self._ready.pop(name, None)
        if name not in self._looked_for:
            self._looked_for.add(name)
            self.directory.refresh()

    def _is_done(self) -> None:
        """The application is done with a message, and its component may be about to compute for long."""
        if not self.flusher.pace:
            self.flusher.wake(Pace.NEWS)

    def _introduce(self, name: str, component_type: str) -> None:
        """Somebody who is no peer waits for an acknowledgement."""
        self.directory.look_up(component_type, name)

    def _adopt(self, record: PeerRecord) -> None:
        self.directory.watch(record)
        for change in self.membership.adopt(record):
            self._carry_out(change)

    def wait(self, deadline: Deadline, writable: Collection[str] | None = None, readable: bool = True) -> None:
        """Send what is due, then wait for arrivals, for the directory, and for room."""
        outbound = self._outbound
        if outbound.waiting or self._due:
            outbound.flush_waiting()
        outbound.untold = 0
        writable = self._blocked if writable is None else writable
        if outbound.waiting:
            writable = [*writable, *outbound.waiting]
        left_ms = deadline.left_ms()
        if self.delivery.unsettled:
            now = clock.monotonic()
            if now >= self.delivery.ask_at:
                outbound.ask_silent(now)
            until_ms = (self.delivery.ask_at - now) * 1000
            left_ms = until_ms if left_ms is None else min(left_ms, until_ms)
        self.driver.wait(left_ms, self._mailbox.fileno(), writable, readable)

    def _present(self, names: Collection[str]) -> Collection[str]:
        return [name for name in names if self.membership.peers[name].state is PeerState.PRESENT]

    def _count_peers(self) -> None:
        self.short_of_peers = self._settings.enable_rejoin and any(
            self.membership.count(kind) < count for kind, count in self._settings.minimal_peers.items()
        )
        self._hindered = self._interrupted or self.short_of_peers or self.membership.fenced_by is not None

    def _carry_out(self, change: Change) -> None:
        peer, kind = change.peer, change.kind
        name = peer.name
        self._looked_for.discard(name)
        if kind in (ChangeKind.JOINED, ChangeKind.REJOINED, ChangeKind.RETURNED):
            if kind is ChangeKind.RETURNED:
                self._outbound.returned(peer)
            else:
                self.losses += kind is ChangeKind.REJOINED
                self._outbound.open(peer)
            if peer.state is PeerState.PRESENT:
                self._log.info("%s %s (incarnation %s)", name, kind.value, peer.incarnation)
                self._outbound.flush(name)
            return
        self.losses += 1
        self._log.info("%s is %s: %s", name, peer.state.value, peer.reason)
        self._outbound.lost(peer, change.process_ended)
        if kind is ChangeKind.DEPARTED:
            dropped = self.delivery.drop(name)
            if dropped:
                logger.warning(
                    "%s: %d messages for %s are dropped: %s", self._settings.name, dropped, name, peer.reason
                )
