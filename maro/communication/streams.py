"""One direction of the message cache between two components: sequence numbers, acknowledgements, what is kept. Pure.

A stream leads from one incarnation to another. Its messages are numbered from 1 without gaps, and two counters come
back: *received* (everything up to it arrived) and *finished* (a floor, and ranges above it, because applications finish
out of order). The sender keeps a message until it is finished. To the next incarnation of the receiver it begins a new
stream with what is left, numbered afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Content = TypeVar("Content")
Ranges = Sequence[tuple[int, int]]
"""First and last number of each run, ascending, with gaps between them."""
FIRST_PAUSE_S = 0.5
"""Seconds of silence after which a peer is asked what it received, the first time."""


class Entry(Generic[Content]):
    """A message that is kept.

    Args:
        session_id: of the message.
        content: what is to be sent; encoded already, so it can't change any more.
        awaited: a blocking call waits for the reply, and keeps the message until it is there, finished or not.
        answers: the receipt of the message that this one replies to or passes on, to be finished when this one is safe.
    """

    __slots__ = (
        "answers",
        "awaited",
        "content",
        "is_finished",
        "is_reported",
        "sequence",
        "session_id",
        "was_awaited",
    )

    def __init__(
        self, session_id: str, content: Content, awaited: bool = False, answers: StreamReceipt | None = None
    ) -> None:
        self.session_id = session_id
        self.content = content
        self.awaited = self.was_awaited = awaited
        self.answers = answers
        self.sequence = 0
        """Its number; 0 while it is in no stream."""
        self.is_finished = False
        """Its receiver is done with it, and it stays only because it is awaited."""
        self.is_reported = True
        """Whether the caller that sent it has got the session id."""

    def __repr__(self) -> str:
        return f"Entry({self.session_id!r}, {self.sequence})"


class SendStream(Generic[Content]):
    """What is kept for one peer, and how far its present incarnation has come with it.

    Args:
        peer: the peer's name.
        bound: how many unfinished messages may be kept.
    """

    def __init__(self, peer: str, bound: int) -> None:
        self.peer = peer
        self.bound = bound
        self.entries: dict[int, Entry[Content]] = {}
        """By number; only this class changes it."""
        self.incarnation = 0
        """Of the peer; 0 before there was one."""
        self.last = 0
        """The number of the message that was accepted last."""
        self.sent = 0
        """Up to this number everything was sent at least once to this incarnation."""
        self.received = 0
        self.floor = 0
        self.promised = 0
        """The last message that answers another one of the same peer. Until it has gone out, the peer must not be told
        what is finished: should this component crash before, the answer is lost, and the question has to come again."""
        self.quiet_until: float | None = None
        """When the peer will have been silent for long enough to be asked what it received."""
        self.pause_s = FIRST_PAUSE_S
        """How long it may be silent after that."""
        self._answerable = 0
        """How many of the entries are finished, and stay only because a blocking call waits for the replies."""
        self._ranges: dict[int, int] = {}
        self._relays: dict[int, StreamReceipt] = {}

    def __repr__(self) -> str:
        return (
            f"SendStream({self.peer!r}, kept={len(self.entries)}, last={self.last}, sent={self.sent}, "
            f"received={self.received}, floor={self.floor})"
        )

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def is_full(self) -> bool:
        """Whether as much is unfinished as may be."""
        return len(self.entries) - self._answerable >= self.bound

    @property
    def is_settled(self) -> bool:
        """Whether the peer is known to have received everything that was sent."""
        return self.received >= self.sent

    def accept(self, entry: Entry[Content]) -> None:
        """Keep one more message; the caller has made sure that there is room."""
        self.last = entry.sequence = self.last + 1
        self.entries[self.last] = entry

    def first_unsent(self) -> Entry[Content] | None:
        """The message that is to be sent next."""
        return self.entries[self.sent + 1] if self.sent < self.last else None

    def relays(self, entry: Entry[Content], receipt: StreamReceipt) -> None:
        """When the peer has received this message, the one with the receipt is finished."""
        if entry.sequence <= self.received:
            receipt.answered()
        else:
            self._relays[entry.sequence] = receipt

    def acknowledge(self, received: int, floor: int, ranges: Ranges) -> bool:
        """Take in what the peer says of this stream; whether it said anything new.

        What it says may be old: it only ever moves things forward. What it can't know is ignored.
        """
        received = min(received, self.last)
        is_news = received > self.received
        if is_news:
            self.received = received
            self.sent = max(self.sent, received)
            while self._relays and (number := next(iter(self._relays))) <= received:
                self._relays.pop(number).answered()
        floor = min(floor, self.received)
        if floor > self.floor:
            is_news = True
            self._finish(range(self.floor + 1, floor + 1))
            self.floor = floor
        if ranges or self._ranges:
            known = self._ranges
            self._ranges = {}
            for first, last in ranges:
                if first > self.floor and last <= self.received:
                    unknown_from = max(first, known.get(first, 0) + 1)
                    is_news |= unknown_from <= last
                    self._finish(range(unknown_from, last + 1))
                    self._ranges[first] = last
        return is_news

    @property
    def finished(self) -> int:
        """How many messages of this stream its receiver has said to be done with."""
        return self.floor + _length(self._ranges.items())

    def rewind(self, received: int) -> None:
        """The peer misses what comes after `received`: send it again from there."""
        self.sent = max(self.received, min(received, self.sent))

    def settle(self, entry: Entry[Content]) -> None:
        """The reply to a message is there, or nobody waits for it any more."""
        entry.awaited = False
        if entry.is_finished and self.entries.get(entry.sequence) is entry:
            self._answerable -= 1
            del self.entries[entry.sequence]

    def restart(self, incarnation: int) -> None:
        """The peer's next incarnation begins with what is left, in the same order."""
        self.incarnation = incarnation
        self.quiet_until, self.pause_s = None, FIRST_PAUSE_S
        left = list(self.entries.values())
        receipts = {id(self.entries[at]): receipt for at, receipt in self._relays.items() if at in self.entries}
        self.entries, self._ranges, self._relays = {}, {}, {}
        self.last = self.sent = self.received = self.floor = self.promised = self._answerable = 0
        for entry in left:
            self.accept(entry)
            entry.is_finished = False
            if (receipt := receipts.get(id(entry))) is not None:
                self._relays[entry.sequence] = receipt

    def abandon(self) -> None:
        """The peer left for good: what is kept goes nowhere, and what it would have finished is done with as well."""
        receipts = [*self._relays.values(), *(entry.answers for entry in self.entries.values() if entry.answers)]
        self.entries, self._ranges, self._relays, self._answerable = {}, {}, {}, 0
        for receipt in receipts:
            receipt.answered()

    def _finish(self, numbers: Iterable[int]) -> None:
        entries = self.entries
        for number in numbers:
            entry = entries.get(number)
            if entry is None:
                continue
            if entry.awaited:
                self._answerable += not entry.is_finished
                entry.is_finished = True
            else:
                del entries[number]


