"""The insides of a Proxy, with a probe: the same rooms, each of which tells what it does.

Made instead of the others where a testbed asks for it, so that they need not ask themselves whether somebody watches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from maro.communication.codec import Encoder
from maro.communication.collecting import Collecting
from maro.communication.deadline import Deadline
from maro.communication.delivery import Delivery
from maro.communication.exchange import Exchange
from maro.communication.inbound import Inbound
from maro.communication.membership import Change, Peer, PeerState
from maro.communication.message import Message
from maro.communication.observations import NoticeKind
from maro.communication.packets import Encoded, Envelope
from maro.communication.posting import Posted, Posting
from maro.communication.probe import Probe
from maro.communication.sessions import Collection
from maro.communication.streams import Entry, ReceiveStream, SendStream, StreamReceipt

if TYPE_CHECKING:
    from maro.communication.driver.abs_driver import AbsDriver

RECEIVE, COLLECT = "receive", "collect"


class IdentifiedEncoded(Encoded):
    """An encoded message that knows its id."""

    message_id: str


class ProbedEncoder(Encoder):
    """Leaves messages their ids."""

    def encode(self, message: Message) -> Encoded:
        made = tuple.__new__(IdentifiedEncoded, super().encode(message))
        made.message_id = message.message_id
        return made


def id_of(encoded: Encoded) -> str:
    """The id of a message that a `ProbedEncoder` has encoded."""
    return cast("IdentifiedEncoded", encoded).message_id


class ProbedSendStream(SendStream[Encoded]):
    """Tells which messages were finished."""

    def __init__(self, peer: str, bound: int, probe: Probe) -> None:
        super().__init__(peer, bound)
        self._probe = probe

    def _finish(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        entries = [self.entries.get(number) for number in numbers]
        done = [id_of(entry.content) for entry in entries if entry is not None and not entry.is_finished]
        super()._finish(numbers)
        for message_id in done:
            self._probe.acknowledged(message_id, self.peer)


class ProbedReceipt(StreamReceipt):
    """Tells when its message is finished."""

    __slots__ = ("message_id", "probe", "was_handed_out")

    def __init__(self, stream: ReceiveStream, number: int, probe: Probe) -> None:
        super().__init__(stream, number)
        self.probe = probe
        self.message_id = ""
        """Empty for one that can't be decoded."""
        self.was_handed_out = False

    def finish(self) -> None:
        """See `StreamReceipt.finish`."""
        if not self.is_finished and not self._holders and self.message_id:
            self.probe.is_about_to_finish(self.message_id, self.stream.source, self.was_handed_out)
            super().finish()
            self.probe.finished()
        else:
            super().finish()


class ProbedDelivery(Delivery[Encoded]):
    """Has such streams and receipts, and tells what is dropped."""

    def __init__(self, bound: int | None, probe: Probe) -> None:
        super().__init__(bound)
        self.probe = probe

    def stream_to(self, peer: str) -> SendStream[Encoded]:
        if peer not in self.sending:
            self.sending[peer] = ProbedSendStream(peer, self.bound or 0, self.probe)
        return self.sending[peer]

    def receipt(self, number: int) -> StreamReceipt:
        return ProbedReceipt(self._arrived_in, number, self.probe)

    def drop(self, peer: str) -> int:
        self.give_up(peer, "the peer left for good")
        return super().drop(peer)

    def give_up(self, peer: str, why: str) -> None:
        """What is kept for a peer, and is not finished, goes nowhere."""
        stream = self.sending.get(peer)
        for entry in stream.entries.values() if stream is not None else ():
            if not entry.is_finished:
                self.probe.given_up(id_of(entry.content), peer, why)


class ProbedInbound(Inbound):
    """Knows from which incarnation each message is, until it is handed out."""

    def __init__(self, driver: AbsDriver, delivery: Delivery[Encoded], requests: Any, admission: Any) -> None:
        super().__init__(driver, delivery, requests, admission)
        self._probe = cast("ProbedDelivery", delivery).probe
        self._from = (0, 0)
        """The incarnation that sent the packet that was let in last, and the youngest that was known then."""
        self._origins: dict[int, tuple[int, int]] = {}
        """Of messages that nobody has had, by their identity."""

    def take(self) -> Message | None:
        message = super().take()
        if message is not None:
            self._origins[id(message)] = self._from
            if message.receipt is not None:
                cast("ProbedReceipt", message.receipt).message_id = message.message_id
        return message

    def handed_out(self, message: Message, by: str) -> None:
        """The application gets it."""
        incarnation, known = self._origins.pop(id(message), (0, 0))
        if message.receipt is not None:
            cast("ProbedReceipt", message.receipt).was_handed_out = True
        self._probe.handed_out(message.message_id, message.source, incarnation, known, by)

    def _admit(self, envelope: Envelope) -> int | None:
        known = super()._admit(envelope)
        if known is not None:
            self._from = envelope.source_incarnation, self._probe.newest(envelope.source)
        return known


