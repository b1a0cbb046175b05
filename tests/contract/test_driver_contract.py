"""What every driver does: connections, sending, receiving, and its errors."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any

import pytest
import zmq

from maro.communication import Message
from maro.communication.driver.framed_driver import FramedDriver
from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from maro.communication.driver.zmq_driver import ZmqDriver
from maro.utils.exception.communication_exception import (
    DriverSendError,
    PeersConnectionError,
    PeersDisconnectionError,
    PendingToSend,
    ProxyClosedError,
    ProxyThreadError,
    SocketTypeError,
)
from tests.contract.conftest import WITHIN_MS, Drivers, Listener, message, receive
from tests.support.waiting import eventually


def payloads(messages: list[Message]) -> list[Any]:
    return [each.payload for each in messages]


def test_addresses_have_int_keys(drivers: Drivers) -> None:
    """One for unicast, one for broadcasts, under ZeroMQ's numbers; changing the result changes nothing."""
    driver = drivers()
    address = driver.address
    assert set(address) == {int(zmq.PULL), int(zmq.SUB)}
    assert all(isinstance(place, str) for place in address.values())
    address.clear()
    assert driver.address


@pytest.mark.parametrize("key", [int, str], ids=["int keys", "string keys"])
def test_connect_send_receive_disconnect(drivers: Drivers, key: Any) -> None:
    """The life of a connection; JSON knows string keys only."""
    # Given a connection
    sender, receiver = drivers("learner"), drivers("actor")
    address = {key(kind): place for kind, place in receiver.address.items()}
    sender.connect({"peer": address})
    # When a message is sent, then it arrives
    sender.send(message("hello"))
    received = receive(receiver)
    assert (received.payload, received.source, received.destination, received.tag) == ("hello", "me", "peer", "tag")
    # When the peer is disconnected, then sending waits for another connection
    sender.disconnect({"peer": address})
    with pytest.raises(PendingToSend, match="'peer'"):
        sender.send(message())
    sender.connect({"peer": address})
    sender.send(message("again"))
    assert receive(receiver).payload == "again"


def test_sending_to_a_stranger_names_those_that_are_connected(drivers: Drivers) -> None:
    """A stranger was never connected."""
    sender, _ = drivers.pair()
    with pytest.raises(DriverSendError, match=r"'nobody' is not connected.*peer"):
        sender.send(message(to="nobody"))


def test_disconnecting_a_stranger_is_an_error(drivers: Drivers) -> None:
    """And so is disconnecting twice."""
    sender, receiver = drivers.pair()
    with pytest.raises(PeersDisconnectionError, match="'nobody'"):
        sender.disconnect({"nobody": receiver.address})
    sender.disconnect({"peer": receiver.address})
    with pytest.raises(PeersDisconnectionError, match="'peer'"):
        sender.disconnect({"peer": receiver.address})


@pytest.mark.parametrize("kind", [1, 99, "1", "PULL", None, 7.0])
def test_another_socket_type_is_an_error(drivers: Drivers, kind: Any) -> None:
    """For connecting and for disconnecting."""
    sender, receiver = drivers.pair()
    with pytest.raises(SocketTypeError, match="socket type"):
        sender.connect({"other": {kind: receiver.address[7]}})
    with pytest.raises(SocketTypeError, match="socket type"):
        sender.disconnect({"peer": {kind: receiver.address[7]}})


