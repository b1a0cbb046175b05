"""Peers that die without a word: noticed while sending, receiving, waiting and closing."""

from __future__ import annotations

from typing import Any

import pytest

from maro.communication import Proxy, RegisterTable, SessionType
from maro.utils.exception.communication_exception import DriverReceiveError, DriverSendError
from tests.support.components import SHORT_LEASE, Component, Group, RemoteError, await_peers, request, take

REJOIN: dict[str, Any] = {"enable_rejoin": True, **SHORT_LEASE}
SMALL_QUEUE = {"high_water_mark": 2}
LARGE = b"x" * 1_000_000


def send_until_it_is_over(proxy: Proxy, to: str) -> list[str] | None:
    """Send without end of time or number; what the last send returned."""
    while True:
        sent = proxy.isend(request(proxy, to, LARGE))
        if sent is None:
            return sent


def test_a_killed_peer_is_noticed_while_only_receiving(group: Group) -> None:
    """Whoever only waits for messages learns by the lease that a peer is gone."""
    # Given a learner with two actors
    learner, (first, _) = group.team(2, **REJOIN)
    # When one is killed, and the learner does nothing but receive
    first.kill()
    # Then it wakes, and has the other one only
    await_peers(learner, "actor", ["actor.2"])


def test_a_killed_peer_is_noticed_by_another_process_that_waits_for_ever(group: Group) -> None:
    """The wait has no timeout: the news of the peer itself end it."""
    # Given two processes that expect each other, one of which waits without end
    learner = group.component("learner", {"actor": 1}, **REJOIN)
    actor = group.actor(**REJOIN).joined()
    noticed = learner.joined().start("await_peers", names={"actor": []}, timeout=-1)
    # When the other one is killed
    actor.kill()
    # Then the wait is over
    assert noticed() == []


def test_a_killed_peer_is_noticed_at_once_where_somebody_says_so(group: Group) -> None:
    """Whoever sees the process end can deregister it; nobody has to wait for the lease then."""
    # Given an actor with a lease that holds for long
    learner, (first, _) = group.team(2, enable_rejoin=True)
    # When whoever watches over it says that it is gone
    group.kill_and_deregister(first)
    # Then the learner, which only receives, has the other one only
    await_peers(learner, "actor", ["actor.2"])


def test_a_blocked_send_to_a_killed_peer_fails_without_rejoin(group: Group) -> None:
    """A full queue to a dead peer never blocks for ever, whatever the timeout says."""
    # Given a peer that stands still, so that its queue fills
    learner, actor = group.pair(driver_parameters=SMALL_QUEUE, **SHORT_LEASE)
    actor.pause()
    # When it is killed, and the learner sends with no limit of time
    actor.kill()
    # Then sending ends with an error that names the peer
    with pytest.raises(DriverSendError, match=r"'actor\.1' is gone.*lease ran out"):
        send_until_it_is_over(learner, "actor.1")


def test_a_blocked_send_to_a_killed_peer_gives_up_with_rejoin(group: Group) -> None:
    """With rejoin on the message is dropped instead, and the caller is told by None."""
    # Given a learner that may go on with one actor of two, the first of which stands still
    learner, (first, second) = group.team(2, **REJOIN, driver_parameters=SMALL_QUEUE)
    first.pause()
    # When that one is killed, and the learner sends to it with no limit of time
    first.kill()
    # Then sending ends
    assert send_until_it_is_over(learner, "actor.1") is None
    # And the other one is not affected
    second.start("serve")
    assert learner.send(request(learner, "actor.2", "still there?"), timeout=20_000)


def test_a_send_blocks_as_long_as_the_peer_is_alive_and_slow(group: Group) -> None:
    """Back-pressure is not death: a slow peer's sender waits, and its messages arrive complete and in order."""
    # Given an actor that receives only when it is told, and a learner in another process that floods it
    actor = group.actor(driver_parameters=SMALL_QUEUE, **SHORT_LEASE)
    learner = group.component("learner", {"actor": 1}, driver_parameters=SMALL_QUEUE, **SHORT_LEASE).joined()
    flooded = learner.start("flood", to="actor.1", size=500_000, count=40)
    # When the actor begins to receive, after more than a lease of computing
    with pytest.raises(AssertionError, match="never answers to flood"):
        flooded(within_s=2.5)
    received = actor.joined().ask("receive", count=40)
    # Then everything arrives, and the sender is through
    assert len(received) == 40
    assert flooded() == 40


