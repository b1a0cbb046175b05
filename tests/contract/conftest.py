"""The twins that share a contract: drivers over TCP, Unix sockets and memory; stores in Redis and in memory."""

from __future__ import annotations

import contextlib
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from maro.communication import Message
from maro.communication.driver.framed_driver import BROADCAST, UNICAST, FramedDriver
from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from maro.communication.driver.zmq_driver import ZmqDriver
from maro.testbed.redis_server import RedisServer
from tests.contract.groups import Group
from tests.support.redis_servers import start_redis

WITHIN_MS = 20_000
"""How long a test waits for what has to arrive; far above what it takes, for the machine may be busy."""

MakeDriver = Callable[..., FramedDriver]


class Drivers:
    """Makes drivers of one kind that can reach each other, and closes them with the test.

    Args:
        kind: `tcp`, `ipc` or `memory`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.network = MemoryNetwork(seed=7)
        self._made: list[FramedDriver] = []
        self._raw = zmq.Context()

    def __call__(self, component_type: str = "actor", **parameters: Any) -> FramedDriver:
        driver: FramedDriver
        if self.kind == "memory":
            driver = MemoryDriver(component_type, self.network, **parameters)
        else:
            driver = ZmqDriver(component_type, self.kind, advertise_host="127.0.0.1", **parameters)
        self._made.append(driver)
        return driver

    def pair(self, **parameters: Any) -> tuple[FramedDriver, FramedDriver]:
        """Two drivers, the first connected to the second under the name `peer`."""
        sender, receiver = self("learner", **parameters), self("actor", **parameters)
        sender.connect({"peer": receiver.address})
        return sender, receiver

    @contextlib.contextmanager
    def thrower(self, target: FramedDriver, broadcast: bool = False) -> Iterator[Callable[[list[bytes]], None]]:
        """Sends whatever frames it is given to a port of the target, which has to be receiving for broadcasts."""
        address = target.address[BROADCAST if broadcast else UNICAST]
        if self.kind == "memory":
            yield lambda frames: self.throw_in_memory(address, frames, broadcast)
            return
        with self._raw.socket(zmq.XPUB if broadcast else zmq.PUSH) as raw:
            raw.setsockopt(zmq.LINGER, 1000)
            raw.setsockopt(zmq.SNDHWM, 0)
            raw.connect(address)
            if broadcast:
                assert raw.poll(WITHIN_MS), "nobody listens"
            yield lambda frames: raw.send_multipart([b"actor\0", *frames] if broadcast else frames)

    def throw_in_memory(self, address: str, frames: list[bytes], broadcast: bool) -> None:
        frames = [b"actor", *frames] if broadcast else frames
        assert self.network.transmit("memory://somebody", address, tuple(frames), 1_000_000)

    def nowhere(self) -> dict[int, str]:
        """Addresses at which nobody listens (any more)."""
        driver = self()
        address = driver.address
        if self.kind == "memory":  # where a queue that nobody empties is one that is cut off
            for place in address.values():
                senders = [f"memory://{number}" for number in range(100)]
                self.network.partition(senders, [place])
        else:
            driver.close()
        return address

    def close(self) -> None:
        for driver in self._made:
            driver.close()
        self._raw.destroy(linger=0)


@pytest.fixture(params=["tcp", "ipc", "memory"])
def drivers(request: pytest.FixtureRequest) -> Iterator[Drivers]:
    made = Drivers(request.param)
    yield made
    made.close()


class Listener:
    """Receives with a driver in a thread of its own, until it is stopped."""

    def __init__(self, driver: FramedDriver, timeout_ms: int = 20) -> None:
        self._driver = driver
        self._timeout_ms = timeout_ms
        self._got: queue.Queue[Message] = queue.Queue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Let the message that comes next be the last."""
        self._stopping.set()

    def next(self) -> Message:
        """The next message that came."""
        try:
            return self._got.get(timeout=WITHIN_MS / 1000)
        except queue.Empty:
            raise AssertionError(f"nothing came; dropped was {dict(self._driver.dropped)}") from None

    def got_nothing_else(self) -> bool:
        return self._got.empty()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._driver.receive(timeout=self._timeout_ms):
                self._got.put(message)
                if self._stopping.is_set():
                    return


def message(payload: Any = None, to: str = "peer", tag: Any = "tag") -> Message:
    return Message(tag, "me", to, payload)


def receive(driver: FramedDriver) -> Message:
    """The next message; its absence is a failure."""
    for received in driver.receive(is_continuous=False, timeout=WITHIN_MS):
        return received
    raise AssertionError(f"nothing came; dropped was {dict(driver.dropped)}")


@pytest.fixture(scope="session")
def real_redis(_own_home: None) -> Iterator[RedisServer]:
    with start_redis(embedded=False) as server:
        yield server


@pytest.fixture(scope="session")
def embedded_redis(_own_home: None) -> Iterator[RedisServer]:
    with start_redis(embedded=True) as server:
        yield server


@pytest.fixture
def group_name() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["real", "embedded", "memory"])
def group(request: pytest.FixtureRequest, group_name: str) -> Iterator[Group]:
    """A group over ZeroMQ and either Redis, or all in memory."""
    kind = request.param
    made = Group(group_name, None if kind == "memory" else request.getfixturevalue(f"{kind}_redis").address)
    yield made
    made.close()
