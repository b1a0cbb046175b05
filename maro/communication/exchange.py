"""The insides of a Proxy: carries messages between a component and its peers, whatever happens to them meanwhile.

It owns the driver and what may wait on the way (outbox, inbox), takes in what the directory saw, and carries out what
follows from it. Everything runs in the thread that calls.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from maro.communication.admission import Admission
from maro.communication.codec import Encoded, Route
from maro.communication.connections import Connections
from maro.communication.deadline import Deadline
from maro.communication.delivery import Kept, Outbox, Posted
from maro.communication.directory import Directory
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.membership import Change, ChangeKind, Membership, NoticeKind, Peer, PeerRecord, PeerState
from maro.communication.message import Message
from maro.communication.registration import StoreUnavailableError
from maro.communication.sessions import Collection as ReplyCollection
from maro.communication.sessions import Inbox, Requests
from maro.communication.settings import ProxySettings
from maro.utils.exception.communication_exception import (
    ComponentFencedError,
    DriverSendError,
    PeersMissError,
    PeersRejoinTimeout,
    ProxyClosedError,
)
from maro.utils.logger import DummyLogger, InternalLogger

logger = logging.getLogger(__name__)

_READ_WHILE_BLOCKED = 1000
"""How many messages a blocked sender takes in, so that two that send to each other do not block for ever."""
_LAST_WORDS_MS = 250
"""How long replies of a peer that is gone are still waited for: the news of its end, which come by another way, may
be faster than what it sent before."""


class Exchange:
    """Between one component and its peers.

    Args:
        settings: of the Proxy.
        record: the component's own registration.
        driver: with which it registered.
        directory: watching the group already.
        log: told of what happens to peers.
    """

    def __init__(
        self,
        settings: ProxySettings,
        record: PeerRecord,
        driver: AbsDriver,
        directory: Directory,
        log: InternalLogger | DummyLogger,
    ) -> None:
        self.driver = driver
        self.directory = directory
        self.membership = Membership(settings.name, settings.expected_peers, settings.enable_rejoin, settings.lease_s)
        self.outbox: Outbox[Encoded] = Outbox(settings.max_length_for_message_cache)
        self.inbox = Inbox()
        self.requests = Requests()
        self.ready: dict[str, Route] = {}
        """The routes to the peers that can be sent to at once: present, and nothing waits for them."""
        self.short_of_peers = False
        """Fewer peers of some type are present than sending needs."""
        self._hindered = False
        """That, or being fenced: nothing goes out at once."""
        self._interrupted = False
        self._blocked: set[str] = set()
        """The peers that are present while something waits for them, for lack of room."""
        self._settings = settings
        self._record = record
        self._log = log
        self._mailbox = directory.mailbox
        self._news = directory.mailbox.items
        self._connections = Connections(record, driver, self.membership, settings.lease_s)
        self._routes = self._connections.routes
        self._looked_for: set[str] = set()
        """The peers whose new address the directory was asked for."""
        self._losses = 0
        self.admission = Admission(record, self.membership, self._look_for)
        driver.admit = self.admission.admits
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
                    self._read_empty()
                for change in self.membership.observe(observation):
                    self._carry_out(change)
            self._count_peers()
            self._connections.close_long_absent()
        for name in list(self._blocked):
            self._flush(name)
        self.check_fence()

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
        self.directory.watch(record)
        for change in self.membership.adopt(record):
            self._carry_out(change)
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
            self._sleep(deadline)
            self.pump()

    # Sending.

    def post_at_once(self, name: str, session_id: str, encoded: Encoded, *, soon: bool = False) -> bool:
        """Send a message if nothing else is to be done first; False means: `prepare`, and `post`.

        With `soon` nobody waits for it: it may wait a moment for others that it can travel with.
        """
        if self._news or self._blocked or self._hindered or self.outbox.delivered:
            return False
        route = self.ready.get(name)
        if route is None:
            return False
        send = self.driver.send_soon if soon else self.driver.send_frames
        if not send(name, route.packet(encoded)):
            return False
        self.requests.asked(session_id, route)
        return True

    def post(self, peer: Peer, message: Kept[Encoded], deadline: Deadline) -> Posted:
        """Send a message, wait for room until the deadline, or keep it for a peer that is away.

        Raises:
            DriverSendError: no room in time; the peer is gone, and does not come back.
        """
        address_due = Deadline.in_s(self._settings.lease_s)
        return_due: Deadline | None = None
        while True:
            self.pump()
            if peer.state is PeerState.LEFT:
                return self._refuse_departed(peer)
            if peer.state is PeerState.AWAY or (peer.superseded and address_due.passed()):
                posted = self._post_to_absent(peer, message)
                if posted is not None:
                    return posted
                if return_due is None:
                    return_due = Deadline.in_s(self._settings.timeout_for_minimal_peers_s)
                    deadline = deadline.earlier(return_due)
            elif not peer.superseded:
                if self._flush(peer.name):
                    if self.driver.send_frames(peer.name, self._routes[peer.name].packet(message.content)):
                        self.requests.asked(message.session_id, self._routes[peer.name])
                        return Posted.SENT
                elif self.outbox.keep(peer.name, Kept(message.session_id, message.content, True, message.awaited)):
                    return Posted.SENT
            if deadline.passed():
                raise DriverSendError(self._why_blocked(peer))
            self._sleep(deadline.earlier(address_due) if peer.superseded else deadline, [peer.name])

    def _post_to_absent(self, peer: Peer, message: Kept[Encoded]) -> Posted | None:
        """Keep or drop a message to a peer that is away; None where it can't be kept now."""
        if not self._settings.enable_rejoin:
            raise DriverSendError(f"{peer.name!r} is gone: {peer.reason}. With enable_rejoin=True it could come back")
        if not self._settings.enable_message_cache:
            return Posted.DROPPED
        if self.outbox.keep(peer.name, message):
            self.ready.pop(peer.name, None)
            return Posted.KEPT
        return None

    def _refuse_departed(self, peer: Peer) -> Posted:
        lost = self.outbox.take_drops(peer.name)
        if self._settings.enable_rejoin and not self._settings.enable_message_cache:
            return Posted.DROPPED
        kept = f"; {lost} messages that were kept for it are dropped" if lost else ""
        raise DriverSendError(f"{peer.name!r} can't be sent to: {peer.reason}, and does not come back{kept}")

    def _why_blocked(self, peer: Peer) -> str:
        if peer.state is PeerState.AWAY or self.outbox.waits_for(peer.name):
            return (
                f"no more messages can be kept for {peer.name!r}, which is "
                f"{f'away ({peer.reason})' if peer.reason else 'slow'}: {self.outbox.length(peer.name)} are kept, "
                f"and max_length_for_message_cache is {self.outbox.bound}. Raise it, send less, or wait longer "
                "(send_timeout)"
            )
        return (
            f"{peer.name!r} took no message in time: its queue is full because it receives more slowly than this "
            "component sends. Send less, or wait longer (send_timeout)"
        )

    def _flush(self, name: str) -> bool:
        """Send what waits for a peer, as far as there is room; whether nothing waits any more."""
        peer = self.membership.peers[name]
        if peer.state is not PeerState.PRESENT or peer.superseded:
            self._blocked.discard(name)
            return False
        while self.outbox.waits_for(name):
            first = self.outbox.first(name)
            if not self.driver.send_frames(name, self._routes[name].packet(first.content)):
                self._blocked.add(name)
                self.ready.pop(name, None)
                return False
            self.requests.asked(first.session_id, self._routes[name])
            self.outbox.sent(name)
        self._blocked.discard(name)
        self.ready[name] = self._routes[name]
        return True

    # Receiving.

    def next_at_once(self) -> Message | None:
        """The next message, if it is there and nothing else is to be looked at first."""
        if self._news or self._blocked or self._hindered or self.inbox.messages:
            return None
        return self._take()

    def next_message(self, deadline: Deadline, *, until_change_of: int | None = None) -> Message | None:
        """The next message that nobody has had, waiting until the deadline.

        Args:
            deadline: when to give up and return None.
            until_change_of: a version of the membership; None is returned as soon as it is another.
        """
        while True:
            if self._news or self._blocked or self._hindered:
                self.pump()
            message = self.inbox.pop() if self.inbox.messages else self._take()
            if message is not None:
                return message
            if until_change_of is not None and self.membership.version != until_change_of:
                return None
            if deadline.passed():
                return None
            self._wait(deadline)

    def collect(self, collection: ReplyCollection, deadline: Deadline) -> list[str]:
        """Receive until the collection is complete, or time is up; other messages are kept for `next_message`.

        Returns:
            The peers that owe all that is missing and are dead, where that ended the wait.
        """
        given_up: Deadline | None = None
        self._take_from_inbox(collection)
        while not collection.complete:
            if self._news or self._blocked or self._hindered:
                self.pump()
                self._take_from_inbox(collection)
            message = self._take()
            if message is not None:
                if collection.wants(message.session_id):
                    collection.add(message)
                else:
                    self.inbox.push(message)
                continue
            # Only now that everything which arrived is read can it be said that the dead owe the rest.
            if self._losses and not collection.complete:
                dead = collection.owed_by_the_dead(self._can_reply)
                if dead and given_up is None:
                    given_up = Deadline(_LAST_WORDS_MS).earlier(deadline)
                if dead and given_up is not None:
                    if given_up.passed():
                        return dead
                    self._wait(given_up)
                    continue
            if deadline.passed():
                break
            self._wait(deadline)
        return []

    def close(self, kind: NoticeKind) -> None:
        """Leave the group as `kind`, sending what is queued, at most for the linger time."""
        fenced = self.membership.fenced_by is not None
        try:
            if kind is NoticeKind.LEFT and not fenced:
                self.directory.announce(NoticeKind.LEAVING)
            for name in self.outbox.peers():
                self._flush(name)
            absent = [peer.name for peer in self.membership.peers.values() if peer.state is not PeerState.PRESENT]
            if not self.driver.shutdown(self._settings.linger_ms, absent):
                self._log.warn("closed with messages that were not sent within %s ms", self._settings.linger_ms)
            if self.outbox:
                self._log.warn("closed with %s messages for peers that are away: %r", len(self.outbox), self.outbox)
        finally:  # also when a signal ends the wait
            self.directory.stop(None if fenced else kind)

    def deregister(self, kind: NoticeKind) -> None:
        """End the registration and nothing else: the process ends while a call is under way, which has the sockets."""
        self.directory.stop(None if self.membership.fenced_by is not None else kind, mailbox_is_in_use=True)

    # Inside.

    def _look_for(self, name: str) -> None:
        """A newer incarnation of a peer was heard: learn its address, and send nothing to the old one."""
        self.ready.pop(name, None)
        if name not in self._looked_for:
            self._looked_for.add(name)
            self.directory.refresh()

    def _take(self) -> Message | None:
        """The next message that arrived, without repeated replies."""
        while True:
            message = self.driver.take()
            if message is None or message.request_id is None or not self.requests.is_repeated(message):
                return message

    def _take_from_inbox(self, collection: ReplyCollection) -> None:
        if self.inbox:
            for session_id in list(collection.sessions()):
                while collection.wants(session_id) and (message := self.inbox.take(session_id)) is not None:
                    collection.add(message)

    def _read_empty(self) -> None:
        """Move what has arrived to the inbox, before its senders are superseded."""
        while (message := self._take()) is not None:
            self.inbox.push(message)

    def _can_reply(self, name: str, incarnation: int) -> bool:
        peer = self.membership.peers.get(name)
        if peer is None or peer.incarnation != incarnation:
            return False
        return peer.state is PeerState.PRESENT or (peer.state is PeerState.AWAY and peer.leaving)

    def _wait(self, deadline: Deadline) -> None:
        self.driver.wait(deadline.left_ms(), self._mailbox.fileno(), self._blocked)

    def _sleep(self, deadline: Deadline, writable: Collection[str] = ()) -> None:
        """Wait for the directory, or for room, reading what arrives as far as there is a place for it."""
        while (is_room := len(self.inbox) < _READ_WHILE_BLOCKED) and (message := self._take()) is not None:
            self.inbox.push(message)
        self.driver.wait(deadline.left_ms(), self._mailbox.fileno(), self._present(writable), is_room)

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
                self._connections.returned(peer)
            else:
                self._losses += kind is ChangeKind.REJOINED
                self._connections.open(peer)
            if peer.state is PeerState.PRESENT:
                self._log.info("%s %s (incarnation %s)", name, kind.value, peer.incarnation)
                self._flush(name)
            return
        self._losses += 1
        self.ready.pop(name, None)
        self._blocked.discard(name)
        self._log.info("%s is %s: %s", name, peer.state.value, peer.reason)
        self._connections.lost(peer, change.process_ended)
        if kind is ChangeKind.DEPARTED:
            dropped = self.outbox.drop(name)
            if dropped:
                logger.warning(
                    "%s: %d messages for %s are dropped: %s", self._settings.name, dropped, name, peer.reason
                )
