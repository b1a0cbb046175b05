"""Messages to frames and back: a flat envelope, a pickled body, and large buffers out of band.

A packet is a list of frames. The first is the envelope, which is no pickle and can be checked before anything is
unpickled; a small body follows it inside the same frame, a large one in a frame of its own, then one frame for each
large buffer of the payload (pickle protocol 5, PEP 574).

Envelope, little-endian:

    magic "mr" | version u8 | kind u8 | frames that follow u16
    | incarnation of the source u64 | incarnation of the destination u64
    | sequence u64 | lowest sequence still cached u64 | received u64 | finished u64 | finished ranges u16
    | length u8 each of: source, type of the source, destination | these three names, UTF-8

An incarnation of zero means "not known": drivers that are used without a Proxy send it. The sequence and
acknowledgement fields are zero until messages are acknowledged.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionStage,
    SessionType,
    TaskSessionStage,
)

MAGIC = b"mr"
VERSION = 1
KIND_MESSAGE = 1

INLINE_LIMIT = 16 * 1024
"""Bodies up to this many bytes travel inside the envelope's frame: one frame costs half of two."""
OUT_OF_BAND_FROM = 64 * 1024
"""Buffers from this many bytes on get a frame of their own; below, a copy is cheaper than the bookkeeping."""
NAME_LIMIT = 255

Buffer = bytes | bytearray | memoryview

_HEAD = MAGIC + bytes([VERSION, KIND_MESSAGE])
_FIXED = struct.Struct("<4sHQQQQQQHBBB")
_LENGTHS_AT = _FIXED.size - 3
_STAGES: tuple[tuple[SessionType, SessionStage], ...] = (
    *((SessionType.TASK, stage) for stage in TaskSessionStage),
    *((SessionType.NOTIFICATION, stage) for stage in NotificationSessionStage),
)
_CODE_OF_STAGE: dict[str, int] = {stage.value: code for code, (_, stage) in enumerate(_STAGES, start=1)}
_PLAIN_MESSAGE = 0


_new_tuple = tuple.__new__
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

    frames: int
    source_incarnation: int
    destination_incarnation: int
    sequence: int
    lowest_cached: int
    received: int
    finished: int
    source: str
    source_type: str
    destination: str
    body_at: int
    """Offset of the inline body in the first frame."""


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
    _lengths: tuple[int, int, int] = field(init=False, repr=False)
    _bare: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = [name.encode() for name in (self.source, self.source_type, self.destination)]
        for name in names:
            if len(name) > NAME_LIMIT:
                raise CodecError(
                    "name", f"the name {name.decode()!r} is longer than {NAME_LIMIT} bytes; use a shorter one"
                )
        self._names = b"".join(names)
        self._lengths = (len(names[0]), len(names[1]), len(names[2]))
        self._bare = self.envelope(0)

    def envelope(self, frames: int) -> bytes:
        """The envelope of a packet with `frames` frames after it."""
        return (
            _FIXED.pack(
                _HEAD,
                frames,
                self.source_incarnation,
                self.destination_incarnation,
                0,
                0,
                0,
                0,
                0,
                *self._lengths,
            )
            + self._names
        )

    def packet(self, encoded: Encoded) -> list[Buffer]:
        """The frames of `encoded` on this route; large ones are shared, not copied."""
        body, buffers, _ = encoded
        if len(body) <= INLINE_LIMIT:
            if not buffers:
                return [self._bare + body]
            return [self.envelope(len(buffers)) + body, *buffers]
        return [self.envelope(1 + len(buffers)), body, *buffers]


class Encoder:
    """Encodes what one component sends.

    Args:
        source: the name on the envelope; a message's own source is sent along only where it differs.
        limits: the most that a packet may be.
        zero_copy: the caller promises not to write to the payload's buffers any more.
    """

    def __init__(self, source: str, limits: WireLimits, zero_copy: bool = False) -> None:
        self._source = source
        self._max_bytes = limits.max_bytes
        self._zero_copy = zero_copy
        self._collector = _BufferCollector(limits.max_frames - 1)

    def encode(self, message: Message) -> Encoded:
        """Encode a message, but for its destination, so that one encoding serves a broadcast.

        Raises:
            CodecError: `unpicklable` or `too_large`.
        """
        source = message.source
        fields = (
            message.tag,
            message.session_id,
            message.message_id,
            message.request_id,
            _CODE_OF_STAGE[message.session_stage._value_] if isinstance(message, SessionMessage) else _PLAIN_MESSAGE,
            None if source == self._source else source,
            message.payload,
        )
        collector = self._collector
        try:
            body = pickle.dumps(fields, protocol=5, buffer_callback=collector)
        except Exception as error:  # whatever a payload's own reduction raises
            collector.empty()
            raise CodecError("unpicklable", f"the payload can't be pickled: {type(error).__name__}: {error}") from error
        size = len(body)
        views: Sequence[memoryview] = ()
        if collector.views:
            views = collector.views
            size += collector.size
            collector.empty()
        if size > self._max_bytes:
            raise CodecError("too_large", f"the message has {size:,} bytes, the limit is {self._max_bytes:,}")
        buffers = [_pinned(view, self._zero_copy) for view in views] if views else ()
        return _new_tuple(Encoded, (body, buffers, size))


