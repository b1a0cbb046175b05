"""Ends of a component: left, or gone; what its peers and Redis know of it then."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from maro.communication import Proxy, SessionMessage, SessionType
from maro.utils.exception.communication_exception import DriverSendError, ProxyClosedError
from tests.support.components import WITHIN_S, Group, await_peers, receive_until, request
from tests.support.programs import component, started, write_program
from tests.support.waiting import eventually

LONG = {"enable_rejoin": True, "lease_s": 60.0, "minimal_peers": 0, "enable_message_cache_for_rejoin": True}
"""With such a lease, whoever is seen to be gone in time said so itself."""


def history(group: Group, name: str = "actor.1") -> dict[str, Any]:
    """What Redis remembers of an actor."""
    client = redis.Redis(port=group.redis.port, decode_responses=True)
    loaded: dict[str, Any] = json.loads(str(client.hget(f"{group.name}:names:actor", name)))
    return loaded


def is_registered(group: Group, name: str = "actor.1") -> bool:
    """Whether an actor has a record or a lease."""
    client = redis.Redis(port=group.redis.port)
    return bool(client.hexists(f"{group.name}:actor", name) or client.exists(f"{group.name}:lease:{name}"))


def is_told_that_it_left(learner: Proxy) -> None:
    """A send says that the actor left, so it knows more than that it is away."""
    with pytest.raises(DriverSendError, match="it left the group"):
        receive_until(learner, lambda: learner.isend(request(learner, "actor.1")) is not None, "the error")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("occupied", ["receiving", "computing"])
def test_a_signal_makes_a_component_leave(group: Group, signum: signal.Signals, occupied: str) -> None:
    """SIGTERM and SIGINT are a clean leave with code 0, whatever the component was doing."""
    # Given an actor that receives without end, or does something else
    learner, actor = group.pair(**LONG)
    if occupied == "receiving":
        actor.start("receive", count=2, timeout=-1)
        learner.isend(request(learner, "actor.1"))
    # When it gets the signal
    actor.signal(signum)
    # Then it ends with 0, and everybody knows that it left
    assert actor.exit_code() == 0
    await_peers(learner, "actor", [])
    assert not is_registered(group)
    assert history(group)["left"] is True
    is_told_that_it_left(learner)


def test_a_signal_ends_a_send_that_is_blocked(group: Group) -> None:
    """A component whose peer stands still can be told to leave."""
    # Given an actor that sends more to a learner than it takes
    actor = group.actor(1, driver_parameters={"high_water_mark": 2}, linger_ms=200)
    learner = group.component("learner", {"actor": 1}, driver_parameters={"high_water_mark": 2}).joined()
    actor.joined()
    flooded = actor.start("flood", to="learner", size=1_000_000, count=1000)
    assert len(learner.ask("receive", count=3)) == 3
    # When it is told to leave
    actor.signal(signal.SIGTERM)
    # Then it does, and has not sent everything
    assert actor.exit_code() == 0
    with pytest.raises(AssertionError, match="ended and never answers"):
        flooded()
    assert history(group)["left"] is True


def test_leaving_a_with_leaves_the_group(group: Group) -> None:
    """The end of a `with` is a clean leave."""
    # Given an actor in a `with`
    learner, actor = group.pair(**LONG)
    # When its program comes to its end
    actor.no_more_commands()
    # Then it has left
    assert actor.exit_code() == 0
    assert history(group)["left"] is True
    is_told_that_it_left(learner)


@pytest.mark.parametrize(
    ("how", "end", "exit_code"),
    [
        ({"managed": True}, "fail", 1),
        ({"managed": False}, "fail", 1),
        ({"managed": False}, "end", 0),
        ({"managed": False, "in_child": True}, "end", 0),
    ],
    ids=["exception in a with", "exception in a script", "end of a script", "end of a multiprocessing child"],
)
def test_an_end_without_close_is_made_known(group: Group, how: dict[str, bool], end: str, exit_code: int) -> None:
    """A process that ends without leaving says that it is gone: peers know at once, and wait for it to come back."""
    # Given an actor with a lease that would hold for a minute
    learner, actor = group.pair(**LONG)
    actor.signal(signal.SIGTERM)
    await_peers(learner, "actor", [])
    actor = group.actor(1, **LONG, **how).joined()
    await_peers(learner, "actor", ["actor.1"])
    # When its process ends without closing the proxy
    actor.start(end, fatal=True)
    assert actor.exit_code() == exit_code
    # Then the learner knows at once, and keeps messages for it
    await_peers(learner, "actor", [])
    assert not is_registered(group)
    assert history(group)["left"] is False
    assert learner.isend(request(learner, "actor.1", "kept")) is None
    # And it counts as an end that was none of its own doing, when it comes back for what was kept
    actor = group.actor(1, **LONG).joined()
    await_peers(learner, "actor", ["actor.1"])
    assert [message["payload"] for message in actor.ask("receive")] == ["kept"]
    assert history(group)["unclean_ends"] == 1


def test_a_forked_child_does_not_deregister_its_parent(group: Group) -> None:
    """A child that ends with its exit hooks leaves its parent's registration and sockets alone."""
    # Given an actor that forks a child, which ends
    learner, actor = group.pair(**LONG)
    assert actor.ask("fork_and_join") == 0
    # When the learner asks it something
    actor.start("serve")
    replies = learner.send(request(learner, "actor.1", "still there?"), timeout=20_000)
    # Then it is still a member, and replies
    assert replies is not None and len(replies) == 1
    assert learner.peers_name["actor"] == ["actor.1"]
    assert is_registered(group)


