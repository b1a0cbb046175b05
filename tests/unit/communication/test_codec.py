"""Messages to frames and back: everything arrives as it was sent, and nothing else gets in."""

from __future__ import annotations

import pickle
import struct
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.codec import OUT_OF_BAND_FROM, Encoder, decode
from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    TaskSessionStage,
)
from maro.communication.packets import (
    INLINE_LIMIT,
    MAGIC,
    VERSION,
    CodecError,
    Encoded,
    EnvelopeReader,
    Route,
    WireLimits,
)
from maro.communication.packets import body_of as split_body

LIMITS = WireLimits()
NAMES_AT = struct.calcsize("<4sHHQQQQQHBBB")


class Tag(Enum):
    ROLLOUT = "rollout"


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


class Undecodable:
    def __reduce__(self) -> Any:
        return (int, ("no number",))


def encode(message: Message, source: str, limits: WireLimits, zero_copy: bool = False) -> Encoded:
    return Encoder(source, limits, zero_copy).encode(message)


def through(message: Message, route: Route, limits: WireLimits = LIMITS) -> tuple[Message, list[Any]]:
    """What arrives of a message, and its frames."""
    frames = route.packet(encode(message, route.source, limits))
    first = bytes(frames[0])
    envelope = EnvelopeReader(limits).read(first)
    assert envelope.frames == len(frames) - 1
    # As from a socket: each frame a buffer of its own.
    return decode(envelope, *split_body(envelope, first, [bytearray(frame) for frame in frames[1:]])), frames


names = st.text(st.characters(codec="utf-8"), max_size=60)
incarnations = st.integers(0, 2**64 - 1)
routes = st.builds(Route, names, names, incarnations, names, incarnations)
tags = st.sampled_from([Tag.ROLLOUT, SessionType.TASK]) | st.text(max_size=20)
sizes = st.sampled_from([0, 1, INLINE_LIMIT - 200, INLINE_LIMIT, OUT_OF_BAND_FROM - 1, OUT_OF_BAND_FROM, 200_000])
buffers = sizes.map(lambda size: pickle.PickleBuffer(bytearray(b"x" * size)))
plain = st.none() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=100)
payloads = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
stages = st.sampled_from([*TaskSessionStage, *NotificationSessionStage])


@given(routes, tags, payloads, stages | st.none(), names | st.none(), names | st.none(), names | st.none())
def test_a_message_survives_the_round_trip(
    route: Route, tag: Any, payload: Any, stage: Any, source: str | None, session: str | None, request: str | None
) -> None:
    """Every field arrives as it was, and so does the way that it took."""
    # Given any message, of whose source the route may differ
    sender = route.source if source is None else source
    if stage is None:
        message = Message(tag, sender, "ignored", payload, session_id=session)
    else:
        kind = SessionType.TASK if isinstance(stage, TaskSessionStage) else SessionType.NOTIFICATION
        message = SessionMessage(tag, sender, "ignored", payload, kind, stage, session_id=session)
    message.request_id = request
    # When it goes over the wire
    arrived, frames = through(message, route)
    # Then it is the same, but for the destination, which is the route's
    assert type(arrived) is type(message)
    for name in ("tag", "source", "payload", "session_id", "message_id", "request_id"):
        assert getattr(arrived, name) == getattr(message, name)
    assert arrived.destination == route.destination
    if isinstance(arrived, SessionMessage) and isinstance(message, SessionMessage):
        assert (arrived.session_type, arrived.session_stage) == (message.session_type, message.session_stage)
    # And the envelope says who sent it to whom
    envelope = EnvelopeReader(LIMITS).read(bytes(frames[0]))
    assert (envelope.source, envelope.source_type, envelope.destination) == (
        route.source,
        route.source_type,
        route.destination,
    )
    assert envelope.source_incarnation == route.source_incarnation
    assert envelope.destination_incarnation == route.destination_incarnation


@settings(max_examples=40)
@given(st.lists(buffers, max_size=6), st.integers(1, 4))
def test_large_buffers_get_frames_of_their_own(parts: list[pickle.PickleBuffer], max_frames: int) -> None:
    """Up to the limit of frames; the others travel in the body, and all arrive, writable."""
    limits = WireLimits(max_frames=max_frames)
    route = Route("a", "actor", 1, "b", 2)
    arrived, frames = through(Message("t", "a", "b", parts), route, limits)
    assert len(frames) - 1 <= max_frames
    large = [part for part in parts if part.raw().nbytes >= OUT_OF_BAND_FROM]
    assert len(frames) >= 1 + min(len(large), max_frames - 1)
    assert [bytes(part) for part in arrived.payload] == [bytes(part) for part in parts]
    assert not any(memoryview(part).readonly for part in arrived.payload)


