"""The network in memory: what a test can do to it, and that the same seed does the same."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from tests.contract.conftest import message

TICK_S = 1 / 128
"""Exact in binary, so that times can be compared."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def network_of_two(seed: int = 0) -> tuple[MemoryNetwork, Clock, MemoryDriver, MemoryDriver]:
    """A sender that is connected to a receiver."""
    clock = Clock()
    network = MemoryNetwork(seed, clock)
    sender, receiver = MemoryDriver("learner", network), MemoryDriver("actor", network)
    sender.connect({"peer": receiver.address})
    receiver.connect({"peer": sender.address})
    return network, clock, sender, receiver


def arrived(driver: MemoryDriver) -> list[Any]:
    return [each.payload for each in driver.receive(timeout=0)]


def send(driver: MemoryDriver, *payloads: Any) -> None:
    for payload in payloads:
        driver.send(message(payload))


def lossy_run(seed: int, rate: float, delay_s: tuple[float, float]) -> list[tuple[float, Any]]:
    """When each of a hundred messages arrived."""
    network, clock, sender, receiver = network_of_two(seed)
    network.drop_rate, network.delay_s = rate, delay_s
    log = []
    for number in range(100):
        send(sender, number)
        clock.now += TICK_S
        log += [(clock.now, payload) for payload in arrived(receiver)]
    clock.now += 100
    log += [(clock.now, payload) for payload in arrived(receiver)]
    sender.close()
    receiver.close()
    return log


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 0.05), st.floats(0, 0.2))
def test_the_same_seed_does_the_same(seed: int, rate: float, least_s: float, more_s: float) -> None:
    """Which packets are lost, and when the others arrive; in order whatever the delays."""
    first, second = (lossy_run(seed, rate, (least_s, least_s + more_s)) for _ in range(2))
    assert first == second
    numbers = [number for _, number in first]
    assert numbers == sorted(set(numbers))
    assert all(at_s >= number * TICK_S + least_s for at_s, number in first)


def test_another_seed_does_something_else() -> None:
    """And about as much is lost as was asked for."""
    runs = [lossy_run(seed, 0.5, (0, 0)) for seed in range(4)]
    assert len({tuple(run) for run in runs}) == 4
    assert 100 < sum(map(len, runs)) < 300
    assert len(lossy_run(1, 0.0, (0, 0))) == 100
    assert lossy_run(1, 1.0, (0, 0)) == []


def test_a_delay_holds_a_packet_back() -> None:
    """Until its time has come; a wait lasts no longer."""
    network, clock, sender, receiver = network_of_two()
    network.delay_s = (2, 2)
    send(sender, 1)
    assert arrived(receiver) == []
    assert network.next_arrival_s(receiver.address[7]) == 2
    clock.now = 1.9
    assert arrived(receiver) == []
    clock.now = 2
    receiver.wait(0)
    assert arrived(receiver) == [1]
    sender.close()
    receiver.close()


def test_a_partition_holds_packets_until_it_is_healed() -> None:
    """Both ways, as a connection does that hangs; in order, with what comes after."""
    network, _, sender, receiver = network_of_two()
    network.partition(sender.address.values(), receiver.address.values())
    send(sender, 1, 2)
    send(receiver, "back")
    assert (arrived(receiver), arrived(sender)) == ([], [])
    network.heal()
    send(sender, 3)
    assert (arrived(receiver), arrived(sender)) == ([1, 2, 3], ["back"])
    sender.close()
    receiver.close()


def test_a_partition_may_be_one_way() -> None:
    """One hears the other, and is not heard."""
    network, _, sender, receiver = network_of_two()
    network.partition(sender.address.values(), receiver.address.values(), one_way=True)
    send(sender, 1)
    send(receiver, "back")
    assert (arrived(receiver), arrived(sender)) == ([], ["back"])
    network.heal()
    assert arrived(receiver) == [1]
    sender.close()
    receiver.close()


def test_closing_loses_what_is_cut_off() -> None:
    """The sender held it; what had arrived is the receiver's."""
    network, _, sender, receiver = network_of_two()
    send(sender, "arrived")
    sender.close()
    assert arrived(receiver) == ["arrived"]
    other = MemoryDriver("learner", network)
    other.connect({"peer": receiver.address})
    network.partition(other.address.values(), receiver.address.values())
    send(other, "cut off")
    assert not other.shutdown(20)
    network.heal()
    assert arrived(receiver) == []
    receiver.close()


def test_senders_take_turns() -> None:
    """A queue that is long does not keep the others waiting."""
    network, _, first, receiver = network_of_two()
    second = MemoryDriver("learner", network)
    second.connect({"peer": receiver.address})
    send(first, *range(50))
    send(second, "other")
    assert "other" in arrived(receiver)[:2]
    for driver in (first, second, receiver):
        driver.close()


def test_an_address_is_taken_over_with_what_others_hold_for_it() -> None:
    """What its first owner had not read is lost; what was sent since is the successor's, whoever it was meant for."""
    network, _, sender, receiver = network_of_two()
    send(sender, "unread")
    address = receiver.address[7]
    receiver.close()
    send(sender, "for nobody")
    assert network.next_arrival_s(address) is not None
    heard: list[str] = []
    assert network.bind(lambda: heard.append("sent"), address) == address
    assert network.holds_back(sender.address[7], address, "peer") is False
    frames = network.collect(address)
    assert frames is not None and b"for nobody" in frames[0]
    assert network.collect(address) is None
    send(sender, "more")
    assert heard == ["sent"]
    sender.close()


def test_a_connection_that_is_made_anew_loses_a_run() -> None:
    """Of what was on its way, chosen by the seed, in one direction; later packets arrive."""
    lost = set()
    for seed in range(20):
        network, _, sender, receiver = network_of_two(seed)
        send(sender, *range(10))
        send(receiver, "back")
        count = network.reset(sender.address[7], receiver.address[7], "peer")
        send(sender, 10)
        got = arrived(receiver)
        missing = sorted(set(range(11)) - set(got))
        assert got == sorted(got) and got[-1] == 10 and len(missing) == count
        assert not missing or missing == list(range(missing[0], missing[-1] + 1))
        assert arrived(sender) == ["back"]
        lost.add(count)
        sender.close()
        receiver.close()
    assert len(lost) > 5


def test_a_sender_without_room_is_woken_when_there_is_some() -> None:
    """By whatever makes the room: a receiver that reads, a connection made anew, an address given up."""
    for free in ("collect", "reset", "unbind"):
        network = MemoryNetwork(5)
        woken: list[str] = []
        sender, address = network.bind(functools.partial(woken.append, "room")), network.bind(int)
        while network.transmit(sender, address, (b"packet",), 8):
            pass
        assert not network.has_room(sender, address, 8)
        if free == "reset":
            while network.reset(sender, address) == 0:
                pass
        else:
            getattr(network, free)(address)
        assert woken == ["room"], free
        assert network.has_room(sender, address, 8)


def test_a_sender_has_a_connection_for_each_name() -> None:
    """Closing that to a peer which is no more takes nothing from that to the one which has its address now."""
    _, _, sender, receiver = network_of_two()
    sender.connect({"other": receiver.address})
    sender.send(message("first"))
    sender.send(message("second", to="other"))
    sender.disconnect({"peer": receiver.address})
    assert arrived(receiver) == ["second"]
    sender.close()
    receiver.close()
