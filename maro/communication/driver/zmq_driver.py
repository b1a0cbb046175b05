"""The driver over ZeroMQ.

Unicast: each driver binds one PULL socket, and connects a PUSH socket to each peer. Broadcast: it binds one SUB socket
and connects one XPUB socket to all peers. All sockets belong to the thread that calls.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import math
import select
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import zmq
from zmq.backend import Socket as BackendSocket

from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.framed_driver import BROADCAST, UNICAST, FramedDriver
from maro.communication.driver.zmq_outgoing import Connection, Outgoing, send_all
from maro.communication.message import Message
from maro.communication.packets import Buffer, WireLimits
from maro.utils.exception.communication_exception import (
    DriverReceiveError,
    PeersConnectionError,
)
from maro.utils.logger import DummyLogger

_NO_WAIT = int(zmq.DONTWAIT)
_SUBSCRIPTION_WAIT_S = 1.0
"""How long a broadcast waits, once, for a peer that was just connected to say that it listens."""
_TURN = 64
"""While unicast messages keep coming, the broadcast socket is looked at after this many of them."""
_REFUSED_AT_ONCE = 1000
"""After so many refused packets in a row the caller gets a look at its deadline and its other news."""
_PROTOCOLS = ("tcp", "ipc")


class ZmqDriver(FramedDriver):
    """The communication driver over ZeroMQ.

    Args:
        component_type: the type of the component, also the topic of the broadcasts that it gets.
        protocol: `tcp`, or `ipc` (Unix sockets, one machine).
        send_timeout: milliseconds that a send may wait for room in the queue; -1 waits for ever.
        receive_timeout: milliseconds that a receive waits where it is not told; -1 waits for ever.
        logger: told of connections.
        bind_host: the interface to listen on; `*` is all of them.
        advertise_host: the host that peers connect to; by default this machine's address towards the network.
        zero_copy: the caller promises not to write to a payload's buffers after sending them; they are not copied.
        high_water_mark: packets that may wait at either end of a connection before a send has to wait; small messages
            that a Proxy sends in a row share packets, up to 64 in one.
        limits: the most that one message may be.

    Raises:
        PeersConnectionError: the protocol is unknown, or the sockets can't be bound.
    """

    def __init__(
        self,
        component_type: str,
        protocol: str = "tcp",
        send_timeout: int = -1,
        receive_timeout: int = -1,
        logger: Any = DummyLogger(),  # noqa: B008 - the documented default; it has no state
        *,
        bind_host: str = "*",
        advertise_host: str | None = None,
        zero_copy: bool = False,
        high_water_mark: int = 1000,
        limits: WireLimits = AbsDriver.limits,
    ) -> None:
        if protocol not in _PROTOCOLS:
            raise PeersConnectionError(
                f"the protocol {protocol!r} is not supported; use one of {', '.join(_PROTOCOLS)}"
            )
        super().__init__(component_type, send_timeout, receive_timeout, logger, zero_copy, high_water_mark, limits)
        self._protocol = protocol
        self._outgoing = Outgoing()
        self._connections = self._outgoing.connections
        # Without a call in between: every message passes here.
        self.send_frames = self._outgoing.send  # type: ignore[method-assign]
        self._listening: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._wake_fd: int | None = None
        self._turns = itertools.count(1)
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, self._context.get(zmq.SOCKET_LIMIT))  # by itself it ends at 1,023 peers
        try:
            self._unicast_receiver = self._bound(zmq.PULL, bind_host)
            self._broadcast_receiver = self._bound(zmq.SUB, bind_host)
            self._broadcast_sender = self._new_socket(zmq.XPUB)
            # Also who subscribes again, over a connection that replaces another, is to be seen.
            self._broadcast_sender.setsockopt(zmq.XPUB_VERBOSE, 1)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise PeersConnectionError(f"no socket can be bound to {bind_host!r} over {protocol}: {error}") from error
        self._receive = self._unicast_receiver.recv
        self._other_unicast_frames = functools.partial(self._other_frames, self._unicast_receiver)
        self._other_broadcast_frames = functools.partial(self._other_frames, self._broadcast_receiver)
        self._arrivals = select.poll()
        self._broadcast_fd = int(self._broadcast_receiver.getsockopt(zmq.FD))
        self._arrivals.register(int(self._unicast_receiver.getsockopt(zmq.FD)), select.POLLIN)
        self._arrivals.register(self._broadcast_fd, select.POLLIN)
        self._is_drained = False
        """Whether nothing was left in the sockets when they were looked at last."""
        self._may_have_broadcasts = True
        self._broadcast_receiver.setsockopt(zmq.SUBSCRIBE, _topic(component_type))
        self.advertise(advertise_host or _outward_host())

    def advertise(self, host: str) -> None:
        """Name the host in `address`, before anybody has been told the address."""
        if self._address:
            self._broadcast_receiver.setsockopt(zmq.UNSUBSCRIBE, _mark(self._address[BROADCAST]))
        for kind, sock in ((UNICAST, self._unicast_receiver), (BROADCAST, self._broadcast_receiver)):
            endpoint = sock.getsockopt_string(zmq.LAST_ENDPOINT)
            if self._protocol == "tcp":
                shown = f"[{host}]" if ":" in host else host
                endpoint = f"tcp://{shown}:{endpoint.rpartition(':')[2]}"
            self._address[kind] = endpoint
        self._broadcast_receiver.setsockopt(zmq.SUBSCRIBE, _mark(self._address[BROADCAST]))

    def send_frames(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet to a connected peer without waiting; False where there is no room now."""
        return self._outgoing.send(peer, frames)

    def take(self) -> Message | None:
        """The next message that has arrived and was admitted, if there is one."""
        self._is_drained = False
        if self._rest_of_packet:
            message = self._next_of_packet()
            if message is not None:
                return message
        if not self._may_have_broadcasts and next(self._turns) % _TURN:  # nearly always
            try:
                message = self._take_unicast()
            except zmq.Again:
                self._is_drained = True
                return None
            if message is not None:
                return message
        self._may_have_broadcasts = True
        return self._take_in_turns()

    def _take_in_turns(self) -> Message | None:
        """The next message of either receiving socket: whoever keeps coming gets every other turn."""
        for _ in range(_REFUSED_AT_ONCE):
            is_broadcasts_turn = next(self._turns) % 2
            message = self._take_broadcast() if self._may_have_broadcasts and is_broadcasts_turn else None
            if message is None:
                try:
                    message = self._take_unicast()
                except zmq.Again:
                    if not self._may_have_broadcasts:
                        self._is_drained = True
                        return None
                    message = self._take_broadcast()
            if message is not None:
                return message
        return None

    def wait(
        self,
        timeout_ms: float | None,
        wake_fd: int | None = None,
        writable: Collection[str] = (),
        readable: bool = True,
    ) -> None:
        """Return when something can be taken, `wake_fd` is readable, a peer in `writable` has room, or time is up.

        After `take` has found nothing it is several times as fast: ZeroMQ signals arrivals once, through a descriptor
        of each socket, and when nothing is left in the sockets these descriptors can be waited on.
        """
        if writable or not readable or not self._is_drained:
            self._wait_for_room(writable, timeout_ms, wake_fd, readable)
            return
        if wake_fd != self._wake_fd:
            if self._wake_fd is not None:
                self._arrivals.unregister(self._wake_fd)
            if wake_fd is not None:
                self._arrivals.register(wake_fd, select.POLLIN)
            self._wake_fd = wake_fd
        try:
            ready = self._arrivals.poll(_whole_ms(timeout_ms))
        except OSError as error:
            raise DriverReceiveError(f"polling the sockets failed: {error}") from error
        for fd, _ in ready:
            if fd == self._broadcast_fd:
                self._may_have_broadcasts = True

    def _wait_for_room(
        self, names: Collection[str], timeout_ms: float | None, wake_fd: int | None = None, readable: bool = False
    ) -> None:
        if readable and self._rest_of_packet:
            return
        poller = zmq.Poller()
        if readable:
            poller.register(self._unicast_receiver, zmq.POLLIN)
            poller.register(self._broadcast_receiver, zmq.POLLIN)
            # Looking at a socket uses up its signal.
            self._is_drained, self._may_have_broadcasts = False, True
        if wake_fd is not None:
            poller.register(wake_fd, zmq.POLLIN)
        try:
            self._outgoing.poll(poller, names, _whole_ms(timeout_ms))
        except zmq.ZMQError as error:
            raise DriverReceiveError(f"polling the sockets failed: {error}") from error

    def _connected(self) -> Collection[str]:
        return self._connections

    def _open(self, name: str, addresses: Mapping[int, str]) -> None:
        unicast, broadcast = addresses.get(UNICAST), addresses.get(BROADCAST)
        if unicast is None:
            raise PeersConnectionError(f"{name!r} has no address for unicast messages (socket type {UNICAST})")
        for address in addresses.values():  # all of them before anything is given up for them
            if not _is_endpoint(address):
                raise PeersConnectionError(
                    f"{name!r} can't be connected at {address!r}; an address is tcp://host:port or ipc://path"
                )
        push = None
        try:
            push = self._new_socket(zmq.PUSH)
            push.connect(unicast)
            if name in self._connections:
                self._drop(name)
            if broadcast is not None:
                self._broadcast_sender.connect(broadcast)
        except zmq.ZMQError as error:
            if push is not None:
                push.close(linger=0)
            hint = "; each peer takes a few descriptors, see `ulimit -n`" if error.errno == errno.EMFILE else ""
            raise PeersConnectionError(f"{name!r} can't be connected at {dict(addresses)}: {error}{hint}") from error
        self._outgoing.add(name, Connection(push, broadcast))

    def _drop(self, name: str) -> None:
        connection = self._outgoing.drop(name)
        if connection.broadcast_address is not None:
            with contextlib.suppress(zmq.ZMQError):  # another name may have had the same address, and dropped it
                self._broadcast_sender.disconnect(connection.broadcast_address)
            mark = _mark(connection.broadcast_address)
            self._asked.discard(mark)
            self._read_subscriptions()
            self._listening.discard(mark)

    def _publish(self, topic: str, frames: Sequence[Buffer]) -> None:
        self._await_subscriptions()
        send_all(functools.partial(BackendSocket.send, self._broadcast_sender), [_topic(topic), *frames])

    def _close_sockets(self, linger_ms: int, drop: Collection[str]) -> None:
        self._outgoing.close(linger_ms, drop)
        for sock in (self._unicast_receiver, self._broadcast_receiver, self._broadcast_sender):
            sock.close(linger=0)
        self._context.term()

    def _new_socket(self, kind: int) -> zmq.Socket[bytes]:
        sock: zmq.Socket[bytes] = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDHWM, self._high_water_mark)
        sock.setsockopt(zmq.RCVHWM, self._high_water_mark)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        return sock

    def _bound(self, kind: int, host: str) -> zmq.Socket[bytes]:
        sock = self._new_socket(kind)
        # A frame beyond the limit ends its connection before it is read: nobody can make us hold it.
        sock.setsockopt(zmq.MAXMSGSIZE, self.limits.max_bytes)
        sock.bind(f"tcp://{host}:*" if self._protocol == "tcp" else "ipc://*")
        return sock

    def _take_unicast(self) -> Message | None:
        """The next message of the unicast socket; None where it was refused.

        Raises:
            zmq.Again: nothing is there.
        """
        return self._accept(self._receive(_NO_WAIT), self._other_unicast_frames)

    def _take_broadcast(self) -> Message | None:
        """The next message of the broadcast socket; None where it was refused, or where there is none."""
        sock = self._broadcast_receiver
        try:
            sock.recv(_NO_WAIT)  # the topic
        except zmq.Again:
            self._may_have_broadcasts = False
            return None
        if not sock.getsockopt(zmq.RCVMORE):
            self._drops.add("foreign", "a broadcast of nothing but a topic")
            return None
        return self._accept(sock.recv(_NO_WAIT), self._other_broadcast_frames)

    def _other_frames(self, sock: zmq.Socket[bytes]) -> list[Any]:
        """The rest of a packet; of one with too many or too large frames, only the beginning is kept.

        Asking a socket whether more frames follow costs more than decoding, so it is asked only where the envelope
        says so, or is none. A frame that nobody announced is read next, as a packet of its own, and refused.
        """
        frames: list[Any] = []
        size = 0
        while sock.getsockopt(zmq.RCVMORE):
            frame = sock.recv(_NO_WAIT, copy=False)
            size += len(frame)
            if len(frames) <= self.limits.max_frames and size <= self.limits.max_bytes:
                frames.append(frame.buffer)
        return frames

    def _await_subscriptions(self) -> None:
        """Wait until the peers connected since the last broadcast have said that they listen, or for a second."""
        marks = {
            _mark(connection.broadcast_address)
            for connection in self._connections.values()
            if connection.broadcast_address is not None
        }
        deadline = time.monotonic() + _SUBSCRIPTION_WAIT_S
        while True:
            self._read_subscriptions()
            left = deadline - time.monotonic()
            if marks <= self._listening | self._asked or left <= 0:
                break
            self._broadcast_sender.poll(_whole_ms(left * 1000), zmq.POLLIN)
        self._asked |= marks

    def _read_subscriptions(self) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                notice = self._broadcast_sender.recv(_NO_WAIT)
                (self._listening.add if notice[:1] == b"\1" else self._listening.discard)(notice[1:])


def _is_endpoint(address: Any) -> bool:
    """Whether it has the form of one; libzmq takes some ports that there are not, and reports nothing."""
    if not isinstance(address, str):
        return False
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if protocol == "tcp":
        return bool(host) and port.isdecimal() and 0 < int(port) < 65536
    return protocol == "ipc" and bool(place)


def _whole_ms(timeout_ms: float | None) -> int | None:
    """Rounded up: waiting a little too long beats asking again and again at the end."""
    return None if timeout_ms is None else math.ceil(timeout_ms)


def _topic(component_type: str) -> bytes:
    """The topic of a type; its end is marked, so that no type's topic is the beginning of another's."""
    return component_type.encode() + b"\0"


def _mark(address: str) -> bytes:
    """What a receiver subscribes to besides its topic, so that a sender sees who listens: its own address."""
    return b"\0" + address.encode()


def _outward_host() -> str:
    """This machine's address towards the network; a datagram socket finds it without sending anything."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # TEST-NET-2 (RFC 5737): never a real host
        return str(probe.getsockname()[0])
    return "127.0.0.1"
