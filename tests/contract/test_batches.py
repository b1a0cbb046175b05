"""Small packets that follow each other closely travel together, and nobody notices but the clock.

What counts as close is stretched here, so that a busy machine sends batches too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from maro.communication import Message, Proxy, SessionMessage
from maro.communication.codec import Buffer, Encoder, Route, WireLimits
from maro.communication.driver import zmq_outgoing
from maro.communication.driver.framed_driver import FramedDriver
from maro.communication.driver.zmq_driver import ZmqDriver
from tests.contract.conftest import WITHIN_MS, Drivers, Listener
from tests.contract.groups import Group

_ENCODER = Encoder("me", WireLimits())
_ROUTE = Route("me", "learner", 0, "peer", 0)


@pytest.fixture(autouse=True)
def _everything_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_outgoing, "_STREAM_WITHIN_S", 3600.0)


@pytest.fixture(params=["tcp", "ipc"])
def drivers(request: pytest.FixtureRequest) -> Iterator[Drivers]:
    """Over ZeroMQ only: memory is fast enough."""
    made = Drivers(request.param)
    yield made
    made.close()


def packet(payload: object) -> list[Buffer]:
    """A message to `peer`, as the frames of its packet."""
    return _ROUTE.packet(_ENCODER.encode(Message("data", "me", "peer", payload)))


def waiting(driver: FramedDriver) -> int:
    """How many packets wait for company."""
    assert isinstance(driver, ZmqDriver)
    return sum(len(connection.batch.packets) for connection in driver._outgoing.waiting.values())


def hold_back_the_flusher(driver: FramedDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends what waits, but the calls of the component itself."""
    assert isinstance(driver, ZmqDriver)
    monkeypatch.setattr(driver._outgoing._flusher, "wake", lambda: None)


def arrivals(receiver: FramedDriver, count: int) -> list[object]:
    """The payloads of so many messages, fewer where none comes in time."""
    payloads: list[object] = []
    for message in receiver.receive(timeout=WITHIN_MS):
        payloads.append(message.payload)
        if len(payloads) == count:
            break
    return payloads


def test_a_stream_arrives_in_order_whatever_its_packets_sizes_are(drivers: Drivers) -> None:
    """Packets that are too large to wait, or may not, do not overtake those that wait."""
    # Given a receiver, and payloads of which every tenth is large, or an array of its own frame
    sender, receiver = drivers.pair(high_water_mark=0)
    payloads: list[object] = [
        bytes(5000) if number % 10 == 3 else bytes(100_000) if number % 10 == 7 else number for number in range(500)
    ]

    # When they are sent in a stream, some of them by the call that does not wait
    for number, payload in enumerate(payloads):
        send = sender.send_frames if number % 50 == 20 else sender.send_soon
        assert send("peer", packet(payload))

    # Then they arrive as they were sent
    assert arrivals(receiver, len(payloads)) == payloads


def test_the_last_of_a_stream_go_out_although_the_sender_does_nothing_more(drivers: Drivers) -> None:
    """The sender may compute for hours now; only the flusher can send what waits."""
    # Given a sender
    sender, receiver = drivers.pair()

    # When it sends a few, and nothing else
    for number in range(5):
        assert sender.send_soon("peer", packet(number))

    # Then all of them arrive, also when it does so again
    assert arrivals(receiver, 5) == [0, 1, 2, 3, 4]
    for number in range(5):
        assert sender.send_soon("peer", packet(number))
    assert arrivals(receiver, 5) == [0, 1, 2, 3, 4]


def test_whoever_waits_for_something_has_sent_everything(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply can't come before its request is on its way."""
    # Given a sender whose flusher never runs, and a few packets that wait
    sender, receiver = drivers.pair()
    hold_back_the_flusher(sender, monkeypatch)
    for number in range(5):
        assert sender.send_soon("peer", packet(number))
    assert waiting(sender) == 4  # the first was alone

    # When it waits for messages, of which there are none
    assert next(sender.receive(is_continuous=False, timeout=1), None) is None

    # Then nothing waits any more
    assert waiting(sender) == 0
    assert arrivals(receiver, 5) == [0, 1, 2, 3, 4]


def test_a_full_queue_refuses_and_loses_nothing(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accepted before arrives, and the sender can go on when there is room."""
    # Given a receiver that takes nothing, and short queues
    sender, receiver = drivers.pair(high_water_mark=2)
    hold_back_the_flusher(sender, monkeypatch)

    # When a stream is sent until there is no room
    accepted = 0
    while sender.send_soon("peer", packet(bytes(900))):
        accepted += 1
        assert accepted < 1_000_000, "there was always room"
    assert not sender.send_frames("peer", packet("also refused"))

    # Then all that was accepted arrives once the receiver takes it, and what is sent after it
    with Listener(receiver) as listener:
        sender.wait(WITHIN_MS, writable=["peer"], readable=False)
        while waiting(sender):
            sender.wait(WITHIN_MS, writable=["peer"], readable=False)
        while not sender.send_frames("peer", packet("last")):
            sender.wait(WITHIN_MS, writable=["peer"], readable=False)
        payloads = [listener.next().payload for _ in range(accepted + 1)]
    assert payloads == [bytes(900)] * accepted + ["last"]


def test_closing_sends_what_waits(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the linger time."""
    sender, receiver = drivers.pair()
    hold_back_the_flusher(sender, monkeypatch)
    for number in range(5):
        assert sender.send_soon("peer", packet(number))

    assert sender.shutdown(WITHIN_MS)

    assert arrivals(receiver, 5) == [0, 1, 2, 3, 4]


def test_closing_ends_the_flusher(drivers: Drivers) -> None:
    """A closed driver leaves no thread behind."""
    sender, _ = drivers.pair()
    before = set(threading.enumerate())
    for number in range(5):
        assert sender.send_soon("peer", packet(number))
    (flusher,) = set(threading.enumerate()) - before

    sender.close()

    assert not flusher.is_alive()


def test_a_peer_that_is_dropped_takes_what_waits_with_it(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what is queued for it; another peer gets its own."""
    sender, receiver = drivers.pair()
    other = drivers("actor")
    sender.connect({"other": other.address})
    hold_back_the_flusher(sender, monkeypatch)
    for number in range(3):
        assert sender.send_soon("peer", packet(number))
        assert sender.send_soon("other", packet(number))

    sender.disconnect({"peer": receiver.address})

    sender.wait(0)
    assert arrivals(other, 3) == [0, 1, 2]


def test_a_component_that_only_sends_loses_nothing(group: Group) -> None:
    """Through a Proxy: small messages, arrays between them, and then nothing more."""
    # Given two components
    sender, receiver = group.together(("source_1", {"sink": 1}), ("sink_1", {"source": 1}))
    array = np.arange(50_000, dtype=np.float32)

    # When one streams to the other
    for number in range(200):
        payload = array if number % 50 == 49 else number
        sender.isend(SessionMessage("data", sender.name, receiver.name, payload))

    # Then the other gets all of it, in order
    got = take(receiver, 200)
    assert [array[7] if isinstance(payload, np.ndarray) else payload for payload in got] == [
        array[7] if number % 50 == 49 else number for number in range(200)
    ]


def take(proxy: Proxy, count: int) -> list[object]:
    """The payloads of so many messages, fewer where none comes in time."""
    payloads: list[object] = []
    for message in proxy.receive(timeout=WITHIN_MS):
        payloads.append(message.payload)
        if len(payloads) == count:
            break
    return payloads
