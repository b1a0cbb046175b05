"""What goes over the wire: packets of frames, each behind a flat envelope that is read before anything is unpickled.

A packet is a list of frames. The first begins with the envelope; a small body follows it inside the same frame, a large
one in a frame of its own, then one frame for each large buffer of the payload.

Envelope, little-endian:

    magic "mr" | version u8 | kind u8 | frames that follow u16 | messages u16
    | incarnation of the source u64 | incarnation of the destination u64
    | sequence u64 | received u64 | finished u64 | finished ranges u16
    | length u8 each of: source, type of the source, destination | these three names, UTF-8
    | for each finished range: first u64, last u64

An incarnation of zero means "not known": drivers that are used without a Proxy send it. A sequence of zero means that
the message is not acknowledged. `received` and the finished numbers are those of the stream in the other direction.

Several small messages in a row may share a packet: `messages` is their number, `sequence` that of the first, and their
bodies follow, after the length u32 of each. A packet of kind 2 carries no message: its `sequence` is that of the last
message that was sent, and flags u8, a number u64 and a token u64 follow (see `maro.communication.delivery`).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAGIC = b"mr"
VERSION = 2
KIND_MESSAGE = 1
KIND_CONTROL = 2

INLINE_LIMIT = 16 * 1024
"""Bodies up to this many bytes travel inside the envelope's frame: one frame costs half of two."""
NAME_LIMIT = 255
RANGES_LIMIT = 0xFFFF
"""Finished ranges that an envelope can hold."""

Buffer = bytes | bytearray | memoryview

_HEADS = {kind: MAGIC + bytes([VERSION, kind]) for kind in (KIND_MESSAGE, KIND_CONTROL)}
_KINDS = {head: kind for kind, head in _HEADS.items()}
_START = struct.Struct("<4sHHQQ")
_NUMBERS = struct.Struct("<QQQH")
_FIXED = struct.Struct("<4sHHQQQQQHBBB")
_LENGTHS_AT = _START.size + _NUMBERS.size
_CONTROL = struct.Struct("<BQQ")

new_tuple = tuple.__new__
"""The constructors that NamedTuple generates cost as much as what goes into them; this one does not."""