def test_a_small_message_is_one_frame() -> None:
    """The body goes inside the envelope's frame."""
    _, frames = through(Message("t", "a", "b", 1), Route("a", "actor", 1, "b", 2))
    assert len(frames) == 1


def test_a_writable_buffer_is_copied_and_an_immutable_one_is_not() -> None:
    """A payload is what it was when the call returned, at the cost of at most one copy."""
    fixed, loose = bytes(100_000), bytearray(100_000)
    encoded = encode(Message("t", "a", "b", [pickle.PickleBuffer(fixed), pickle.PickleBuffer(loose)]), "a", LIMITS)
    loose[:] = b"y" * len(loose)
    assert isinstance(encoded.buffers[0], memoryview)
    assert encoded.buffers[0].obj is fixed
    assert bytes(encoded.buffers[1]) == bytes(100_000)


def test_zero_copy_copies_nothing() -> None:
    """The caller has promised not to write, so what is written shows."""
    loose = bytearray(100_000)
    encoded = encode(Message("t", "a", "b", pickle.PickleBuffer(loose)), "a", LIMITS, zero_copy=True)
    loose[0] = 1
    assert bytes(encoded.buffers[0])[:1] == b"\1"


def test_a_read_only_view_of_something_writable_is_copied() -> None:
    """Read-only is the view, not the memory."""
    loose = bytearray(100_000)
    view = memoryview(loose).toreadonly()
    encoded = encode(Message("t", "a", "b", pickle.PickleBuffer(view)), "a", LIMITS)
    loose[0] = 1
    assert bytes(encoded.buffers[0]) == bytes(100_000)


@pytest.mark.parametrize("payload", [Unpicklable(), lambda: 0, memoryview(b"x")], ids=["raises", "lambda", "view"])
def test_an_unpicklable_payload_is_named(payload: Any) -> None:
    """Whatever the payload raises becomes one error with the cause in it."""
    with pytest.raises(CodecError, match="can't be pickled") as caught:
        encode(Message("t", "a", "b", payload), "a", LIMITS)
    assert caught.value.reason == "unpicklable"
    assert caught.value.__cause__ is not None


def test_an_encoder_forgets_what_failed() -> None:
    """The buffers of a message that could not be encoded do not go out with the next one."""
    encoder = Encoder("a", LIMITS)
    large = pickle.PickleBuffer(bytes(100_000))
    for payload in ([large, Unpicklable()], [large]):
        if payload[1:]:
            with pytest.raises(CodecError):
                encoder.encode(Message("t", "a", "b", payload))
        else:
            assert len(encoder.encode(Message("t", "a", "b", payload)).buffers) == 1
    assert not encoder.encode(Message("t", "a", "b", 1)).buffers


@pytest.mark.parametrize("payload", [bytes(2000), pickle.PickleBuffer(bytes(100_000))], ids=["body", "buffer"])
def test_a_payload_over_the_limit_is_refused(payload: Any) -> None:
    """The error has both figures."""
    with pytest.raises(CodecError, match="limit is 1,000") as caught:
        encode(Message("t", "a", "b", payload), "a", WireLimits(max_bytes=1000))
    assert caught.value.reason == "too_large"


def test_a_name_beyond_the_limit_is_refused() -> None:
    """The envelope has one byte for its length, in UTF-8."""
    Route("a" * 255, "actor", 1, "b", 2)
    with pytest.raises(CodecError, match="255 bytes") as caught:
        Route("ä" * 128, "actor", 1, "b", 2)
    assert caught.value.reason == "name"


def packet(payload: Any = None) -> bytes:
    return bytes(Route("a", "actor", 1, "b", 2).packet(encode(Message("t", "a", "b", payload), "a", LIMITS))[0])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "foreign"),
        (b"GET / HTTP/1.1\r\n" * 10, "foreign"),
        (packet()[: NAMES_AT - 1], "foreign"),
        (packet()[: NAMES_AT + 2], "foreign"),
        (MAGIC + bytes([VERSION + 1]) + packet()[3:], "version"),
        (packet()[:3] + b"\x63" + packet()[4:], "version"),
        (packet()[:4] + struct.pack("<H", LIMITS.max_frames + 1) + packet()[6:], "too_many_frames"),
        (packet()[:NAMES_AT] + b"\xff" + packet()[NAMES_AT + 1 :], "foreign"),
    ],
    ids=["empty", "http", "short", "names cut", "version", "kind", "frames", "no UTF-8"],
)
def test_what_is_no_envelope_is_refused(frame: bytes, reason: str) -> None:
    """By a word to count it under; twice the same, whatever is remembered."""
    reader = EnvelopeReader(LIMITS)
    for _ in range(2):
        with pytest.raises(CodecError) as caught:
            reader.read(frame)
        assert caught.value.reason == reason


