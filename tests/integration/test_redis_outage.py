"""Redis killed, restarted empty, paused and flushed while a group works: nobody loses anybody, all register again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from maro.communication import Proxy, SessionType
from maro.testbed.redis_server import RedisServer
from tests.support.components import Component, Group, await_peers, receive_until, request
from tests.support.waiting import eventually

LEASE_S = 2.0
REJOIN: dict[str, Any] = {"enable_rejoin": True, "lease_s": LEASE_S}
NAMES = ("learner", "actor.1", "actor.2")


def kill_and_start_later(server: RedisServer, meanwhile: Callable[[], None]) -> None:
    server.kill()
    meanwhile()
    server.start()


def restart_at_once(server: RedisServer, meanwhile: Callable[[], None]) -> None:
    server.restart_empty()


def pause_for_long(server: RedisServer, meanwhile: Callable[[], None]) -> None:
    server.pause()
    meanwhile()
    server.resume()


def flush(server: RedisServer, meanwhile: Callable[[], None]) -> None:
    with client_of(server) as client:
        client.flushall()


OUTAGES = [kill_and_start_later, restart_at_once, pause_for_long, flush]


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis(port=server.port, decode_responses=True, socket_timeout=5)


def leases(group: Group) -> dict[str, Any]:
    """Who holds a lease, by name."""
    with client_of(group.redis) as client:
        return {name: client.get(f"{group.name}:lease:{name}") for name in NAMES}


def registered_again(group: Group, before: dict[str, Any]) -> None:
    """Wait until all hold their leases again, under the same incarnations."""
    assert all(before.values())
    eventually(lambda: leases(group) == before, 30, lambda: f"the leases {before}; they are {leases(group)}")


def talk(learner: Proxy) -> Callable[[float], None]:
    """Exchange messages for some seconds, of which none may get lost."""

    def talking(seconds: float) -> None:
        until = time.monotonic() + seconds
        rounds = 0
        while rounds < 3 or time.monotonic() < until:
            replies = learner.broadcast("actor", "status", SessionType.TASK, rounds, timeout=20_000)
            assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2"]
            rounds += 1

    return talking


def listen(learner: Proxy) -> Callable[[float], None]:
    """Wait for some seconds, in which nothing may happen."""

    def listening(seconds: float) -> None:
        happened = list(learner.receive(timeout=int(seconds * 1000), wake_on_peer_change=True))
        assert happened == []

    return listening


@pytest.mark.parametrize("behaviour", [talk, listen])
@pytest.mark.parametrize("outage", OUTAGES)
def test_nobody_is_lost_in_an_outage(
    fragile_group: Group,
    outage: Callable[[RedisServer, Callable[[], None]], None],
    behaviour: Callable[[Proxy], Callable[[float], None]],
) -> None:
    """Leases that ran out because Redis was away mean nothing, neither then nor soon afterwards."""
    group = fragile_group
    # Given a group at work, or in silence
    learner, actors = group.team(2, **REJOIN)
    for actor in actors:
        actor.start("serve")
    go_on = behaviour(learner)
    go_on(0.1)
    before = leases(group)
    # When Redis is away, for longer than a lease where it does not come back at once
    outage(group.redis, lambda: go_on(1.5 * LEASE_S))
    # Then all register again by themselves, under the same incarnations
    go_on(0.1)
    registered_again(group, before)
    # And they still have each other when leases count again, and messages flow
    go_on(1.5 * LEASE_S)
    talk(learner)(0.1)
    assert learner.peers_name["actor"] == ["actor.1", "actor.2"]
    assert " is away: " not in group.internal_log()


def serving(actors: list[Component]) -> None:
    for actor in actors:
        actor.start("serve")


def test_a_death_after_an_outage_is_noticed(fragile_group: Group) -> None:
    """Leases count again in the end."""
    group = fragile_group
    # Given a group that has been through an outage
    learner, (first, _) = group.team(2, **REJOIN)
    before = leases(group)
    group.redis.restart_empty()
    registered_again(group, before)
    # When an actor is killed
    first.kill()
    # Then the learner notices while it only receives
    await_peers(learner, "actor", ["actor.2"])


def test_a_death_during_an_outage_is_noticed_when_redis_is_back(fragile_group: Group) -> None:
    """Who died meanwhile does not register again, and is missed after the time of grace."""
    group = fragile_group
    # Given an actor that is killed while Redis is away
    learner, (first, second) = group.team(2, **REJOIN)
    second.start("serve")
    group.redis.kill()
    first.kill()
    assert learner.send(request(learner, "actor.2"), timeout=20_000)
    # When Redis is back, empty
    group.redis.start()
    # Then the dead is missed, and only the dead
    await_peers(learner, "actor", ["actor.2"])
    assert learner.send(request(learner, "actor.2"), timeout=20_000)


def test_a_component_comes_back_after_an_outage(fragile_group: Group) -> None:
    """A name that was taken before Redis lost everything has a newer incarnation afterwards."""
    group = fragile_group
    # Given an actor that is killed, and a Redis that forgets everything
    learner, (first, second) = group.team(2, **REJOIN)
    before = leases(group)
    first.kill()
    group.redis.restart_empty()
    # When the actor is started again
    first = group.actor(1, **REJOIN).joined()
    # Then it is newer than before, and both work
    assert int(str(leases(group)["actor.1"])) > int(before["actor.1"])
    serving([first, second])

    def both_answer() -> bool:
        replies = learner.broadcast("actor", "status", SessionType.TASK, timeout=3000)
        return sorted(reply.source for reply in replies) == ["actor.1", "actor.2"]

    receive_until(learner, both_answer, "replies of both actors")


def test_a_component_that_starts_while_redis_is_away_waits_for_it(fragile_group: Group) -> None:
    """The order in which Redis and components start does not matter."""
    group = fragile_group
    # Given components that start while there is no Redis
    group.redis.kill()
    actor = group.actor(1, **REJOIN)
    learner = group.component("learner", {"actor": 1}, **REJOIN)
    # When Redis starts
    group.redis.start()
    # Then they join, and work
    actor.joined().start("serve")
    assert [reply["source"] for reply in learner.joined().ask("send", to="actor.1")] == ["actor.1"]


def test_components_leave_while_redis_is_away(fragile_group: Group) -> None:
    """An end of a component does not wait for Redis, and is no error."""
    group = fragile_group
    # Given a group whose Redis is gone
    learner, (first, second) = group.team(2, **REJOIN)
    group.redis.kill()
    # When its components end
    learner.close()
    for actor in (first, second):
        actor.no_more_commands()
    # Then they end as always
    assert [actor.exit_code() for actor in (first, second)] == [0, 0]


def test_components_leave_while_redis_stands_still(fragile_group: Group) -> None:
    """A Redis that accepts and does not answer holds nobody up for long."""
    group = fragile_group
    # Given a group whose Redis does not answer
    learner, (actor,) = group.team(1, **REJOIN)
    group.redis.pause()
    # When its components end
    learner.close()
    actor.no_more_commands()
    # Then they end as always
    assert actor.exit_code() == 0