@pytest.mark.parametrize(
    "place", ["nonsense", "tcp://", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1", "", 7, None, b"x"]
)
def test_a_bad_address_is_an_error_and_keeps_the_connection(drivers: Drivers, place: Any) -> None:
    """In either place; the connection that there was goes on."""
    sender, receiver = drivers.pair()
    good = receiver.address
    for bad in ({7: place, 2: good[2]}, {7: good[7], 2: place}):
        if place is None and bad[2] is None:
            continue  # no broadcasts then
        with pytest.raises(PeersConnectionError, match="'peer'"):
            sender.connect({"peer": bad})
        sender.send(message(1))
        assert receive(receiver).payload == 1


def test_no_address_for_unicast_is_an_error(drivers: Drivers) -> None:
    """Broadcasts alone make no peer."""
    sender, receiver = drivers("learner"), drivers()
    with pytest.raises(PeersConnectionError, match="'peer'"):
        sender.connect({"peer": {2: receiver.address[2]}})


def test_connecting_again_replaces_the_connection(drivers: Drivers) -> None:
    """The peer has a new process; what was sent goes there, once."""
    sender, old = drivers.pair()
    new = drivers("actor")
    sender.connect({"peer": new.address})
    sender.send(message("new"))
    assert receive(new).payload == "new"
    assert list(old.receive(timeout=0)) == []
    # And the same address again, twice, is one connection
    for _ in range(2):
        sender.connect({"peer": new.address})
    with Listener(new) as listener:
        sender.send(message("once"))
        sender.broadcast("actor", message("to all"))
        assert {listener.next().payload, listener.next().payload} == {"once", "to all"}
        sender.send(message("end"))
        assert listener.next().payload == "end"


def test_order_is_kept(drivers: Drivers) -> None:
    """Per sender and receiver, small and large mixed."""
    sender, receiver = drivers.pair()
    for number in range(300):
        sender.send(message((number, b"x" * (200_000 if number % 50 == 0 else 10))))
    assert [receive(receiver).payload[0] for _ in range(300)] == list(range(300))


def test_a_full_queue_is_back_pressure(drivers: Drivers) -> None:
    """Waiting at most `send_timeout`; nothing that was taken is lost; room comes back by receiving."""
    # Given small queues, and a peer that does not receive
    sender, receiver = drivers.pair(high_water_mark=2, send_timeout=50)
    sent = 0

    def fill() -> None:
        nonlocal sent
        while True:
            sender.send(message((sent, bytes(500_000))))
            sent += 1
            assert sent < 1000

    # When it is full, then sending ends with an error that names peer and time
    with pytest.raises(DriverSendError, match=r"'peer'.* 50 ms"):
        fill()
    start = time.monotonic()
    with pytest.raises(DriverSendError):
        fill()
    assert time.monotonic() - start >= 0.05
    # When the peer receives, then everything that was taken arrives in order
    assert [receive(receiver).payload[0] for _ in range(sent)] == list(range(sent))
    sender.send(message("room"))
    assert receive(receiver).payload == "room"


def test_a_blocked_send_ends_when_there_is_room(drivers: Drivers) -> None:
    """With -1 it waits as long as it takes."""
    sender, receiver = drivers.pair(high_water_mark=1)
    with Listener(receiver) as listener:
        for number in range(60):
            sender.send(message((number, bytes(500_000))))
        assert [listener.next().payload[0] for _ in range(60)] == list(range(60))


def test_timeouts_of_receive(drivers: Drivers) -> None:
    """0 polls once, milliseconds are waited for, None is the driver's own, -1 waits for ever."""
    sender, receiver = drivers.pair(receive_timeout=30)
    for timeout, least_s in ((0, 0.0), (60, 0.06), (None, 0.03)):
        start = time.monotonic()
        assert list(receiver.receive(timeout=timeout)) == []
        assert time.monotonic() - start >= least_s
    got: list[Message] = []
    thread = threading.Thread(target=lambda: got.extend(receiver.receive(is_continuous=False, timeout=-1)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    sender.send(message(1))
    thread.join(WITHIN_MS / 1000)
    assert payloads(got) == [1]


def test_receive_goes_on_until_there_is_nothing(drivers: Drivers) -> None:
    """Continuously, the timeout is for each message; else one is enough."""
    sender, receiver = drivers.pair()
    for number in range(3):
        sender.send(message(number))
    assert payloads(list(receiver.receive(is_continuous=False, timeout=WITHIN_MS))) == [0]
    running = receiver.receive(timeout=WITHIN_MS)
    assert payloads([next(running), next(running)]) == [1, 2]
    assert list(receiver.receive(timeout=20)) == []


def nothing_comes(driver: FramedDriver, fd: int, timeout_ms: int) -> bool:
    """Whether neither a message nor the descriptor ends a wait.

    One that ends early, without a reason, is taken up again; but not again and again: a wait is no busy loop.
    """
    ends = time.monotonic() + timeout_ms / 1000
    for _ in range(20):
        driver.wait(max(0.0, ends - time.monotonic()) * 1000, fd)
        if driver.take() is not None or select.select([fd], [], [], 0)[0]:
            return False
        if time.monotonic() >= ends:
            return True
    raise AssertionError("waiting does not wait")


def test_a_poll_finds_what_has_arrived(drivers: Drivers) -> None:
    """Of both kinds, with a timeout of 0, also after a poll that found nothing."""
    sender, receiver = drivers.pair()
    with Listener(receiver) as listener:
        sender.broadcast("actor", message("first"))
        assert listener.next().payload == "first"
    for send in (lambda: sender.broadcast("actor", message("it")), lambda: sender.send(message("it"))):
        assert list(receiver.receive(timeout=0)) == []
        send()
        receiver.wait(WITHIN_MS)
        assert payloads(list(receiver.receive(timeout=0))) == ["it"]


def test_no_arrival_is_slept_through(drivers: Drivers) -> None:
    """Each message of either kind finds a receiver that has run dry and waits, and wakes it."""
    sender, receiver = drivers.pair()
    with Listener(receiver) as listener:
        sender.broadcast("actor", message("first"))
        assert listener.next().payload == "first"
    start = time.monotonic()
    with Listener(receiver, timeout_ms=WITHIN_MS) as listener:
        for number in range(300):
            if number % 3 == 0:
                sender.broadcast("actor", message(number))
            else:
                sender.send(message(number))
            assert listener.next().payload == number
        assert time.monotonic() - start < WITHIN_MS / 1000
        listener.stop()
        sender.send(message("end"))


def test_a_wait_ends_with_a_message_and_with_a_descriptor(drivers: Drivers) -> None:
    """So that other news reach a caller that waits for messages."""
    sender, receiver = drivers.pair()
    reading, writing = socket.socketpair()
    with reading, writing:
        start = time.monotonic()
        assert nothing_comes(receiver, reading.fileno(), timeout_ms=50)
        waker = threading.Timer(0.05, writing.send, [b"x"])
        waker.start()
        assert not nothing_comes(receiver, reading.fileno(), timeout_ms=WITHIN_MS)
        waker.join()
        reading.recv(1)
        sender.send(message(1))
        assert not nothing_comes(receiver, reading.fileno(), timeout_ms=WITHIN_MS)
        assert receiver.take() is None
    assert time.monotonic() - start < WITHIN_MS / 1000


def test_a_wait_for_room_is_not_woken_by_arrivals(drivers: Drivers) -> None:
    """Where the caller has no place for more."""
    sender, receiver = drivers.pair()
    sender.send(message(1))
    receiver.wait(WITHIN_MS)
    reading, writing = socket.socketpair()
    with reading, writing:
        start = time.monotonic()
        receiver.wait(50, reading.fileno(), readable=False)
        assert time.monotonic() - start >= 0.04
    sender.wait(WITHIN_MS, writable=("peer",), readable=False)
    assert time.monotonic() - start < WITHIN_MS / 1000


def test_two_threads_at_once_are_refused(drivers: Drivers) -> None:
    """Handing it over between calls is fine."""
    sender, receiver = drivers.pair()
    receiver.connect({"peer": sender.address})
    got: list[Message] = []
    thread = threading.Thread(target=lambda: got.extend(receiver.receive(is_continuous=False)))
    thread.start()

    def refused() -> bool:
        try:
            receiver.send(message())
        except ProxyThreadError:
            return True
        return False

    eventually(refused, what="the other thread in its call")
    sender.send(message("go on"))
    thread.join(WITHIN_MS / 1000)
    assert payloads(got) == ["go on"]
    receiver.send(message("own again"))


def test_a_closed_driver_says_so(drivers: Drivers) -> None:
    """Closing again does nothing; an iterator that was running ends."""
    sender, receiver = drivers.pair()
    sender.send(message(1))
    running = receiver.receive(timeout=WITHIN_MS)
    assert next(running).payload == 1
    receiver.close()
    receiver.close()
    assert list(running) == []
    address: dict[str, Any] = {"peer": sender.address}
    for call in (
        lambda: receiver.send(message()),
        lambda: receiver.broadcast("actor", message()),
        lambda: receiver.connect(address),
        lambda: receiver.disconnect(address),
        lambda: list(receiver.receive()),
    ):
        with pytest.raises(ProxyClosedError):
            call()


def test_shutdown_sends_what_is_queued(drivers: Drivers) -> None:
    """It returns when all of it is on its way, and all of it arrives."""
    sender, receiver = drivers.pair()
    for number in range(20):
        sender.send(message((number, bytes(100_000))))
    with Listener(receiver) as listener:
        assert sender.shutdown(WITHIN_MS)
        assert [listener.next().payload[0] for _ in range(20)] == list(range(20))


def test_shutdown_gives_up_on_who_does_not_take_it(drivers: Drivers) -> None:
    """After the linger time; not at all for those that are to be dropped, nor without linger."""
    for linger_ms, drop, sent in ((150, (), False), (WITHIN_MS, ("peer",), True), (0, (), True)):
        sender = drivers("learner")
        sender.connect({"peer": drivers.nowhere()})
        sender.send(message("lost"))
        start = time.monotonic()
        assert sender.shutdown(linger_ms, drop) is sent
        took_s = time.monotonic() - start
        assert took_s < WITHIN_MS / 1000 / 2
        assert sent or took_s >= 0.14  # timers of ZeroMQ may end a little early


@pytest.mark.parametrize("protocol", ["udp", "", None, "TCP"])
def test_an_unknown_protocol_is_refused(protocol: Any) -> None:
    """The text names those that there are."""
    with pytest.raises(PeersConnectionError, match="tcp, ipc"):
        ZmqDriver("actor", protocol)


def test_an_interface_that_is_not_there_is_refused() -> None:
    """Nothing is left open."""
    with pytest.raises(PeersConnectionError, match=r"203\.0\.113\.1"):
        ZmqDriver("actor", bind_host="203.0.113.1")


def test_the_advertised_host_is_what_peers_are_told() -> None:
    """IPv6 goes into brackets."""
    driver = ZmqDriver("actor", advertise_host="10.1.2.3")
    assert all(place.startswith("tcp://10.1.2.3:") for place in driver.address.values())
    driver.advertise("::1")
    assert all(place.startswith("tcp://[::1]:") for place in driver.address.values())
    driver.close()


def test_repr_names_peers() -> None:
    """Of both twins alike."""
    network = MemoryNetwork()
    driver, peer = MemoryDriver("learner", network), MemoryDriver("actor", network)
    driver.connect({"actor_0": peer.address})
    assert "MemoryDriver('learner'" in repr(driver)
    assert "actor_0" in repr(driver)
