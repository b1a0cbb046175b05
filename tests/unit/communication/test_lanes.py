"""From messages to packets: which travel together, and what they say of the other direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from maro.communication.codec import Encoder, decode
from maro.communication.delivery import ASKED, MISSING
from maro.communication.lanes import _RANGES_ALONG, BATCH_LENGTH, BATCH_LIMIT, BODY_LIMIT, Lane
from maro.communication.message import Message
from maro.communication.packets import Buffer, Encoded, Envelope, EnvelopeReader, Route, WireLimits, read_control, split
from maro.communication.packets import body_of as split_body
from maro.communication.streams import Entry, Hand, ReceiveStream, SendStream
from tests.support.stations import MovedClock

APART_S = 1.0
ENCODER = Encoder("me", WireLimits())


def encoded(payload: Any) -> Encoded:
    return ENCODER.encode(Message("data", "me", "peer", payload, session_id="s"))


@pytest.fixture
def clock() -> Iterator[MovedClock]:
    """Time stands: what is sent in a row is part of a stream."""
    moved = MovedClock()
    yield moved
    moved.close()


class Wire:
    """What a lane has sent, while there is room."""

    def __init__(self) -> None:
        self.packets: list[list[bytes]] = []
        self.has_room = True
        self.waiting: dict[str, Lane] = {}

    def send(self, name: str, frames: Sequence[Buffer]) -> bool:
        assert name == "peer"
        if self.has_room:
            self.packets.append([bytes(frame) for frame in frames])
        return self.has_room

    def envelopes(self) -> list[Envelope]:
        return [EnvelopeReader(WireLimits()).read(frames[0]) for frames in self.packets]

    def payloads(self) -> list[list[Any]]:
        """Of each packet the payloads of its messages."""
        found: list[list[Any]] = []
        for envelope, frames in zip(self.envelopes(), self.packets, strict=True):
            if envelope.messages == 0:
                found.append([])
            elif envelope.messages == 1:
                found.append([decode(envelope, *split_body(envelope, frames[0], frames[1:])).payload])
            else:
                found.append([decode(envelope, body, ()).payload for body in split(envelope, frames[0])])
        return found


def a_lane(wire: Wire, stream: SendStream[Encoded] | None = None, max_bytes: int = 1 << 20) -> Lane:
    return Lane(Route("me", "actor", 1, "peer", 2), wire.send, stream, wire.waiting, max_bytes)


def heard(received: int, *finished: int) -> ReceiveStream:
    """What came from the peer, and what of it is finished."""
    stream = ReceiveStream("peer", "actor", 2, {}, Hand())
    stream.received = received
    for number in finished:
        stream.finish(number)
    return stream


def test_a_message_that_is_alone_goes_out_at_once(clock: MovedClock) -> None:
    """Whoever is slow never waits."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(3):
        clock.advance(APART_S)
        assert lane.push(encoded(number), number + 1)
    assert wire.payloads() == [[0], [1], [2]]
    assert [envelope.sequence for envelope in wire.envelopes()] == [1, 2, 3]
    assert not wire.waiting


def test_those_that_follow_closely_share_a_packet(clock: MovedClock) -> None:
    """The first has gone, the others wait for company, and are found by whoever looks for what waits."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(5):
        assert lane.push(encoded(number), number + 1)
    assert wire.payloads() == [[0]]
    assert wire.waiting == {"peer": lane}
    assert lane.flush()
    assert wire.payloads() == [[0], [1, 2, 3, 4]]
    assert [(envelope.sequence, envelope.messages) for envelope in wire.envelopes()] == [(1, 1), (2, 4)]


def test_a_batch_has_so_many_messages_and_bytes(clock: MovedClock) -> None:
    """What does not fit begins the next one; nothing is lost between them."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(1 + 3 * BATCH_LENGTH):
        assert lane.push(encoded(number), number + 1)
    assert [len(packet) for packet in wire.payloads()] == [1, BATCH_LENGTH, BATCH_LENGTH]
    assert lane.flush()
    large = bytes(BODY_LIMIT - 200)
    for number in range(100):
        assert lane.push(encoded(large), 1000 + number)
    assert lane.flush()
    assert all(len(frames[0]) <= BATCH_LIMIT + 4 * BATCH_LENGTH + 200 for frames in wire.packets)
    assert sum(map(len, wire.payloads())) == 1 + 3 * BATCH_LENGTH + 100