def test_a_program_that_ends_while_a_thread_receives_ends_quietly(group: Group, tmp_path: Path) -> None:
    """The exit hook gives the component up as gone; the thread, which still waits, must not fail over that."""
    # Given a learner, and an actor that receives in a daemon thread
    program = write_program(
        tmp_path / "actor.py",
        f"""
        import sys, threading
        from maro.communication import Proxy

        proxy = Proxy("{group.name}", "actor", {{"learner": 1}}, redis_address="{group.redis.url}",
                      component_name="actor.1", enable_rejoin=True, minimal_peers=0, lease_s=60.0)
        first = threading.Event()

        def receive():
            for message in proxy.receive(timeout=-1):
                first.set()

        threading.Thread(target=receive, daemon=True).start()
        first.wait()
        """,
    )
    with started([sys.executable, str(program)], tmp_path) as actor:
        learner = group.proxy("learner", {"actor": 1}, **LONG)
        # When the program comes to its end
        learner.isend(request(learner, "actor.1"))
        actor.process.wait(WITHIN_S)
        # Then everybody knows, and nothing was said about it
        await_peers(learner, "actor", [])
        assert (actor.process.returncode, actor.stderr) == (0, ""), actor.output()


def test_close_delivers_what_was_sent(group: Group) -> None:
    """A component that sends and closes at once loses nothing to a peer that is busy."""
    # Given an actor that looks later
    learner, actor = group.pair(linger_ms=10_000)
    # When the learner sends much, and closes
    for number in range(200):
        learner.isend(request(learner, "actor.1", f"{number:>10000}"))
    learner.close()
    # Then all of it arrives
    received = actor.ask("receive", count=200)
    assert [int(message["payload"]) for message in received] == list(range(200))


def test_a_reply_sent_right_before_the_end_arrives(group: Group) -> None:
    """Whoever waits for it gets it, though its sender has left by then."""
    # Given a component that waits for the reply of an actor
    actor = group.actor(1, enable_rejoin=True)
    learner = group.component("learner", {"actor": 1}, enable_rejoin=True).joined()
    answer = learner.start("send", to="actor.1", payload="last one", timeout=-1)
    # When the actor replies, and leaves
    actor.joined().ask("reply_to_next")
    actor.no_more_commands()
    # Then the reply is there
    assert actor.exit_code() == 0
    assert [reply["payload"]["to"] for reply in answer()] == ["last one"]


