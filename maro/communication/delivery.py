"""The message cache: every stream of one component, what has to be sent for them, and when. Pure.

Packets without a message ("control") carry a component's acknowledgements where no message does, and these flags:

    MISSING   what comes after `received` was lost on the way: send it again
    ASKED     say what was received; the answer tells whether something was lost at the end, where no gap shows
    BLOCKED   the sender waits because too much of what it sent to this peer is unfinished. The number says how much it
              has been told to be finished, so that the peer can tell whether anything is on its way that would help;
              the token, who began to ask: it is passed on by whoever waits in the same way, and where it comes back
              to who made it, they wait for each other in a circle. A token of zero tells the others in the circle

What was lost is noticed by its receiver, from a gap in the numbers, or by its sender, from silence: then it asks, once
in a while, with pauses that double. Nothing is sent again but on MISSING, or to a new incarnation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from maro.communication.packets import Envelope
from maro.communication.streams import FIRST_PAUSE_S, Entry, Hand, ReceiveStream, SendStream, StreamReceipt

MISSING = 1
ASKED = 2
BLOCKED = 4

Content = TypeVar("Content")

LAST_PAUSE_S = 30.0
"""Seconds of silence after which a peer is asked again what it received, at most."""
_STREAMS_KEPT = 65_536
"""Senders whose streams are remembered; beyond, those that were heard first are forgotten."""
_OLDER_KEPT = 8
"""Incarnations of one sender whose packets may be read after those of the next; more never wait at once."""


class Delivery(Generic[Content]):
    """All streams of one component.

    Args:
        bound: how many unfinished messages are kept for one peer; None where nothing is kept.
    """

    def __init__(self, bound: int | None) -> None:
        self.bound = bound
        self.on_new_stream: Callable[[ReceiveStream], None] = _ignore
        """Called when a component, or an incarnation of it, was heard first."""
        self.sending: dict[str, SendStream[Content]] = {}
        """By peer, to its present incarnation; only this class adds and removes."""
        self.receiving: dict[str, ReceiveStream] = {}
        """By sender, from its newest incarnation; likewise."""
        self.due: dict[str, ReceiveStream] = {}
        """Whose senders are to be told something."""
        self.hand = Hand()
        self.unsettled: dict[str, SendStream[Content]] = {}
        """With something on its way that was not said to be received, or a full cache that somebody waits for."""
        self.ask_at = 0.0
        """When `silent` is to be called, if anything is unsettled."""
        self.delivered: dict[str, deque[Entry[Content]]] = {}
        """By peer, messages that went out after waiting, and whose session id nobody has got yet."""
        self.dropped = 0
        """Messages that were dropped because their peer left for good."""
        self.unreported_drops: dict[str, int] = {}
        """By peer that left for good, how many of its messages were dropped and nobody was told of."""
        self._awaited: dict[str, list[tuple[SendStream[Content], Entry[Content]]]] = {}
        self._older: dict[str, dict[int, ReceiveStream]] = {}
        """By sender and incarnation, those of which a newer incarnation was heard while they could still be read."""
        self._arrived_in: ReceiveStream
        """The stream of the packet that arrived last."""

    def __repr__(self) -> str:
        return f"Delivery(kept={ {peer: len(stream) for peer, stream in self.sending.items() if len(stream)} })"

    def __len__(self) -> int:
        return sum(map(len, self.sending.values()))

    # Sending.

    def stream_to(self, peer: str) -> SendStream[Content]:
        """What is kept for a peer; only where something may be kept."""
        stream = self.sending.get(peer)
        if stream is None:
            stream = self.sending[peer] = SendStream(peer, self.bound or 0)
        return stream

    def accept(self, stream: SendStream[Content], entry: Entry[Content]) -> None:
        """Keep a message until it is finished; there is room for it."""
        stream.accept(entry)
        if entry.answers is not None:
            entry.answers.hold()  # the application is done with it, but it is not safe yet
        if entry.awaited:
            self._awaited.setdefault(entry.session_id, []).append((stream, entry))

    def about_to_send(self, stream: SendStream[Content], entry: Entry[Content], incarnation: int) -> None:
        """A message of the stream is to go out to this incarnation of the peer: finish what it answers, in time for its
        own packet to say so."""
        receipt, entry.answers = entry.answers, None
        if receipt is None:
            return
        answered = receipt.stream
        if answered.source == stream.peer and answered.incarnation == incarnation:
            # From now on nothing before this message may tell that the other is finished; see `SendStream.promised`.
            stream.promised = entry.sequence
            receipt.answered()
        else:
            stream.relays(entry, receipt)

    def sent(self, stream: SendStream[Content], entry: Entry[Content]) -> None:
        """A message of the stream went out, for the first time or again."""
        stream.sent = entry.sequence
        if stream.peer not in self.unsettled:
            self.unsettled[stream.peer] = stream
        if not entry.is_reported:
            entry.is_reported = True
            self.delivered.setdefault(stream.peer, deque()).append(entry)

    def take_delivered(self, peer: str) -> list[Entry[Content]]:
        """What went out to the peer since the last call and was not reported; each is returned once."""
        return list(self.delivered.pop(peer, ()))

    def await_reply(self, entry: Entry[Content], peer: str) -> None:
        """From now on a blocking call waits for the reply to a message that was sent before."""
        stream = self.sending.get(peer)
        if stream is not None and stream.entries.get(entry.sequence) is entry:
            entry.awaited = True
            self._awaited.setdefault(entry.session_id, []).append((stream, entry))

    def replied(self, session_id: str, peer: str | None = None) -> None:
        """The reply of a peer is there, or (None) nobody waits for the replies of the session any more."""
        awaited = self._awaited.pop(session_id, None) if self._awaited else None
        if awaited is None:
            return
        for stream, entry in awaited:
            if peer is None or stream.peer == peer:
                stream.settle(entry)
            else:
                self._awaited.setdefault(session_id, []).append((stream, entry))

    def end_wait(self, sessions: Iterable[str]) -> None:
        """A blocking call ends, and keeps no request any more."""
        if self._awaited:
            for session_id in sessions:
                self.replied(session_id)

    def begin(self, peer: str, incarnation: int) -> SendStream[Content] | None:
        """An incarnation of the peer can be sent to: a new one gets what is unfinished."""
        older = self._older.get(peer, {})
        for before in [number for number in older if number < incarnation]:
            del older[before]  # what they sent is refused from now on
        if self.bound is None:
            return None
        stream = self.stream_to(peer)
        if stream.incarnation != incarnation:
            self.unsettled.pop(peer, None)
            stream.restart(incarnation)
        return stream

    def drop(self, peer: str) -> int:
        """The peer left for good: forget what is kept for it; returns how much that was."""
        self.unsettled.pop(peer, None)
        self.delivered.pop(peer, None)
        stream = self.sending.pop(peer, None)
        count = 0
        if stream is not None:
            count = len(stream)
            stream.abandon()
        if count:
            self.dropped += count
            self.unreported_drops[peer] = self.unreported_drops.get(peer, 0) + count
        return count

    def take_drops(self, peer: str) -> int:
        """How many messages were dropped since the last call, to tell the next sender."""
        return self.unreported_drops.pop(peer, 0)

    # Receiving.

    def arrived(self, envelope: Envelope) -> int | None:
        """A packet with messages is there, and was let in: take in what it acknowledges.

        Returns:
            How many of its messages, from the first, were received before; None where it brings nothing new, or comes
            before something that was lost.
        """
        first = envelope.sequence
        if not first:  # its sender keeps nothing
            self._acknowledged(envelope, in_order=True)
            return 0
        stream = self.receiving.get(envelope.source)
        if stream is None or stream.incarnation != envelope.source_incarnation:
            stream = self._stream_from(envelope)
        self._arrived_in = stream
        expected = stream.received + 1
        if first > expected:
            self._acknowledged(envelope, in_order=False)
            self._ask_again(stream)
            return None
        self._acknowledged(envelope, in_order=True)
        last = first + envelope.messages - 1
        if last < expected:
            stream.note()
            return None
        stream.received = last
        if not stream.is_news:
            stream.note()
        return expected - first

    def heard(self, envelope: Envelope, flags: int) -> bool:
        """A control packet is there, and was let in.

        Returns:
            Whether something is to be sent again to its sender.
        """
        if envelope.sequence or envelope.source in self.receiving:
            stream = self._stream_from(envelope)
            self._acknowledged(envelope, in_order=envelope.sequence <= stream.received)
            if envelope.sequence > stream.received:
                if flags & ASKED:
                    stream.asked_again = 0
                self._ask_again(stream)
            if flags & ASKED:
                stream.note()
        else:
            self._acknowledged(envelope, in_order=True)
        if flags & MISSING:
            outgoing = self._stream_to(envelope)
            if outgoing is not None and outgoing.sent > envelope.received:
                outgoing.rewind(envelope.received)
                return True
        return False

    def receipt(self, number: int) -> StreamReceipt:
        """Of a message that was taken from the packet that arrived last."""
        return StreamReceipt(self._arrived_in, number)

    def confirm(self, source: str, incarnation: int) -> None:
        """This incarnation of a sender is the one that there is, whatever a packet said."""
        stream, true = self.receiving.get(source), self._older.get(source, {}).get(incarnation)
        if stream is not None and true is not None and stream.incarnation > incarnation:
            del self._older[source][incarnation]
            self._put_aside(stream)  # it may turn out to be somebody after all
            self._put_first(true)

    def note_all(self, source: str) -> None:
        """There is a way to this sender again: it is to be told how things stand."""
        stream = self.receiving.get(source)
        if stream is not None and (stream.received or stream.is_news):
            stream.note()

    # Time.

    def ask_now(self, peer: str) -> None:
        """The way to a peer may have been broken: ask it soon what it received."""
        stream = self.unsettled.get(peer)
        if stream is not None:
            stream.quiet_until, stream.pause_s = 0.0, FIRST_PAUSE_S
            self.ask_at = 0.0

    def ask_when_silent(self, peer: str) -> None:
        """The cache is full: what the peer said to be finished may have been lost, though nothing else was."""
        stream = self.sending[peer]
        if stream.sent and peer not in self.unsettled:
            self.unsettled[peer] = stream
            self.ask_at = 0.0

    def silent(self, now: float) -> list[str]:
        """The peers that were silent for so long that they are to be asked now what they received.

        After that they are asked again after pauses that double. Sets `ask_at`, when to call this again.
        """
        silent = []
        self.ask_at = now + FIRST_PAUSE_S
        for stream in self.unsettled.values():
            if stream.quiet_until is None:
                stream.quiet_until = now + stream.pause_s
            elif stream.quiet_until <= now:
                stream.quiet_until = now + stream.pause_s
                stream.pause_s = min(2 * stream.pause_s, LAST_PAUSE_S)
                silent.append(stream.peer)
            self.ask_at = min(self.ask_at, stream.quiet_until)
        return silent

    # Inside.

    def _stream_from(self, envelope: Envelope) -> ReceiveStream:
        source, incarnation = envelope.source, envelope.source_incarnation
        stream = self.receiving.get(source)
        if stream is None or stream.incarnation != incarnation:
            if stream is not None and incarnation < stream.incarnation:
                return self._older_stream(envelope)
            if len(self.receiving) >= _STREAMS_KEPT:
                forgotten = next(iter(self.receiving))
                del self.receiving[forgotten]
                self._older.pop(forgotten, None)
            new = self._older.get(source, {}).pop(incarnation, None)
            if new is None:
                new = ReceiveStream(source, envelope.source_type, incarnation, self.due, self.hand)
            if stream is not None:
                self._put_aside(stream)
            self._put_first(new)
            return new
        return stream

    def _put_first(self, stream: ReceiveStream) -> None:
        self.receiving[stream.source] = stream
        self.due.pop(stream.source, None)
        stream.revive(self.due)
        self.on_new_stream(stream)

    def _put_aside(self, stream: ReceiveStream) -> None:
        stream.retire()
        older = self._older.setdefault(stream.source, {})
        older[stream.incarnation] = stream
        if len(older) > _OLDER_KEPT:
            del older[next(iter(older))]

    def _older_stream(self, envelope: Envelope) -> ReceiveStream:
        """What two incarnations sent may arrive interleaved, until the older one is refused; nobody is told of it."""
        streams = self._older.setdefault(envelope.source, {})
        stream = streams.get(envelope.source_incarnation)
        if stream is None:
            stream = ReceiveStream(envelope.source, envelope.source_type, envelope.source_incarnation, {}, self.hand)
            streams[stream.incarnation] = stream
        return stream

    def _stream_to(self, envelope: Envelope) -> SendStream[Content] | None:
        stream = self.sending.get(envelope.source)
        return stream if stream is not None and stream.incarnation == envelope.source_incarnation else None

    def _acknowledged(self, envelope: Envelope, in_order: bool) -> None:
        """What was received may be told out of order; what is finished counts only behind the replies before it."""
        if not envelope.received:
            return
        stream = self._stream_to(envelope)
        if stream is None:
            return
        if in_order:
            is_news = stream.acknowledge(envelope.received, envelope.finished, envelope.ranges)
        else:
            is_news = stream.acknowledge(envelope.received, 0, ())
        if is_news:
            stream.quiet_until, stream.pause_s = None, FIRST_PAUSE_S
        if stream.is_settled:
            self.unsettled.pop(stream.peer, None)

    def _ask_again(self, stream: ReceiveStream) -> None:
        """Once for each gap: what comes behind it until it is closed says nothing new."""
        if stream.asked_again != stream.received + 1:
            stream.asked_again = stream.received + 1
            stream.misses = True
            stream.note()


def _ignore(_: ReceiveStream) -> None:
    pass
