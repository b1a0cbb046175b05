"""Numbered messages from one sender to one receiver, which is killed and paused, or whose Redis is."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.support.components import SHORT_LEASE
from tests.support.journals import ACCEPTED, RECEIVED, TOLD
from tests.support.trials import WITHIN_S, Member, Trial
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""

RATE = 2000


def pair(trial: Trial, options: dict[str, Any] | None = None, **arguments: Any) -> tuple[Member, Member]:
    """A source, and a sink that consumes."""
    source = trial.member("source", {"sink": 1}, options=options)
    sink = trial.member("sink", {"source": 1}, work="consume", options=options, **arguments)
    return source, sink


def stream(source: Member, count: int, **arguments: Any) -> None:
    """Let the source send so many messages, and listen from then on."""
    source.start("stream", to=["sink"], count=count, **{"rate": RATE, **arguments})
    source.start("listen")


def all_arrive(trial: Trial, count: int, **arguments: Any) -> None:
    """So many were sent, and what is promised is kept for each."""
    trial.await_count(ACCEPTED, count, "source")
    trial.await_all_finished()
    trial.end()
    assert trial.journals.count(ACCEPTED, "source") == count
    trial.assert_delivered(**arguments)


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "only-sending"])
def test_a_receiver_is_killed_three_times(trial: Trial, listens: bool) -> None:
    """20,000 messages at 2,000 a second all arrive, none twice at one incarnation, in order within it."""
    # Given a sender that never uses its Proxy but to send, or looks for messages now and then
    count = 20_000
    source, sink = pair(trial, tell_every=100 if listens else 0)
    stream(source, count, listens=listens)
    # When the receiver is killed at work, soon after that while it catches up, and at work again
    trial.await_count(RECEIVED, 5000, "sink")
    sink.kill_and_restart()
    trial.await_more(RECEIVED, 50, "sink")
    sink.kill_and_restart()
    trial.await_count(RECEIVED, 14_000, "sink")
    sink.kill_and_restart()
    # Then all is well
    all_arrive(trial, count)
    # And the notes that the receivers sent, of what was finished, have come, so that it was seen not to come back
    assert (trial.journals.count(TOLD, "source") > 0) == listens


def test_a_receiver_comes_back_when_its_death_was_noticed(trial: Trial) -> None:
    """What is sent meanwhile is kept, and comes after what was on its way to the dead."""
    # Given a sender and a receiver at work, with a lease that runs out
    count = 8000
    source, sink = pair(trial, SHORT_LEASE, tell_every=100)
    stream(source, count)
    trial.await_count(RECEIVED, 2000, "sink")
    # When the receiver is killed, and starts again only when the sender knows that it is away
    sink.component.kill()
    trial.await_noticed("sink")
    sink.restart()
    # Then all is well
    all_arrive(trial, count)


def test_a_message_in_hand_comes_again(trial: Trial) -> None:
    """A receiver that is killed with a message in hand has not finished it, but all before."""
    # Given a receiver that will be killed when it has the message 700, and says before what it has finished
    source, sink = pair(trial, die_with=700, tell_every=50)
    stream(source, 1000)
    # When that has happened, and it starts again
    sink.await_death()
    sink.restart()
    # Then it gets that message again
    all_arrive(trial, 1000)
    handed = [entry for entry in trial.entries() if entry.kind == RECEIVED and entry.message.number == 700]
    assert len(handed) == 2


def test_what_was_not_acknowledged_comes_again(trial: Trial) -> None:
    """Acknowledged by hand, in any order: a new incarnation gets just the others."""
    # Given a receiver that acknowledges all but one of fifty, last ones first, and has told the sender so; these are as
    # many runs as travel along with what it tells, while more would follow behind, and might die with it
    count = 400
    source = trial.member("source", {"sink": 1})
    sink = trial.member("sink", {"source": 1}, work="acknowledge", batch=50, keep=50)
    stream(source, count)
    trial.await_count(TOLD, 160, "source")
    # When it is killed, and the next one finishes everything
    sink.component.kill()
    sink.restart("consume")
    # Then that gets those that were not acknowledged, what came later, and no more
    trial.await_count(ACCEPTED, count, "source")
    trial.await_all_finished()
    trial.assert_delivered(bound=None)
    again = [entry for entry in trial.entries() if entry.kind == RECEIVED and entry.message.number < 200]
    assert len(again) >= 204


def lease_of(trial: Trial, name: str) -> Any:
    """What Redis holds of the lease of a component."""
    with redis.Redis(port=trial.redis.port, decode_responses=True, socket_timeout=5) as client:
        return client.get(f"{trial.group.name}:lease:{name}")


@pytest.mark.parametrize("paused", ["sink", "source"])
def test_a_component_stands_still_for_longer_than_its_lease(trial: Trial, paused: str) -> None:
    """Its peer takes it for dead meanwhile; it goes on where it was, as the same incarnation."""
    # Given a sender and a receiver at work
    count = 10_000
    source, sink = pair(trial, SHORT_LEASE)
    stream(source, count)
    trial.await_count(RECEIVED, 3000, "sink")
    # When one of them stands still until the other one has noticed
    component = (sink if paused == "sink" else source).component
    component.pause()
    eventually(lambda: lease_of(trial, paused) is None, WITHIN_S, "the lease runs out")
    trial.await_noticed(paused)
    component.resume()
    # Then all is well
    all_arrive(trial, count)
    assert sink.starts == 1


def test_redis_is_killed_and_starts_again_empty(trial: Trial) -> None:
    """Messages flow meanwhile; and a receiver that is killed afterwards loses nothing either."""
    # Given a sender and a receiver at work
    count = 24_000
    source, sink = pair(trial, SHORT_LEASE)
    stream(source, count)
    trial.await_count(RECEIVED, 2000, "sink")
    # When Redis is killed, while messages go on, and starts again, empty
    trial.redis.kill()
    trial.await_more(RECEIVED, 2000, "sink")
    trial.redis.start()
    eventually(lambda: lease_of(trial, "sink") and lease_of(trial, "source"), WITHIN_S, "both register again")
    trial.await_more(RECEIVED, 1000, "sink")
    # And then the receiver is killed
    sink.kill_and_restart()
    # Then all is well
    all_arrive(trial, count)


def test_a_receiver_is_killed_while_redis_is_away(trial: Trial) -> None:
    """The next one can't join before Redis is back, empty; then it gets what is due to it."""
    # Given a sender and a receiver at work
    count = 8000
    source, sink = pair(trial, SHORT_LEASE)
    stream(source, count)
    trial.await_count(RECEIVED, 2000, "sink")
    # When Redis is killed, then the receiver, and Redis starts again when the sender can't send any more
    trial.redis.kill()
    sink.kill_and_restart()
    accepted_at_death = trial.journals.count(RECEIVED, "sink")
    trial.await_count(ACCEPTED, accepted_at_death + 1, "source")
    trial.redis.start()
    # Then all is well
    all_arrive(trial, count)


def test_large_payloads_to_a_receiver_that_is_killed(trial: Trial) -> None:
    """A megabyte each: complete, and what they were when they were sent, though the sender overwrites them then."""
    # Given a sender of large messages, which keeps a few
    count, bound = 600, 32
    source, sink = pair(trial, {"max_length_for_message_cache": bound}, tell_every=10)
    stream(source, count, size=1_000_000, rate=100)
    # When the receiver is killed three times
    for received in (150, 200, 450):
        trial.await_count(RECEIVED, received, "sink")
        sink.kill_and_restart()
    # Then all is well
    all_arrive(trial, count, bound=bound)
