"""A driver without sockets: a seeded network in memory that can drop, delay and partition.

It keeps ZeroMQ's manners: a connection is a bounded queue in order, a full one is back-pressure, and what is cut off
waits at the sender. Tests and simulations use it in place of `ZmqDriver`.
"""

from __future__ import annotations

import functools
import itertools
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from maro.communication.codec import Buffer, WireLimits
from maro.communication.deadline import Deadline
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.framed_driver import BROADCAST, UNICAST, FramedDriver
from maro.communication.message import Message
from maro.utils.exception.communication_exception import PeersConnectionError, PendingToSend
from maro.utils.logger import DummyLogger

Frames = tuple[bytes, ...]

_ROOM_POLL_S = 0.001
"""How often a blocked sender looks whether there is room: a queue in memory can't wake its sender."""
_TURN = 16
"""While unicast messages keep coming, broadcasts come first once in so many."""
_TOPIC_LIMIT = 256
"""Bytes that a topic may add to a packet."""


class _Pipe:
    """What is on its way from one sender to one address, each with the time at which it arrives."""

    def __init__(self) -> None:
        self.packets: deque[tuple[float, Frames]] = deque()


class MemoryNetwork:
    """Addresses, the pipes between them, and what is wrong with the network at the moment.

    Args:
        seed: of everything random.
        clock: seconds; a simulation gives its own.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.drop_rate = 0.0
        """Probability that a packet is lost."""
        self.delay_s = (0.0, 0.0)
        """Least and most seconds on the way; order within a pipe is kept."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._pipes: dict[str, dict[str, _Pipe]] = {}
        self._wakers: dict[str, Callable[[], None]] = {}
        self._cut: set[tuple[str, str]] = set()
        self._numbers = 0

    def partition(self, side: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Hold what goes between the addresses of two sides (one way: only from the first to the other)."""
        with self._lock:
            for a in side:
                for b in other:
                    self._cut.add((a, b))
                    if not one_way:
                        self._cut.add((b, a))

    def heal(self) -> None:
        """End all partitions, losses and delays."""
        with self._lock:
            self._cut.clear()
            self.drop_rate, self.delay_s = 0.0, (0.0, 0.0)
            wakers = list(self._wakers.values())
        for wake in wakers:
            wake()

    def bind(self, wake: Callable[[], None]) -> str:
        """A new address; `wake` is called when something is sent to it."""
        with self._lock:
            self._numbers += 1
            address = f"memory://{self._numbers}"
            self._pipes[address] = {}
            self._wakers[address] = wake
            return address

    def unbind(self, address: str) -> None:
        """Nobody listens at the address any more; what was on its way is lost."""
        with self._lock:
            self._pipes.pop(address, None)
            self._wakers.pop(address, None)

    def knows(self, address: str) -> bool:
        """Whether the address was ever given out."""
        number = str(address).removeprefix("memory://")
        return number.isdecimal() and 0 < int(number) <= self._numbers

    def transmit(self, sender: str, address: str, frames: Frames, bound: int) -> bool:
        """Put a packet on its way; False where `bound` packets are on it already."""
        with self._lock:
            pipes = self._pipes.get(address)
            if pipes is None:
                return True  # nobody there: ZeroMQ would queue it for a successor, and the envelope would refuse it
            pipe = pipes.setdefault(sender, _Pipe())
            if len(pipe.packets) >= bound:
                return False
            if self._random.random() >= self.drop_rate:
                arrives = self.clock() + self._random.uniform(*self.delay_s)
                if pipe.packets:
                    arrives = max(arrives, pipe.packets[-1][0])
                pipe.packets.append((arrives, frames))
            wake = self._wakers[address]
        wake()
        return True

    def cancel(self, sender: str, address: str) -> None:
        """Forget what is on its way from one address to another: the sender closed the connection."""
        with self._lock:
            self._pipes.get(address, {}).pop(sender, None)

    def holds_back(self, sender: str, address: str) -> bool:
        """Whether something from one address to another has yet to arrive."""
        with self._lock:
            return any(self._is_held_back(sender, address, arrives) for arrives, _ in self._packets(sender, address))

    def let_go(self, sender: str, address: str) -> None:
        """Forget what has yet to arrive: the sender closed, and does not try any more."""
        with self._lock:
            packets = self._packets(sender, address)
            while packets and self._is_held_back(sender, address, packets[-1][0]):
                packets.pop()

    def collect(self, address: str) -> Frames | None:
        """The packet that has waited longest at the address, fairly between senders."""
        with self._lock:
            pipes = self._pipes.get(address, {})
            now = self.clock()
            for sender in list(pipes):
                packets = pipes[sender].packets
                if packets and packets[0][0] <= now and (sender, address) not in self._cut:
                    pipes[sender] = pipes.pop(sender)  # to the end of the queue of senders
                    return packets.popleft()[1]
            return None

    def next_arrival_s(self, address: str) -> float | None:
        """Seconds until the next packet arrives at the address; None where none is on its way."""
        with self._lock:
            times = [
                pipe.packets[0][0]
                for sender, pipe in self._pipes.get(address, {}).items()
                if pipe.packets and (sender, address) not in self._cut
            ]
            return max(0.0, min(times) - self.clock()) if times else None

    def _packets(self, sender: str, address: str) -> deque[tuple[float, Frames]]:
        pipe = self._pipes.get(address, {}).get(sender)
        return deque() if pipe is None else pipe.packets

    def _is_held_back(self, sender: str, address: str, arrives: float) -> bool:
        return arrives > self.clock() or (sender, address) in self._cut


class MemoryDriver(FramedDriver):
    """A driver over a `MemoryNetwork`.

    Args:
        component_type: the type of the component, also the topic of the broadcasts that it gets.
        network: shared by all drivers that are to reach each other.
        send_timeout: milliseconds that a send may wait for room in the queue; -1 waits for ever.
        receive_timeout: milliseconds that a receive waits where it is not told; -1 waits for ever.
        logger: told of connections.
        zero_copy: the caller promises not to write to a payload's buffers after sending them.
        high_water_mark: packets that may be on their way to a peer before a send has to wait.
        limits: the most that one message may be.
    """

    def __init__(
        self,
        component_type: str,
        network: MemoryNetwork,
        send_timeout: int = -1,
        receive_timeout: int = -1,
        logger: Any = DummyLogger(),  # noqa: B008 - as the driver over ZeroMQ; it has no state
        *,
        zero_copy: bool = False,
        high_water_mark: int = 1000,
        limits: WireLimits = AbsDriver.limits,
    ) -> None:
        super().__init__(component_type, send_timeout, receive_timeout, logger, zero_copy, high_water_mark, limits)
        self._network = network
        self._peers: dict[str, Mapping[int, str]] = {}
        self._turns = itertools.count(1)
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._address = {UNICAST: network.bind(self._wake), BROADCAST: network.bind(self._wake)}

    def send_frames(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet to a connected peer without waiting; False where there is no room now."""
        try:
            address = self._peers[peer][UNICAST]
        except KeyError:
            raise PendingToSend(f"{peer!r} is not connected") from None
        packet = tuple(bytes(frame) for frame in frames)
        return self._network.transmit(self._address[UNICAST], address, packet, self._high_water_mark)

    def take(self) -> Message | None:
        """The next message that has arrived and was admitted, if there is one."""
        while True:
            first, second = (UNICAST, BROADCAST) if next(self._turns) % _TURN else (BROADCAST, UNICAST)
            frames, kind = self._network.collect(self._address[first]), first
            if frames is None:
                frames, kind = self._network.collect(self._address[second]), second
                if frames is None:
                    return None
            if sum(map(len, frames)) > self.limits.max_bytes + _TOPIC_LIMIT:
                self._drops.add("too_large", f"a packet of more than {self.limits.max_bytes:,} bytes")
                continue
            if kind == BROADCAST:
                if frames[0] != self._component_type.encode():
                    continue
                frames = frames[1:]
                if not frames:
                    self._drops.add("foreign", "a broadcast of nothing but a topic")
                    continue
            # A receiver may write to what it got, but never to what the sender holds.
            others = [bytearray(frame) for frame in frames[1:]]
            message = self._accept(frames[0], functools.partial(list, others))
            if message is not None:
                return message

    def wait(
        self,
        timeout_ms: float | None,
        wake_fd: int | None = None,
        writable: Collection[str] = (),
        readable: bool = True,
    ) -> None:
        """Return when something can be taken, `wake_fd` is readable, a peer in `writable` has room, or time is up."""
        limits = [_ROOM_POLL_S if writable else None, None if timeout_ms is None else timeout_ms / 1000]
        fds: list[Any] = [] if wake_fd is None else [wake_fd]
        if readable:
            limits += [self._network.next_arrival_s(address) for address in self._address.values()]
            fds.append(self._wake_receiver)
        known = [max(0.0, limit) for limit in limits if limit is not None]
        ready = select.select(fds, [], [], min(known) if known else None)[0]
        if self._wake_receiver in ready:
            self._wake_receiver.recv(4096)

    def _connected(self) -> Collection[str]:
        return self._peers

    def _open(self, name: str, addresses: Mapping[int, str]) -> None:
        if UNICAST not in addresses or not all(self._network.knows(address) for address in addresses.values()):
            raise PeersConnectionError(f"{name!r} can't be connected at {dict(addresses)}: no such address")
        if name in self._peers:
            self._drop(name)
        self._peers[name] = dict(addresses)

    def _drop(self, name: str) -> None:
        for kind, address in self._peers.pop(name).items():
            self._network.cancel(self._address[kind], address)

    def _publish(self, topic: str, frames: Sequence[Buffer]) -> None:
        packet = (topic.encode(), *(bytes(frame) for frame in frames))
        for addresses in self._peers.values():
            if BROADCAST in addresses:
                self._network.transmit(self._address[BROADCAST], addresses[BROADCAST], packet, self._high_water_mark)

    def _close_sockets(self, linger_ms: int, drop: Collection[str]) -> None:
        deadline = Deadline(linger_ms)
        for name, addresses in self._peers.items():
            way = (self._address[UNICAST], addresses[UNICAST])
            while name not in drop and self._network.holds_back(*way) and not deadline.passed():
                time.sleep(_ROOM_POLL_S)
            self._network.let_go(*way)
        for address in self._address.values():
            self._network.unbind(address)
        self._wake_receiver.close()
        self._wake_sender.close()

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except OSError:
            return  # awake already, or closed
