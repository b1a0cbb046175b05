"""A driver without sockets, over a network in memory. Tests and simulations use it in place of `ZmqDriver`."""

from __future__ import annotations

import functools
import itertools
import select
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from maro.communication import clock
from maro.communication.deadline import Deadline
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.framed_driver import BROADCAST, UNICAST, FramedDriver
from maro.communication.driver.memory_network import MemoryNetwork
from maro.communication.message import Message
from maro.communication.packets import Buffer, WireLimits
from maro.utils.exception.communication_exception import PeersConnectionError, PendingToSend
from maro.utils.logger import DummyLogger

__all__ = ["MemoryDriver", "MemoryNetwork"]

_LINGER_POLL_S = 0.001
"""How often one that closes looks whether everything has arrived."""
_TURN = 16
"""While unicast messages keep coming, broadcasts come first once in so many."""
_TOPIC_LIMIT = 256
"""Bytes that a topic may add to a packet."""


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
        return self._network.transmit(self._address[UNICAST], address, packet, self._high_water_mark, peer)

    def take(self) -> Message | None:
        """The next message that has arrived and was admitted, if there is one."""
        if self._rest_of_packet:
            message = self._next_of_packet()
            if message is not None:
                return message
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
        if readable and self._rest_of_packet:
            return
        limits = [None if timeout_ms is None else timeout_ms / 1000]
        fds: list[Any] = [] if wake_fd is None else [wake_fd]
        if readable:
            limits += [self._network.next_arrival_s(address) for address in self._address.values()]
        if readable or writable:
            fds.append(self._wake_receiver)
        if writable and any(self._has_room(name) for name in writable):
            limits.append(0.0)
        known = [max(0.0, limit) for limit in limits if limit is not None]
        ready = select.select(fds, [], [], min(known) if known else None)[0]
        if self._wake_receiver in ready:
            self._wake_receiver.recv(4096)

    def _has_room(self, name: str) -> bool:
        addresses = self._peers.get(name)
        return addresses is None or self._network.has_room(
            self._address[UNICAST], addresses[UNICAST], self._high_water_mark, name
        )

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
            self._network.cancel(self._address[kind], address, name)

    def _publish(self, topic: str, frames: Sequence[Buffer]) -> None:
        packet = (topic.encode(), *(bytes(frame) for frame in frames))
        own = self._address[BROADCAST]
        for name, addresses in self._peers.items():
            if BROADCAST in addresses:
                self._network.transmit(own, addresses[BROADCAST], packet, self._high_water_mark, name)

    def _close_sockets(self, linger_ms: int, drop: Collection[str]) -> None:
        deadline = Deadline(linger_ms)
        for name, addresses in self._peers.items():
            way = (self._address[UNICAST], addresses[UNICAST], name)
            while name not in drop and self._network.holds_back(*way) and not deadline.passed():
                clock.sleep(_LINGER_POLL_S)
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
