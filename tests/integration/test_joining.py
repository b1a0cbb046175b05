"""Joining: the constructor's promise, the first messages, and who is in the group."""

from __future__ import annotations

import functools

import pytest
import redis

from maro.communication import SessionType
from maro.utils.exception.communication_exception import InformationUncompletedError
from tests.support.components import Group, await_peers, nothing_waits, request, take
from tests.support.waiting import eventually


@pytest.mark.parametrize("repetition", range(5))
def test_first_broadcast_reaches_late_receivers(group: Group, repetition: int) -> None:
    """What is broadcast right after the constructor waits for peers that have not called receive yet."""
    name = group.name
    for round_number in range(5):
        group.name = f"{name}.{round_number}"
        # Given a group that was just complete, none of whose actors has received yet
        learner, *actors = group.together(
            functools.partial(group.proxy, "learner", {"actor": 4}),
            *(functools.partial(group.proxy, "actor", {"learner": 1}, f"actor.{number}") for number in range(4)),
        )
        # When the learner broadcasts at once
        ids = learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION, round_number)
        # Then each actor gets it, however late it looks
        assert len(ids) == 4 and len(set(ids)) == 1
        assert [[message.payload for message in take(actor, 1)] for actor in actors] == [[round_number]] * 4
        for proxy in (learner, *actors):
            proxy.close()


def test_first_broadcast_reaches_busy_processes(group: Group) -> None:
    """The same between processes: a component that computes does not lose what it is sent."""
    # Given actors that have joined, and do something else
    learner, actors = group.team(3)
    # When the learner broadcasts at once
    learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION, "first")
    # Then each of them has it when it looks
    for actor in actors:
        (message,) = actor.ask("receive")
        assert (message["payload"], message["source"]) == ("first", "learner")


def test_constructor_does_not_wait_for_a_busy_peer(group: Group) -> None:
    """Joining waits for registrations, not for peers to do something."""
    # Given an actor that has registered, and whose process stands still
    actor = group.component("actor", {"learner": 1}, "actor.1", lease_s=60.0)
    first = group.proxy("learner", {"actor": 1}, "learner.1", lease_s=60.0)
    actor.joined().pause()
    # When a component that expects it joins, and sends it something
    second = group.proxy("learner", {"actor": 1}, "learner.2", lease_s=60.0)
    second.isend(request(second, "actor.1", "meanwhile"))
    # Then the constructor has returned, and the message is there when the actor goes on
    actor.resume()
    assert [message["payload"] for message in actor.ask("receive")] == ["meanwhile"]
    assert first.peers_name["actor"] == second.peers_name["actor"] == ["actor.1"]


def test_missing_peers_are_named_and_nothing_is_left_behind(group: Group) -> None:
    """A constructor that raises says who is missing, and takes its registration back."""
    # Given one of two expected actors
    learner, _ = group.pair()
    # When a component expects two, and gives up soon
    with pytest.raises(InformationUncompletedError, match="1 of 2 actor"):
        group.proxy("evaluator", {"actor": 2}, max_retries=2)
    # Then nothing in Redis speaks of it as present
    client = redis.Redis(port=group.redis.port, decode_responses=True)
    assert client.hgetall(f"{group.name}:evaluator") == {}
    assert client.get(f"{group.name}:lease:evaluator") is None
    # And the others go on
    assert learner.peers_name["actor"] == ["actor.1"]


def test_first_by_name_are_taken_and_stay_without_rejoin(group: Group) -> None:
    """With rejoin off a group that is larger than expected is cut to the first by name, for good."""
    # Given three actors
    actors = [group.component("actor", {"learner": 1}, f"actor.{number}") for number in (3, 1, 2)]
    client = redis.Redis(port=group.redis.port)
    eventually(lambda: client.hlen(f"{group.name}:actor") == 3, 30, "three actors registered")
    # When a learner joins that expects two
    learner = group.proxy("learner", {"actor": 2})
    # Then it has the first two by name, and still has them when one that sorts before them has joined
    assert learner.peers_name["actor"] == ["actor.1", "actor.2"]
    for actor in actors:
        actor.joined()
    late = group.component("actor", {"learner": 1}, "actor.0").joined()
    late.ask("isend", to="learner", payload="hello")
    assert [message.payload for message in take(learner, 1)] == ["hello"]
    assert learner.peers_name["actor"] == ["actor.1", "actor.2"]


