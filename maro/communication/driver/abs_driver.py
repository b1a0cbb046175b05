"""What a driver is.

The abstract methods are the documented driver. The others are what a Proxy needs beyond them; their plain defaults
rest on the abstract ones, so that a subclass which implements only those works with a Proxy. A driver with sockets of
its own overrides them to be woken at once, to refuse packets before they are unpickled, and to share encoded frames.
"""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from maro.communication.codec import decode
from maro.communication.message import Message
from maro.communication.packets import Admit, Buffer, Envelope, EnvelopeReader, WireLimits, body_of, split

_SLICE_MS = 20
"""How long the plain `wait` of a driver that can't be woken keeps its caller from other news."""


class AbsDriver(ABC):
    """Abstract class of the communication drivers."""

    zero_copy = False
    """Whether callers promise not to write to payloads after sending them."""
    limits = WireLimits()
    """The most that one message may be."""
    send_timeout = -1
    """Milliseconds that a send may wait for room; -1 waits for ever."""
    receive_timeout = -1
    """Milliseconds that a receive waits where it is not told; -1 waits for ever."""
    admit: Admit | None = None
    """Asked for each envelope before its body is unpickled; a packet that it refuses is dropped."""
    carries_envelopes = False
    """Whether all of an envelope arrives, and the following are of use: what the message cache needs."""
    on_control: Callable[[Envelope, int, int, int], None] | None = None
    """Told of each packet without a message: its envelope, flags, number and token."""
    on_undecodable: Callable[[Envelope, int], None] | None = None
    """Told the envelope and the number of each numbered message that was admitted, and can't be decoded."""
    sender = ""
    """Who sent the message that was taken last."""
    sequence = 0
    """Its number; 0 where it is not numbered."""

    @property
    @abstractmethod
    def address(self) -> Mapping[int, str]:
        """The addresses that peers connect to, by socket type."""

    @abstractmethod
    def connect(self, peers_address: Mapping[str, Mapping[Any, str]]) -> None:
        """Start connections to peers; a name that is connected already gets a new connection.

        Args:
            peers_address: for each peer's name its addresses by socket type (int or string keys).
        """

    @abstractmethod
    def disconnect(self, peers_address: Mapping[str, Mapping[Any, str]]) -> None:
        """Close the connections to peers; what is still queued for them is dropped."""

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send to the message's destination."""

    @abstractmethod
    def broadcast(self, component_type: str, message: Message) -> None:
        """Send to every connected peer that listens to the topic."""

    @abstractmethod
    def receive(self, is_continuous: bool = True, timeout: int | None = None) -> Iterator[Message]:
        """Yield messages as they come: one, or until `timeout` milliseconds pass without any."""

    @abstractmethod
    def close(self) -> None:
        """Close all sockets."""

    # What a Proxy needs beyond the above, with plain defaults.

    def advertise(self, host: str) -> None:  # noqa: B027 - a driver without hosts has nothing to do
        """Name the host in `address`, before anybody has been told the address."""

    def send_frames(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """Send one packet to a connected peer without waiting; False where there is no room now."""
        first = bytes(frames[0])
        envelope = EnvelopeReader(self.limits).read(first)
        if envelope.messages == 1:
            self.send(decode(envelope, *body_of(envelope, first, frames[1:])))
        else:
            for body in split(envelope, first):
                self.send(decode(envelope, body, ()))
        return True

    def take(self) -> Message | None:
        """The next message that has arrived and was admitted, if there is one."""
        ready = self._ready_messages()
        return ready.popleft() if ready else next(iter(self.receive(is_continuous=False, timeout=0)), None)

    def wait(
        self,
        timeout_ms: float | None,
        wake_fd: int | None = None,
        writable: Collection[str] = (),
        readable: bool = True,
    ) -> None:
        """Return when something can be taken, `wake_fd` is readable, a peer in `writable` has room, or time is up.

        It may return early. `timeout_ms` of None has no limit; without `readable`, arrivals do not matter.
        """
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while not (readable and self._ready_messages()):
            if wake_fd is not None and select.select([wake_fd], [], [], 0)[0]:
                return
            left_ms = _SLICE_MS if deadline is None else min(_SLICE_MS, (deadline - time.monotonic()) * 1000)
            if left_ms <= 0:
                return
            if readable:
                self._ready_messages().extend(self.receive(is_continuous=False, timeout=int(left_ms) or 1))
            else:
                time.sleep(left_ms / 1000)
            if writable:
                return

    def shutdown(self, linger_ms: int, drop: Collection[str] = ()) -> bool:
        """Close; first wait, at most `linger_ms`, until what is queued is sent, but for the peers in `drop`.

        Returns:
            False where time ran out before everything was sent.
        """
        self.close()
        return True

    @property
    def dropped(self) -> Counter[str]:
        """How many packets were dropped on arrival, by reason."""
        return Counter()

    def _ready_messages(self) -> deque[Message]:
        if not hasattr(self, "_ready"):  # a subclass need not call our constructor; there is none
            self._ready: deque[Message] = deque()
        return self._ready
