"""How few peers may be present, and how often a name may come back."""

from __future__ import annotations

from typing import Any

import pytest

from maro.communication import SessionType
from maro.utils.exception.communication_exception import DriverSendError, PeersRejoinTimeout, RejoinBudgetError
from tests.support.components import Group, await_peers, receive_until, request

REJOIN: dict[str, Any] = {"enable_rejoin": True}


def test_sending_waits_for_the_minimum_of_peers(group: Group) -> None:
    """With fewer peers than the minimum a send waits, and goes out as soon as one is back."""
    # Given a learner that needs its only actor, which was killed
    learner = group.component("learner", {"actor": 1}, **REJOIN, minimal_peers=1)
    actor = group.actor(1, **REJOIN).joined()
    learner.joined()
    group.kill_and_deregister(actor)
    learner.ask("await_peers", names={"actor": []})
    # When the learner sends, and the actor is started again
    sent = learner.start("isend", to="actor.1", payload="late")
    actor = group.actor(1, **REJOIN).joined()
    # Then the message goes out, and arrives
    assert len(sent()) == 1
    assert [message["payload"] for message in actor.ask("receive")] == ["late"]


@pytest.mark.parametrize("call", ["isend", "ibroadcast", "send", "broadcast"])
def test_too_few_peers_for_too_long_is_an_error(group: Group, call: str) -> None:
    """Every sending operation gives up in the end; the component ends with the code that ends the job."""
    # Given a learner that needs its only actor, which was killed
    options: dict[str, Any] = {**REJOIN, "minimal_peers": {"actor": 1}, "timeout_for_minimal_peer_number": 1}
    learner = group.component("learner", {"actor": 1}, **options)
    actor = group.actor(1, **REJOIN).joined()
    learner.joined()
    group.kill_and_deregister(actor)
    learner.ask("await_peers", names={"actor": []})
    # When it sends, and nobody comes
    to = "actor" if call.endswith("broadcast") else "actor.1"
    sent = learner.start(call, to=to, fatal=True)
    # Then it ends with 65, and says what is missing
    with pytest.raises(AssertionError, match=r"PeersRejoinTimeout.*0 of at least 1 actor"):
        sent()
    assert learner.exit_code() == 65


def test_a_minimum_of_zero_never_waits(group: Group) -> None:
    """With nobody there, a broadcast goes to nobody."""
    # Given a learner that is content without actors, whose only one was killed
    actor = group.actor(1, **REJOIN)
    learner = group.proxy("learner", {"actor": 1}, **REJOIN, minimal_peers={"actor": 0})
    group.kill_and_deregister(actor.joined())
    await_peers(learner, "actor", [])
    # When it sends
    # Then nothing waits
    assert learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION) == []
    assert learner.broadcast("actor", "status", SessionType.TASK, timeout=-1) == []
    assert learner.isend(request(learner, "actor.1")) is None


def test_a_name_may_come_back_so_often_and_is_given_up_then(group: Group) -> None:
    """The join after the last allowed return fails with the code that means: do not restart; the peers know."""
    # Given a group that allows one return, which was used
    options: dict[str, Any] = {
        **REJOIN,
        "max_rejoin_times": 1,
        "enable_message_cache_for_rejoin": True,
        "minimal_peers": 0,
    }
    learner, actor = group.pair(**options)
    group.kill_and_deregister(actor)
    await_peers(learner, "actor", [])
    actor = group.actor(1, **options).joined()
    await_peers(learner, "actor", ["actor.1"])
    group.kill_and_deregister(actor)
    await_peers(learner, "actor", [])
    assert learner.isend(request(learner, "actor.1", "kept")) is None
    # When it is started once more
    actor = group.actor(1, **options)
    # Then that start fails
    assert actor.exit_code() == 64
    assert "RejoinBudgetError" in actor.log() and "may rejoin 1 times" in actor.log()
    # And the learner does not wait for it any more: what it kept is dropped, and the next send says so
    given_up = r"'actor\.1' can't be sent to: it used up its restart budget.*\d messages that were kept"
    with pytest.raises(DriverSendError, match=given_up):
        receive_until(learner, lambda: learner.isend(request(learner, "actor.1", "kept")) is not None, "the error")


def test_clean_leaves_cost_nothing(group: Group) -> None:
    """A component that leaves under its own power may come back as often as it likes."""
    # Given a group that allows no return at all
    options: dict[str, Any] = {**REJOIN, "max_rejoin_times": 0}
    learner = group.component("learner", {"actor": 1}, **options)
    for number in range(3):
        # When an actor joins and leaves, again and again
        actor = group.actor(1, **options).joined()
        learner.joined().ask("await_peers", names={"actor": ["actor.1"]})
        actor.ask("isend", to="learner", payload=number)
        actor.no_more_commands()
        # Then each of them is welcome
        assert actor.exit_code() == 0
        learner.ask("await_peers", names={"actor": []})


def test_the_budget_is_of_a_name(group: Group) -> None:
    """One component's crashes do not count against another."""
    # Given a group that allows one return, which one actor used
    options: dict[str, Any] = {**REJOIN, "max_rejoin_times": 1}
    learner, (first, second) = group.team(2, **options)
    group.kill_and_deregister(first)
    first = group.actor(1, **options).joined()
    # When another one crashes
    group.kill_and_deregister(second)
    second = group.actor(2, **options).joined()
    # Then it may come back
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    for actor in (first, second):
        actor.start("serve")
    replies = learner.broadcast("actor", "status", SessionType.TASK, timeout=20_000)
    assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2"]


def test_the_error_of_a_spent_budget_is_a_rejoin_timeout() -> None:
    """Whoever catches the documented class catches this one."""
    # Given the two classes, When they are compared, Then one is the other
    assert issubclass(RejoinBudgetError, PeersRejoinTimeout)