def test_a_batch_stays_within_the_limit_of_a_packet(clock: MovedClock) -> None:
    """A driver may be set to less than what a batch would take."""
    wire = Wire()
    lane = a_lane(wire, max_bytes=500)
    for number in range(40):
        assert lane.push(encoded(number), number + 1)
    assert lane.flush()
    assert sum(map(len, wire.payloads())) == 40
    bodies = [
        sum(map(len, split(e, f[0]))) for e, f in zip(wire.envelopes(), wire.packets, strict=True) if e.messages > 1
    ]
    assert bodies and max(bodies) <= 500


@pytest.mark.parametrize("payload", [bytes(BODY_LIMIT + 1), bytearray(100_000)], ids=["large", "larger"])
def test_a_large_message_does_not_overtake_those_that_wait(clock: MovedClock, payload: Any) -> None:
    """It goes by itself, after them."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(3):
        lane.push(encoded(number), number + 1)
    assert lane.push(encoded(payload), 4)
    assert wire.payloads() == [[0], [1, 2], [payload]]
    assert [envelope.sequence for envelope in wire.envelopes()] == [1, 2, 4]


def test_what_finds_no_room_stays_and_keeps_its_numbers(clock: MovedClock) -> None:
    """A refused message was not taken; what waited before goes out once there is room, and only once."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(3):
        lane.push(encoded(number), number + 1)
    wire.has_room = False
    assert not lane.flush()
    assert not lane.send_now(encoded("urgent"), 4)
    assert not lane.control(ASKED)
    wire.has_room = True
    assert lane.flush() and lane.flush()
    assert wire.payloads() == [[0], [1, 2]]
    assert [envelope.sequence for envelope in wire.envelopes()] == [1, 2]


def test_a_full_batch_without_room_refuses_the_next(clock: MovedClock) -> None:
    """Back-pressure, not a batch that grows."""
    wire = Wire()
    lane = a_lane(wire)
    lane.push(encoded(0), 1)
    wire.has_room = False
    accepted = 0
    while lane.push(encoded(accepted), 2 + accepted):
        accepted += 1
    assert accepted == BATCH_LENGTH


def test_what_is_discarded_is_not_sent(clock: MovedClock) -> None:
    """It will come again from its stream, under the same numbers."""
    wire = Wire()
    lane = a_lane(wire)
    for number in range(3):
        lane.push(encoded(number), number + 1)
    lane.discard()
    assert lane.push(encoded(1), 2)
    assert lane.flush()
    assert wire.payloads() == [[0], [1]]


def test_messages_tell_what_was_received_and_finished(clock: MovedClock) -> None:
    """Alone, in batches, and large ones; after that there is nothing more to tell."""
    wire = Wire()
    lane = a_lane(wire)
    lane.receiving = heard(9, 1, 2, 5, 7)
    for number in range(3):
        lane.push(encoded(number), 0)
    lane.push(encoded(bytes(20_000)), 0)
    for envelope in wire.envelopes():
        assert (envelope.received, envelope.finished, list(envelope.ranges)) == (9, 2, [(5, 5), (7, 7)])
    assert not lane.receiving.is_news


@pytest.mark.parametrize("misses", [False, True])
def test_what_a_message_has_told_is_due_no_more(misses: bool, clock: MovedClock) -> None:
    """But for the question after what is missing, which only a packet without a message can ask."""
    wire = Wire()
    lane = a_lane(wire)
    due: dict[str, ReceiveStream] = {}
    receiving = lane.receiving = ReceiveStream("peer", "actor", 2, due, Hand())
    receiving.received = 1
    receiving.misses = misses
    receiving.note()
    lane.push(encoded(0), 0)
    assert receiving.is_news is misses
    assert bool(due) is misses


