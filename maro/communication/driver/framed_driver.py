"""Everything of a driver but its sockets: names, guards, timeouts, and messages to frames and back.

`ZmqDriver` and `MemoryDriver` add the moving of frames.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from maro.communication.codec import Encoder, decode
from maro.communication.deadline import Deadline
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.drops import Drops
from maro.communication.guard import ThreadGuard
from maro.communication.message import Message
from maro.communication.packets import (
    KIND_CONTROL,
    Buffer,
    CodecError,
    Envelope,
    EnvelopeReader,
    Route,
    WireLimits,
    body_of,
    read_control,
    split,
)
from maro.utils.exception.communication_exception import (
    DriverSendError,
    PeersDisconnectionError,
    PendingToSend,
    SocketTypeError,
)

UNICAST = 7
BROADCAST = 2
"""The socket types in addresses: ZeroMQ's numbers for PULL and SUB, whatever the driver."""

_ROUTES_KEPT = 4096
_EARLY_MS = 2
"""Timers of ZeroMQ count in whole milliseconds, and may end that much too early."""


class FramedDriver(AbsDriver):
    """A driver that moves frames; the parameters are those of `ZmqDriver`."""

    carries_envelopes = True

    def __init__(
        self,
        component_type: str,
        send_timeout: int,
        receive_timeout: int,
        logger: Any,
        zero_copy: bool,
        high_water_mark: int,
        limits: WireLimits,
    ) -> None:
        self.zero_copy = zero_copy
        self.limits = limits
        self.send_timeout = send_timeout
        self.receive_timeout = receive_timeout
        self._component_type = component_type
        self._logger = logger
        self._high_water_mark = high_water_mark
        self._guard = ThreadGuard(f"the driver of a {component_type}")
        self._reader = EnvelopeReader(limits)
        self._drops = Drops(f"the driver of a {component_type}")
        self._routes: dict[tuple[str, str], tuple[Route, Encoder]] = {}
        self._address: dict[int, str] = {}
        self._disconnected: set[str] = set()
        self._taken_from: Envelope
        """The one with several messages that was accepted last."""
        self._rest_of_packet: list[bytes] = []
        """The bodies that were not taken from it yet, the last first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._component_type!r}, {self._address}, peers={sorted(self._connected())})"

    # What a driver with sockets adds.

    @abstractmethod
    def _connected(self) -> Collection[str]:
        """The names of the connected peers."""

    @abstractmethod
    def _open(self, name: str, addresses: Mapping[int, str]) -> None:
        """Start a connection in place of the one that there may be; PeersConnectionError where that can't be."""

    @abstractmethod
    def _drop(self, name: str) -> None:
        """Close a connection and what is queued on it."""

    @abstractmethod
    def _publish(self, topic: str, frames: Sequence[Buffer]) -> None:
        """Send to all that listen to the topic."""

    @abstractmethod
    def _close_sockets(self, linger_ms: int, drop: Collection[str]) -> None:
        """Close everything; wait for what is queued as `shutdown` says."""

    # The documented driver.

    @property
    def address(self) -> dict[int, str]:
        """The addresses for unicast (PULL) and broadcast (SUB) messages, by socket type."""
        return dict(self._address)

    def connect(self, peers_address_dict: Mapping[str, Mapping[Any, str]]) -> None:
        """Start connections to peers; a name that is connected already gets a new connection.

        Args:
            peers_address_dict: for each peer's name its addresses by socket type; int or string keys.

        Raises:
            SocketTypeError: a socket type other than PULL and SUB.
            PeersConnectionError: no address for unicast messages, or one that can't be connected to.
        """
        with self._guard:
            for name, addresses in peers_address_dict.items():
                self._open(name, _by_type(name, addresses))
                self._disconnected.discard(name)
                self._logger.debug(f"connected to {name} at {dict(addresses)}")

    def disconnect(self, peers_address_dict: Mapping[str, Mapping[Any, str]]) -> None:
        """Close the connections to peers; what is still queued for them is dropped.

        Args:
            peers_address_dict: as for `connect`; the names count.

        Raises:
            SocketTypeError: a socket type other than PULL and SUB.
            PeersDisconnectionError: a name that is not connected.
        """
        with self._guard:
            for name, addresses in peers_address_dict.items():
                _by_type(name, addresses)
                if name not in self._connected():
                    raise PeersDisconnectionError(f"{name!r} is not connected; connected are: {self._names()}")
                self._drop(name)
                self._disconnected.add(name)
                self._logger.debug(f"disconnected from {name}")

    def send(self, message: Message) -> None:
        """Send to the message's destination.

        Raises:
            PendingToSend: the destination was disconnected.
            DriverSendError: the destination was never connected, the payload can't be sent, or there was no room
                within `send_timeout`.
        """
        with self._guard:
            name = message.destination
            if name not in self._connected():
                if name in self._disconnected:
                    raise PendingToSend(f"{name!r} is disconnected; send again when it is connected")
                raise DriverSendError(f"{name!r} is not connected; connected are: {self._names()}")
            frames = self._packet(message, name)
            deadline = Deadline(self.send_timeout)
            while not self.send_frames(name, frames):
                if deadline.passed():
                    raise DriverSendError(
                        f"{name!r} took no message within {self.send_timeout} ms: its queue of "
                        f"{self._high_water_mark} messages is full"
                    )
                self._wait_for_room((name,), deadline.left_ms())

    def broadcast(self, topic: str, message: Message) -> None:
        """Send to every connected peer whose component type is `topic`.

        Raises:
            DriverSendError: the payload can't be sent.
        """
        with self._guard:
            self._publish(topic, self._packet(message, topic))

    def receive(self, is_continuous: bool = True, timeout: int | None = None) -> Iterator[Message]:
        """Yield messages as they come.

        Args:
            is_continuous: go on after the first.
            timeout: milliseconds to wait for each message; None is the driver's `receive_timeout`, -1 for ever.

        Raises:
            DriverReceiveError: polling the sockets failed.
        """
        limit = self.receive_timeout if timeout is None else timeout
        while True:
            with self._guard:
                message = self._next(limit)
            if message is None:
                self._logger.debug(f"no message within {limit} ms")
                return
            yield message
            if not is_continuous or self._guard.closed:
                return

    def close(self) -> None:
        """Close all sockets at once; what is still queued is dropped. A second call does nothing."""
        self.shutdown(0)

    def shutdown(self, linger_ms: int, drop: Collection[str] = ()) -> bool:
        """Close; first wait, at most `linger_ms`, until what is queued is sent, but for the peers in `drop`."""
        if self._guard.closed:
            return True
        with self._guard:
            self._guard.closed = True
            start = time.monotonic()
            self._close_sockets(linger_ms, drop)
            return linger_ms == 0 or time.monotonic() - start < (linger_ms - _EARLY_MS) / 1000

    @property
    def dropped(self) -> Counter[str]:
        """How many packets were dropped on arrival, by reason."""
        return self._drops.counts

    # Shared by the drivers with sockets.

    def _names(self) -> str:
        return ", ".join(sorted(self._connected())) or "none"

    def _wait_for_room(self, names: Collection[str], timeout_ms: float | None) -> None:
        self.wait(timeout_ms, writable=names, readable=False)

    def _packet(self, message: Message, destination: str) -> list[Buffer]:
        key = (message.source, destination)
        try:
            known = self._routes.get(key)
            if known is None:
                if len(self._routes) >= _ROUTES_KEPT:
                    self._routes.clear()
                route = Route(message.source, self._component_type, 0, destination, 0)
                known = self._routes[key] = (route, Encoder(message.source, self.limits, self.zero_copy))
            route, encoder = known
            return route.packet(encoder.encode(message))
        except CodecError as error:
            raise DriverSendError(f"a message to {destination!r} can't be sent: {error}") from error

    def _next(self, timeout_ms: int) -> Message | None:
        deadline = Deadline(timeout_ms)
        waited = False
        while True:
            message = self.take()
            if message is not None or (waited and deadline.passed()):
                return message
            self.wait(deadline.left_ms())  # once at least: a look at everything, where `take` is cheaper than that
            waited = True

    def _accept(self, first: bytes, others: Callable[[], Sequence[Any]]) -> Message | None:
        """The message of a packet; None where it has none, or (counted) is refused.

        Of several messages the first that can be had; `_next_of_packet` has the others.

        Args:
            first: its first frame.
            others: reads the frames after it; called at most once, and only where there may be some.
        """
        rest: Sequence[Any] | None = None
        try:
            envelope = self._reader.read(first)
            rest = others() if envelope.frames else ()
            if len(rest) != envelope.frames:
                raise CodecError("foreign", f"{len(rest)} frames where the envelope says {envelope.frames}")
            if envelope.kind == KIND_CONTROL:
                flags, number, token = read_control(envelope, first)
                if self.on_control is not None:
                    self.on_control(envelope, flags, number, token)
                return None
            # All that can be wrong with a packet is found before it is admitted, but for what unpickling finds.
            bodies = split(envelope, first) if envelope.messages > 1 else None
            body, buffers = body_of(envelope, first, rest) if bodies is None else (b"", ())
            known = 0 if self.admit is None else self.admit(envelope)
            if known is None:
                return None
            self.sender = envelope.source
            if bodies is not None:
                self._rest_of_packet = bodies[: known - 1 if known else None : -1]
                self._taken_from = envelope
                return self._next_of_packet()
            self.sequence = envelope.sequence
            return self._decode(envelope, body, buffers)
        except CodecError as error:
            if rest is None:
                others()
            self._drops.add(error.reason, str(error))
            return None

    def _next_of_packet(self) -> Message | None:
        """The next message of the packet that was accepted last; None where no other can be had."""
        bodies, envelope = self._rest_of_packet, self._taken_from
        while bodies:
            if envelope.sequence:
                self.sequence = envelope.sequence + envelope.messages - len(bodies)
            else:
                self.sequence = 0
            message = self._decode(envelope, bodies.pop(), ())
            if message is not None:
                return message
        return None

    def _decode(self, envelope: Envelope, body: Any, buffers: Sequence[Any]) -> Message | None:
        try:
            return decode(envelope, body, buffers)
        except CodecError as error:
            self._drops.add(error.reason, str(error))
            if self.sequence and self.on_undecodable is not None:
                self.on_undecodable(envelope, self.sequence)
            return None


def _by_type(name: str, addresses: Mapping[Any, str]) -> dict[int, str]:
    result = {}
    for key, address in addresses.items():
        try:
            kind = int(key) if isinstance(key, int | str) else -1
        except ValueError:
            kind = -1
        if kind not in (UNICAST, BROADCAST):
            raise SocketTypeError(
                f"{name!r} has an address for socket type {key!r}; known are {UNICAST} (PULL) and {BROADCAST} (SUB)"
            )
        result[kind] = address
    return result
