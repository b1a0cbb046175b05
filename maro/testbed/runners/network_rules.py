"""The commands that cut and shape a network, by iptables and tc, and the script that does and undoes them. Pure.

Each fault has a chain of its own in the tables of the member that it hits, named after the fault's id, so that several
hold at once, and each is healed alone. Undoing what is not there does nothing. Only IPv4 is dealt with, which is what
the networks of containers have. Loss is left to iptables, which every machine has. Bandwidth needs tc with tbf, or
iptables with hashlimit; a delay needs tc with netem, which some kernels lack.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from maro.testbed.runners.network import Bandwidth, Delay, Loss, Shape

DEVICE = "eth0"
"""Of a container in one network."""
MADE, HEALED, IMPOSSIBLE = "made", "healed", "impossible"
"""What the script prints."""
IMPOSSIBLE_CODE = 3
_LATENCY_MS = 400
_LEAST_BURST = 4000
_PER_BYTE = 8
_ID_DIGITS = 12
_HANDLES = 0xFFFE

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """How something is done to a network, and undone."""

    ways: tuple[tuple[Command, ...], ...]
    """The first one counts all of whose commands succeed."""
    undo: tuple[Command, ...]
    """Each may fail: what it undoes may not be there."""


def cut_rules(fault_id: str, sources: Sequence[str], destinations: Sequence[str]) -> Rules:
    """Drop what comes from these addresses, and what goes to those.

    Args:
        fault_id: hexadecimal digits, unique among the faults of a member.
        sources: addresses of others.
        destinations: addresses of others.
    """
    chain = _chain(fault_id)
    drops = [
        *(_rule("-A", chain, "-s", address, "-j", "DROP") for address in sources),
        *(_rule("-A", chain, "-d", address, "-j", "DROP") for address in destinations),
    ]
    return Rules(((*_in_chain(chain, drops),),), _undo_chain(chain))


def shape_rules(fault_id: str, shape: Shape, device: str = DEVICE) -> Rules:
    """Lose or slow the packets of a member.

    Args:
        fault_id: hexadecimal digits, unique among the faults of a member.
        shape: what is done.
        device: that its packets go out by.
    """
    chain, handle = _chain(fault_id), _handle(fault_id)
    root = ("dev", device, "root", "handle", handle)
    undo_queue: tuple[Command, ...] = (("tc", "qdisc", "del", *root),)
    if isinstance(shape, Loss):
        chance = ("-m", "statistic", "--mode", "random", "--probability", f"{shape.percent / 100:.6f}")
        return Rules((_in_chain(chain, [_rule("-A", chain, *chance, "-j", "DROP")]),), _undo_chain(chain))
    if isinstance(shape, Delay):
        times = [f"{milliseconds:g}ms" for milliseconds in (shape.ms, shape.jitter_ms) if milliseconds]
        return Rules(((("tc", "qdisc", "add", *root, "netem", "delay", *(times or ["0ms"])),),), undo_queue)
    queue = ("tbf", "rate", f"{shape.kbit}kbit", "burst", str(_burst(shape)), "latency", f"{_LATENCY_MS}ms")
    return Rules(
        ((("tc", "qdisc", "add", *root, *queue),), _in_chain(chain, [_limit(chain, shape)], ("OUTPUT",))),
        (*undo_queue, *_undo_chain(chain)),
    )


def script(rules: Rules, limit_s: float) -> str:
    """A script for `sh` that makes it so, heals it when it is asked to end or the time is over, and ends.

    It prints `made` once it is done, and `healed` in the end, with the code 0; or `impossible` and why, with 3, where
    no way succeeds.
    """
    undo = "; ".join(f"{shlex.join(command)} 2>/dev/null" for command in rules.undo)
    ways = [" && ".join(f"{shlex.join(command)} 2>>$said" for command in way) for way in rules.ways]
    tries = " || ".join(f"{{ {way}; }} || {{ heal; false; }}" for way in ways)
    return "\n".join(
        (
            "said=$(mktemp)",
            f"heal() {{ {undo}; true; }}",
            # A signal that comes while it is made is heard once it is.
            "asked=; sleeper=",
            "trap 'asked=1; [ -n \"$sleeper\" ] && kill $sleeper 2>/dev/null' TERM INT",
            f"if ! {{ {tries}; }}; then",
            f'echo "{IMPOSSIBLE}: $(tail -n 2 $said | tr "\\n" " ")"',
            f"exit {IMPOSSIBLE_CODE}",
            "fi",
            f"echo {MADE}",
            f"sleep {limit_s:g} & sleeper=$!",
            '[ -n "$asked" ] && kill $sleeper 2>/dev/null',
            "wait $sleeper 2>/dev/null",
            "heal",
            "kill $sleeper 2>/dev/null",
            f"echo {HEALED}",
            "exit 0",
        )
    )


def undo_script(rules: Rules) -> str:
    """A script for `sh` that undoes it, whoever did it."""
    return "\n".join([*(f"{shlex.join(command)} 2>/dev/null" for command in rules.undo), f"echo {HEALED}", "exit 0"])


def _chain(fault_id: str) -> str:
    return f"MARO-{fault_id[:_ID_DIGITS]}"


def _handle(fault_id: str) -> str:
    """A number of a queue, which tells it from those of other faults."""
    return f"{1 + int(fault_id[:_ID_DIGITS], 16) % _HANDLES:x}:"


def _rule(*words: str) -> Command:
    return ("iptables", "-w", *words)


def _in_chain(chain: str, rules: Sequence[Command], hooks: Sequence[str] = ("INPUT", "OUTPUT")) -> tuple[Command, ...]:
    """The rules in a chain that packets pass, but for those that a member sends to itself."""
    return (_rule("-N", chain), *rules, *(_rule("-I", hook, *_but_to_itself(hook), "-j", chain) for hook in hooks))


def _undo_chain(chain: str) -> tuple[Command, ...]:
    jumps = [_rule("-D", hook, *_but_to_itself(hook), "-j", chain) for hook in ("INPUT", "OUTPUT")]
    return (*jumps, _rule("-F", chain), _rule("-X", chain))


def _but_to_itself(hook: str) -> tuple[str, ...]:
    return ("!", "-i" if hook == "INPUT" else "-o", "lo")


def _burst(shape: Bandwidth) -> int:
    """Bytes that may go out at once: a packet at least, or nothing ever would."""
    return max(_LEAST_BURST, shape.kbit * 1000 // _PER_BYTE // 100)


def _limit(chain: str, shape: Bandwidth) -> Command:
    """Drops what is too much, which TCP takes for a slow way."""
    rate = shape.kbit * 1000 // _PER_BYTE
    name = chain.lower()[:15]
    # It refuses to let less than a second's worth out at once.
    above = ("--hashlimit-above", f"{rate}b/s", "--hashlimit-burst", f"{max(_LEAST_BURST, rate)}b")
    return _rule("-A", chain, "-m", "hashlimit", *above, "--hashlimit-name", name, "-j", "DROP")