def encode(message: Message, source: str, limits: WireLimits, *, zero_copy: bool = False) -> Encoded:
    """Encode one message; an Encoder is for many."""
    return Encoder(source, limits, zero_copy).encode(message)


class _BufferCollector:
    """Takes the large buffers of a payload out of its pickle."""

    __slots__ = ("most", "size", "views")

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.views: list[memoryview] = []

    def empty(self) -> None:
        """Forget what was taken; the list of it stays with whoever has it."""
        self.size = 0
        self.views = []

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: has no flat form
            return True
        if view.nbytes < OUT_OF_BAND_FROM or len(self.views) >= self.most:
            return True
        self.views.append(view)
        self.size += view.nbytes
        return False


def _pinned(view: memoryview, zero_copy: bool) -> Buffer:
    return view if zero_copy or _is_immutable(view) else bytes(view)


def _is_immutable(view: memoryview) -> bool:
    """Whether nobody can write to the memory behind `view`.

    A read-only NumPy view of a writable array is not immutable, so its chain of bases is followed.
    """
    if not view.readonly:
        return False
    owner: Any = view.obj
    while owner is not None and not isinstance(owner, bytes):
        if isinstance(owner, memoryview):
            if not owner.readonly:
                return False
            owner = owner.obj
            continue
        flags = getattr(owner, "flags", None)
        if flags is None or getattr(flags, "writeable", True):
            return False
        owner = getattr(owner, "base", None)
    return True


class EnvelopeReader:
    """Decodes envelopes; remembers the last one, and the names that it has seen, which are few and repeat."""

    _REMEMBERED = 4096

    def __init__(self, limits: WireLimits) -> None:
        self._max_frames = limits.max_frames
        self._names: dict[bytes, tuple[str, str, str]] = {}
        self._last: Envelope | None = None
        self._last_bytes = b""

    def read(self, frame: bytes) -> Envelope:
        """The envelope at the start of a packet's first frame.

        Raises:
            CodecError: `foreign` (not ours), `version`, `too_many_frames`.
        """
        if self._last is not None and frame.startswith(self._last_bytes):
            return self._last
        try:
            head, frames, source, destination, sequence, lowest, received, finished, _, first, second, third = (
                _FIXED.unpack_from(frame)
            )
        except struct.error:
            raise CodecError("foreign", f"a frame of {len(frame)} bytes is too short for an envelope") from None
        if head != _HEAD:
            if head[:2] != MAGIC:
                raise CodecError("foreign", "a frame that does not start like an envelope")
            raise CodecError("version", f"envelope version {head[2]}, kind {head[3]}; this is version {VERSION}")
        if frames > self._max_frames:
            raise CodecError("too_many_frames", f"{frames} frames, the limit is {self._max_frames}")
        end = _FIXED.size + first + second + third
        key = frame[_LENGTHS_AT:end]
        names = self._names.get(key) or self._read_names(key, first, second, third)
        envelope = _new_tuple(
            Envelope, (frames, source, destination, sequence, lowest, received, finished, *names, end)
        )
        self._last, self._last_bytes = envelope, frame[:end]
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


def decode(envelope: Envelope, first: bytes, rest: Sequence[Any], destination: str | None = None) -> Message:
    """The message of a packet.

    Args:
        envelope: of its first frame.
        first: its first frame.
        rest: the other frames (anything with the buffer interface).
        destination: the receiver's name, where the envelope's is a topic.

    Raises:
        CodecError: `undecodable`. Unpickling runs the constructors that the sender named: accept packets from
            peers that you trust only.
    """
    try:
        if len(first) > envelope.body_at:
            body: Any = first[envelope.body_at :]
        else:
            body, rest = rest[0], rest[1:]
        tag, session_id, message_id, request_id, code, source, payload = pickle.loads(body, buffers=rest)
        hash((session_id, message_id, request_id, source))  # all that is looked up later can be
        message: Message
        if code == _PLAIN_MESSAGE:
            message = Message.__new__(Message)
        elif code < 0:
            raise ValueError(f"there is no stage {code}")
        else:
            message = SessionMessage.__new__(SessionMessage)
            message.session_type, message.session_stage = _STAGES[code - 1]
    except Exception as error:  # unpickling can raise anything
        raise CodecError("undecodable", f"the body can't be decoded: {type(error).__name__}: {error}") from error
    message.tag = tag
    message.session_id = session_id
    message.message_id = message_id
    message.request_id = request_id
    message.source = envelope.source if source is None else source
    message.destination = envelope.destination if destination is None else destination
    message.payload = payload
    return message


Admit = Callable[[Envelope], bool]
