"""What an exchange waits for, and when it gives up: over a network in memory, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from maro.communication.deadline import Deadline
from maro.communication.message import Message, SessionMessage
from maro.communication.outbound import _ACKNOWLEDGE_AFTER_S, _ACKNOWLEDGE_EACH
from maro.communication.sessions import Collection
from maro.communication.streams import StreamReceipt
from maro.utils.exception.communication_exception import DriverSendError
from tests.support.stations import AT_ONCE, Station, StationGroup

LONG_MS = 60_000


@pytest.fixture
def group() -> Iterator[StationGroup]:
    """Two components that keep one message for each other."""
    pair = StationGroup("ab", bound=1)
    yield pair
    pair.close()


@pytest.fixture
def roomy() -> Iterator[StationGroup]:
    """Two components that keep many messages for each other."""
    pair = StationGroup("ab", bound=1000)
    yield pair
    pair.close()


def work(payload: Any = None) -> SessionMessage:
    return SessionMessage("work", "a", "b", payload)


def finish(station: Station) -> Message:
    """Receive a message, and be done with it."""
    message = station.receive()
    assert message is not None
    assert message.receipt is not None
    message.receipt.finish()
    return message


def test_a_sender_with_a_full_cache_goes_on_with_the_acknowledgement_that_is_there(
    group: StationGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never waits with what it waits for already read."""
    sender, receiver = group["a"], group["b"]
    assert sender.isend(work(1))
    finish(receiver)
    receiver.idle()
    (address,) = (place for place in sender.driver.address.values() if group.network.next_arrival_s(place) is not None)
    waits = []
    monkeypatch.setattr(sender.driver, "wait", lambda *_: waits.append(group.network.next_arrival_s(address)))
    assert sender.requester.send(work(2), Deadline(LONG_MS), awaited=False) is not None
    assert waits == [0.0]


def test_a_sender_waits_for_an_address_that_does_not_come_and_does_not_spin(
    group: StationGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer's next incarnation was heard, but the news say nothing of it, and the cache is full."""
    sender = group["a"]
    assert sender.isend(work(1))
    group.kill("b", announced=False)
    group.start("b").isend(SessionMessage("data", "b", "a"))
    waits_ms: list[float] = []

    def wait(timeout_ms: float, *_: object) -> None:
        waits_ms.append(timeout_ms)
        assert len(waits_ms) < 200, f"it waited {waits_ms} ms"
        group.clock.advance(timeout_ms / 1000)

    monkeypatch.setattr(sender.driver, "wait", wait)
    with pytest.raises(DriverSendError, match="max_length_for_message_cache"):
        sender.requester.send(work(2), Deadline(LONG_MS), awaited=False)
    assert sum(waits_ms) >= 1000


@pytest.mark.parametrize(("is_finished", "owed_by"), [(True, ["b"]), (False, [])])
def test_only_a_request_that_its_next_incarnation_gets_is_still_answered(
    group: StationGroup, is_finished: bool, owed_by: list[str]
) -> None:
    """Who finished one without a reply, and is no more, will not reply, whether it left or crashed."""
    asking, asked = group["a"], group["b"]
    (session,) = asking.isend(work()) or ()
    if is_finished:
        finish(asked)
    else:
        asked.receive()
    asked.idle()
    asking.idle()
    group.kill("b", announced=False)
    group.start("b")
    group.tell("a")
    assert bool(asking.kept_for("b")) is not is_finished
    collection = Collection([session], asking.exchange.requests)
    assert asking.exchange.collect(collection, Deadline(AT_ONCE)) == owed_by


def told(sender: Station) -> int:
    """How many of its messages a component was told to have arrived."""
    sender.idle()
    stream = sender.sending("b")
    assert stream is not None
    return stream.received


def test_a_component_that_goes_on_receiving_tells_how_far_it_is(roomy: StationGroup) -> None:
    """After so many messages, although it never pauses."""
    sender, receiver = roomy["a"], roomy["b"]
    for number in range(100):
        assert sender.isend(work(number))
    sender.idle()
    for _ in range(_ACKNOWLEDGE_EACH - 1):
        assert receiver.receive() is not None
    assert told(sender) == 0
    assert receiver.receive() is not None
    assert told(sender) >= _ACKNOWLEDGE_EACH


def test_a_component_that_works_for_long_on_each_message_tells_how_far_it_is(roomy: StationGroup) -> None:
    """Some time after the first that it took without a pause."""
    sender, receiver = roomy["a"], roomy["b"]
    for number in range(3):
        assert sender.isend(work(number))
    sender.idle()
    assert receiver.receive() is not None
    assert told(sender) == 0
    roomy.clock.advance(2 * _ACKNOWLEDGE_AFTER_S)
    assert receiver.receive() is not None
    assert told(sender) == 3


def test_a_component_that_has_paused_tells_with_its_next_pause_or_message(roomy: StationGroup) -> None:
    """However long the pause was: what it says travels along with a reply."""
    sender, receiver = roomy["a"], roomy["b"]
    for number in range(2):
        assert sender.isend(work(number))
        sender.idle()
        before = roomy.network.packets
        message = receiver.receive()
        assert message is not None
        assert roomy.network.packets == before
        answer = receiver.requester.answer(message, None, None, False)
        assert receiver.isend(answer, cast("StreamReceipt", message.receipt))
        receiver.idle()
        assert roomy.network.packets == before + 1
        assert told(sender) == number + 1
        roomy.clock.advance(1.0)
