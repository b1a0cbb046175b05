"""The way to one incarnation of a peer: messages to packets, with what they acknowledge, and small ones in batches.

A packet costs several times as much to hand to ZeroMQ, and to take from it, as its bytes cost to carry. Small messages
that follow each other closely to the same peer therefore share one. A message that is alone never waits for company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maro.communication import clock
from maro.communication.delivery import MISSING
from maro.communication.packets import RANGES_LIMIT, Buffer, Encoded, Route
from maro.communication.streams import Ranges, ReceiveStream, SendStream

BODY_LIMIT = 1024
"""Messages up to this many bytes travel together; above, the packet's own cost no longer matters."""
BATCH_LIMIT = 16 * 1024
"""Bytes of messages in one batch, at most: as much as ZeroMQ writes at once, about."""
BATCH_LENGTH = 64
"""Messages in one batch, at most; the gain is nearly all there by then."""
_STREAM_WITHIN_S = 20e-6
"""A message that follows the one before so closely is taken for part of a stream, and waits for company. Requests that
wait for their replies are further apart, and never wait."""
_RANGES_ALONG = 8
"""Finished ranges that travel along with messages; if there are more, they get a packet of their own."""


class Lane:
    """Sends to one incarnation of a peer.

    Args:
        route: to it.
        send: of the driver: a peer's name and frames; False where there is no room now.
        stream: of the messages that are kept for the peer; None where none are.
        waiting: where the lane puts itself when something begins to wait for company.
        max_bytes: of one packet.
    """

    __slots__ = (
        "_batch_limit",
        "_body_limit",
        "_sent_at",
        "_size",
        "_waiting",
        "bodies",
        "first",
        "name",
        "receiving",
        "route",
        "send",
        "stream",
    )

    def __init__(
        self,
        route: Route,
        send: Callable[[str, Sequence[Buffer]], bool],
        stream: SendStream[Encoded] | None,
        waiting: dict[str, Lane],
        max_bytes: int,
    ) -> None:
        self.name = route.destination
        self.route = route
        self.stream = stream
        self.receiving: ReceiveStream | None = None
        """What came from this incarnation, which packets to it acknowledge."""
        self.send = send
        self.bodies: list[bytes] = []
        """What waits for company."""
        self.first = 0
        """The number of the first of these."""
        self._size = 0
        self._sent_at = 0.0
        self._waiting = waiting
        self._batch_limit = min(BATCH_LIMIT, max_bytes)
        self._body_limit = min(BODY_LIMIT, max_bytes // 2)

    def __repr__(self) -> str:
        return f"Lane({self.name!r}, incarnation={self.route.destination_incarnation}, waiting={len(self.bodies)})"

    def push(self, encoded: Encoded, number: int) -> bool:
        """Send a message, or let it wait for company if it seems to be part of a stream; False: there is no room now.

        Args:
            encoded: the message.
            number: in its stream; 0 where it is not kept.
        """
        body, buffers, size = encoded
        if buffers or size > self._body_limit:
            return self.send_now(encoded, number)
        bodies = self.bodies
        if bodies:
            if (self._size + size > self._batch_limit or len(bodies) >= BATCH_LENGTH) and not self.flush():
                return False
        else:
            now = clock.monotonic()
            is_alone = now - self._sent_at > _STREAM_WITHIN_S
            self._sent_at = now
            if is_alone:
                return self.send_now(encoded, number)
        if not bodies:
            self.first = number
            self._size = 0
            self._waiting[self.name] = self
        bodies.append(body)
        self._size += size
        return True

    def send_now(self, encoded: Encoded, number: int) -> bool:
        """Send a message, after those that wait; False where there is no room now."""
        if self.bodies and not self.flush():
            return False
        receiving = self.receiving
        if receiving is None:
            return self.send(self.name, self.route.packet(encoded, number))
        floor, ranges = self._told(receiving, number)
        if self.send(self.name, self.route.packet(encoded, number, receiving.received, floor, ranges)):
            return True
        receiving.note()
        return False

    def flush(self) -> bool:
        """Send what waits for company; False where there is no room now."""
        bodies = self.bodies
        if bodies:
            receiving = self.receiving
            if receiving is None:
                if not self.send(self.name, (self.route.batch(bodies, self.first),)):
                    return False
            else:
                floor, ranges = self._told(receiving, self.first + len(bodies) - 1)
                frame = self.route.batch(bodies, self.first, receiving.received, floor, ranges)
                if not self.send(self.name, (frame,)):
                    receiving.note()
                    return False
            bodies.clear()
            self._sent_at = clock.monotonic()
        return True

    def discard(self) -> None:
        """What waits for company will be sent again, from its stream."""
        self.bodies.clear()

    def control(self, flags: int, number: int = 0, token: int = 0) -> bool:
        """Send a packet without a message, after those that wait; False where there is no room now."""
        if not self.flush():
            return False
        stream, receiving = self.stream, self.receiving
        sequence = stream.sent if stream is not None else 0
        if receiving is None:
            return self.send(self.name, (self.route.control(flags, number, token, sequence, 0, 0, ()),))
        if receiving.misses:
            flags |= MISSING
        receiving.is_news = False
        floor, ranges = (receiving.floor, receiving.ranges()[:RANGES_LIMIT]) if self.may_tell else (0, ())
        frame = self.route.control(flags, number, token, sequence, receiving.received, floor, ranges)
        if not self.send(self.name, (frame,)):
            receiving.note()
            return False
        receiving.misses = False
        return True

    @property
    def may_tell(self) -> bool:
        """Whether everything that answers another message has gone out, so that what is finished may be told."""
        return self.stream is None or self.stream.sent >= self.stream.promised

    def _told(self, receiving: ReceiveStream, number: int) -> tuple[int, Ranges]:
        """What a packet whose last message is `number` says is finished; what it leaves out stays news."""
        stream = self.stream
        if stream is not None and number < stream.promised:
            return 0, ()
        # Before the numbers are read: the application may finish something meanwhile, which is news again.
        was_news = receiving.misses or receiving.tells_all()
        ranges = receiving.ranges()
        if len(ranges) > _RANGES_ALONG:
            if was_news:
                receiving.note()
            return receiving.floor, ()
        return receiving.floor, ranges
