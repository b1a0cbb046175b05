"""The commands that cut and shape a network, as text; they are carried out in the tests of containers."""

from __future__ import annotations

from maro.testbed.runners.network import Bandwidth, Delay, Loss
from maro.testbed.runners.network_rules import Command, cut_rules, shape_rules

ID = "0123456789abcdef"
CHAIN = "MARO-0123456789ab"


def lines(commands: tuple[Command, ...]) -> list[str]:
    return [" ".join(command) for command in commands]


def test_a_cut_drops_by_address_in_a_chain_of_its_own() -> None:
    """What comes from sources, what goes to destinations; nothing that a member sends to itself."""
    rules = cut_rules(ID, ["10.0.0.2"], ["10.0.0.3", "10.0.0.4"])
    (way,) = rules.ways
    assert lines(way) == [
        f"iptables -w -N {CHAIN}",
        f"iptables -w -A {CHAIN} -s 10.0.0.2 -j DROP",
        f"iptables -w -A {CHAIN} -d 10.0.0.3 -j DROP",
        f"iptables -w -A {CHAIN} -d 10.0.0.4 -j DROP",
        f"iptables -w -I INPUT ! -i lo -j {CHAIN}",
        f"iptables -w -I OUTPUT ! -o lo -j {CHAIN}",
    ]
    assert lines(rules.undo) == [
        f"iptables -w -D INPUT ! -i lo -j {CHAIN}",
        f"iptables -w -D OUTPUT ! -o lo -j {CHAIN}",
        f"iptables -w -F {CHAIN}",
        f"iptables -w -X {CHAIN}",
    ]


def test_loss_is_left_to_iptables() -> None:
    """Every machine has it."""
    (way,) = shape_rules(ID, Loss(12.5)).ways
    assert f"iptables -w -A {CHAIN} -m statistic --mode random --probability 0.125000 -j DROP" in lines(way)


def test_bandwidth_has_a_second_way() -> None:
    """tc where it can, else a limit of iptables."""
    first, second = shape_rules(ID, Bandwidth(800)).ways
    assert lines(first)[0].startswith("tc qdisc add dev eth0 root handle ")
    assert lines(first)[0].endswith("tbf rate 800kbit burst 4000 latency 400ms")
    assert any("--hashlimit-above 100000b/s --hashlimit-burst 100000b" in line for line in lines(second))


def test_a_delay_needs_tc() -> None:
    """Jitter is said only where there is some."""
    assert lines(shape_rules(ID, Delay(100)).ways[0])[0].endswith("netem delay 100ms")
    assert lines(shape_rules(ID, Delay(100, 20)).ways[0])[0].endswith("netem delay 100ms 20ms")


def test_faults_have_names_of_their_own() -> None:
    """Two that hold at once are healed one by one; names of chains have at most 28 letters."""
    one, two = cut_rules("1" * 32, ["10.0.0.1"], []), cut_rules("2" * 32, ["10.0.0.1"], [])
    assert not set(one.undo) & set(two.undo)
    assert all(len(word) <= 28 for command in one.undo for word in command)
    assert shape_rules("1" * 32, Delay(1)).undo != shape_rules("2" * 32, Delay(1)).undo