class Hand:
    """What the application has been given, and is not done with."""

    def __init__(self) -> None:
        self.until_next: list[StreamReceipt] = []
        """Finished as soon as it receives again, whatever it receives by."""
        self.at_work: dict[StreamReceipt, int] = {}
        """Yielded by an iterator that has not been asked for more, or given to so many handlers that have not returned.
        """
        self.on_done: Callable[[], None] = _ignore
        """Called when a sender is to be told that the application is done with something, maybe outside of any call."""

    def received_again(self) -> None:
        """The application is done with the first of these."""
        done, self.until_next = self.until_next, []
        for receipt in done:
            receipt.received_again()

    def empty(self) -> None:
        """The application is done with all of it."""
        self.received_again()
        for receipt in list(self.at_work):
            receipt.let_go()


class ReceiveStream:
    """What came from one incarnation of a component, and what the application is done with.

    Args:
        source: the sender's name.
        source_type: its type.
        incarnation: its incarnation.
        due: where the stream puts itself when its sender is to be told something.
        hand: of the application.
    """

    __slots__ = (
        "_due",
        "_first_of",
        "_last_of",
        "asked_again",
        "floor",
        "hand",
        "incarnation",
        "is_news",
        "misses",
        "received",
        "source",
        "source_type",
    )

    def __init__(
        self,
        source: str,
        source_type: str,
        incarnation: int,
        due: dict[str, ReceiveStream],
        hand: Hand,
    ) -> None:
        self.source = source
        self.source_type = source_type
        self.incarnation = incarnation
        self.received = 0
        self.floor = 0
        """Everything up to this number is finished."""
        self.is_news = False
        """Whether the sender has yet to be told of something."""
        self.misses = False
        """Whether the sender has yet to be told to send something again."""
        self.asked_again = 0
        """The number that was missing when its sender was asked for it."""
        self.hand = hand
        self._due = due
        # The runs above the floor, found by either end.
        self._last_of: dict[int, int] = {}
        self._first_of: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"ReceiveStream({self.source!r}, received={self.received}, floor={self.floor}, {self.ranges()})"

    def retire(self) -> None:
        """A newer incarnation was heard: nobody has to be told anything any more."""
        self._due = {}

    def revive(self, due: dict[str, ReceiveStream]) -> None:
        """This is the incarnation that counts, as far as is known."""
        self._due = due
        if self.received:
            self.note()

    def note(self) -> None:
        """The sender is to be told how things stand."""
        self.is_news = True
        self._due[self.source] = self

    def tells_all(self) -> bool:
        """A packet is about to tell the sender how things stand, as they are from now on; whether that is news."""
        # In this order: what the application finishes meanwhile is news, and puts the stream there again.
        self._due.pop(self.source, None)
        was_news, self.is_news = self.is_news, False
        return was_news

    def finish(self, number: int) -> None:
        """The application is done with a message; once for each."""
        if number == self.floor + 1:
            self.floor = self._last_of.pop(number + 1, number)
            if self.floor != number:
                del self._first_of[self.floor]
        else:
            first = self._first_of.pop(number - 1, number)
            last = self._last_of.pop(number + 1, number)
            self._last_of[first] = last
            self._first_of[last] = first
        if not self.is_news:
            self.note()
            self.hand.on_done()

    def ranges(self) -> Ranges:
        """The finished runs above the floor."""
        # A copy, because the application may finish something while another thread is sorting.
        return tuple(sorted(self._last_of.copy().items())) if self._last_of else ()

    @property
    def finished(self) -> int:
        """How many messages of this stream the application is done with."""
        return self.floor + _length(self._last_of.items())


