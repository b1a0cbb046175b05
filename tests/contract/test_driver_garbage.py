"""What a driver does with packets that are none: it counts them, drops them, and goes on."""

from __future__ import annotations

import os
import pickle
import socket

import pytest

from maro.communication import Message
from maro.communication.codec import Encoder
from maro.communication.packets import Route, WireLimits
from tests.contract.conftest import WITHIN_MS, Drivers, Listener, message, receive
from tests.support.waiting import eventually

LIMITS = WireLimits(max_frames=8, max_bytes=1_000_000)


class Raises:
    """Can't be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (int, ("no number",))


def packet(payload: object = None, incarnation: int = 0) -> list[bytes]:
    """A good packet, as frames."""
    encoded = Encoder("me", WireLimits()).encode(Message("tag", "me", "peer", payload))
    return [bytes(frame) for frame in Route("me", "learner", incarnation, "peer", 0).packet(encoded)]


LARGE = packet(pickle.PickleBuffer(bytes(100_000)))
GOOD = packet("good")

GARBAGE = {
    "nothing": [b""],
    "random bytes": [os.urandom(100)],
    "several frames": [b"a", b"b", b"c", b"d"],
    "wrong version": [GOOD[0][:2] + b"\x63" + GOOD[0][3:]],
    "too many frames announced": [GOOD[0][:4] + b"\xff\xff" + GOOD[0][6:], *[b"x"] * 20],
    "too many frames sent": [*LARGE, *[b"x"] * 20],
    "a frame missing": LARGE[:-1],
    "a frame too many": [*LARGE, b"x"],
    "truncated": [GOOD[0][:20]],
    "names cut off": [GOOD[0][:70]],
    "body cut off": [GOOD[0][:-5]],
    "no body": [GOOD[0][: GOOD[0].index(b"peer") + 4]],
    "a body that raises": packet(Raises()),
    "an envelope without a body": [GOOD[0][:4] + bytes(63)],
    "a batch cut off": [b"mb\x02"],
    "a batch of wrong lengths": [b"mb\x02\x00" + bytes([5, 0, 0, 0, 9, 0, 0, 0]) + b"short"],
    "a batch of garbage": [b"mb\x02\x00" + bytes([2, 0, 0, 0, 3, 0, 0, 0]) + b"mbxyz"],
}


@pytest.mark.parametrize("port", ["unicast", "broadcast"])
@pytest.mark.parametrize("garbage", list(GARBAGE))
def test_garbage_is_counted_and_good_messages_still_arrive(drivers: Drivers, garbage: str, port: str) -> None:
    """On every port; the good packet comes over the same connection, behind the garbage."""
    # Given a driver that is receiving
    receiver = drivers("actor", limits=LIMITS)
    with Listener(receiver) as listener, drivers.thrower(receiver, port == "broadcast") as throw:
        # When garbage comes, and a good packet after it
        for _ in range(3):
            throw(GARBAGE[garbage])
        throw(GOOD)
        # Then only the good one is a message
        assert listener.next().payload == "good"
        # And the garbage was counted, by its packets at least
        assert receiver.dropped.total() >= 3, receiver.dropped
        assert listener.got_nothing_else()


def test_a_broadcast_of_nothing_but_a_topic_is_counted(drivers: Drivers) -> None:
    """It is for the topic, and holds no packet."""
    receiver = drivers("actor", limits=LIMITS)
    with Listener(receiver) as listener, drivers.thrower(receiver, broadcast=True) as throw:
        throw([])
        throw(GOOD)
        assert listener.next().payload == "good"
    assert receiver.dropped == {"foreign": 1}


@pytest.mark.parametrize("port", ["unicast", "broadcast"])
def test_what_is_beyond_the_limit_does_not_stop_the_receiver(drivers: Drivers, port: str) -> None:
    """One huge frame, or many that are too much together; others are not affected."""
    sender, receiver = drivers("learner"), drivers("actor", limits=LIMITS)
    sender.connect({"peer": receiver.address})
    envelope = Route("me", "learner", 0, "peer", 0).envelope(5)
    with Listener(receiver) as listener:
        for frames in ([bytes(3_000_000)], [envelope, *[bytes(400_000)] * 5]):
            with drivers.thrower(receiver, port == "broadcast") as throw:
                throw(frames)
                sender.send(message("good"))
                assert listener.next().payload == "good"
        eventually(lambda: receiver.dropped.total() >= 1, WITHIN_MS / 1000)
        assert listener.got_nothing_else()


@pytest.mark.parametrize("drivers", ["tcp", "ipc"], indirect=True)
@pytest.mark.parametrize("port", [7, 2])
def test_who_speaks_no_zeromq_is_ignored(drivers: Drivers, port: int) -> None:
    """A port scanner, a browser, or noise on the socket itself."""
    sender, receiver = drivers.pair()
    place = receiver.address[port]
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\xff\0\0\0\0\0\0\0\1\x7f" + bytes(54)):
        if drivers.kind == "tcp":
            host, _, number = place.removeprefix("tcp://").rpartition(":")
            raw = socket.create_connection((host, int(number)), timeout=5)
        else:
            raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            raw.connect(place.removeprefix("ipc://"))
        with raw:
            raw.sendall(noise)
            sender.send(message("good"))
            assert receive(receiver).payload == "good"


def test_a_flood_of_garbage_keeps_nobody_for_ever(drivers: Drivers, caplog: pytest.LogCaptureFixture) -> None:
    """The message behind it is found, all of it is counted, and hardly any of it is logged."""
    receiver = drivers("actor")
    with drivers.thrower(receiver) as throw:
        for _ in range(1500):
            throw([b"garbage"])
        throw(GOOD)
        assert receive(receiver).payload == "good"
        assert receiver.dropped["foreign"] == 1500
    logged = [record for record in caplog.records if "dropped a packet" in record.getMessage()]
    assert 1 <= len(logged) <= 10


def test_a_packet_that_is_not_admitted_is_never_unpickled(drivers: Drivers) -> None:
    """Who it says that it comes from is asked first."""
    receiver = drivers("actor")
    asked = []

    def admit(envelope: object) -> int | None:
        asked.append(envelope)
        return 0 if len(asked) > 1 else None

    receiver.admit = admit
    bomb = [packet(1)[0][:-4] + b"boom"]  # would be counted, were it looked at
    with drivers.thrower(receiver) as throw:
        throw(bomb)
        throw(GOOD)
        assert receive(receiver).payload == "good"
    assert len(asked) == 2
    assert receiver.dropped.total() == 0
