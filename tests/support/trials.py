"""A trial of what is promised about delivery: components that number their messages, are killed, and start again.

def test_something(trial: Trial) -> None:
    source = trial.member("source", {"sink": 1})
    sink = trial.member("sink", {"source": 1}, work="consume")
    streamed = source.start("stream", to=["sink"], count=1000, rate=500)
    source.start("listen")
    trial.await_count(RECEIVED, 300, "sink")
    sink.kill_and_restart()
    streamed()
    trial.await_all_finished()
    trial.end()
    trial.assert_delivered()
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maro.testbed.redis_server import RedisServer
from tests.support.components import Component, Group
from tests.support.journal_watch import BOUND, WITHIN_S, JournalWatch
from tests.support.waiting import eventually

PROGRAM = Path(__file__).with_name("numbered_program.py")

OPTIONS: dict[str, Any] = {
    "enable_rejoin": True,
    "enable_message_cache_for_rejoin": True,
    "max_length_for_message_cache": BOUND,
    "max_rejoin_times": 100,
    "minimal_peers": 0,
}


class Member:
    """A component, and those that start under its name after it.

    Args:
        start: starts one.
        work: the command that each of them is given at once, if any.
        arguments: of that command.
    """

    def __init__(self, start: Callable[[], Component], work: str | None, arguments: dict[str, Any]) -> None:
        self._start = start
        self._work = work
        self._arguments = arguments
        self.starts = 0
        self.component = self._started(arguments)

    def __repr__(self) -> str:
        return f"Member({self.component!r}, starts={self.starts})"

    @property
    def name(self) -> str:
        """Of all of them."""
        return self.component.name

    def start(self, do: str, **arguments: Any) -> Callable[..., Any]:
        """Give the present one a command, as `Component.start`; it begins when it has joined, and an error ends it."""
        answer = self.component.start(do, fatal=True, **arguments)
        return lambda within_s=WITHIN_S: answer(within_s)

    def restart(self, work: str | None = None) -> None:
        """Start the next one, maybe with other work; does not wait until it has joined."""
        if work is not None:
            self._work, self._arguments = work, {}
        arguments = {name: value for name, value in self._arguments.items() if not name.startswith("die_")}
        self.component = self._started(arguments)

    def kill_and_restart(self) -> None:
        """Kill the present one, and start the next."""
        self.component.kill()
        self.restart()

    def await_death(self) -> None:
        """Wait until the present one was killed by itself."""
        code = self.component.exit_code()
        assert code == -signal.SIGKILL, f"{self!r} ended with {code}:\n{self.component.log()}"

    def _started(self, arguments: dict[str, Any]) -> Component:
        self.starts += 1
        component = self._start()
        if self._work is not None:
            component.start(self._work, fatal=True, **arguments)
        return component


class Trial(JournalWatch):
    """A group whose components keep journals.

    Args:
        redis: the trial's own.
        folder: for everything that is written.
    """

    def __init__(self, redis: RedisServer, folder: Path) -> None:
        super().__init__(folder)
        self.redis = redis
        self.group = Group(redis, folder)
        self._members: list[Member] = []

    def member(
        self,
        component_type: str,
        peers: dict[str, int],
        name: str | None = None,
        *,
        work: str | None = None,
        options: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Member:
        """Start a component; does not wait until it has joined.

        Args:
            component_type: of it.
            peers: that it expects.
            name: the type, if not given.
            work: a command of `numbered_program`, given to it and to those that follow it.
            options: of its Proxy.
            arguments: of that command; those that begin with `die_` are for the first start only.
        """

        def start() -> Component:
            return self.group.component(component_type, peers, name, program=PROGRAM, **{**OPTIONS, **(options or {})})

        member = Member(start, work, arguments)
        self._members.append(member)
        return member

    def end(self) -> None:
        """Have all leave, the first that was made first, and see that each does so in peace.

        Who was started again last may still be on its way in: a process leaves in peace once it is a component.
        """
        for member in self._members:
            member.component.joined()
        for member in self._members:
            member.component.signal(signal.SIGTERM)
            code = member.component.exit_code()
            assert code == 0, f"{member!r} ended with {code}:\n{member.component.log()}"

    def await_noticed(self, name: str) -> None:
        """Wait until some component that is alive has taken this one for dead."""
        text = f"{name} is away: "
        eventually(lambda: text in self.group.internal_log(), WITHIN_S, f"somebody takes {name} for dead")

    def close(self) -> None:
        """End everything, and print what was written."""
        self.group.end()

    @property
    def members(self) -> list[Member]:
        return self._members

    def ended(self) -> list[Member]:
        return [member for member in self._members if member.component.process.poll() is not None]
