"""Packets that travel together come apart as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.communication.codec import CodecError
from maro.communication.driver.batches import MAGIC, Batch, split


def batch_of(packets: list[bytes]) -> Batch:
    """A batch that was filled as the driver fills it."""
    batch = Batch()
    for packet in packets:
        batch.packets.append(packet)
        batch.size += len(packet)
    return batch


@given(st.lists(st.binary(max_size=200), min_size=2, max_size=64))
def test_what_was_joined_comes_apart(packets: list[bytes]) -> None:
    """Whatever the packets are, in their order, empty ones included."""
    frame = batch_of(packets).frame()

    assert frame.startswith(MAGIC)
    assert split(frame) == packets


def test_a_single_packet_is_no_batch() -> None:
    """It travels as it would have by itself."""
    assert batch_of([b"packet"]).frame() == b"packet"


def test_a_batch_that_was_sent_is_empty() -> None:
    """And can be filled again."""
    batch = batch_of([b"a", b"b"])

    batch.clear()

    assert (batch.packets, batch.size) == ([], 0)


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_reason(garbage: bytes) -> None:
    """No bytes behind the magic lead to anything but packets or the one error."""
    try:
        packets = split(MAGIC + garbage)
    except CodecError as error:
        assert error.reason == "foreign"
    else:
        assert sum(map(len, packets)) + 4 * len(packets) + 2 == len(garbage)


@pytest.mark.parametrize("cut", [1, 3, 7, 12])
def test_a_batch_that_was_cut_off_is_refused(cut: int) -> None:
    """At any place: a part of it is not taken for the whole."""
    frame = batch_of([b"first", b"second"]).frame()

    with pytest.raises(CodecError):
        split(frame[:-cut])