def body_of(*fields: Any) -> bytes:
    return packet()[: NAMES_AT + 7] + pickle.dumps(fields)


@pytest.mark.parametrize(
    "first",
    [
        packet()[:-3],
        packet()[: NAMES_AT + 7],
        packet()[: NAMES_AT + 7] + b"no pickle",
        packet(Undecodable()),
        body_of(1, 2, 3),
        body_of("t", "s", "m", None, 99, None, None),
        body_of("t", "s", "m", None, -1, None, None),
        body_of("t", "s", "m", None, "0", None, None),
        body_of("t", [], "m", None, 0, None, None),
        body_of("t", "s", {}, None, 0, None, None),
        body_of("t", "s", "m", [], 0, None, None),
        body_of("t", "s", "m", None, 0, [], None),
    ],
    ids=["cut", "none", "text", "raises", "fields", "code", "below", "type", "session", "id", "request", "source"],
)
def test_what_is_no_body_is_refused(first: bytes) -> None:
    """Whatever unpickling raises, and what would trip the receiver later."""
    envelope = EnvelopeReader(LIMITS).read(first)
    with pytest.raises(CodecError) as caught:
        decode(envelope, *split_body(envelope, first, []))
    assert caught.value.reason == "undecodable"


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, 70), st.binary(min_size=1, max_size=8)))
def test_noise_raises_nothing_but_codec_errors(noise: bytes | tuple[int, bytes]) -> None:
    """Random bytes, and good packets with some bytes of the envelope overwritten, are read or refused.

    The body is left alone: what a pickle of noise does, such as asking for gigabytes, is up to the unpickler.
    """
    if isinstance(noise, tuple):
        at, patch = noise
        noise = packet()[:at] + patch + packet()[at + len(patch) :]
    try:
        envelope = EnvelopeReader(LIMITS).read(noise)
        assert envelope.frames <= LIMITS.max_frames
        assert envelope.body_at <= len(noise)
    except CodecError as error:
        assert error.reason in ("foreign", "version", "too_many_frames")


@given(st.integers(0, 500))
def test_a_packet_that_is_cut_off_is_refused(length: int) -> None:
    """Wherever it ends."""
    whole = packet({"a": [1, 2.5, "text", b"bytes"]})
    first = whole[: min(length, len(whole) - 1)]
    with pytest.raises(CodecError):
        envelope = EnvelopeReader(LIMITS).read(first)
        decode(envelope, *split_body(envelope, first, []))


def test_a_broadcast_is_for_whom_it_reached() -> None:
    """Where the envelope names a topic, the receiver says who it is."""
    first = packet()
    envelope = EnvelopeReader(LIMITS).read(first)
    assert decode(envelope, *split_body(envelope, first, []), destination="me").destination == "me"


def test_only_so_many_names_are_remembered() -> None:
    """A stream of strangers takes no memory for ever."""
    reader = EnvelopeReader(LIMITS)
    for number in range(EnvelopeReader._REMEMBERED + 10):
        frame = Route(str(number), "actor", 1, "b", 2).envelope(0)
        assert reader.read(frame).source == str(number)
    assert len(reader._names) <= EnvelopeReader._REMEMBERED


similar_routes = st.sampled_from(
    [Route("a", "", 1, "b", 1), Route("a", "", 1, "b", 2), Route("", "a", 1, "b", 1), Route("a", "", 1, "bc", 1)]
)
small = st.integers(0, 1)
runs = st.sampled_from([(), (), ((4, 4),), ((4, 5), (7, 9))])


@given(st.lists(st.tuples(similar_routes, small, st.integers(1, 2), small, small, small, runs), max_size=20))
def test_what_was_read_before_changes_nothing(packets: list[tuple[Any, ...]]) -> None:
    """A reader that remembers reads what one that has seen nothing would."""
    reader = EnvelopeReader(LIMITS)
    for route, frames, messages, *numbers, ranges in packets:
        first = route.envelope(frames if messages == 1 else 0, messages, *numbers, ranges) + b"body"
        assert reader.read(first) == EnvelopeReader(LIMITS).read(first)


def test_a_packet_like_the_last_one_that_is_cut_off_is_refused() -> None:
    """Also where all but its end is what it was before."""
    reader = EnvelopeReader(LIMITS)
    whole = Route("source", "learner", 1, "sink", 2).envelope(0, 1, 7, 8, 9)
    reader.read(whole)
    for length in range(len(whole)):
        with pytest.raises(CodecError):
            reader.read(whole[:length])
