"""A component that does what it is told: a JSON command a line on stdin, a JSON answer a line on stdout.

Run by `tests.support.components`. Its group comes from the environment, as in any topology; the one argument holds the
other arguments of the Proxy as JSON. Where there are no more commands it ends. Between two commands it computes, as
far as its peers can tell: it does not use its Proxy.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
from typing import Any

from maro.communication import Message, Proxy, SessionMessage, SessionType
from maro.communication.settings import group_from_environment

STOP = "stop"
"""A message with this tag ends `serve`."""


class EndOfProgram(Exception):
    """The script's last line was reached."""


def described(message: Message) -> dict[str, Any]:
    """A message as JSON can hold it."""
    return {
        "tag": message.tag,
        "source": message.source,
        "session_id": message.session_id,
        "payload": message.payload if not isinstance(message.payload, bytes) else len(message.payload),
    }


class Commands:
    """What may be asked; each method is one command."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def peers(self) -> dict[str, list[str]]:
        return dict(self.proxy.peers_name)

    def dropped(self) -> dict[str, int]:
        return dict(self.proxy.dropped)

    def isend(self, to: str, payload: Any = None, tag: str = "data", kind: str = "task") -> list[str] | None:
        return self.proxy.isend(SessionMessage(tag, self.proxy.name, to, payload, SessionType(kind)))

    def send(self, to: str, payload: Any = None, tag: str = "data", timeout: int = 20_000) -> list[Any] | None:
        replies = self.proxy.send(SessionMessage(tag, self.proxy.name, to, payload), timeout)
        return None if replies is None else [described(reply) for reply in replies]

    def broadcast(self, to: str, payload: Any = None, tag: str = "data", timeout: int = 20_000) -> list[Any]:
        return [described(reply) for reply in self.proxy.broadcast(to, tag, SessionType.TASK, payload, timeout)]

    def ibroadcast(self, to: str, payload: Any = None, tag: str = "data") -> list[str]:
        return self.proxy.ibroadcast(to, tag, SessionType.NOTIFICATION, payload)

    def flood(self, to: str, size: int, count: int) -> int:
        """Send without waiting for anything but room; how many messages went out before one did not."""
        for number in range(count):
            if self.isend(to, "x" * size) is None:
                return number
        return count

    def receive(self, count: int = 1, timeout: int = 20_000) -> list[Any]:
        """The next messages, fewer where none comes within `timeout` milliseconds."""
        messages: list[Any] = []
        if count:
            for message in self.proxy.receive(timeout=timeout):
                messages.append(described(message))
                if len(messages) == count:
                    break
        return messages

    def reply_to_next(self, timeout: int = 20_000) -> Any:
        """Receive one message and reply to it."""
        message = next(iter(self.proxy.receive(is_continuous=False, timeout=timeout)))
        assert message is not None
        self.proxy.reply(message, payload={"by": self.proxy.name, "to": message.payload})
        return described(message)

    def serve(self) -> int:
        """Reply to every message until one says stop; how many replies went out."""
        replies = 0
        for message in self.proxy.receive(timeout=-1):
            if message is not None and message.tag == STOP:
                break
            if message is not None:
                replies += self.proxy.reply(message, payload={"by": self.proxy.name, "to": message.payload}) is not None
        return replies

    def await_peers(self, names: dict[str, list[str]], timeout: int = 20_000) -> list[Any]:
        """Do nothing but receive until these, and no others, are present; the messages that came meanwhile."""
        messages = []
        if self.peers() != names:
            for message in self.proxy.receive(timeout=timeout, wake_on_peer_change=True):
                messages += [described(message)] if message is not None else []
                if self.peers() == names:
                    break
        assert self.peers() == names, f"the peers are {self.peers()}, not {names}"
        return messages

    def fork_and_join(self) -> int:
        """Let a child of `os.fork` end as a program ends, with its exit hooks; its exit code."""
        child = os.fork()
        if child == 0:
            raise SystemExit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def close(self) -> None:
        self.proxy.close()

    def fail(self) -> None:
        raise RuntimeError("told to fail")

    def end(self) -> None:
        raise EndOfProgram


def say(**answer: Any) -> None:
    """One line, at once."""
    print(json.dumps(answer), flush=True)


def obey(proxy: Proxy, understood: type[Commands]) -> None:
    """Carry out commands until there are no more. An error is an answer, unless the command says that it is fatal."""
    commands = understood(proxy)
    say(joined=proxy.name, peers=dict(proxy.peers_name))
    while line := sys.stdin.readline():
        command = json.loads(line)
        try:
            result = getattr(commands, command["do"])(**command["arguments"])
        except EndOfProgram:
            return
        except Exception as error:
            if command["fatal"]:
                raise
            say(number=command["number"], error=type(error).__name__, text=str(error))
        else:
            say(number=command["number"], result=result)


def run(options: dict[str, Any], managed: bool, understood: type[Commands]) -> None:
    """Join, and obey; with `managed` inside a `with`, else as a script that forgets to close."""
    proxy = Proxy(**{**group_from_environment(), **options})
    if managed:
        with proxy:
            obey(proxy, understood)
    else:
        obey(proxy, understood)


def main(understood: type[Commands] = Commands) -> None:
    """Run in this process, or in a child of `multiprocessing` that shares stdin and stdout."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    arguments = json.loads(sys.argv[1])
    options, managed = arguments["options"], arguments["managed"]
    if arguments["in_child"]:
        child = multiprocessing.get_context("fork").Process(target=_run_in_child, args=(options, managed, understood))
        child.start()
        child.join()
        raise SystemExit(child.exitcode)
    run(options, managed, understood)


def _run_in_child(options: dict[str, Any], managed: bool, understood: type[Commands]) -> None:
    sys.stdin = os.fdopen(0)  # multiprocessing gives its children an empty one
    run(options, managed, understood)


if __name__ == "__main__":
    main()