def test_a_peer_that_was_not_expected_can_be_answered(group: Group) -> None:
    """A registered sender gets its reply, and counts nowhere."""
    # Given a learner that expects actors, and an observer that expects the learner
    learner, actor = group.pair()
    observer = group.component("observer", {"learner": 1}).joined()
    # When the observer asks, and the learner replies and then broadcasts to all actors
    answer = observer.start("send", to="learner", payload="how far?")
    (question,) = take(learner, 1)
    learner.reply(question, payload="half way")
    ids = learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION, 1)
    # Then the observer has the answer, and only the actor has the broadcast
    assert [reply["payload"] for reply in answer()] == ["half way"]
    assert len(ids) == 1
    assert [message["payload"] for message in actor.ask("receive")] == [1]
    assert observer.ask("receive", timeout=0) == []
    assert dict(learner.peers_name) == {"actor": ["actor.1"]}
    assert learner.get_peer_type("observer") == "observer"


def test_a_type_that_begins_like_another_gets_only_its_own_broadcasts(group: Group) -> None:
    """`actor` and `actor_eval` are two types."""
    # Given one of each
    learner, actor, evaluator = group.together(
        lambda: group.proxy("learner", {"actor": 1, "actor_eval": 1}),
        lambda: group.proxy("actor", {"learner": 1}),
        lambda: group.proxy("actor_eval", {"learner": 1}),
    )
    # When the learner broadcasts to one, then to the other
    learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION, "for actors")
    learner.ibroadcast("actor_eval", "weights", SessionType.NOTIFICATION, "for evaluators")
    # Then each has its own, and nothing else
    assert [message.payload for message in take(actor, 1)] == ["for actors"]
    assert [message.payload for message in take(evaluator, 1)] == ["for evaluators"]
    assert nothing_waits(actor) and nothing_waits(evaluator)


def test_replies_to_a_broadcast_name_their_senders(group: Group) -> None:
    """Whoever gathers replies can tell whose they are."""
    # Given three actors that reply
    learner, actors = group.team(3)
    for actor in actors:
        actor.start("serve")
    # When the learner broadcasts and waits for the replies
    replies = learner.broadcast("actor", "status", SessionType.TASK, "?", timeout=20_000)
    # Then each reply names the component that made it
    assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2", "actor.3"]
    assert all(reply.payload["by"] == reply.source for reply in replies)


def test_components_join_and_leave_a_running_group(group: Group) -> None:
    """With rejoin on, a group grows and shrinks while it runs."""
    # Given a learner with one actor
    learner, first = group.pair(enable_rejoin=True)
    # When two more come, and the learner does nothing but receive
    more = [group.actor(number, enable_rejoin=True) for number in (2, 3)]
    await_peers(learner, "actor", ["actor.1", "actor.2", "actor.3"])
    for actor in (first, *more):
        actor.joined().start("serve")
    # Then a broadcast reaches all of them
    replies = learner.broadcast("actor", "status", SessionType.TASK, 1, timeout=20_000)
    assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2", "actor.3"]
    # And when two leave again, one of them the first, the rest are addressed
    for actor in (first, more[0]):
        learner.isend(request(learner, actor.name, tag="stop"))
        actor.no_more_commands()
        assert actor.exit_code() == 0
    await_peers(learner, "actor", ["actor.3"])
    replies = learner.broadcast("actor", "status", SessionType.TASK, 2, timeout=20_000)
    assert [reply.source for reply in replies] == ["actor.3"]
