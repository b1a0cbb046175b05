"""What can go wrong: each kind says how it is drawn, what it does, and how it is healed.

Times are seconds of the simulation. A fault that names somebody who is not there does nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World

Draw = Callable[[random.Random, float, list[str], float], Fault]
"""From a seed, the time, the names of the components, and the lease time."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    draw: Draw
    inject: Callable[[World, Fault], None]
    heal: Callable[[World, Fault], None]
    """Called when it has lasted, and once more when everything is healed in the end."""
    weight: int = 1
    """How often it is drawn."""


def _one(kind: str, least: float, most: float) -> Draw:
    """Somebody, for so many lease times."""

    def draw(chance: random.Random, at_s: float, names: list[str], lease_s: float) -> Fault:
        return Fault(at_s, kind, _span(chance, least, most) * lease_s, (chance.choice(names),), value=_count(chance))

    return draw


def _some(kind: str) -> Draw:
    """Several at once, for so short that they may get each other's addresses."""

    def draw(chance: random.Random, at_s: float, names: list[str], lease_s: float) -> Fault:
        who = chance.sample(names, chance.randint(2, len(names)))
        return Fault(at_s, kind, _span(chance, 0.01, 2) * lease_s, tuple(who))

    return draw


def _all(kind: str, least: float, most: float) -> Draw:
    def draw(chance: random.Random, at_s: float, names: list[str], lease_s: float) -> Fault:
        return Fault(at_s, kind, _span(chance, least, most) * lease_s, value=_count(chance))

    return draw


def _sides(kind: str) -> Draw:
    """Two parts of the group, for up to some lease times."""

    def draw(chance: random.Random, at_s: float, names: list[str], lease_s: float) -> Fault:
        mixed = chance.sample(names, len(names))
        middle = chance.randint(1, len(mixed) - 1)
        lasts_s = _span(chance, 0.1, 4) * lease_s
        return Fault(at_s, kind, lasts_s, tuple(sorted(mixed[:middle])), tuple(sorted(mixed[middle:])), chance.random())

    return draw


def _span(chance: random.Random, least: float, most: float) -> float:
    """Many short ones, some long ones."""
    return float(least + (most - least) * chance.random() ** 2)


def _count(chance: random.Random) -> float:
    return chance.choice((1, 2, 5, 20, 100))


def _nothing(_: World, __: Fault) -> None:
    """It is over by itself."""


# Processes.


def _crash(world: World, fault: Fault) -> None:
    for node in world.alive(fault.who):
        world.crash(node)


def _crash_in_call(world: World, fault: Fault) -> None:
    for node in world.alive(fault.who):
        node.crash_soon(int(fault.value))


def _restart(world: World, fault: Fault) -> None:
    for name in fault.who:
        current = world.current.get(name)
        if current is not None and current.crash_in is not None:
            current.crash_in = None  # it did nothing that it could have crashed in
        world.start_again(name)


def _pause(world: World, fault: Fault) -> None:
    for node in world.alive(fault.who):
        node.paused = True


def _resume(world: World, fault: Fault) -> None:
    for node in world.all_alive():
        if node.name in fault.who and node.paused:
            node.paused = False
            # Who does not answer for long loses connections, or only time.
            world.network.renew_host(node.name, fault.value % 3 / 2)
            world.scheduler.release(node)


def _replace(world: World, fault: Fault) -> None:
    """A second start of a name while the first one is stopped, and comes back later."""
    for node in world.alive(fault.who):
        node.paused = True
        world.start(node.role)


def _leave(world: World, fault: Fault) -> None:
    for node in world.alive(fault.who):
        world.ask_to_leave(node)


def _stall(world: World, fault: Fault) -> None:
    for node in world.alive(fault.who):
        node.stall_s += fault.lasts_s


# The network.


def _pairs(fault: Fault) -> list[tuple[str, str]]:
    there = [(a, b) for a in fault.who for b in fault.others]
    return there if fault.kind == "one_way_partition" else [*there, *((b, a) for a, b in there)]


def _partition(world: World, fault: Fault) -> None:
    world.network.cut(_pairs(fault))


def _mend(world: World, fault: Fault) -> None:
    world.network.mend(_pairs(fault), fault.value)


def _reset(world: World, fault: Fault) -> None:
    for name in fault.who:
        world.network.renew_host(name, 0.7)


def _slow_network(world: World, fault: Fault) -> None:
    world.network.delay_s = (0.0, 0.02 * fault.value)


def _normal_network(world: World, _: Fault) -> None:
    world.network.delay_s = world.plan.settings.delay_s


# The group's store.


def _stop_store(world: World, _: Fault) -> None:
    world.server.available = False
    world.server.tell()


def _start_store(world: World, _: Fault) -> None:
    world.server.available = True


def _start_store_empty(world: World, fault: Fault) -> None:
    if not world.server.available:
        world.server.restart_empty()
        world.server.available = True
        world.server.tell()


def _hang_store(world: World, _: Fault) -> None:
    world.server.hangs = True


def _unhang_store(world: World, _: Fault) -> None:
    world.server.hangs = False


def _slow_store(world: World, fault: Fault) -> None:
    world.server.latency_s = (0.0, 0.002 * fault.value)


def _quick_store(world: World, _: Fault) -> None:
    world.server.latency_s = (0.0, 0.0)


def _cut_from_store(world: World, fault: Fault) -> None:
    world.server.unreachable.update(fault.who)


def _back_at_store(world: World, fault: Fault) -> None:
    world.server.unreachable.difference_update(fault.who)


KINDS: dict[str, Kind] = {
    "crash": Kind(_one("crash", 0.05, 5), _crash, _restart, 4),
    "crash_at_once": Kind(_one("crash_at_once", 0.001, 0.05), _crash, _restart, 4),
    "crash_in_call": Kind(_one("crash_in_call", 0.1, 3), _crash_in_call, _restart, 4),
    "crash_together": Kind(_some("crash_together"), _crash, _restart, 3),
    "pause": Kind(_one("pause", 0.05, 4), _pause, _resume, 2),
    "replace": Kind(_one("replace", 0.2, 4), _replace, _resume),
    "leave": Kind(_one("leave", 0.05, 3), _leave, _restart),
    "stall": Kind(_one("stall", 0.1, 5), _stall, _nothing),
    "partition": Kind(_sides("partition"), _partition, _mend, 2),
    "one_way_partition": Kind(_sides("one_way_partition"), _partition, _mend, 2),
    "reset": Kind(_one("reset", 0, 0), _reset, _nothing, 4),
    "slow_network": Kind(_all("slow_network", 0.2, 3), _slow_network, _normal_network),
    "store_down": Kind(_all("store_down", 0.1, 4), _stop_store, _start_store),
    "store_lost": Kind(_all("store_lost", 0.0, 3), _stop_store, _start_store_empty),
    "store_hangs": Kind(_all("store_hangs", 0.1, 4), _hang_store, _unhang_store),
    "store_slow": Kind(_all("store_slow", 0.5, 4), _slow_store, _quick_store),
    "cut_from_store": Kind(_one("cut_from_store", 0.1, 4), _cut_from_store, _back_at_store),
}

STORE_FAULTS = {"store_down", "store_lost", "store_hangs", "store_slow"}
"""With which nothing is wrong with any component, nor with the ways between them."""


def names_of(faults: Iterable[Fault]) -> list[str]:
    """The kinds, each once."""
    return list(dict.fromkeys(fault.kind for fault in faults))