class StreamReceipt:
    """Of one message that came in a stream; see `Receipt`."""

    __slots__ = ("_holders", "_is_in_hand", "_number", "stream")

    def __init__(self, stream: ReceiveStream, number: int) -> None:
        self.stream = stream
        self._number = number
        self._holders = 0
        self._is_in_hand = False

    def __repr__(self) -> str:
        return f"StreamReceipt({self.stream.source!r}, {self._number or 'finished'}, holders={self._holders})"

    @property
    def is_finished(self) -> bool:
        """Whether its sender may forget the message."""
        return not self._number

    def hold(self) -> None:
        """One holder more: receiving again does not finish the message any more."""
        self._holders += 1

    def take_up(self) -> None:
        """A handler begins with the message, and holds it until `release`."""
        at_work = self.stream.hand.at_work
        at_work[self] = at_work.get(self, 0) + 1

    def put_down(self) -> None:
        """The handler raised: it holds the message for good."""
        self.stream.hand.at_work.pop(self, None)

    def release(self) -> None:
        """One holder fewer. With the last one the message is finished, unless it is in hand as well."""
        self._holders -= 1
        handlers = self.stream.hand.at_work.pop(self, 0)
        if handlers > 1:
            self.stream.hand.at_work[self] = handlers - 1
        if not self._is_in_hand:
            self.finish()

    def hand_out(self) -> None:
        """One holder fewer. With the last one the message is in hand: finished when the application receives again."""
        self._holders -= 1
        self.put_in_hand()

    def put_in_hand(self) -> None:
        """The application has the message until it receives again."""
        if not self._is_in_hand:
            self._is_in_hand = True
            self.stream.hand.until_next.append(self)

    def received_again(self) -> None:
        """The application is done with what was in its hand."""
        self._is_in_hand = False
        self.finish()

    def let_go(self) -> None:
        """The application is done with the message, in whatever handlers it is."""
        self._holders -= self.stream.hand.at_work.pop(self, 0)
        self.finish()

    def answered(self) -> None:
        """One holder fewer, the message that replies to this one or passes it on: that one is safe, so this one is
        finished, though the application may not have received again, unless somebody else holds it."""
        self._holders -= 1
        self.finish()

    def finish(self) -> None:
        """The message is finished now, unless somebody holds it; a second call does nothing."""
        if self._number and not self._holders:
            number, self._number = self._number, 0
            self.stream.finish(number)


def _ignore() -> None:
    pass


def _length(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)
