"""The sending half of the driver over ZeroMQ: one PUSH socket a peer."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

import zmq
from zmq.backend import Socket as BackendSocket

from maro.communication.packets import Buffer
from maro.utils.exception.communication_exception import DriverSendError, PendingToSend

_NO_WAIT = int(zmq.DONTWAIT)
_SEND_MORE = int(zmq.SNDMORE) | _NO_WAIT
_COPY_BELOW = 64 * 1024
"""Frames below this many bytes are copied into the socket: cheaper than keeping their buffer alive."""


class Connection:
    """To one peer: a PUSH socket of its own, and the address of the peer's SUB socket."""

    __slots__ = ("broadcast_address", "send", "socket")

    def __init__(self, push: zmq.Socket[bytes], broadcast_address: str | None) -> None:
        self.socket = push
        # The backend's method: the wrapper above it looks at options that a PUSH socket does not have.
        self.send = functools.partial(BackendSocket.send, push)
        self.broadcast_address = broadcast_address


class Outgoing:
    """The connections to all peers."""

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}

    def add(self, name: str, connection: Connection) -> None:
        """Have a connection."""
        self.connections[name] = connection

    def drop(self, name: str) -> Connection:
        """Close a connection, and give up what is queued on it."""
        connection = self.connections.pop(name)
        connection.socket.close(linger=0)
        return connection

    def send(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet; False where there is no room now."""
        connection = self.connections.get(peer)
        if connection is None:
            raise PendingToSend(f"{peer!r} is not connected")
        return send_all(connection.send, frames)

    def poll(self, poller: zmq.Poller, names: Collection[str], timeout_ms: int | None) -> None:
        """Wait until the poller, or the room on one of these connections, has something to tell."""
        for name in names:
            if name in self.connections:
                poller.register(self.connections[name].socket, zmq.POLLOUT)
        poller.poll(timeout_ms)

    def close(self, linger_ms: int, drop: Collection[str]) -> None:
        """Close, after sending what is queued, within the linger time; give up what is for the peers in `drop`."""
        for name, connection in self.connections.items():
            connection.socket.close(linger=0 if name in drop else linger_ms)
        self.connections.clear()


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