def replying_and_mute(group: Group, enable_rejoin: bool) -> tuple[Proxy, Component, Component]:
    """A learner with an actor that replies, and one that has been told nothing."""
    learner, (first, second) = group.team(2, enable_rejoin=enable_rejoin, **SHORT_LEASE)
    first.start("serve")
    return learner, first, second


def test_a_wait_for_the_dead_ends_with_what_arrived_with_rejoin(group: Group) -> None:
    """A broadcast's replies are returned without those that can no longer come."""
    # Given two actors, one of which does not reply
    learner, _, mute = replying_and_mute(group, enable_rejoin=True)
    ids = learner.ibroadcast("actor", "status", SessionType.TASK, "?")
    # When it is killed after it got the request
    assert mute.ask("receive")
    mute.kill()
    # Then the wait, which has no end of its own, returns the reply of the other
    replies = learner.receive_by_id(ids, timeout=-1)
    assert replies is not None
    assert [reply.source for reply in replies] == ["actor.1"]


def test_a_wait_for_the_dead_is_an_error_without_rejoin(group: Group) -> None:
    """The error names the dead, and holds what arrived."""
    # Given two actors, one of which does not reply
    learner, _, mute = replying_and_mute(group, enable_rejoin=False)
    ids = learner.ibroadcast("actor", "status", SessionType.TASK, "?")
    # When it is killed after it got the request
    assert mute.ask("receive")
    mute.kill()
    # Then the wait ends with an error that names it, and holds the reply of the other
    with pytest.raises(DriverReceiveError, match=r"gone is 'actor\.2'") as caught:
        learner.receive_by_id(ids, timeout=-1)
    assert [reply.source for reply in caught.value.replies] == ["actor.1"]


@pytest.mark.parametrize("enable_rejoin", [True, False])
def test_a_blocking_send_to_a_peer_that_dies_ends(group: Group, enable_rejoin: bool) -> None:
    """`send` has no reply to wait for any more: an empty list with rejoin, else an error."""
    # Given a component that waits for the reply of an actor which has the request
    actor = group.actor(enable_rejoin=enable_rejoin, **SHORT_LEASE)
    learner = group.component("learner", {"actor": 1}, enable_rejoin=enable_rejoin, **SHORT_LEASE).joined()
    answer = learner.start("send", to="actor.1", timeout=-1)
    assert actor.joined().ask("receive")
    # When the actor is killed
    actor.kill()
    # Then the wait is over
    if enable_rejoin:
        assert answer() == []
    else:
        with pytest.raises(RemoteError, match=r"DriverReceiveError: .*gone is 'actor\.1'"):
            answer()


def test_a_wait_ends_when_its_peer_was_replaced(group: Group) -> None:
    """A restart quicker than the lease ends a wait too: the new process knows nothing of the request."""
    # Given a component that waits for the reply of an actor which has the request, with a lease that holds for long
    options: dict[str, Any] = {"enable_rejoin": True}
    actor = group.actor(**options)
    learner = group.component("learner", {"actor": 1}, **options).joined()
    answer = learner.start("send", to="actor.1", timeout=-1)
    assert actor.joined().ask("receive")
    # When the actor is killed and started again at once
    actor.kill()
    group.actor(**options).joined()
    # Then the wait is over
    assert answer() == []


def test_a_replaced_peer_is_an_error_without_rejoin(group: Group) -> None:
    """With rejoin off a new process does not step into the place of the dead one, and its sender is told."""
    # Given a learner whose actor was killed and started again
    learner, actor = group.pair()
    actor.kill()
    group.actor().joined()
    # When the learner sends, Then it is told in the end
    with pytest.raises(DriverSendError, match=r"'actor\.1' is gone: its process was replaced"):
        send_until_it_is_over(learner, "actor.1")


def test_a_peer_that_left_is_an_error_without_rejoin(group: Group) -> None:
    """Also where it left cleanly: whoever waits for its reply, or sends to it, is told."""
    # Given a component that waits for the reply of an actor which has the request
    actor = group.actor()
    learner = group.component("learner", {"actor": 1}).joined()
    answer = learner.start("send", to="actor.1", timeout=-1)
    assert actor.joined().ask("receive")
    # When the actor leaves
    actor.no_more_commands()
    # Then the wait is an error, and so is the next send
    with pytest.raises(RemoteError, match=r"DriverReceiveError: .*gone is 'actor\.1'"):
        answer()
    with pytest.raises(RemoteError, match=r"DriverSendError: 'actor\.1' .*left the group"):
        learner.ask("isend", to="actor.1")


