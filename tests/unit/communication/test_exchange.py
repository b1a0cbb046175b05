"""What an exchange waits for, and when it gives up: over a network in memory, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maro.communication.deadline import Deadline
from maro.communication.message import Message, SessionMessage
from maro.communication.sessions import Collection
from tests.support.stations import AT_ONCE, Station, StationGroup

LONG_MS = 60_000


@pytest.fixture
def group() -> Iterator[StationGroup]:
    """Two components that keep one message for each other."""
    pair = StationGroup("ab", bound=1)
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
