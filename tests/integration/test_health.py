"""The health mark of `maro component`: there exactly while the component's Proxy is open."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis

from tests.support.components import Component, Group
from tests.support.programs import component, write_program
from tests.support.waiting import eventually


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that components of this test keep; it is for one at a time."""
    path = tmp_path / "joined"
    monkeypatch.setenv("MARO_HEALTH_FILE", str(path))
    return path


def until_registered(group: Group, name: str = "actor.1") -> None:
    """Wait until an actor is in Redis, which is long before its constructor returns if its peers are missing."""
    client = redis.Redis(port=group.redis.port)
    eventually(lambda: client.hexists(f"{group.name}:actor", name), 30, "the registration")


def test_the_mark_means_joined(group: Group, mark: Path) -> None:
    """A component that waits for its peers runs, and is registered, but is not healthy yet."""
    # Given an actor whose learner is not there
    actor = group.actor(1)
    until_registered(group)
    assert not mark.exists()
    # When the learner joins
    group.proxy("learner", {"actor": 1})
    # Then the actor has joined, and its mark is there by then
    actor.joined()
    assert mark.exists()
    # And when the actor closes its Proxy, Then the mark is gone by the time that this returns
    actor.ask("close")
    assert not mark.exists()
    # And the component goes on
    assert actor.process.poll() is None


@pytest.mark.parametrize(
    ("how", "end", "exit_code"),
    [
        ({}, "signal", 0),
        ({"managed": True}, "fail", 1),
        ({"managed": False}, "fail", 1),
        ({"managed": False}, "end", 0),
    ],
)
def test_no_end_but_a_kill_leaves_the_mark(
    group: Group, mark: Path, how: dict[str, bool], end: str, exit_code: int
) -> None:
    """Signals, exceptions, and scripts that forget to close: the mark goes with the component."""
    # Given an actor that has joined
    actor = group.actor(1, **how)
    group.proxy("learner", {"actor": 1})
    actor.joined()
    assert mark.exists()
    # When it ends
    if end == "signal":
        actor.signal(signal.SIGTERM)
    else:
        actor.start(end, fatal=True)
    # Then its mark is gone
    assert actor.exit_code() == exit_code
    assert not mark.exists()


ENDS_WHILE_A_THREAD_SENDS = """
    import threading
    from maro.communication import Proxy, SessionMessage
    from maro.communication.settings import group_from_environment

    class Endless:
        def __reduce__(self):
            sending.set()
            threading.Event().wait()

    sending = threading.Event()
    proxy = Proxy(**group_from_environment())
    message = SessionMessage("data", proxy.name, "learner", Endless())
    threading.Thread(target=proxy.isend, args=[message], daemon=True).start()
    sending.wait()
"""


def test_a_proxy_that_cannot_be_closed_leaves_no_mark(group: Group, mark: Path, tmp_path: Path) -> None:
    """A thread may be inside the Proxy when the process ends; the mark goes all the same."""
    # Given an actor whose program ends while a thread of it sends
    environment = {
        "MARO_GROUP": group.name,
        "MARO_REDIS": group.redis.url,
        "MARO_PEERS": "learner=1",
        "COMPONENT_TYPE": "actor",
        "COMPONENT_NAME": "actor.1",
    }
    path = write_program(tmp_path / "actor.py", ENDS_WHILE_A_THREAD_SENDS)
    with component(path, folder=tmp_path, environment=environment) as program:
        group.proxy("learner", {"actor": 1})
        # When it has ended
        assert program.exit_code() == 0, program.output()
        # Then its mark is gone
        assert not mark.exists()


def test_a_mark_left_by_a_kill_is_not_the_successors(group: Group, mark: Path) -> None:
    """A container that is started again after SIGKILL has its old files; it is not healthy before it has joined."""
    # Given an actor that was killed, and its mark
    learner, actor = group.pair(enable_rejoin=True)
    actor.kill()
    assert mark.exists()
    learner.close()
    # When it is started again, while its learner is away
    successor: Component = group.actor(1, enable_rejoin=True)
    # Then the mark is not there, until it has joined
    eventually(lambda: not mark.exists(), what="the end of the old mark")
    group.proxy("learner", {"actor": 1}, enable_rejoin=True)
    successor.joined()
    assert mark.exists()


def test_a_signal_while_it_joins_leaves_no_mark(group: Group, mark: Path) -> None:
    """A constructor that was interrupted has joined nothing."""
    # Given an actor that waits for its learner
    actor = group.actor(1)
    until_registered(group)
    # When it is told to leave
    actor.signal(signal.SIGTERM)
    # Then there never was a mark
    assert actor.exit_code() == 0
    assert not mark.exists()


def test_a_forked_child_leaves_the_mark_of_its_parent(group: Group, mark: Path) -> None:
    """It runs the same exit hooks, and has no part in its parent's health."""
    # Given an actor that has joined
    _, actor = group.pair()
    # When a child that it forked ends
    assert actor.ask("fork_and_join") == 0
    # Then the mark is still there
    assert mark.exists()


def test_a_proxy_in_a_child_process_is_no_health_of_its_parent(group: Group, mark: Path) -> None:
    """The health check asks about the process that the container runs."""
    # Given a component whose Proxy lives in a child of `multiprocessing`
    actor = group.actor(1, in_child=True, managed=False)
    group.proxy("learner", {"actor": 1})
    # When that has joined
    actor.joined()
    # Then there is no mark
    assert not mark.exists()


def test_a_component_goes_on_without_its_mark(group: Group, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unwritable path costs one line on stderr."""
    # Given a path where no file can be
    monkeypatch.setenv("MARO_HEALTH_FILE", str(mark / "joined"))
    # When an actor joins, and leaves
    _, actor = group.pair()
    actor.no_more_commands()
    # Then it does, and has said once what is wrong
    assert actor.exit_code() == 0
    assert actor.log().count("the health mark") == 1
