"""Several messages in a packet, packets without any, and what both say of the other direction."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maro.communication.packets import (
    KIND_CONTROL,
    KIND_MESSAGE,
    RANGES_LIMIT,
    CodecError,
    EnvelopeReader,
    Route,
    WireLimits,
    read_control,
    split,
)

LIMITS = WireLimits()
ROUTE = Route("source", "actor", 3, "destination", 7)
FIXED = struct.calcsize("<4sHHQQQQQHBBB")

numbers = st.integers(1, 2**64 - 1)
counters = st.integers(0, 2**64 - 1)
ranges = st.lists(st.tuples(counters, counters), max_size=20)
bodies = st.lists(st.binary(max_size=50), min_size=2, max_size=64)


@given(bodies, counters, counters, counters, ranges)
@example([b"", b""], 0, 0, 0, [])
def test_a_batch_survives_the_round_trip(
    parts: list[bytes], sequence: int, received: int, finished: int, runs: list[tuple[int, int]]
) -> None:
    """Each body as it was, also an empty one, and all that the envelope says."""
    frame = ROUTE.batch(parts, sequence, received, finished, runs)
    envelope = EnvelopeReader(LIMITS).read(frame)
    assert split(envelope, frame) == parts
    assert (envelope.kind, envelope.frames, envelope.messages) == (KIND_MESSAGE, 0, len(parts))
    assert (envelope.sequence, envelope.received, envelope.finished) == (sequence, received, finished)
    assert list(envelope.ranges) == runs
    assert (envelope.source, envelope.source_type, envelope.destination) == ("source", "actor", "destination")


def test_a_batch_of_one_is_an_ordinary_packet() -> None:
    """Whoever receives it need not know that it waited."""
    frame = ROUTE.batch([b"body"], 5, 6, 7, [(9, 9)])
    envelope = EnvelopeReader(LIMITS).read(frame)
    assert envelope.messages == 1
    assert frame[envelope.body_at :] == b"body"


@given(st.integers(0, 255), counters, counters, counters, counters, counters, ranges)
def test_a_control_packet_survives_the_round_trip(
    flags: int, number: int, token: int, sequence: int, received: int, finished: int, runs: list[tuple[int, int]]
) -> None:
    """Flags, number, token, and the acknowledgement."""
    frame = ROUTE.control(flags, number, token, sequence, received, finished, runs)
    envelope = EnvelopeReader(LIMITS).read(frame)
    assert (envelope.kind, envelope.frames, envelope.messages) == (KIND_CONTROL, 0, 0)
    assert read_control(envelope, frame) == (flags, number, token)
    assert (envelope.sequence, envelope.received, envelope.finished) == (sequence, received, finished)
    assert list(envelope.ranges) == runs


def test_as_many_ranges_as_the_envelope_can_count() -> None:
    """The limit is what its field holds."""
    runs = [(2 * number, 2 * number) for number in range(RANGES_LIMIT)]
    frame = ROUTE.control(0, 0, 0, 1, 2, 3, runs)
    envelope = EnvelopeReader(LIMITS).read(frame)
    assert list(envelope.ranges) == runs
    assert read_control(envelope, frame) == (0, 0, 0)


@given(st.lists(st.tuples(st.booleans(), counters, ranges), min_size=1, max_size=10))
def test_a_reader_confuses_no_two_packets(packets: list[tuple[bool, int, list[tuple[int, int]]]]) -> None:
    """Whatever it remembers of those before; each is read twice in a row."""
    reader = EnvelopeReader(LIMITS)
    for is_control, counter, runs in packets:
        if is_control:
            frame = ROUTE.control(1, 2, 3, counter, counter, counter, runs)
        else:
            frame = ROUTE.batch([b"a", b"b"], counter, counter, counter, runs)
        for _ in range(2):
            envelope = reader.read(frame)
            assert (envelope.kind == KIND_CONTROL) == is_control
            assert (envelope.sequence, envelope.received, list(envelope.ranges)) == (counter, counter, runs)


def read_whole(frame: bytes) -> None:
    """All that a driver reads of a packet before it unpickles anything."""
    envelope = EnvelopeReader(LIMITS).read(frame)
    if envelope.kind == KIND_CONTROL:
        read_control(envelope, frame)
    elif envelope.messages > 1:
        assert b"".join(split(envelope, frame)) == frame[envelope.body_at + 4 * envelope.messages :]


@given(st.booleans(), st.integers(0, 400))
def test_what_is_cut_off_is_refused(is_control: bool, length: int) -> None:
    """Wherever it ends; and so is what goes on behind its end."""
    runs = [(5, 6), (8, 8)]
    whole = ROUTE.control(1, 2, 9, 3, 4, 5, runs) if is_control else ROUTE.batch([b"abc", b"", b"def"], 3, 4, 5, runs)
    for frame in (whole[: min(length, len(whole) - 1)], whole + b"x" * (1 + length)):
        with pytest.raises(CodecError) as caught:
            read_whole(frame)
        assert caught.value.reason == "foreign"
    read_whole(whole)


@given(st.booleans(), st.integers(0, 120), st.binary(min_size=1, max_size=8))
def test_noise_raises_nothing_but_codec_errors(is_control: bool, at: int, patch: bytes) -> None:
    """Good packets with some bytes overwritten are read or refused."""
    whole = (
        ROUTE.control(1, 2, 9, 3, 4, 5, [(7, 8)]) if is_control else ROUTE.batch([b"abc", b"def"], 3, 4, 5, [(7, 8)])
    )
    try:
        read_whole(whole[:at] + patch + whole[at + len(patch) :])
    except CodecError as error:
        assert error.reason in ("foreign", "version", "too_many_frames")


@pytest.mark.parametrize(
    ("kind", "frames", "messages"),
    [(KIND_MESSAGE, 0, 0), (KIND_MESSAGE, 1, 2), (KIND_CONTROL, 0, 1), (KIND_CONTROL, 0, 2), (KIND_CONTROL, 1, 0)],
    ids=["none", "batch of frames", "control of one", "control of two", "control with frames"],
)
def test_contradictions_are_refused(kind: int, frames: int, messages: int) -> None:
    """A packet of several messages is one frame, and only a control packet has none."""
    with pytest.raises(CodecError) as caught:
        EnvelopeReader(LIMITS).read(ROUTE.envelope(frames, messages, 1, kind=kind))
    assert caught.value.reason == "foreign"
