"""The sending half of the driver over ZeroMQ: one PUSH socket a peer, and what waits there for company."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

import zmq
from zmq.backend import Socket as BackendSocket

from maro.communication.codec import Buffer
from maro.communication.deadline import Deadline
from maro.communication.driver.batches import BATCH_LENGTH, BATCH_LIMIT, PACKET_LIMIT, Batch, Flusher
from maro.utils.exception.communication_exception import DriverSendError, PendingToSend

logger = logging.getLogger(__name__)

_NO_WAIT = int(zmq.DONTWAIT)
_SEND_MORE = int(zmq.SNDMORE) | _NO_WAIT
_COPY_BELOW = 64 * 1024
"""Frames below this many bytes are copied into the socket: cheaper than keeping their buffer alive."""
_STREAM_WITHIN_S = 20e-6
"""A packet that follows the one before to the same peer so closely is taken for part of a stream, and waits for
company. Requests that wait for their replies are further apart, and never wait."""


class Connection:
    """To one peer: a PUSH socket of its own, a batch, and the address of the peer's SUB socket."""

    __slots__ = ("batch", "broadcast_address", "send", "sent_at", "socket")

    def __init__(self, push: zmq.Socket[bytes], broadcast_address: str | None) -> None:
        self.socket = push
        # The backend's method: the wrapper above it looks at options that a PUSH socket does not have.
        self.send = functools.partial(BackendSocket.send, push)
        self.broadcast_address = broadcast_address
        self.batch = Batch()
        self.sent_at = 0.0

    def flush(self) -> bool:
        """Send what waits; False where there is no room now."""
        if self.batch.packets:
            if not send_all(self.send, (self.batch.frame(),)):
                return False
            self.batch.clear()
            self.sent_at = time.monotonic()
        return True


class Outgoing:
    """The connections to all peers.

    The thread that calls and the flusher take turns by a lock, which hands the sockets over from one to the other.

    Args:
        what: whose connections they are, for the name of the flusher.
        max_bytes: of one frame.
    """

    def __init__(self, what: str, max_bytes: int) -> None:
        self.connections: dict[str, Connection] = {}
        self._lock = threading.Lock()
        self._batch_limit = min(BATCH_LIMIT, max_bytes)
        self._packet_limit = min(PACKET_LIMIT, max_bytes // 2)
        self.waiting: dict[str, Connection] = {}
        """Those of the connections with packets that wait for company."""
        self._flusher = Flusher(self._flush_late, what)

    def add(self, name: str, connection: Connection) -> None:
        """Have a connection."""
        with self._lock:
            self.connections[name] = connection

    def drop(self, name: str) -> Connection:
        """Close a connection, and give up what is queued on it."""
        with self._lock:
            self.waiting.pop(name, None)
            connection = self.connections.pop(name)
            connection.socket.close(linger=0)
            return connection

    def send(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet, after those that wait; False where there is no room now."""
        connection = self.connections.get(peer)
        if connection is None:
            raise PendingToSend(f"{peer!r} is not connected")
        with self._lock:
            return self._send(peer, connection, frames)

    def send_soon(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet, or let it wait for company if it seems to be part of a stream of small ones."""
        connection = self.connections.get(peer)
        if connection is None:
            raise PendingToSend(f"{peer!r} is not connected")
        packet = frames[0]
        size = len(packet)
        with self._lock:
            if size > self._packet_limit or len(frames) > 1:
                return self._send(peer, connection, frames)
            batch = connection.batch
            if not batch.packets:
                now = time.monotonic()
                is_alone = now - connection.sent_at > _STREAM_WITHIN_S
                connection.sent_at = now
                if is_alone:
                    return send_all(connection.send, frames)
                self.waiting[peer] = connection
                if self._flusher.idle:
                    self._flusher.wake()
            elif (batch.size + size > self._batch_limit or len(batch.packets) >= BATCH_LENGTH) and (
                not connection.flush()
            ):
                return False
            batch.packets.append(packet)  # type: ignore[arg-type] # the first frame of a packet is always bytes
            batch.size += size
            return True

    def flush(self) -> None:
        """Send what waits for company, as far as there is room."""
        with self._lock:
            self._flush()

    def poll(self, poller: zmq.Poller, names: Collection[str], timeout_ms: int | None) -> None:
        """Wait until the poller, or the room on one of these connections, has something to tell."""
        with self._lock:
            for name in names:
                if name in self.connections:
                    poller.register(self.connections[name].socket, zmq.POLLOUT)
            poller.poll(timeout_ms)

    def close(self, linger_ms: int, drop: Collection[str]) -> None:
        """Send what waits, within the linger time, and close; give up what is for the peers in `drop`."""
        self._flusher.close()
        deadline = Deadline(linger_ms)
        for name, connection in self.connections.items():
            while name not in drop and not connection.flush() and not deadline.passed():
                left_ms = deadline.left_ms()
                connection.socket.poll(None if left_ms is None else math.ceil(left_ms), zmq.POLLOUT)
            connection.socket.close(linger=0 if name in drop else linger_ms)
        self.connections.clear()
        self.waiting.clear()

    def _send(self, peer: str, connection: Connection, frames: Sequence[Buffer]) -> bool:
        if connection.batch.packets:
            if not connection.flush():
                return False
            del self.waiting[peer]
        return send_all(connection.send, frames)

    def _flush(self) -> None:
        for name in [name for name, connection in self.waiting.items() if connection.flush()]:
            del self.waiting[name]

    def _flush_late(self) -> bool:
        with self._lock:
            if not self.waiting:
                self._flusher.idle = True
                return False
            try:
                self._flush()
            except DriverSendError:  # the next call of the component meets it as well, and can raise it
                logger.debug("what waited for company could not be sent", exc_info=True)
            return True


def send_all(send: functools.partial[Any], frames: Sequence[Buffer]) -> bool:
    """Send all frames or none: only the first can find no room."""
    try:
        if len(frames) == 1:
            send(frames[0], _NO_WAIT)
            return True
        send(frames[0], _SEND_MORE)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        raise DriverSendError(f"the socket failed: {error}") from error
    last = len(frames) - 1
    for number in range(1, last + 1):
        frame = frames[number]
        size = len(frame) if isinstance(frame, bytes) else memoryview(frame).nbytes
        send(frame, _NO_WAIT if number == last else _SEND_MORE, size < _COPY_BELOW)
    return True
