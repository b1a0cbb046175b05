"""Arrays over every driver: as they were when the call returned, and each receiver's own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.contract.conftest import Drivers, message, receive

np = pytest.importorskip("numpy")


def arrays() -> dict[str, Any]:
    """Arrays in every layout, large enough to travel out of band, and small ones."""
    base = np.arange(120_000, dtype=np.float64)
    read_only = base.copy()
    read_only.flags.writeable = False
    return {
        "contiguous": base.reshape(300, 400),
        "Fortran order": np.asfortranarray(base.reshape(300, 400)),
        "non-contiguous": base.reshape(300, 400)[::2, ::3],
        "read-only": read_only,
        "small": np.arange(3),
        "empty": np.empty((0, 4)),
        "structured": np.zeros(20_000, dtype=[("a", "i4"), ("b", "f8")]),
        "many": [np.full(10_000, number) for number in range(20)],
    }


@pytest.mark.parametrize("zero_copy", [False, True], ids=["copied", "zero copy"])
@pytest.mark.parametrize("layout", list(arrays()))
def test_arrays_arrive_as_they_were(drivers: Drivers, layout: str, zero_copy: bool) -> None:
    """Values, type, shape and order; what came from a writable array is writable."""
    sender, receiver = drivers.pair(zero_copy=zero_copy)
    sent = arrays()[layout]
    sender.send(message(sent))
    got = receive(receiver).payload
    for ours, theirs in zip(*((each if isinstance(each, list) else [each]) for each in (sent, got)), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
        assert ours.flags.writeable == theirs.flags.writeable
        if ours.flags.c_contiguous or ours.flags.f_contiguous:
            assert ours.flags.f_contiguous == theirs.flags.f_contiguous
        if theirs.flags.writeable and theirs.dtype.names is None:
            np.add(theirs, 1, out=theirs)  # and writing to it harms nobody


def test_a_payload_that_is_changed_after_the_call_arrives_unchanged(drivers: Drivers) -> None:
    """Arrays, views of them, bytearrays, and plain objects; sent while the receiver is not there yet."""
    # Given payloads, some read-only views of what can be written to
    sender, receiver = drivers.pair()
    base, behind = np.zeros(1_000_000), np.zeros(1_000_000)
    view = behind[:]
    view.flags.writeable = False
    raw, plain = bytearray(1_000_000), {"a": [0]}
    # When they are changed as soon as the call has returned
    sender.send(message([base, base[::2], view, raw, pickle.PickleBuffer(raw), plain]))
    base[:] = behind[:] = 1
    raw[:] = b"\1" * len(raw)
    plain["a"][0] = 1
    # Then what arrives is what it was
    *buffers, got = receive(receiver).payload
    assert got == {"a": [0]}
    assert not any(np.frombuffer(bytes(each), dtype=np.uint8).any() for each in buffers)


def test_two_receivers_do_not_share_memory(drivers: Drivers) -> None:
    """What one writes to its array, the sender and the other do not see."""
    sender, first = drivers.pair(zero_copy=True)
    second = drivers()
    sender.connect({"second": second.address})
    sent = np.zeros(100_000)
    for name in ("peer", "second"):
        sender.send(message(sent, to=name))
    receive(first).payload[:] = 1
    assert not receive(second).payload.any()
    assert not sent.any()
