"""Everything of the message cache that has a rule of its own; what holds in all together is in the machine beside."""

from __future__ import annotations

import itertools

import pytest

from maro.communication.delivery import ASKED, BLOCKED, LAST_PAUSE_S, MISSING, Delivery
from maro.communication.packets import KIND_CONTROL, KIND_MESSAGE, Envelope
from maro.communication.streams import FIRST_PAUSE_S, Entry, ReceiveStream, SendStream


def packet(
    sequence: int,
    messages: int = 1,
    *,
    received: int = 0,
    finished: int = 0,
    ranges: tuple[tuple[int, int], ...] = (),
    incarnation: int = 1,
    source: str = "peer",
) -> Envelope:
    kind = KIND_MESSAGE if messages else KIND_CONTROL
    return Envelope(kind, 0, messages, incarnation, 9, sequence, received, finished, source, "actor", "me", ranges, 0)


def sending(
    count: int, peer: str = "peer", bound: int = 10, awaited: bool = False
) -> tuple[Delivery[str], SendStream[str]]:
    """A component that has sent so many messages to a peer."""
    delivery: Delivery[str] = Delivery(bound)
    return delivery, add(delivery, count, peer, awaited)


def add(delivery: Delivery[str], count: int, peer: str = "peer", awaited: bool = False) -> SendStream[str]:
    stream = delivery.begin(peer, 1)
    assert stream is not None
    for number in range(stream.last + 1, stream.last + count + 1):
        one = Entry(f"session {number}", f"content {number}", awaited)
        delivery.accept(stream, one)
        delivery.about_to_send(stream, one, 1)
        delivery.sent(stream, one)
    return stream


def test_packets_in_order_are_taken_once() -> None:
    """What overlaps with what was received is cut, what repeats it is refused, and its sender is told so."""
    delivery: Delivery[str] = Delivery(None)
    assert delivery.arrived(packet(1)) == 0
    assert delivery.arrived(packet(2, 3)) == 0
    assert delivery.arrived(packet(3, 4)) == 2
    delivery.due.clear()
    delivery.receiving["peer"].is_news = False
    assert delivery.arrived(packet(2, 3)) is None
    assert delivery.receiving["peer"].received == 6
    assert list(delivery.due) == ["peer"]


def test_a_gap_is_asked_for_once() -> None:
    """However much comes behind it; and again where the sender asks, or the next gap shows."""
    delivery: Delivery[str] = Delivery(None)
    delivery.arrived(packet(1))
    stream = delivery.receiving["peer"]

    def asks() -> bool:
        asked, stream.misses = stream.misses, False
        return asked

    for number in (3, 4, 5):
        assert delivery.arrived(packet(number)) is None
        assert asks() == (number == 3)
    assert not delivery.heard(packet(5, 0), ASKED)
    assert asks(), "the question for it may have been lost"
    assert delivery.arrived(packet(2)) == 0
    assert not asks()
    assert delivery.arrived(packet(4)) is None
    assert asks(), "this is another gap"


def test_what_is_finished_counts_only_in_order() -> None:
    """What was lost before it may be the reply that it stands for; that it was received can be told."""
    delivery, stream = sending(3)
    delivery.arrived(packet(2, received=3, finished=3))
    assert (stream.received, stream.floor, len(stream)) == (3, 0, 3)
    delivery.heard(packet(2, 0, received=3, finished=3), 0)
    assert len(stream) == 3
    delivery.arrived(packet(1, received=3, finished=2, ranges=()))
    assert list(stream.entries) == [3]


def test_acknowledgements_of_another_incarnation_mean_nothing() -> None:
    """Numbers begin anew with each."""
    delivery, stream = sending(2)
    for incarnation in (0, 2):
        delivery.arrived(packet(0, received=2, finished=2, incarnation=incarnation))
    assert (stream.received, len(stream)) == (0, 2)