class ProbedCollecting(Collecting):
    """Tells which replies it hands out, and when a call begins and ends."""

    def collect(self, collection: Collection, deadline: Deadline) -> list[str]:
        probe = cast("ProbedExchange", self._exchange).probe
        number = probe.call_begins(COLLECT)
        try:
            dead = super().collect(collection, deadline)
        except BaseException as error:
            probe.call_raises(number, repr(error))
            raise
        probe.call_returns(number, len(collection.replies))
        return dead

    def _add(self, collection: Collection, reply: Message) -> None:
        cast("ProbedInbound", self._inbound).handed_out(reply, COLLECT)
        super()._add(collection, reply)


class ProbedPosting(Posting):
    """Tells what becomes of a message that could not be sent at once."""

    def post(self, peer: Peer, entry: Entry[Encoded], deadline: Deadline) -> Posted:
        exchange = cast("ProbedExchange", self._exchange)
        message_id = id_of(entry.content)
        exchange.offer(message_id, peer.name, answers=entry.answers is not None)
        try:
            posted = super().post(peer, entry, deadline)
        except BaseException as error:
            exchange.refused(message_id, peer.name, repr(error))
            raise
        if posted is Posted.DROPPED:
            exchange.refused(message_id, peer.name, "the peer is away, and nothing is kept for it")
        else:
            exchange.taken(message_id, peer.name)
        return posted


class ProbedExchange(Exchange):
    """The exchange that has all of these.

    Args:
        probe: that is told.
        arguments: those of `Exchange`.
    """

    inbound_class = ProbedInbound
    collecting_class = ProbedCollecting
    posting_class = ProbedPosting
    encoder_class = ProbedEncoder

    def __init__(self, probe: Probe, *arguments: Any) -> None:
        self.probe = probe
        self._offered: set[tuple[str, str]] = set()
        """Messages, with their destinations, of the call that is under way."""
        super().__init__(*arguments)

    def _make_delivery(self, bound: int | None) -> Delivery[Encoded]:
        return ProbedDelivery(bound, self.probe)

    def offer(self, message_id: str, name: str, *, answers: bool) -> None:
        """Once for each message and destination, however many ways of sending are tried."""
        if (message_id, name) not in self._offered:
            self._offered.add((message_id, name))
            self.probe.is_about_to_send(message_id, name, answers=answers)

    def taken(self, message_id: str, name: str) -> None:
        """It is to be sent, or kept."""
        self._offered.discard((message_id, name))
        self.probe.sent(message_id, name)

    def refused(self, message_id: str, name: str, why: str) -> None:
        """It is not."""
        self._offered.discard((message_id, name))
        self.probe.not_sent(message_id, name, why)

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
        message_id = id_of(encoded)
        self.offer(message_id, name, answers=answers is not None)
        is_sent = super().post_at_once(name, session_id, encoded, soon=soon, awaited=awaited, answers=answers)
        if is_sent:
            self.taken(message_id, name)
        return is_sent

    def next_at_once(self) -> Message | None:
        return self._handed_out(super().next_at_once())

    def next_message(self, deadline: Deadline, *, until_change_of: int | None = None) -> Message | None:
        return self._handed_out(super().next_message(deadline, until_change_of=until_change_of))

    def close(self, kind: NoticeKind) -> None:
        self.probe.is_about_to_close()
        try:
            super().close(kind)
        finally:
            for peer in list(self.delivery.sending):
                cast("ProbedDelivery", self.delivery).give_up(peer, "this component has left")
            self.probe.ended(None if kind is NoticeKind.LEFT else "it did not leave by itself")

    def deregister(self, kind: NoticeKind) -> None:
        super().deregister(kind)
        self.probe.ended("its process ended")

    def _handed_out(self, message: Message | None) -> Message | None:
        if message is not None:
            cast("ProbedInbound", self._inbound).handed_out(message, RECEIVE)
        return message

    def _carry_out(self, change: Change) -> None:
        peer = change.peer
        if peer.state is PeerState.PRESENT:
            self.probe.peer_is_there(peer.name, peer.incarnation)
        else:
            self.probe.peer_is_lost(peer.name, peer.incarnation, f"{peer.state.value}: {peer.reason}")
        super()._carry_out(change)
