"""What a driver carries: payloads of every kind, unchanged; broadcasts to whom they are for; each kind in its turn."""

from __future__ import annotations

import itertools
import pickle
import threading
from enum import Enum
from typing import Any

import pytest

from maro.communication import Message, SessionMessage, SessionType
from maro.communication.packets import WireLimits
from maro.utils.exception.communication_exception import DriverSendError
from tests.contract.conftest import WITHIN_MS, Drivers, Listener, message, receive


class Tag(Enum):
    ROLLOUT = 1


@pytest.mark.parametrize("size", [10, 20_000, 300_000])
def test_buffers_arrive_as_they_were(drivers: Drivers, size: int) -> None:
    """Bytes and bytearrays as such, and as buffers out of band; a memoryview is wrapped in one."""
    sender, receiver = drivers.pair()
    content = bytes(itertools.islice(itertools.cycle(range(256)), size))
    wrapped = [pickle.PickleBuffer(each) for each in (content, bytearray(content), memoryview(bytearray(content)))]
    sender.send(message([content, bytearray(content), *wrapped]))
    got = receive(receiver).payload
    assert [bytes(each) for each in got] == [content] * 5
    assert [type(each) for each in got[:2]] == [bytes, bytearray]


def test_tags_sessions_and_types_arrive_as_they_were(drivers: Drivers) -> None:
    """An Enum stays an Enum."""
    sender, receiver = drivers.pair()
    sent = SessionMessage(Tag.ROLLOUT, "me", "peer", None, SessionType.NOTIFICATION, session_id="mine")
    sender.send(sent)
    got = receive(receiver)
    assert isinstance(got, SessionMessage)
    assert got.tag is Tag.ROLLOUT
    assert (got.session_id, got.message_id, got.payload) == ("mine", sent.message_id, None)
    assert (got.session_type, got.session_stage) == (sent.session_type, sent.session_stage)


@pytest.mark.parametrize("payload", [lambda: 0, threading.Lock(), memoryview(b"x")], ids=["lambda", "lock", "view"])
def test_an_unpicklable_payload_is_an_error_of_this_message_only(drivers: Drivers, payload: Any) -> None:
    """Sent or broadcast."""
    sender, receiver = drivers.pair()
    with pytest.raises(DriverSendError, match="can't be pickled"):
        sender.send(message([pickle.PickleBuffer(bytes(100_000)), payload]))
    with pytest.raises(DriverSendError, match="can't be pickled"):
        sender.broadcast("actor", message(payload))
    sender.send(message("fine"))
    assert receive(receiver).payload == "fine"


@pytest.mark.parametrize(
    "payload", [bytes(200_000), pickle.PickleBuffer(bytes(200_000))], ids=["in band", "out of band"]
)
def test_a_payload_over_the_limit_is_an_error_of_this_message_only(drivers: Drivers, payload: Any) -> None:
    """The text has the figures."""
    sender, receiver = drivers.pair(limits=WireLimits(max_bytes=100_000))
    for send in (lambda: sender.send(message(payload)), lambda: sender.broadcast("actor", message(payload))):
        with pytest.raises(DriverSendError, match="limit is 100,000"):
            send()
    sender.send(message(bytes(90_000)))
    assert receive(receiver).payload == bytes(90_000)


# Broadcasts.


def test_the_first_broadcast_reaches_a_peer_that_is_receiving(drivers: Drivers) -> None:
    """Directly after connecting, and after connecting again."""
    sender, receiver = drivers("learner"), drivers("actor")
    with Listener(receiver) as listener:
        for number in range(3):
            sender.connect({"peer": receiver.address})
            sender.broadcast("actor", message(number, to="actor"))
            assert listener.next().payload == number


def test_a_broadcast_reaches_its_type_only(drivers: Drivers) -> None:
    """A type may be the beginning of another's name, or its end."""
    sender = drivers("learner")
    types = ["actor", "actor_eval", "my_actor", "actor"]
    receivers = [drivers(kind) for kind in types]
    sender.connect({f"peer{number}": receiver.address for number, receiver in enumerate(receivers)})
    listeners = [Listener(receiver) for receiver in receivers]
    for listener in listeners:
        listener.__enter__()
    try:
        for topic in ("actor", "actor_eval", "my_actor", "act"):
            sender.broadcast(topic, message(topic, to=topic))
        for number, kind in enumerate(types):
            sender.send(message("end", to=f"peer{number}"))
            got = {listeners[number].next().payload, listeners[number].next().payload}
            assert got == {kind, "end"}
            assert listeners[number].got_nothing_else()
    finally:
        for listener in listeners:
            listener.__exit__()


def test_a_disconnected_peer_gets_no_broadcast(drivers: Drivers) -> None:
    """While the others do."""
    sender = drivers("learner")
    stays, goes = drivers(), drivers()
    sender.connect({"stays": stays.address, "goes": goes.address})
    with Listener(stays) as listener, Listener(goes) as gone:
        sender.broadcast("actor", message(1))
        assert (listener.next().payload, gone.next().payload) == (1, 1)
        sender.disconnect({"goes": goes.address})
        sender.broadcast("actor", message(2))
        assert listener.next().payload == 2
    assert gone.got_nothing_else()


def test_a_broadcast_waits_for_nobody_for_long(drivers: Drivers) -> None:
    """A peer that computes does not keep it from the others."""
    sender = drivers("learner")
    busy, listening = drivers(), drivers()
    sender.connect({"busy": busy.address, "listening": listening.address})
    with Listener(listening) as listener:
        for number in range(3):
            sender.broadcast("actor", message(number))
            assert listener.next().payload == number


@pytest.mark.parametrize("flood", ["unicast", "broadcast"])
def test_neither_kind_starves_the_other(drivers: Drivers, flood: str) -> None:
    """A message of the one kind arrives in the middle of a flood of the other."""
    # Given a peer that one driver floods, without end
    receiver, flooding, other = drivers("actor"), drivers("learner", send_timeout=200), drivers("learner")
    with Listener(receiver) as listener:
        for driver in (flooding, other):
            driver.connect({"peer": receiver.address})
            driver.broadcast("actor", message("subscribed"))
            assert listener.next().payload == "subscribed"
    stop = threading.Event()

    def send(driver: Any, kind: str, payload: Any) -> None:
        if kind == "unicast":
            driver.send(message(payload))
        else:
            driver.broadcast("actor", message(payload))

    def run() -> None:
        while not stop.is_set():
            try:
                send(flooding, flood, "flood")
            except DriverSendError:
                continue  # full, which is what it is to be

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert receive(receiver).payload == "flood"
        # When one message of the other kind is sent
        send(other, "broadcast" if flood == "unicast" else "unicast", "other")
        # Then it comes, and so does more of the flood
        got: list[Message] = []
        for received in receiver.receive(timeout=WITHIN_MS):
            got.append(received)
            if received.payload == "other" or len(got) > 200_000:
                break
        assert got[-1].payload == "other"
        assert receive(receiver).payload == "flood"
    finally:
        stop.set()
        thread.join()
