"""A group of components for a test: some are Proxies of the test's own process, some are processes that can be killed.

    def test_something(group: Group) -> None:
        learner, actor = group.pair()
        actor.kill()

Everything is ended with the test, and what the processes wrote is printed then, so that a failure shows it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from maro.communication import Message, Proxy, SessionMessage
from maro.communication.observations import NoticeKind, PeerRecord
from maro.communication.redis_store import RedisStore
from maro.communication.settings import RedisAddress
from maro.testbed.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("component_program.py")

WITHIN_S = 30.0
"""How long a test waits for what has to happen; far above what it takes, for the machine may be busy."""
DEFAULTS: dict[str, Any] = {"lease_s": 30.0, "retry_interval_base_value": 0.05, "max_retries": 9}
"""Of every Proxy here: a lease that no hiccup of the machine lets run out, and 25 s for all to join."""
SHORT_LEASE: dict[str, Any] = {"lease_s": 2.0}
"""For tests in which one does run out."""


class RemoteError(Exception):
    """What a component raised; the text begins with the name of the exception's class."""


class Component:
    """A component in a process of its own, run by `maro component`.

    Args:
        folder: for what it writes.
        name: of the component.
        environment: added to this process' own.
        options: arguments of its Proxy beside those that the environment holds.
        managed: it joins in a `with`; else it is a script that forgets to close.
        in_child: the Proxy lives in a child of `multiprocessing`.
        program: what it runs, which understands more commands than `component_program` does.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        environment: dict[str, str],
        options: dict[str, Any],
        managed: bool,
        in_child: bool,
        program: Path = PROGRAM,
    ) -> None:
        self.name = name
        self.environment = environment
        self._log_path = folder / f"{name}.{uuid.uuid4().hex[:6]}.log"
        self._answers: dict[int, dict[str, Any]] = {}
        self._joined: dict[str, Any] | None = None
        self._ended = False
        self._shown: list[str] = []
        self._news = threading.Condition()
        self._number = 0
        arguments = {"options": options, "managed": managed, "in_child": in_child}
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maro.cli", "component", str(program), json.dumps(arguments)],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"Component({self.name!r}, pid={self.process.pid}, exit code={self.process.poll()})"

    # What it does.

    def joined(self) -> Component:
        """Wait until its constructor has returned."""
        self._await(lambda: self._joined is not None, "joins the group")
        return self

    def start(self, do: str, *, fatal: bool = False, **arguments: Any) -> Callable[..., Any]:
        """Give it a command; the returned function waits for the answer.

        Args:
            do: a method of the program's `Commands`. It is carried out once the component has joined.
            fatal: an exception ends the component, rather than being the answer.
            arguments: of the command.
        """
        self._number += 1
        number = self._number
        assert self.process.stdin is not None
        line = json.dumps({"number": number, "do": do, "arguments": arguments, "fatal": fatal})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

        def answer(within_s: float = WITHIN_S) -> Any:
            self._await(lambda: number in self._answers, f"answers to {do} {arguments}", within_s)
            found = self._answers[number]
            if "error" in found:
                raise RemoteError(f"{found['error']}: {found['text']}")
            return found["result"]

        return answer

    def ask(self, do: str, **arguments: Any) -> Any:
        """Give it a command, and wait for the answer."""
        return self.start(do, **arguments)()

    # What is done to it.

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        """Stop it in its tracks, and wait until it stands: all threads, so the lease is renewed no more."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its children."""
        os.killpg(self.process.pid, number)

    def no_more_commands(self) -> None:
        """Let it end as it ends when nothing is left to do."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def exit_code(self) -> int:
        """Wait for its end; a negative number is the signal that ended it."""
        try:
            return self.process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self!r} does not end; {self.log()}") from None

    def log(self) -> str:
        """What it wrote to stderr, and to stdout beside its answers."""
        return self._log_path.read_text(errors="replace") + "".join(self._shown)

    def end(self) -> None:
        """Kill it, with its children, and collect what it leaves."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.startswith(b"{"):  # the library shows its warnings there
                self._shown.append(line.decode(errors="replace"))
                continue
            answer = json.loads(line)
            with self._news:
                if "joined" in answer:
                    self._joined = answer
                else:
                    self._answers[answer["number"]] = answer
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _await(self, happened: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        with self._news:
            self._news.wait_for(lambda: happened() or self._ended, within_s)
            if not happened():
                raise AssertionError(f"{self!r} {'ended and ' * self._ended}never {what}; it wrote:\n{self.log()}")


class Group:
    """Components of one group, in a Redis that the test may have to itself."""

    def __init__(self, redis: RedisServer, folder: Path) -> None:
        self.name = f"group-{uuid.uuid4().hex[:12]}"
        self.redis = redis
        self._folder = folder
        self._components: list[Component] = []
        self._proxies: list[Proxy] = []
        self._executor = ThreadPoolExecutor(max_workers=16)

    def proxy(self, component_type: str, peers: dict[str, int], name: str | None = None, **options: Any) -> Proxy:
        """Join with a Proxy of this process; returns when its peers are there."""
        proxy = Proxy(
            self.name,
            component_type,
            peers,
            **{
                "redis_address": self.redis.url,
                "component_name": name or component_type,
                **DEFAULTS,
                **options,
            },
        )
        self._proxies.append(proxy)
        return proxy

    def component(
        self,
        component_type: str,
        peers: dict[str, int],
        name: str | None = None,
        *,
        managed: bool = True,
        in_child: bool = False,
        program: Path = PROGRAM,
        **options: Any,
    ) -> Component:
        """Start a component in a process of its own; does not wait until it has joined."""
        name = name or component_type
        environment = {
            "PYTHONPATH": str(ROOT),
            "HOME": str(self._folder),
            "COMPONENT_TYPE": component_type,
            "COMPONENT_NAME": name,
            "MARO_GROUP": self.name,
            "MARO_REDIS": self.redis.url,
            "MARO_PEERS": ",".join(f"{kind}={count}" for kind, count in peers.items()),
        }
        component = Component(self._folder, name, environment, {**DEFAULTS, **options}, managed, in_child, program)
        self._components.append(component)
        return component

    def together(self, *joins: Callable[[], Proxy]) -> list[Proxy]:
        """Construct Proxies that wait for each other, in threads; the caller's thread uses them afterwards."""
        futures = [self._executor.submit(join) for join in joins]
        return [future.result(WITHIN_S) for future in futures]

    def team(self, actors: int = 1, **options: Any) -> tuple[Proxy, list[Component]]:
        """A learner in this process, and actors in processes of their own called `actor.1` and so on."""
        started = [self.actor(number, **options) for number in range(1, actors + 1)]
        learner = self.proxy("learner", {"actor": actors}, **options)
        return learner, [component.joined() for component in started]

    def pair(self, **options: Any) -> tuple[Proxy, Component]:
        """A learner in this process, and the actor `actor.1` in a process of its own."""
        learner, (actor,) = self.team(1, **options)
        return learner, actor

    def actor(self, number: int = 1, **options: Any) -> Component:
        """Start (again) an actor of `team`."""
        return self.component("actor", {"learner": 1}, f"actor.{number}", **options)

    def store(self, component_type: str = "actor") -> RedisStore:
        """The group in Redis, as whoever watches over the processes uses it."""
        return RedisStore(RedisAddress.parse(self.redis.url), self.name, DEFAULTS["lease_s"], [component_type])

    def kill_and_deregister(self, component: Component, component_type: str = "actor") -> None:
        """Kill a component, and make it known at once, as whoever watches over the processes does."""
        component.kill()
        self.deregister(component.name, component_type)

    def deregister(self, name: str, component_type: str = "actor") -> None:
        """Make it known that a component is dead."""
        self.store(component_type).deregister(self.record(name, component_type), NoticeKind.GONE)

    def record(self, name: str, component_type: str = "actor") -> PeerRecord:
        """What a component has registered."""
        (record,) = (record for record in self.store().records(component_type) if record.name == name)
        return record

    def internal_log(self) -> str:
        """What the library logged, of all components together."""
        files = [path for path in sorted(self._folder.glob(".maro/log/**/*")) if path.is_file()]
        return "\n".join(f"--- {path.name}:\n{path.read_text(errors='replace')}" for path in files)

    def end(self) -> None:
        """End everything, and print what the processes wrote."""
        for component in self._components:
            component.end()
        for proxy in self._proxies:
            proxy.close()
        self._executor.shutdown()
        for component in self._components:
            print(f"--- {component!r} wrote:\n{component.log()}")
        print(self.internal_log())


def request(proxy: Proxy, to: str, payload: Any = None, tag: str = "data") -> SessionMessage:
    """A message of a task session from a Proxy of this process."""
    return SessionMessage(tag, proxy.name, to, payload)


def take(proxy: Proxy, count: int, within_s: float = WITHIN_S) -> list[Message]:
    """Receive so many messages, fewer where none comes in time."""
    messages: list[Message] = []
    for message in proxy.receive(timeout=int(within_s * 1000)):
        assert message is not None
        messages.append(message)
        if len(messages) == count:
            break
    return messages


def nothing_waits(proxy: Proxy) -> bool:
    """Whether no message has arrived that the component was not given yet."""
    return next(iter(proxy.receive(is_continuous=False, timeout=0)), None) is None


def receive_until(proxy: Proxy, happened: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> list[Message]:
    """Do nothing but receive until something has happened to the peers; the messages that came meanwhile."""
    deadline = time.monotonic() + within_s
    messages: list[Message] = []
    while not happened():
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"{what} did not happen within {within_s} s; {proxy!r}"
        for message in proxy.receive(timeout=int(min(left_s, 0.5) * 1000), wake_on_peer_change=True):
            messages += [message] if message is not None else []
            if happened():
                break
    return messages


def await_peers(proxy: Proxy, component_type: str, names: Sequence[str], within_s: float = WITHIN_S) -> list[Message]:
    """Do nothing but receive until these peers of a type, and no others, are present."""
    return receive_until(
        proxy, lambda: proxy.peers_name[component_type] == sorted(names), f"peers {sorted(names)}", within_s
    )
