"""What the roles stand on: a bare pair of ZeroMQ sockets, or a Proxy, both ready to be measured."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import zmq

from benchmarks.worker import Link

if TYPE_CHECKING:
    from maro.communication import Proxy

SMALL_BYTES = random.Random(1).randbytes(100)
"""The small message of those who send bytes."""
SMALL_DICT = {"episode": 4711, "step": 128, "reward": 0.25, "done": False, "state": [0.1, -0.2, 0.3, -0.4]}
"""The small payload of the others: about 100 bytes when pickled."""
HIGH_WATER_MARK = 1000
"""ZeroMQ's own default, and the library's; given to everybody."""


class RawNode:
    """Raw ZeroMQ: a bound PULL socket, and a PUSH socket to each peer that the harness names.

    Args:
        link: to the harness.
        high_water_mark: messages that may wait at either end of a connection.
    """

    def __init__(self, link: Link, high_water_mark: int = HIGH_WATER_MARK) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._high_water_mark = high_water_mark
        self.pull = self._socket(zmq.PULL)
        self.pull.bind("tcp://127.0.0.1:*")
        link.say({"address": self.pull.getsockopt_string(zmq.LAST_ENDPOINT)})
        self.pushes = [self._connected(address) for address in link.hear()]
        link.say("ready")

    @property
    def push(self) -> zmq.Socket[bytes]:
        """The socket to the only peer."""
        (push,) = self.pushes
        return push

    def _connected(self, address: str) -> zmq.Socket[bytes]:
        push = self._socket(zmq.PUSH)
        push.connect(address)
        return push

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDHWM, self._high_water_mark)
        sock.setsockopt(zmq.RCVHWM, self._high_water_mark)
        return sock

    def __enter__(self) -> RawNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)


@contextmanager
def learner(link: Link, **driver_parameters: Any) -> Iterator[tuple[Proxy, list[str]]]:
    """The Proxy in the middle, with the names of its actors."""
    with _joined(link, "learner", {"actor": link.arguments["leaves"]}, driver_parameters) as proxy:
        link.say("ready")
        yield proxy, proxy.peers_name["actor"]


@contextmanager
def actor(link: Link, **driver_parameters: Any) -> Iterator[Proxy]:
    """The Proxy of an actor, which knows the learner only."""
    with _joined(link, "actor", {"learner": 1}, driver_parameters) as proxy:
        link.say("ready")
        yield proxy


def portions_to_send(link: Link) -> Iterator[int]:
    """How many messages to send at once: a few that are not timed, then, when told, the others.

    The harness is told when each portion was begun, by the clock that all processes of the machine share.
    """
    for count in (link.arguments["warm_up"], link.arguments["count"]):
        link.hear()
        start = time.monotonic()
        yield count
        link.say(start)
    link.hear()


def portions_to_take(link: Link) -> Iterator[int]:
    """The same portions at the other end; the harness is told when each was complete."""
    for count in (link.arguments["warm_up"], link.arguments["count"]):
        yield count
        link.say(time.monotonic())
    link.hear()


def _joined(link: Link, component_type: str, peers: dict[str, int], driver_parameters: dict[str, Any]) -> Proxy:
    from maro.communication import Proxy

    return Proxy(
        link.arguments["group"],
        component_type,
        peers,
        driver_parameters={"high_water_mark": HIGH_WATER_MARK, **driver_parameters},
        redis_address=link.arguments["redis"],
        log_enable=False,
        enable_rejoin="cache" in link.arguments,
        enable_message_cache_for_rejoin=link.arguments.get("cache", False),
        component_name=f"{component_type}.{link.arguments.get('number', 0)}",
    )