def test_many_ranges_get_a_packet_of_their_own(clock: MovedClock) -> None:
    """A message does not carry them along, and they stay to be told."""
    wire = Wire()
    lane = a_lane(wire)
    lane.receiving = heard(100, 1, *range(3, 3 + 2 * (_RANGES_ALONG + 1), 2))
    lane.push(encoded(0), 0)
    assert lane.receiving.is_news
    assert lane.control(0)
    assert not lane.receiving.is_news
    message, control = wire.envelopes()
    assert (message.finished, list(message.ranges)) == (1, [])
    assert list(control.ranges) == list(lane.receiving.ranges())


def test_many_ranges_that_were_told_do_not_keep_the_next_one_from_being_told(clock: MovedClock) -> None:
    """A message leaves them out; nothing new is to be told by that, and what is finished later is new."""
    wire = Wire()
    lane = a_lane(wire)
    due: dict[str, ReceiveStream] = {}
    receiving = lane.receiving = ReceiveStream("peer", "actor", 2, due, Hand())
    receiving.received = 100
    for number in range(3, 3 + 2 * (_RANGES_ALONG + 1), 2):
        receiving.finish(number)
    lane.control(0)
    due.clear()
    lane.push(encoded(0), 0)
    assert not due
    receiving.finish(90)
    assert due == {"peer": receiving}


def test_news_that_found_no_room_are_told_again(clock: MovedClock) -> None:
    """By whichever packet goes out next."""
    wire = Wire()
    lane = a_lane(wire)
    lane.receiving = heard(3, 1)
    wire.has_room = False
    assert not lane.send_now(encoded(0), 0)
    assert lane.receiving.is_news
    assert not lane.control(0)
    assert lane.receiving.is_news
    wire.has_room = True
    assert lane.control(0)
    assert [(envelope.received, envelope.finished) for envelope in wire.envelopes()] == [(3, 1)]


def test_a_control_packet_says_what_is_missing_and_what_was_sent_last(clock: MovedClock) -> None:
    """Once; after what waits for company."""
    wire = Wire()
    stream: SendStream[Encoded] = SendStream("peer", 10)
    lane = a_lane(wire, stream)
    for number in range(3):
        stream.accept(Entry("s", encoded(number)))
        lane.push(encoded(number), number + 1)
        stream.sent = number + 1
    lane.receiving = heard(4)
    lane.receiving.misses = True
    assert lane.control(ASKED, 77)
    assert lane.control(ASKED, 78)
    first, second = wire.envelopes()[-2:]
    assert wire.payloads() == [[0], [1, 2], [], []]
    assert (first.sequence, first.received) == (3, 4)
    assert read_control(first, wire.packets[-2][0]) == (ASKED | MISSING, 77, 0)
    assert read_control(second, wire.packets[-1][0]) == (ASKED, 78, 0)


def test_nothing_before_the_answer_tells_what_it_finishes(clock: MovedClock) -> None:
    """An acknowledgement that overtakes the reply would let the question be forgotten before its answer is safe."""
    # Given three messages that are to go out, of which the third is a reply
    wire = Wire()
    stream: SendStream[Encoded] = SendStream("peer", 10)
    lane = a_lane(wire, stream)
    lane.receiving = heard(5, 1)
    for number in range(3):
        stream.accept(Entry("s", encoded(number)))
    stream.promised = 3
    # When they go one by one, with a control packet between them
    for number in (1, 2, 3):
        clock.advance(APART_S)
        assert lane.send_now(encoded(number), number)
        stream.sent = number
        if number == 2:
            assert not lane.may_tell
            assert lane.control(0)
    # Then what was received is told before, what is finished only by the reply itself
    told = [(envelope.received, envelope.finished) for envelope in wire.envelopes()]
    assert told == [(5, 0), (5, 0), (5, 0), (5, 1)]


def test_a_batch_tells_when_the_answer_is_in_it(clock: MovedClock) -> None:
    """Its last message counts: the packet arrives as a whole."""
    wire = Wire()
    stream: SendStream[Encoded] = SendStream("peer", 10)
    lane = a_lane(wire, stream)
    lane.receiving = heard(5, 1)
    stream.promised = 3
    for number in (1, 2, 3):
        lane.push(encoded(number), number)
    lane.flush()
    assert [envelope.finished for envelope in wire.envelopes()] == [0, 1]
