"""One direction of the message cache, against slow and obvious models of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.streams import Entry, Hand, ReceiveStream, SendStream, StreamReceipt

BOUND = 100
ranges = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=4).map(
    lambda runs: [(first, first + length) for first, length in sorted(runs)]
)
acknowledgements = st.tuples(st.integers(0, 30), st.integers(0, 30), ranges)


def a_stream(count: int, sent: int | None = None, awaited: bool = False) -> SendStream[str]:
    """A stream that has accepted so many messages, and sent them."""
    stream: SendStream[str] = SendStream("peer", BOUND)
    stream.restart(1)
    for number in range(1, count + 1):
        stream.accept(Entry(f"session {number}", f"content {number}", awaited))
    stream.sent = count if sent is None else sent
    return stream


def a_held_receipt() -> StreamReceipt:
    """Of a message that another one answers or passes on, which holds it."""
    receipt = a_receipt()
    receipt.hold()
    return receipt


def a_receipt(number: int = 1) -> StreamReceipt:
    stream = ReceiveStream("other", "actor", 1, {}, Hand())
    return StreamReceipt(stream, number)


def is_finished(receipt: StreamReceipt) -> bool:
    return receipt.stream.floor > 0 or bool(receipt.stream.ranges())


def contents(stream: SendStream[str]) -> list[str]:
    return [entry.content for entry in stream.entries.values()]


def expanded(stream: ReceiveStream) -> set[int]:
    """Every finished number; the runs may neither touch nor overlap."""
    numbers, end = set(range(1, stream.floor + 1)), stream.floor
    for first, last in stream.ranges():
        assert end + 1 < first <= last
        numbers |= set(range(first, last + 1))
        end = last
    return numbers


@given(st.permutations(range(1, 41)), st.integers(0, 40))
def test_runs_are_what_a_set_would_hold(order: list[int], count: int) -> None:
    """Whatever the order in which messages are finished, and the sender is told once of all."""
    due: dict[str, ReceiveStream] = {}
    stream = ReceiveStream("sender", "actor", 1, due, Hand())
    for done, number in enumerate(order[:count], start=1):
        stream.finish(number)
        assert expanded(stream) == set(order[:done])
        assert stream.finished == done
        assert due == {"sender": stream}
    if count == 40:
        assert (stream.floor, stream.ranges()) == (40, ())


@settings(max_examples=200)
@given(st.integers(0, 20), st.lists(acknowledgements, max_size=8))
def test_whatever_a_peer_says_only_moves_things_forward(
    count: int, said: list[tuple[int, int, list[tuple[int, int]]]]
) -> None:
    """Nonsense, and what is old, included: numbers stay in order, and what is finished stays forgotten."""
    stream = a_stream(count)
    for received, floor, runs in said:
        before = (stream.received, stream.floor, set(stream.entries))
        is_news = stream.acknowledge(received, floor, runs)
        assert before[0] <= stream.received <= stream.last
        assert before[1] <= stream.floor <= stream.received <= stream.sent <= stream.last
        assert set(stream.entries) <= before[2]
        assert not set(stream.entries) & set(range(1, stream.floor + 1))
        if set(stream.entries) != before[2]:
            assert is_news
        if max(received, floor) == 0 and not runs:
            assert not is_news


@given(st.permutations(range(1, 21)), st.lists(st.integers(0, 20), max_size=8))
def test_what_is_kept_is_what_was_not_said_to_be_finished(order: list[int], tellings: list[int]) -> None:
    """Two ends of a stream, of which one tells the other now and then how things stand."""
    sending = a_stream(20)
    receiving = ReceiveStream("sender", "actor", 1, {}, Hand())
    receiving.received = 20
    done = 0
    for count in sorted(tellings):
        for number in order[done:count]:
            receiving.finish(number)
        done = max(done, count)
        told = (receiving.received, receiving.floor, receiving.ranges())
        sending.acknowledge(*told)
        assert not sending.acknowledge(*told), "the same again is no news"
        assert set(sending.entries) == set(range(1, 21)) - set(order[:done])
        assert sending.finished == done


def test_the_next_incarnation_gets_what_is_left_in_order() -> None:
    """Numbered afresh, and nothing of it was received or sent yet."""
    # Given a stream of which 1, 3 and 4 are finished
    stream = a_stream(6)
    stream.acknowledge(6, 1, [(3, 4)])
    # When the peer starts again
    stream.restart(2)
    # Then the others are there, from 1 on
    assert contents(stream) == ["content 2", "content 5", "content 6"]
    assert list(stream.entries) == [1, 2, 3] == [entry.sequence for entry in stream.entries.values()]
    assert (stream.incarnation, stream.last, stream.sent, stream.received, stream.floor) == (2, 3, 0, 0, 0)
    assert stream.first_unsent() is stream.entries[1]
    # And what the old incarnation's ranges meant does not touch them
    assert stream.finished == 0


def test_an_awaited_message_is_kept_until_its_reply_is_there() -> None:
    """Finished or not: the peer may die after finishing it, and then somebody has to be asked again."""
    # Given a message whose reply is awaited, and that is finished
    stream = a_stream(1, awaited=True)
    stream.acknowledge(1, 1, ())
    (entry,) = stream.entries.values()
    # When the peer starts again, then it goes there as well
    stream.restart(2)
    assert stream.first_unsent() is entry
    # And it is forgotten only when it is finished there, and the reply is there: in this order
    stream.sent = 1
    stream.acknowledge(1, 1, ())
    assert len(stream) == 1
    stream.settle(entry)
    assert len(stream) == 0


def test_a_reply_that_comes_before_its_request_is_finished_leaves_it_to_be_finished() -> None:
    """As any other message."""
    stream = a_stream(1, awaited=True)
    (entry,) = stream.entries.values()
    stream.settle(entry)
    assert len(stream) == 1
    stream.acknowledge(1, 1, ())
    assert len(stream) == 0
    stream.settle(entry)  # a second reply does no harm


def test_what_was_passed_on_is_finished_when_it_was_received() -> None:
    """Not before, and also where that was known before it was asked for."""
    stream = a_stream(3)
    first, second = a_held_receipt(), a_held_receipt()
    stream.relays(stream.entries[2], second)
    stream.relays(stream.entries[3], first)
    stream.acknowledge(1, 0, ())
    assert not is_finished(second)
    stream.acknowledge(2, 0, ())
    assert is_finished(second) and not is_finished(first)
    late = a_held_receipt()
    stream.relays(stream.entries[2], late)
    assert is_finished(late)


def test_what_was_passed_on_waits_for_the_next_incarnation() -> None:
    """The one that died had not received it."""
    stream = a_stream(3)
    receipt = a_held_receipt()
    stream.relays(stream.entries[3], receipt)
    stream.acknowledge(2, 2, ())
    stream.restart(2)
    stream.sent = 1
    assert not is_finished(receipt)
    stream.acknowledge(1, 0, ())
    assert is_finished(receipt)


def test_what_goes_nowhere_finishes_what_it_would_have_answered() -> None:
    """The peer left for good: whoever sent the original need not keep it for ever."""
    stream = a_stream(2)
    relayed, unsent = a_held_receipt(), a_held_receipt()
    stream.relays(stream.entries[1], relayed)
    stream.accept(Entry("session 3", "content 3", answers=unsent))
    stream.abandon()
    assert is_finished(relayed) and is_finished(unsent)
    assert len(stream) == 0


@given(st.integers(0, 10), st.integers(0, 12), st.integers(0, 12))
def test_nothing_that_was_received_is_sent_again(received: int, asked: int, sent: int) -> None:
    """A question that was on its way for long asks for too much, or for what was never sent."""
    stream = a_stream(10, min(sent, 10))
    stream.acknowledge(min(received, stream.sent), 0, ())
    before = stream.sent
    stream.rewind(asked)
    assert stream.received <= stream.sent <= before
    assert stream.sent == max(stream.received, min(asked, before))


def test_the_bound_counts_what_is_unfinished_and_not_the_span() -> None:
    """One that stays unfinished takes one place."""
    stream: SendStream[str] = SendStream("peer", 2)
    for number in range(1, 100):
        assert not stream.is_full
        stream.accept(Entry(f"session {number}", f"content {number}"))
        stream.sent = number
        if number > 1:
            stream.acknowledge(number, 0, [(2, number)])
    stream.accept(Entry("session 100", "content 100"))
    assert stream.is_full
    assert contents(stream) == ["content 1", "content 100"]


def test_a_retired_stream_tells_nobody() -> None:
    """Its sender is dead; what is finished late does not wake anything."""
    due: dict[str, ReceiveStream] = {}
    stream = ReceiveStream("sender", "actor", 1, due, Hand())
    stream.received = 1
    stream.retire()
    stream.finish(1)
    assert due == {}
    assert stream.floor == 1
