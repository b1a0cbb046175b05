"""Coming back under the same name: by a new process, or after standing still; and how often that may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from maro.communication import Proxy, SessionType
from maro.communication.observations import NoticeKind
from tests.support.components import (
    SHORT_LEASE,
    Component,
    Group,
    RemoteError,
    await_peers,
    nothing_waits,
    receive_until,
    request,
    take,
)
from tests.support.waiting import eventually

REJOIN: dict[str, Any] = {"enable_rejoin": True, **SHORT_LEASE}


def incarnation(group: Group, name: str, component_type: str = "actor") -> int:
    """The last incarnation of a name that the group knows of."""
    client = redis.Redis(port=group.redis.port, decode_responses=True)
    return int(json.loads(str(client.hget(f"{group.name}:names:{component_type}", name)))["incarnation"])


def asks_and_is_asked(learner: Proxy, actor: Component) -> None:
    """Messages flow both ways."""
    answer = actor.start("send", to="learner", payload="ping")
    (question,) = take(learner, 1)
    assert (question.source, question.payload) == (actor.name, "ping")
    learner.reply(question, payload="pong")
    assert [reply["payload"] for reply in answer()] == ["pong"]
    served = actor.start("serve")
    replies = learner.send(request(learner, actor.name, "task"), timeout=20_000)
    assert replies is not None
    assert [reply.payload for reply in replies] == [{"by": actor.name, "to": "task"}]
    learner.isend(request(learner, actor.name, tag="stop"))
    served()


def test_a_killed_component_comes_back_under_its_name(group: Group) -> None:
    """A new process takes the name over: it is reconnected, newer, and messages flow both ways."""
    # Given a learner with two actors, one of which is killed
    learner, (first, second) = group.team(2, **REJOIN)
    before = incarnation(group, "actor.1")
    first.kill()
    await_peers(learner, "actor", ["actor.2"])
    # When it is started again under the same name
    first = group.actor(1, **REJOIN).joined()
    # Then the learner, which only receives, has it again, as a newer incarnation
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    assert incarnation(group, "actor.1") > before
    for actor in (first, second):
        asks_and_is_asked(learner, actor)


def test_a_component_is_replaced_before_anybody_noticed_its_death(group: Group) -> None:
    """A restart that is quicker than the lease is a rejoin like any other."""
    # Given a learner whose actor is killed and started again at once, with a lease that holds for long
    learner, actor = group.pair(**{**REJOIN, "lease_s": 30.0})
    actor.kill()
    actor = group.actor(1, **{**REJOIN, "lease_s": 30.0}).joined()
    # When the learner broadcasts once the news are there
    served = actor.start("serve")
    receive_until(learner, lambda: reaches(learner, "actor.1"), "a reply from the new incarnation")
    # Then messages flow
    learner.isend(request(learner, "actor.1", tag="stop"))
    assert served() >= 1


def reaches(learner: Proxy, name: str) -> bool:
    """Whether a request is answered; one that went to a dead incarnation is not."""
    replies = learner.send(request(learner, name, "there?"), timeout=2000)
    return bool(replies)


def test_both_sides_come_back(group: Group) -> None:
    """Learner and actor are killed together, and find each other again."""
    # Given a learner and an actor in processes of their own, both killed
    learner = group.component("learner", {"actor": 1}, **REJOIN)
    actor = group.actor(1, **REJOIN).joined()
    learner.joined().kill()
    actor.kill()
    # When both are started again
    learner = group.component("learner", {"actor": 1}, **REJOIN)
    actor = group.actor(1, **REJOIN).joined()
    # Then they work
    actor.start("serve")

    def answered() -> bool:
        replies = learner.ask("send", to="actor.1", payload="again", timeout=2000)
        return bool(replies)

    learner.joined()
    eventually(answered, 20, "a reply of the new actor to the new learner")


def test_a_late_clean_up_does_not_remove_the_successor(group: Group) -> None:
    """Whoever deregisters the dead after they were replaced changes nothing."""
    # Given an actor that was killed and has come back
    learner, actor = group.pair(**REJOIN)
    dead = group.record("actor.1")
    actor.kill()
    actor = group.actor(1, **REJOIN).joined()
    # When the dead one is deregistered only now, in every way
    for kind in (NoticeKind.GONE, NoticeKind.LEFT):
        group.store().deregister(dead, kind)
    group.store().remove_stale(dead)
    # Then the new one is registered, and works
    assert group.record("actor.1").incarnation > dead.incarnation
    actor.start("serve")
    receive_until(learner, lambda: reaches(learner, "actor.1"), "a reply from the new incarnation")
    assert learner.peers_name["actor"] == ["actor.1"]


def test_a_superseded_incarnation_is_fenced(group: Group) -> None:
    """A process that wakes up after its name was taken over ends, and what it sends is refused."""
    # Given an actor that stands still while a new process takes its name
    learner, old = group.pair(**REJOIN)
    old.pause()
    await_peers(learner, "actor", [])
    new = group.actor(1, **REJOIN).joined()
    await_peers(learner, "actor", ["actor.1"])
    # When the old one goes on, and sends as soon as it can
    last_words = old.start("flood", to="learner", size=10, count=1_000_000, fatal=True)
    old.resume()
    # Then its next operations end it with the code that means: do not restart
    with pytest.raises(AssertionError, match=r"ComponentFencedError.*was started again elsewhere"):
        last_words()
    assert old.exit_code() == 64
    # And nothing of it reaches the application, while the new one works
    asks_and_is_asked(learner, new)
    assert nothing_waits(learner)


def test_messages_of_a_superseded_incarnation_are_refused(group: Group) -> None:
    """Peers that know the newer incarnation drop what the older one sends, and count it."""
    # Given a group whose actor was replaced behind its back, and does not know yet: it can't ask Redis
    options = {**REJOIN, "lease_s": 60.0}
    learner, old = group.pair(**options)
    old.ask("isend", to="learner", payload="in time")
    assert [message.payload for message in take(learner, 1)] == ["in time"]
    old.pause()
    new = group.actor(1, **options).joined()
    new.ask("isend", to="learner", payload="new")
    assert [message.payload for message in take(learner, 1)] == ["new"]
    # When the old one sends
    words = old.start("isend", to="learner", payload="too late")
    old.resume()
    # Then it is fenced by itself, or refused by the learner
    try:
        words()
    except RemoteError as error:
        assert "ComponentFencedError" in str(error)
    else:
        receive_until(learner, lambda: learner.dropped["fenced"] >= 1, "the refusal")
    assert nothing_waits(learner)


def test_a_second_start_of_a_running_name_fences_the_first(group: Group) -> None:
    """Two components under one name: the newer one has it, the other is told so while it only receives."""
    # Given an actor that waits for messages without end
    learner, old = group.pair(**REJOIN)
    waiting = old.start("receive", timeout=-1)
    # When another one is started under its name
    new = group.actor(1, **REJOIN).joined()
    # Then the wait of the first ends
    with pytest.raises(RemoteError, match=r"ComponentFencedError"):
        waiting()
    # And closing it does not take the registration of its successor
    old.ask("close")
    asks_and_is_asked(learner, new)
    assert learner.peers_name["actor"] == ["actor.1"]


def test_a_paused_component_goes_on_under_its_incarnation(group: Group) -> None:
    """Standing still for longer than a lease costs a component its place only for that time."""
    # Given an actor that has stood still for longer than its lease
    learner, (first, _) = group.team(2, **REJOIN)
    before = incarnation(group, "actor.1")
    first.pause()
    await_peers(learner, "actor", ["actor.2"])
    # When it goes on
    first.resume()
    # Then it is present again, as the same incarnation, and messages flow both ways
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    assert incarnation(group, "actor.1") == before
    asks_and_is_asked(learner, first)


def test_a_component_that_was_paused_does_not_miss_its_peers(group: Group) -> None:
    """Who stood still knows nothing of the others' leases, and declares nobody gone."""
    # Given a learner that stands still for longer than the leases, as its actors notice
    learner = group.component("learner", {"actor": 2}, **REJOIN)
    actors = [group.actor(number, **REJOIN).joined() for number in (1, 2)]
    learner.joined().pause()
    for actor in actors:
        actor.ask("await_peers", names={"learner": []})
    # When it goes on
    learner.resume()
    # Then it is back, works with all of them, and never thought that one was away
    for actor in actors:
        actor.ask("await_peers", names={"learner": ["learner"]})
        actor.start("serve")
    replies = learner.ask("broadcast", to="actor")
    assert sorted(reply["source"] for reply in replies) == ["actor.1", "actor.2"]
    assert "learner is away" in group.internal_log()
    assert "| actor.1 is away" not in group.internal_log() and "| actor.2 is away" not in group.internal_log()