def test_two_incarnations_may_arrive_interleaved() -> None:
    """Their connections are two, and the older one's leftovers may be read last: the streams stay apart."""
    # Given the first message of an incarnation, and of the next
    delivery: Delivery[str] = Delivery(None)
    assert delivery.arrived(packet(1, incarnation=1)) == 0
    old = delivery.receipt(1)
    assert delivery.arrived(packet(1, incarnation=2)) == 0
    new = delivery.receipt(1)
    # When more comes of both, then nothing is taken twice, and nothing is missed
    assert delivery.arrived(packet(2, 2, incarnation=1)) == 0
    assert delivery.arrived(packet(1, incarnation=2)) is None
    assert delivery.arrived(packet(2, incarnation=2)) == 0
    assert delivery.arrived(packet(3, incarnation=1)) is None
    # And who is finished with what is told to the newer one, of itself only
    old.finish()
    assert (delivery.receiving["peer"].incarnation, delivery.receiving["peer"].floor) == (2, 0)
    new.finish()
    assert delivery.receiving["peer"].floor == 1
    assert delivery.due["peer"].incarnation == 2


def test_an_incarnation_that_was_heard_only_after_its_successor() -> None:
    """It is read from its first message on, like any other, and does not become the one that is told."""
    delivery: Delivery[str] = Delivery(None)
    told: list[ReceiveStream] = []
    delivery.on_new_stream = told.append
    assert delivery.arrived(packet(1, incarnation=2)) == 0
    assert delivery.arrived(packet(1, 2, incarnation=1)) == 0
    assert [stream.incarnation for stream in told] == [2]
    assert delivery.receiving["peer"].received == 1


def test_missing_messages_are_sent_again_from_there() -> None:
    """Only those that were sent, and only on this flag."""
    delivery, stream = sending(5)
    assert not delivery.heard(packet(0, 0, received=5), MISSING)
    stream = sending_again = add(delivery, 3)
    assert stream.sent == 8
    assert not delivery.heard(packet(0, 0, received=6), BLOCKED)
    assert delivery.heard(packet(0, 0, received=6), MISSING)
    first = sending_again.first_unsent()
    assert first is not None and first.sequence == 7


def test_silent_peers_are_asked_with_pauses_that_double() -> None:
    """One question a pause, up to the longest; an answer that says something new begins again."""
    delivery, stream = sending(2)
    now, asked = 100.0, []
    assert delivery.silent(now) == []
    for _ in range(4000):
        now += 0.1
        assert delivery.ask_at <= now + LAST_PAUSE_S
        if now >= delivery.ask_at:
            asked += [now] * len(delivery.silent(now))
    pauses = [round(later - earlier, 0) for earlier, later in itertools.pairwise(asked)]
    expected: list[float] = []
    pause = FIRST_PAUSE_S
    while len(expected) < len(pauses):
        expected.append(pause)
        pause = min(2 * pause, LAST_PAUSE_S)
    assert pauses == pytest.approx(expected, abs=1.0)
    assert pauses[-1] == LAST_PAUSE_S
    # When the peer says something new, then the next silence is short again
    delivery.arrived(packet(0, received=1))
    delivery.silent(now)
    assert stream.pause_s == FIRST_PAUSE_S
    assert delivery.silent(now + FIRST_PAUSE_S) == ["peer"]
    # And nobody who has received everything is asked
    delivery.arrived(packet(0, received=2))
    assert delivery.silent(now + 1000) == []
    assert not delivery.unsettled


def test_one_question_for_each_silent_peer() -> None:
    """And none for those that nothing was sent to."""
    delivery, _ = sending(1, "first")
    add(delivery, 1, "second")
    delivery.begin("third", 1)
    delivery.silent(0.0)
    assert delivery.silent(FIRST_PAUSE_S) == ["first", "second"]
    assert delivery.silent(FIRST_PAUSE_S) == []


def test_a_full_cache_makes_its_owner_ask() -> None:
    """Everything was received, and what was said to be finished may be lost: nothing else would bring it up."""
    delivery, stream = sending(2, bound=2)
    delivery.arrived(packet(0, received=2))
    assert stream.is_full and not delivery.unsettled
    delivery.ask_when_silent("peer")
    delivery.silent(0.0)
    assert delivery.silent(FIRST_PAUSE_S) == ["peer"]
    delivery.heard(packet(0, 0, received=2, finished=2), 0)
    assert not delivery.unsettled and len(stream) == 0