class CodecError(Exception):
    """A packet or a payload that can't be en- or decoded; `reason` is a short word to count by."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class WireLimits:
    """What one packet may be. Larger packets are refused by the sender, and dropped by the receiver."""

    max_frames: int = 512
    """Frames after the envelope; buffers beyond travel inside the body."""
    max_bytes: int = 1 << 30
    """Bytes of all frames together."""


class Envelope(NamedTuple):
    """What a packet says about itself."""

    kind: int
    frames: int
    messages: int
    source_incarnation: int
    destination_incarnation: int
    sequence: int
    received: int
    finished: int
    source: str
    source_type: str
    destination: str
    ranges: Sequence[tuple[int, int]]
    body_at: int
    """Offset in the first frame of what follows the envelope."""


class Encoded(NamedTuple):
    """A message without its envelope: encoded once, sent to as many peers as need be.

    Buffers are read-only, copied, or (zero copy) promised to stay as they are.
    """

    body: bytes
    buffers: Sequence[Buffer]
    size: int


@dataclass
class Route:
    """From one incarnation to another: the part of the envelope that stays the same."""

    source: str
    source_type: str
    source_incarnation: int
    destination: str
    destination_incarnation: int
    _names: bytes = field(init=False, repr=False)
    """With their lengths."""
    _start: bytes = field(init=False, repr=False)
    """Of the envelope of one small message."""
    _bare: bytes = field(init=False, repr=False)
    """The whole envelope of a small message without a number."""

    def __post_init__(self) -> None:
        names = [name.encode() for name in (self.source, self.source_type, self.destination)]
        for name in names:
            if len(name) > NAME_LIMIT:
                raise CodecError(
                    "name", f"the name {name.decode()!r} is longer than {NAME_LIMIT} bytes; use a shorter one"
                )
        self._names = bytes(map(len, names)) + b"".join(names)
        self._bare = self.envelope(0)
        self._start = self._bare[: _START.size]

    def envelope(
        self,
        frames: int,
        messages: int = 1,
        sequence: int = 0,
        received: int = 0,
        finished: int = 0,
        ranges: Sequence[tuple[int, int]] = (),
        kind: int = KIND_MESSAGE,
    ) -> bytes:
        """The envelope of a packet with `frames` frames after its first, and what it acknowledges."""
        start = _START.pack(_HEADS[kind], frames, messages, self.source_incarnation, self.destination_incarnation)
        fixed = start + _NUMBERS.pack(sequence, received, finished, len(ranges)) + self._names
        if not ranges:
            return fixed
        return fixed + struct.pack(f"<{2 * len(ranges)}Q", *itertools.chain.from_iterable(ranges))

    def packet(
        self,
        encoded: Encoded,
        sequence: int = 0,
        received: int = 0,
        finished: int = 0,
        ranges: Sequence[tuple[int, int]] = (),
    ) -> list[Buffer]:
        """The frames of one message on this route; large ones are shared, not copied."""
        body, buffers, _ = encoded
        frames = len(buffers)
        if len(body) > INLINE_LIMIT:
            return [self.envelope(1 + frames, 1, sequence, received, finished, ranges), body, *buffers]
        if not (frames or ranges):  # nearly always
            if not (sequence or received):
                return [self._bare + body]
            return [self._start + _NUMBERS.pack(sequence, received, finished, 0) + self._names + body]
        return [self.envelope(frames, 1, sequence, received, finished, ranges) + body, *buffers]

    def batch(
        self,
        bodies: Sequence[bytes],
        sequence: int = 0,
        received: int = 0,
        finished: int = 0,
        ranges: Sequence[tuple[int, int]] = (),
    ) -> bytes:
        """The only frame of several messages in a row, of which the first has the number `sequence`."""
        count = len(bodies)
        head = self.envelope(0, count, sequence, received, finished, ranges)
        if count == 1:
            return head + bodies[0]
        return b"".join((head, struct.pack(f"<{count}I", *map(len, bodies)), *bodies))

    def control(
        self,
        flags: int,
        number: int,
        token: int,
        sequence: int,
        received: int,
        finished: int,
        ranges: Sequence[tuple[int, int]],
    ) -> bytes:
        """The only frame of a packet without a message."""
        return self.envelope(0, 0, sequence, received, finished, ranges, KIND_CONTROL) + _CONTROL.pack(
            flags, number, token
        )


class EnvelopeReader:
    """Decodes envelopes; remembers the last ones, and the names that it has seen, which are few and repeat."""

    _REMEMBERED = 4096

    def __init__(self, limits: WireLimits) -> None:
        self._max_frames = limits.max_frames
        self._names: dict[bytes, tuple[str, str, str]] = {}
        self._last: Envelope | None = None
        self._last_bytes = b""
        self._last_numbered: Envelope | None = None
        self._last_start = self._last_names = b""

    def read(self, frame: bytes) -> Envelope:
        """The envelope at the start of a packet's first frame.

        Raises:
            CodecError: `foreign` (not ours), `version`, `too_many_frames`.
        """
        if self._last is not None and frame.startswith(self._last_bytes):
            return self._last
        if (
            (last := self._last_numbered) is not None
            and frame.startswith(self._last_start)
            and frame.startswith(self._last_names, _LENGTHS_AT)
        ):
            sequence, received, finished, ranges = _NUMBERS.unpack_from(frame, _START.size)
            if not ranges:
                return new_tuple(Envelope, (*last[:5], sequence, received, finished, *last[8:]))
        try:
            head, frames, messages, source, destination, sequence, received, finished, ranges, first, second, third = (
                _FIXED.unpack_from(frame)
            )
        except struct.error:
            raise CodecError("foreign", f"a frame of {len(frame)} bytes is too short for an envelope") from None
        kind = _KINDS.get(head)
        if kind is None:
            if head[:2] != MAGIC:
                raise CodecError("foreign", "a frame that does not start like an envelope")
            raise CodecError("version", f"envelope version {head[2]}, kind {head[3]}; this is version {VERSION}")
        if frames > self._max_frames:
            raise CodecError("too_many_frames", f"{frames} frames, the limit is {self._max_frames}")
        if (messages != 1 or kind != KIND_MESSAGE) and (frames or (messages == 0) != (kind == KIND_CONTROL)):
            raise CodecError("foreign", f"an envelope of kind {kind} with {messages} messages in {frames} more frames")
        end = _FIXED.size + first + second + third
        key = frame[_LENGTHS_AT:end]
        names = self._names.get(key) or self._read_names(key, first, second, third)
        runs: Sequence[tuple[int, int]] = ()
        if ranges:
            try:
                numbers = struct.unpack_from(f"<{2 * ranges}Q", frame, end)
            except struct.error:
                raise CodecError("foreign", "the finished ranges of an envelope are cut off") from None
            runs = list(zip(numbers[::2], numbers[1::2], strict=True))
            end += 16 * ranges
        envelope = new_tuple(
            Envelope,
            (kind, frames, messages, source, destination, sequence, received, finished, *names, runs, end),
        )
        if not sequence:
            self._last, self._last_bytes = envelope, frame[:end]
        elif not ranges:  # the next one differs in its numbers
            self._last_numbered = envelope
            self._last_start, self._last_names = frame[: _START.size], frame[_LENGTHS_AT:end]
        return envelope

    def _read_names(self, key: bytes, first: int, second: int, third: int) -> tuple[str, str, str]:
        text = key[3:]
        if len(text) != first + second + third:
            raise CodecError("foreign", "the names of an envelope are cut off")
        try:
            names = (
                text[:first].decode(),
                text[first : first + second].decode(),
                text[first + second :].decode(),
            )
        except UnicodeDecodeError:
            raise CodecError("foreign", "the names of an envelope are not UTF-8") from None
        if len(self._names) >= self._REMEMBERED:
            self._names.clear()
        self._names[key] = names
        return names


def split(envelope: Envelope, frame: bytes) -> list[bytes]:
    """The bodies in a packet of several messages.

    Raises:
        CodecError: `foreign`: the lengths are not those of what follows.
    """
    start = envelope.body_at + 4 * envelope.messages
    try:
        lengths = struct.unpack_from(f"<{envelope.messages}I", frame, envelope.body_at)
    except struct.error:
        raise CodecError("foreign", f"a packet of {envelope.messages} messages is cut off") from None
    if start + sum(lengths) != len(frame):
        raise CodecError("foreign", f"{len(frame)} bytes hold messages of {sum(lengths)} bytes")
    bodies = []
    for length in lengths:
        bodies.append(frame[start : start + length])
        start += length
    return bodies


def read_control(envelope: Envelope, frame: bytes) -> tuple[int, int, int]:
    """Flags, number and token of a packet without a message.

    Raises:
        CodecError: `foreign`: there is not exactly that.
    """
    if len(frame) != envelope.body_at + _CONTROL.size:
        raise CodecError("foreign", f"a control packet of {len(frame)} bytes")
    flags, number, token = _CONTROL.unpack_from(frame, envelope.body_at)
    return flags, number, token


def body_of(envelope: Envelope, first: bytes, rest: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """The body of a packet of one message, and its buffers, from its first frame and the others."""
    if len(first) > envelope.body_at:
        return first[envelope.body_at :], rest
    if not rest:
        raise CodecError("undecodable", "a packet without a body")
    return rest[0], rest[1:]


Admit = Callable[[Envelope], int | None]
"""Asked for each packet with messages: how many of them, from the first, are known; None where it is refused."""