def test_a_leave_ends_a_wait_for_its_reply(group: Group) -> None:
    """A peer that left does not reply any more."""
    # Given a component that waits for the reply of an actor that has the request
    actor = group.actor(1, enable_rejoin=True)
    learner = group.component("learner", {"actor": 1}, enable_rejoin=True).joined()
    answer = learner.start("send", to="actor.1", timeout=-1)
    assert actor.joined().ask("receive")
    # When the actor leaves without replying
    actor.no_more_commands()
    # Then the wait is over
    assert answer() == []


def test_a_closed_proxy_says_so_and_close_may_be_repeated(group: Group) -> None:
    """Every operation of a closed proxy is the same clear error, and the others of the group go on."""
    # Given a closed proxy
    learner, actor = group.pair(**LONG)
    second = group.proxy("learner", {"actor": 1}, "learner.2", **LONG)
    learner.close()
    learner.close()
    # When it is used, Then it says so
    for use in (
        lambda: learner.isend(request(learner, "actor.1")),
        lambda: learner.send(request(learner, "actor.1")),
        lambda: learner.ibroadcast("actor", "tag", SessionType.TASK),
        lambda: learner.broadcast("actor", "tag", SessionType.TASK),
        lambda: learner.iscatter("tag", SessionType.TASK, [("actor.1", 1)]),
        lambda: learner.scatter("tag", SessionType.TASK, [("actor.1", 1)]),
        learner.receive,
        lambda: learner.receive_by_id(["id"]),
        lambda: learner.reply(SessionMessage("tag", "actor.1", "learner")),
        lambda: learner.forward(SessionMessage("tag", "actor.1", "learner"), "actor.1"),
    ):
        with pytest.raises(ProxyClosedError, match="closed"):
            use()
    # And the others go on
    actor.start("serve")
    assert second.send(request(second, "actor.1"), timeout=20_000)


def test_nothing_of_a_group_stays_in_redis(group: Group) -> None:
    """Whatever the last component leaves behind expires by itself."""
    # Given a group whose components have left, or were killed
    learner, (first, second) = group.team(2, enable_rejoin=True)
    first.kill()
    second.signal(signal.SIGTERM)
    second.exit_code()
    learner.close()
    # When Redis is asked what it holds of the group
    client = redis.Redis(port=group.redis.port, decode_responses=True)
    keys = list(client.scan_iter(f"{group.name}*"))
    # Then everything has an expiry
    assert all(client.pttl(key) != -1 for key in keys), keys


def test_a_component_that_was_told_to_leave_while_it_waits_for_peers(group: Group) -> None:
    """A constructor that is interrupted leaves nothing behind."""
    # Given a component that waits for peers which do not come
    waiting = group.component("actor", {"learner": 1}, "actor.1")
    client = redis.Redis(port=group.redis.port)
    eventually(lambda: client.hexists(f"{group.name}:actor", "actor.1"), 30, "the registration")
    # When it gets SIGTERM
    waiting.signal(signal.SIGTERM)
    # Then it ends with 0, and is not registered any more
    assert waiting.exit_code() == 0
    assert not is_registered(group)


def test_a_signal_after_the_last_exit_hook_changes_nothing(tmp_path: Path) -> None:
    """The interpreter takes a while to end; it must not die of a signal then, with another exit code."""
    program = write_program(
        tmp_path / "program.py",
        """
        import atexit

        atexit.register(print, "nearly over", flush=True)
        """,
    )
    for _ in range(5):
        with component(program, folder=tmp_path) as ending:
            ending.wait_for_line("nearly over")
            ending.signal(signal.SIGTERM)
            assert ending.exit_code() == 0, ending.output()