@pytest.mark.parametrize("fate", ["dead", "stopped"])
@pytest.mark.parametrize("enable_rejoin", [True, False])
def test_close_returns_with_unsent_messages(group: Group, fate: str, enable_rejoin: bool) -> None:
    """What can't be delivered does not keep a component from leaving."""
    # Given a learner with more messages for a peer than its connection takes
    learner, actor = group.pair(
        enable_rejoin=enable_rejoin, **SHORT_LEASE, linger_ms=300, driver_parameters={"send_timeout": 100}
    )
    actor.pause()
    for _ in range(30):
        learner.isend(request(learner, "actor.1", LARGE))
    # When the peer is dead, or stays stopped, and the learner closes
    if fate == "dead":
        actor.kill()
    learner.close()
    # Then close has returned, and Redis knows that the learner left
    assert group.store("learner").records("learner") == []
    assert group.store("learner").leases(["learner"]) == {"learner": None}


def test_views_of_the_peers_follow_a_crash_and_a_return(group: Group) -> None:
    """A callable's and a table's view of the peers is the present one."""
    # Given a table over the live mapping, and one over a callable
    learner, (first, second, third) = group.team(3, **REJOIN)
    handled: list[list[str]] = []
    tables = [RegisterTable(learner.peers_name), RegisterTable(lambda: learner.peers_name)]
    for table in tables:
        table.register_event_handler("actor:done:100%", lambda messages: handled.append([m.source for m in messages]))
    # When one of three is killed, two report, and it is seen to be gone
    third.kill()
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    for actor in (first, second):
        actor.ask("isend", to="learner", tag="done")
    for message in take(learner, 2):
        for table in tables:
            table.push(message)
    # Then 100% was two
    assert [sorted(sources) for sources in handled] == [["actor.1", "actor.2"]] * 2
    # And when it is back, two are not enough
    handled.clear()
    third = group.actor(3, **REJOIN).joined()
    await_peers(learner, "actor", ["actor.1", "actor.2", "actor.3"])
    for count, actor in enumerate((first, second, third), start=1):
        actor.ask("isend", to="learner", tag="done")
        (message,) = take(learner, 1)
        for table in tables:
            table.push(message)
        assert len(handled) == (2 if count == 3 else 0)


def test_a_killed_learner_is_noticed_by_its_actors(group: Group) -> None:
    """Every side notices the other: actors that wait for work see that the learner is gone, and is back."""
    # Given actors that wait for a learner without end
    learner = group.component("learner", {"actor": 2}, **REJOIN)
    actors = [group.actor(number, **REJOIN).joined() for number in (1, 2)]
    learner.joined()
    waits = [actor.start("await_peers", names={"learner": []}, timeout=-1) for actor in actors]
    # When it is killed
    learner.kill()
    # Then they notice
    assert [wait() for wait in waits] == [[], []]
    # And work with the next one
    for actor in actors:
        actor.start("serve")
    successor = group.proxy("learner", {"actor": 2}, **REJOIN)
    replies = successor.broadcast("actor", "status", SessionType.TASK, "?", timeout=20_000)
    assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2"]


def test_a_peer_that_dies_after_replying_owes_nothing(group: Group) -> None:
    """A reply that has arrived counts, also where its sender is known to be gone when it is asked for."""
    # Given an actor that replied and was killed
    learner, actor = group.pair(minimal_peers=0, **REJOIN)
    ids = learner.isend(request(learner, "actor.1", "quick"))
    later = learner.isend(request(learner, "actor.1", "later"))
    assert ids is not None
    actor.ask("reply_to_next")
    actor.ask("reply_to_next")
    learner.receive_by_id(later, timeout=20_000)  # so the first reply has arrived, too: it was sent before
    actor.kill()
    # When the reply is asked for
    replies = learner.receive_by_id(ids, timeout=-1)
    # Then it is there
    assert replies is not None
    assert [reply.payload["to"] for reply in replies] == ["quick"]
