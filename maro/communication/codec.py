"""Messages to bodies and back: pickle protocol 5, with large buffers out of band (PEP 574)."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionStage,
    SessionType,
    TaskSessionStage,
)
from maro.communication.packets import Buffer, CodecError, Encoded, Envelope, WireLimits, new_tuple

OUT_OF_BAND_FROM = 64 * 1024
"""Buffers from this many bytes on get a frame of their own; below, a copy is cheaper than the bookkeeping."""

_STAGES: tuple[tuple[SessionType, SessionStage], ...] = (
    *((SessionType.TASK, stage) for stage in TaskSessionStage),
    *((SessionType.NOTIFICATION, stage) for stage in NotificationSessionStage),
)
_CODE_OF_STAGE: dict[str, int] = {stage.value: code for code, (_, stage) in enumerate(_STAGES, start=1)}
_PLAIN_MESSAGE = 0


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
        return new_tuple(Encoded, (body, buffers, size))


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


def decode(envelope: Envelope, body: Any, buffers: Sequence[Any], destination: str | None = None) -> Message:
    """One message of a packet.

    Args:
        envelope: of the packet.
        body: of the message (anything with the buffer interface).
        buffers: its buffers (likewise).
        destination: the receiver's name, where the envelope's is a topic.

    Raises:
        CodecError: `undecodable`. Unpickling runs the constructors that the sender named: accept packets from
            peers that you trust only.
    """
    try:
        tag, session_id, message_id, request_id, code, source, payload = pickle.loads(body, buffers=buffers)
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
    message.receipt = None
    return message
