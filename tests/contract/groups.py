"""Components of one group, in threads of one process, over one kind of driver and store."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from maro.communication import Message, Proxy
from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from maro.communication.memory_store import MemoryServer, MemoryStore

WITHIN_MS = 20_000

Handler = Callable[[Proxy, Message], Any]


class Group:
    """Makes Proxies of one group, and closes them with the test.

    Args:
        name: of the group.
        redis_address: None is a group in memory.
    """

    def __init__(self, name: str, redis_address: Any) -> None:
        self.name = name
        self.server = MemoryServer()
        self.network = MemoryNetwork(seed=3)
        self._address = redis_address
        self._made: list[Proxy] = []

    def options(self, name: str, expects: dict[str, int], **options: Any) -> dict[str, Any]:
        """The arguments of a Proxy; the part of the name before the last number is its type."""
        arguments: dict[str, Any] = {
            "group_name": self.name,
            "component_type": name.rpartition("_")[0] or name,
            "expected_peers": expects,
            "component_name": name,
            "log_enable": False,
            "lease_s": 5.0,
        }
        if self._address is None:
            arguments["store"] = MemoryStore(self.server, self.name, 5.0)
            arguments["driver_type"] = MemoryDriver
            arguments["driver_parameters"] = {"network": self.network, **options.pop("driver_parameters", {})}
        else:
            arguments["redis_address"] = self._address
        return {**arguments, **options}

    def join(self, name: str, expects: dict[str, int], **options: Any) -> Proxy:
        """One component; its peers have to be there, or on their way."""
        proxy = Proxy(**self.options(name, expects, **options))
        self._made.append(proxy)
        return proxy

    def together(self, *components: tuple[str, dict[str, int]], **options: Any) -> list[Proxy]:
        """Components that wait for each other."""
        with ThreadPoolExecutor(len(components)) as pool:
            return list(pool.map(lambda each: self.join(*each, **options), components))

    def learner_and(self, *actors: str, **options: Any) -> list[Proxy]:
        """A learner, and its actors."""
        learner = ("learner_0", {"actor": len(actors)})
        return self.together(learner, *((name, {"learner": 1}) for name in actors), **options)

    def close(self) -> None:
        for proxy in self._made:
            proxy.close()


@contextlib.contextmanager
def serving(*proxies: Proxy, by: Handler) -> Iterator[list[Message]]:
    """Each of the proxies hands what it receives to `by`, in a thread of its own; yields what was received."""
    stopping = threading.Event()
    got: list[Message] = []

    def serve(proxy: Proxy) -> None:
        while not stopping.is_set():
            for message in proxy.receive(timeout=20):
                assert message is not None
                got.append(message)
                by(proxy, message)

    with ThreadPoolExecutor(len(proxies)) as pool:
        done = [pool.submit(serve, proxy) for proxy in proxies]
        try:
            yield got
        finally:
            stopping.set()
    for each in done:
        each.result()


def doubled(proxy: Proxy, message: Message) -> None:
    """Reply with twice the payload."""
    proxy.reply(message, tag="result", payload=message.payload * 2)


def one(proxy: Proxy) -> Message:
    """The next message; its absence is a failure."""
    for message in proxy.receive(is_continuous=False, timeout=WITHIN_MS):
        assert message is not None
        return message
    raise AssertionError(f"nothing came to {proxy!r}")
