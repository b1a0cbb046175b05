"""What a seed stands for: an application, how many components of which types, settings, and a schedule of faults."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.applications import APPLICATIONS, Shape

_NUMBERS = (0, 1, 2, 3, 4, 6, 8, 12)
"""How many faults a run may have."""
_LOSSLESS_AMONG_THE_LIVING = {"crash", "crash_at_once", "crash_together", "crash_in_call", "stall", "slow_network"}
START_S = 0.5
"""The group has about that long to assemble before the first fault."""


@dataclass(frozen=True)
class Role:
    """A component of the group."""

    name: str
    component_type: str
    expects: Mapping[str, int]


@dataclass(frozen=True)
class Settings:
    """Of all Proxies of a run, and of what is between them."""

    cache: bool
    cache_bound: int
    lease_s: float
    reread_s: int
    minimal_peers: int
    minimal_peers_timeout_s: int
    send_timeout_ms: int
    linger_ms: int
    high_water_mark: int
    delay_s: tuple[float, float]
    interruptions: int
    """Another process runs once in at most so many operations of a driver."""
    reuse: float
    """How often a new start gets the address of somebody dead."""
    heavy: float
    """How many of the messages carry tens of kilobytes."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    at_s: float
    """Since the start of the run."""
    kind: str
    lasts_s: float = 0.0
    """Until it is healed, or the dead start again."""
    who: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    value: float = 0.0
    """What else the kind asks for."""

    def __str__(self) -> str:
        words = [f"{self.at_s:8.3f} s  {self.kind}"]
        if self.who:
            words.append("+".join(self.who))
        if self.others:
            words.append(f"| {'+'.join(self.others)}")
        if self.lasts_s:
            words.append(f"for {self.lasts_s:.3f} s")
        if self.value:
            words.append(f"({self.value:g})")
        return " ".join(words)


@dataclass(frozen=True)
class Plan:
    """Of one run."""

    seed: int
    application: str
    shape: Shape
    roles: tuple[Role, ...]
    messages: int
    """How many each sender has to send."""
    settings: Settings
    faults: tuple[Fault, ...] = field(default=())

    @property
    def loses_replies(self) -> bool:
        """Whether the reply of somebody who lives may never come, so that nobody should wait for one for ever."""
        return not self.settings.cache and not set(self.kinds) <= _LOSSLESS_AMONG_THE_LIVING

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the faults, each once."""
        return tuple(dict.fromkeys(fault.kind for fault in self.faults))

    def __str__(self) -> str:
        roles = ", ".join(f"{role.name} (expects {dict(role.expects)})" for role in self.roles)
        lines = [
            f"seed {self.seed}: {self.application}, {self.messages} messages of each sender, {self.shape}",
            f"  {roles}",
            f"  {self.settings}",
            *(f"  {fault}" for fault in self.faults),
        ]
        return "\n".join(lines)


def make_plan(seed: int, *, cache: bool | None = None, application: str | None = None) -> Plan:
    """What a seed stands for.

    Args:
        seed: any number.
        cache, application: where they are given, these rather than what the seed says.
    """
    chance = random.Random(seed)
    name = chance.choice(sorted(APPLICATIONS))
    with_cache = chance.random() < 0.8
    name = application or name
    with_cache = with_cache if cache is None else cache
    shape = Shape.draw(chance)
    roles = tuple(Role(*role) for role in APPLICATIONS[name].roles(chance))
    lease_s = chance.choice((0.5, 1.0, 2.0))
    send_timeout_ms = chance.choice((-1, -1, 200, 2000))
    askers = [role for role in roles if role.component_type in APPLICATIONS[name].senders]
    if APPLICATIONS[name].waits_in_circles and len(askers) > 1 and len(roles) > 2 and send_timeout_ms < 0:
        send_timeout_ms = 500
    bound = chance.choice((3, 4, 8, 16, 64))
    messages = chance.choice((5, 10, 20, 30)) if len(roles) > 3 else chance.choice((10, 20, 40, 80))
    if APPLICATIONS[name].parks:
        bound = max(bound, messages)
    settings = Settings(
        cache=with_cache,
        cache_bound=bound,
        lease_s=lease_s,
        reread_s=chance.choice((2, 5, 10)),
        minimal_peers=chance.choice((0, 0, 1)),
        minimal_peers_timeout_s=chance.choice((5, 20, 60)),
        send_timeout_ms=send_timeout_ms,
        linger_ms=chance.choice((100, 1000)),
        high_water_mark=chance.choice((4, 16, 1000, 1000)),
        delay_s=chance.choice(((0.0001, 0.0002), (0.0001, 0.003), (0.001, 0.05), (0.02, 0.2))),
        interruptions=chance.choice((20, 100, 1000)),
        reuse=chance.choice((0.0, 0.5, 1.0)),
        heavy=chance.choice((0.0, 0.0, 0.0, 0.05)),
    )
    faults = _schedule(chance, [role.name for role in roles], lease_s, shape.lasts_s)
    return Plan(seed, name, shape, roles, messages, settings, faults)


def _schedule(chance: random.Random, names: list[str], lease_s: float, lasts_s: float) -> tuple[Fault, ...]:
    from tests.simulation.faults import KINDS

    # Some runs have faults of one or two kinds, so that a failure is easy to read; others have many of all.
    kinds = chance.sample(sorted(KINDS), chance.choice((1, 2, 4, len(KINDS))))
    weights = [KINDS[kind].weight for kind in kinds]
    faults = []
    for _ in range(chance.choice(_NUMBERS)):
        kind = chance.choices(kinds, weights)[0]
        at_s = START_S + chance.uniform(0, lasts_s)
        faults.append(KINDS[kind].draw(chance, at_s, names, lease_s))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))
