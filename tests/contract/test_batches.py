"""Small messages that follow each other closely travel together, and nobody notices but the clock.

What counts as close is stretched here, so that a busy machine sends batches too.
"""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

from maro.communication import Message, Proxy, SessionMessage, SessionType, lanes
from maro.communication.codec import Encoder
from maro.communication.packets import Encoded, WireLimits
from maro.communication.streams import Entry
from tests.contract.groups import WITHIN_MS, Group, doubled, serving
from tests.support.waiting import eventually

CACHE: dict[str, Any] = {"enable_rejoin": True, "enable_message_cache_for_rejoin": True}


@pytest.fixture(autouse=True)
def _everything_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_STREAM_WITHIN_S", math.inf)


@pytest.fixture(params=[{}, CACHE], ids=["plain", "cache"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """With the message cache off and on."""
    found: dict[str, Any] = request.param
    return found


def pair(group: Group, **options: Any) -> tuple[Proxy, Proxy]:
    # News of peers that come between two messages would send what waits.
    options = {"lease_s": 3600.0, "peers_catch_lifetime": 3600, **options}
    source, sink = group.together(("source_0", {"sink": 1}), ("sink_0", {"source": 1}), **options)
    return source, sink


def send(sender: Proxy, receiver: Proxy, *payloads: Any) -> None:
    for payload in payloads:
        assert sender.isend(SessionMessage("data", sender.name, receiver.name, payload)) is not None


def take(proxy: Proxy, count: int) -> list[Any]:
    """The payloads of so many messages, fewer where none comes in time."""
    payloads: list[Any] = []
    for message in proxy.receive(timeout=WITHIN_MS):
        payloads.append(message.payload)
        if len(payloads) == count:
            break
    return payloads


def waiting(proxy: Proxy) -> int:
    """How many messages wait for company."""
    return sum(len(lane.bodies) for lane in proxy._exchange._outbound.lanes.values())


def hold_back_the_flusher(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends what waits, but the calls of the component itself."""
    monkeypatch.setattr(proxy._exchange.flusher, "wake", lambda pace: None)


def test_a_stream_arrives_in_order_whatever_its_sizes_are(group: Group, options: dict[str, Any]) -> None:
    """What is too large to wait does not overtake what waits."""
    source, sink = pair(group, **options)
    payloads = [
        bytes(5000) if number % 10 == 3 else bytes(100_000) if number % 50 == 7 else number for number in range(500)
    ]
    send(source, sink, *payloads)
    assert take(sink, len(payloads)) == payloads


def test_the_last_of_a_row_go_out_although_the_sender_computes(group: Group, options: dict[str, Any]) -> None:
    """The sender may compute for hours now, and calls nothing more."""
    source, sink = pair(group, **options)
    for _ in range(2):
        send(source, sink, *range(5))
        assert take(sink, 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("call", ["receive", "send", "receive_by_id", "close"])
def test_whoever_waits_has_sent_everything(
    group: Group, options: dict[str, Any], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply can't come before its request is on its way; and closing leaves nothing behind."""
    # Given a sender whose flusher never runs, and a few messages that wait
    source, sink = pair(group, **options)
    hold_back_the_flusher(source, monkeypatch)
    send(source, sink, *range(5))
    assert waiting(source)
    # When it makes a call that waits for something
    if call == "receive":
        assert list(source.receive(timeout=1)) == []
    elif call == "send":
        source.send(SessionMessage("data", "source_0", "sink_0", 5), timeout=1)
    elif call == "receive_by_id":
        assert source.receive_by_id("nobody's", timeout=1) == []
    elif options:  # closing waits until everything was received
        with serving(sink, by=lambda proxy, message: None) as got:
            source.close()
            eventually(lambda: [message.payload for message in got] == [0, 1, 2, 3, 4], what="all of them")
        return
    else:
        source.close()
    # Then nothing waits any more, and everything arrives in order
    expected = list(range(6 if call == "send" else 5))
    assert waiting(source) == 0
    assert take(sink, len(expected)) == expected


def test_messages_that_are_apart_wait_for_nobody(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """No company is in sight, so each goes out with its own call."""
    monkeypatch.setattr(lanes, "_STREAM_WITHIN_S", -1.0)
    source, sink = pair(group)
    hold_back_the_flusher(source, monkeypatch)
    for number in range(5):
        send(source, sink, number)
        assert waiting(source) == 0
        assert take(sink, 1) == [number]


def test_what_is_not_sent_soon_goes_after_what_waits(
    group: Group, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broadcast, and what is scattered, keep their place in the order."""
    source, sink = pair(group, **options)
    hold_back_the_flusher(source, monkeypatch)
    send(source, sink, 0, 1, 2)
    source.ibroadcast("sink", "data", SessionType.TASK, 3)
    send(source, sink, 4, 5)
    source.iscatter("data", SessionType.TASK, [("sink_0", 6)])
    assert waiting(source) == 0
    assert take(sink, 7) == list(range(7))


def test_each_peer_has_a_batch_of_its_own(
    group: Group, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages to two in turn arrive in order at both."""
    source, *sinks = group.together(
        ("source_0", {"sink": 2}),
        ("sink_0", {"source": 1}),
        ("sink_1", {"source": 1}),
        **{"lease_s": 3600.0, **options},
    )
    hold_back_the_flusher(source, monkeypatch)
    for number in range(20):
        for sink in sinks:
            send(source, sink, number)
    assert waiting(source)
    assert list(source.receive(timeout=1)) == []
    for sink in sinks:
        assert take(sink, 20) == list(range(20))


def test_replies_to_a_stream_of_requests_are_found(group: Group, options: dict[str, Any]) -> None:
    """Requests and replies both travel together."""
    source, sink = pair(group, **options)
    with serving(sink, by=doubled):
        sent = [source.isend(SessionMessage("data", "source_0", "sink_0", number)) for number in range(200)]
        ids = [session_id for each in sent if each is not None for session_id in each]
        replies = source.receive_by_id(ids, timeout=WITHIN_MS)
    assert replies is not None
    assert [reply.payload for reply in replies] == [2 * number for number in range(200)]


def test_arrays_between_small_ones(group: Group, options: dict[str, Any]) -> None:
    """Payloads with frames of their own go by themselves, in their place."""
    source, sink = pair(group, **options)
    array = np.arange(50_000, dtype=np.float32)
    send(source, sink, *(array if number % 50 == 49 else number for number in range(200)))
    got = take(sink, 200)
    assert [array[7] if isinstance(payload, np.ndarray) else payload for payload in got] == [
        array[7] if number % 50 == 49 else number for number in range(200)
    ]


def test_one_that_can_not_be_decoded_takes_nothing_with_it(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its batch arrive under their own numbers; it is counted and finished, and does not come again."""
    # Given a batch with two bodies in its middle that are no pickles
    source, sink = pair(group, **CACHE)
    hold_back_the_flusher(source, monkeypatch)
    delivery = source._exchange.delivery
    encode = Encoder(source.name, WireLimits()).encode

    def post(number: int, content: Encoded) -> bool:
        source._exchange.pump()  # there may be news of the sink, late ones of its joining for example
        return source._exchange.post_at_once(sink.name, f"session {number}", content, soon=True)

    for number in range(8):
        content = encode(SessionMessage("data", source.name, sink.name, number))
        if number in (3, 5):
            content = Encoded(b"no pickle", (), 9)
        eventually(partial(post, number, content), what=f"message {number} is accepted")
    assert all(isinstance(entry, Entry) for entry in delivery.sending[sink.name].entries.values())
    assert list(source.receive(timeout=1)) == []
    # When the batch arrives, then so do the others
    messages = [next(each) for each in [sink.receive(timeout=WITHIN_MS, auto_ack=False)] for _ in range(6)]
    assert [message.payload for message in messages] == [0, 1, 2, 4, 6, 7]
    assert sink.dropped["undecodable"] == 2

    def kept() -> list[int]:
        assert list(source.receive(timeout=0)) == []
        return list(delivery.sending[sink.name].entries)

    # And each is acknowledged under its own number, the two at once
    eventually(lambda: kept() == [1, 2, 3, 5, 7, 8], what=lambda: f"two are finished; kept are {kept()}")
    sink.ack(messages[3])
    eventually(lambda: kept() == [1, 2, 3, 7, 8], what=lambda: f"number 5 is finished; kept are {kept()}")


def test_closing_ends_the_flusher(group: Group, options: dict[str, Any]) -> None:
    """A closed component leaves no thread behind."""
    source, sink = pair(group, **options)
    send(source, sink, *range(5))
    name = f"maro-flusher-{source.name}"
    assert any(thread.name == name for thread in threading.enumerate())
    with serving(sink, by=lambda proxy, message: None):
        source.close()
    assert not any(thread.name == name for thread in threading.enumerate())


def test_a_full_queue_is_back_pressure_and_loses_nothing(group: Group) -> None:
    """Batches count as packets; what was accepted arrives, in order, once the receiver takes it."""
    source, sink = pair(group, driver_parameters={"high_water_mark": 2, "send_timeout": WITHIN_MS})
    count = 30_000
    got: list[Message] = []
    with serving(sink, by=lambda proxy, message: got.append(message)):
        send(source, sink, *range(count))
        eventually(lambda: len(got) == count, 20, lambda: f"{count} messages, not {len(got)}")
    assert [message.payload for message in got] == list(range(count))