def test_messages_to_a_component_that_is_paused_are_not_lost_to_its_pause(group: Group) -> None:
    """What went out before a peer was seen to be away arrives when it goes on, before newer messages."""
    # Given an actor that stands still, and a message that went out before that was noticed
    learner, (first, _) = group.team(2, **REJOIN)
    first.pause()
    assert learner.isend(request(learner, "actor.1", "before")) is not None
    await_peers(learner, "actor", ["actor.2"])
    # When it goes on and gets another one
    first.resume()
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    learner.isend(request(learner, "actor.1", "after"))
    # Then it has both, in order
    assert [message["payload"] for message in first.ask("receive", count=2)] == ["before", "after"]


def test_sending_to_a_peer_that_is_away_returns_none(group: Group) -> None:
    """While enough others are alive, nobody waits for one that is away."""
    # Given a learner with two actors, one of which died
    learner, (first, second) = group.team(2, **REJOIN)
    second.start("serve")
    first.kill()
    await_peers(learner, "actor", ["actor.2"])
    # When it sends in all ways
    # Then a single message is None, and the others leave the dead one out
    assert learner.isend(request(learner, "actor.1")) is None
    assert learner.send(request(learner, "actor.1"), timeout=-1) is None
    pairs = [("actor.1", 1), ("actor.2", 2)]
    assert len(learner.iscatter("work", SessionType.TASK, pairs)) == 1
    assert [reply.source for reply in learner.scatter("work", SessionType.TASK, pairs, timeout=20_000)][-1] == "actor.2"
    assert len(learner.ibroadcast("actor", "work", SessionType.TASK)) == 1
    assert {reply.source for reply in learner.broadcast("actor", "work", SessionType.TASK, timeout=-1)} == {"actor.2"}
