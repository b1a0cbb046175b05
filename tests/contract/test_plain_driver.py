"""A driver of one's own: the abstract methods are enough."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from maro.communication import AbsDriver, Message, Proxy, SessionMessage
from maro.communication.codec import Encoder
from maro.communication.memory_store import MemoryServer, MemoryStore
from maro.communication.packets import Route, WireLimits
from tests.contract.conftest import WITHIN_MS, message


class PlainDriver(AbsDriver):
    """Nothing but the abstract methods, over queues of one process."""

    places: ClassVar[dict[str, queue.Queue[Message]]] = {}

    def __init__(self, component_type: str, logger: Any = None) -> None:
        self.place = f"place-{id(self)}"
        self.places[self.place] = queue.Queue()
        self.peers: dict[str, str] = {}

    @property
    def address(self) -> Mapping[int, str]:
        return {7: self.place}

    def connect(self, peers_address: Mapping[str, Mapping[Any, str]]) -> None:
        self.peers |= {name: next(iter(addresses.values())) for name, addresses in peers_address.items()}

    def disconnect(self, peers_address: Mapping[str, Mapping[Any, str]]) -> None:
        for name in peers_address:
            del self.peers[name]

    def send(self, message: Message) -> None:
        self.places[self.peers[message.destination]].put(message)

    def broadcast(self, component_type: str, message: Message) -> None:
        for place in self.peers.values():
            self.places[place].put(message)

    def receive(self, is_continuous: bool = True, timeout: int | None = None) -> Iterator[Message]:
        while True:
            try:
                yield self.places[self.place].get(timeout=max(timeout or 0, 0.1) / 1000)
            except queue.Empty:
                return
            if not is_continuous:
                return

    def close(self) -> None:
        self.places.pop(self.place, None)


@pytest.fixture
def pair() -> Iterator[tuple[PlainDriver, PlainDriver]]:
    sender, receiver = PlainDriver("learner"), PlainDriver("actor")
    sender.connect({"peer": receiver.address})
    yield sender, receiver
    sender.close()
    receiver.close()


def test_the_abstract_driver_can_not_be_made() -> None:
    """Nor one that lacks any of its methods."""
    with pytest.raises(TypeError, match="abstract"):
        AbsDriver()  # type: ignore[abstract]
    assert AbsDriver.__abstractmethods__ == {
        "address",
        "broadcast",
        "close",
        "connect",
        "disconnect",
        "receive",
        "send",
    }
    for name in AbsDriver.__abstractmethods__:
        lacking = type("Lacking", (PlainDriver,), {name: getattr(AbsDriver, name)})
        with pytest.raises(TypeError, match=name):
            lacking("actor")


def test_frames_are_sent_as_messages(pair: tuple[PlainDriver, PlainDriver]) -> None:
    """The plain default decodes what was encoded for many."""
    sender, receiver = pair
    encoded = Encoder("me", WireLimits()).encode(message({"a": bytes(100_000)}))
    assert sender.send_frames("peer", Route("me", "learner", 1, "peer", 2).packet(encoded))
    taken = receiver.take()
    assert taken is not None
    assert (taken.destination, taken.payload) == ("peer", {"a": bytes(100_000)})
    assert receiver.take() is None


def test_a_wait_keeps_the_message_that_ended_it(pair: tuple[PlainDriver, PlainDriver]) -> None:
    """What is received while waiting is taken afterwards, in order."""
    sender, receiver = pair
    for number in range(3):
        sender.send(message(number))
    receiver.wait(WITHIN_MS)
    taken = [receiver.take() for _ in range(4)]
    assert [each and each.payload for each in taken] == [0, 1, 2, None]


def test_a_wait_ends_in_time_with_news_and_for_writers(pair: tuple[PlainDriver, PlainDriver]) -> None:
    """A driver that can't be woken looks often enough."""
    sender, receiver = pair
    start = time.monotonic()
    receiver.wait(60)
    assert time.monotonic() - start >= 0.055
    sender.wait(None, writable=("peer",))
    reading, writing = socket.socketpair()
    with reading, writing:
        waker = threading.Timer(0.03, writing.send, [b"x"])
        waker.start()
        receiver.wait(None, reading.fileno())
        waker.join()
    start = time.monotonic()
    sender.send(message(1))
    receiver.wait(50, readable=False)
    assert time.monotonic() - start >= 0.045
    assert time.monotonic() - start < WITHIN_MS / 1000


def test_the_other_defaults_do_nothing(pair: tuple[PlainDriver, PlainDriver]) -> None:
    """No name to advertise, nothing dropped, nothing to wait for when closing."""
    sender, _ = pair
    sender.advertise("host")
    assert sender.dropped.total() == 0
    assert sender.shutdown(1000)
    assert sender.place not in PlainDriver.places


def test_a_proxy_works_with_it() -> None:
    """As `driver_type`, for requests and their replies."""
    # Given two components over the plain driver
    server = MemoryServer()
    got: list[Any] = []

    def act() -> None:
        with Proxy(
            "g",
            "actor",
            {"learner": 1},
            PlainDriver,
            component_name="a",
            store=MemoryStore(server, "g", 5),
            log_enable=False,
        ) as actor:
            for request in actor.receive(is_continuous=False, timeout=WITHIN_MS):
                assert request is not None
                got.append(request.payload)
                actor.reply(request, payload="done")

    thread = threading.Thread(target=act)
    thread.start()
    # When one asks, then the other replies
    with Proxy(
        "g",
        "learner",
        {"actor": 1},
        PlainDriver,
        component_name="l",
        store=MemoryStore(server, "g", 5),
        log_enable=False,
    ) as learner:
        replies = learner.send(SessionMessage("work", "l", "a", [1]), timeout=WITHIN_MS)
        thread.join(WITHIN_MS / 1000)
    assert got == [[1]]
    assert replies is not None
    assert [reply.payload for reply in replies] == ["done"]