def test_whoever_is_asked_answers_though_nothing_is_new() -> None:
    """The answer before may have been lost."""
    delivery: Delivery[str] = Delivery(None)
    delivery.arrived(packet(1))
    delivery.due.clear()
    delivery.receiving["peer"].is_news = False
    delivery.heard(packet(1, 0), ASKED)
    assert list(delivery.due) == ["peer"]
    assert delivery.receiving["peer"].is_news and not delivery.receiving["peer"].misses


def test_what_a_dead_peer_was_to_get_is_counted_and_reported_once() -> None:
    """When it left for good."""
    delivery, _ = sending(3)
    assert delivery.drop("peer") == 3
    add(delivery, 1)
    assert delivery.drop("peer") == 1
    assert delivery.drop("peer") == 0
    assert delivery.dropped == 4
    assert (delivery.take_drops("peer"), delivery.take_drops("peer")) == (4, 0)
    assert len(delivery) == 0 and not delivery.unsettled


def test_session_ids_of_kept_messages_are_taken_once() -> None:
    """When they have gone out, in order; sent again to the next incarnation they are not reported again."""
    delivery: Delivery[str] = Delivery(5)
    stream = delivery.stream_to("peer")
    entries = [Entry(f"session {number}", "content") for number in range(3)]
    for entry in entries:
        entry.is_reported = False
        delivery.accept(stream, entry)
    assert delivery.take_delivered("peer") == []
    for incarnation in (1, 2):
        delivery.begin("peer", incarnation)
        for entry in entries:
            delivery.sent(stream, entry)
        assert delivery.take_delivered("peer") == (entries if incarnation == 1 else [])


def test_awaited_messages_of_one_session_are_settled_peer_by_peer() -> None:
    """A broadcast is kept for those whose reply is not there yet; the end of the call lets go of the rest."""
    delivery: Delivery[str] = Delivery(5)
    for peer in ("first", "second", "third"):
        add(delivery, 1, peer, awaited=True)
        delivery.heard(packet(0, 0, received=1, finished=1, source=peer), 0)
    assert len(delivery) == 3
    delivery.replied("session 1", "second")
    assert [peer for peer, stream in delivery.sending.items() if len(stream)] == ["first", "third"]
    delivery.end_wait(["session 1"])
    assert len(delivery) == 0
    assert not delivery._awaited


def test_a_reply_finishes_its_request_at_the_moment_it_goes_out() -> None:
    """Not when it is accepted; and until it has gone out nothing before it may tell."""
    # Given a request that was received, and a reply that waits
    delivery: Delivery[str] = Delivery(5)
    delivery.arrived(packet(1))
    stream = delivery.begin("peer", 1)
    assert stream is not None
    reply = Entry("session", "reply", answers=delivery.receipt(1))
    delivery.accept(stream, reply)
    assert delivery.receiving["peer"].floor == 0
    # When it is about to go out, then its own packet can tell
    delivery.about_to_send(stream, reply, 1)
    assert delivery.receiving["peer"].floor == 1
    assert stream.promised == reply.sequence
    # And it does so once, when it is sent again too
    delivery.about_to_send(stream, reply, 1)
    assert delivery.receiving["peer"].finished == 1


def test_an_answer_to_the_next_incarnation_is_passed_on() -> None:
    """Whoever asked is dead; its successor has to have received the answer before the question is forgotten."""
    delivery: Delivery[str] = Delivery(5)
    delivery.arrived(packet(1))
    stream = delivery.begin("peer", 2)
    assert stream is not None
    reply = Entry("session", "reply", answers=delivery.receipt(1))
    delivery.accept(stream, reply)
    delivery.about_to_send(stream, reply, 2)
    delivery.sent(stream, reply)
    assert delivery.receiving["peer"].floor == 0 and stream.promised == 0
    delivery.arrived(packet(0, received=1, incarnation=2))
    assert delivery.receiving["peer"].floor == 1
