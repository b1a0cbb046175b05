"""What came of a run: what was violated, and the numbers that say what the run was about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation import checker
from tests.simulation.checker import Violation
from tests.simulation.plan import Plan

if TYPE_CHECKING:
    from tests.simulation.world import World

_IDLE_WAITS = 200
"""Waits in a row that end at once without anything coming or going are a busy loop."""


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    plan: Plan
    violations: tuple[Violation, ...]
    events: int
    seconds: float
    """Simulated."""
    facts: Counter[str]
    """What there was, in numbers: messages, packets, crashes, and what else the run is about."""
    trace: tuple[str, ...]
    trace_hash: str
    """The same for the same seed; empty without a trace."""

    def __str__(self) -> str:
        return "\n".join([str(self.plan), *(f"  VIOLATED {violation}" for violation in self.violations)])


def outcome_of(world: World) -> Outcome:
    """Of a run that is over."""
    return Outcome(
        world.plan,
        tuple(world.violations),
        world.scheduler.events,
        world.scheduler.now - world.began,
        facts_of(world),
        tuple(world.trace.lines) if world.trace else (),
        world.trace.hash() if world.trace else "",
    )


def unfinished(world: World) -> list[Violation]:
    """Why it did not come to its end by itself."""
    waiting_in_vain = checker.let_down(world.history)
    found = [
        Violation("hangs", repr(node))
        for node in world.all_alive()
        if node.name in world.pending and node.start not in waiting_in_vain
    ]
    return found + [Violation("not joined", text) for text in world.not_joined()]


def judged(world: World) -> list[Violation]:
    """What a run that is over did not keep to."""
    plan, history = world.plan, world.history
    found = [Violation("does not end", repr(node)) for node in world.all_alive()]
    history.impeded = world.network.impeded
    found += checker.judge(history, lossless=plan.settings.cache or not (plan.faults or history.refused))
    most = checker.PACKETS_APART + checker.PACKETS_PER_MESSAGE * len(history.sent)
    if world.network.sent > most:
        text = f"{world.network.sent} packets for {len(history.sent)} messages, at most {most}"
        found.append(Violation("storm", text))
    starts = len(world.nodes)
    for node in world.nodes:
        if node.most_idle_waits > _IDLE_WAITS:
            found.append(Violation("spins", f"{node.label} waited {node.most_idle_waits} times in a row for nothing"))
        if node.most_unfinished > plan.settings.cache_bound:
            text = f"{node.label} kept {node.most_unfinished} messages for one peer, of {plan.settings.cache_bound}"
            found.append(Violation("cache", text))
        # What an incarnation sent stays when the next one sends the same again.
        # And each may wait for the reply to one message more, which it keeps.
        room = (plan.settings.cache_bound + 1) * (starts - 1)
        if plan.settings.cache and node.most_in_inbox > room:
            found.append(Violation("inbox", f"{node.label} had {node.most_in_inbox} in its inbox, of {room}"))
    return found


def facts_of(world: World) -> Counter[str]:
    """In numbers."""
    history, network = world.history, world.network
    facts = Counter(
        {
            "messages": len(history.sent),
            "handed": len(history.handed),
            "calls refused": history.refused,
            "packets": network.sent,
            "packets lost": network.lost,
            "addresses reused": network.reused,
            "stragglers": network.stragglers,
        }
    )
    facts.update(f"ends: {end.how}" for end in history.ends.values())
    for node in world.nodes:
        if node.proxy is not None:
            facts.update({f"dropped: {reason}": count for reason, count in node.proxy.dropped.items()})
    return facts
