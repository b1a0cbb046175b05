"""Applications for simulated components: small programs of the kinds that people write, over the public Proxy.

Each incarnation of a component runs the program of its type from its start to its end; what it has to send is a quota
that outlives it. Where it has nothing more to send it receives, until the run ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from maro.communication import Message, Proxy, RegisterTable, dist

if TYPE_CHECKING:
    from tests.simulation.component import Component

RoleOf = tuple[str, str, dict[str, int]]
"""Name, type, and whom it expects."""


@dataclass(frozen=True)
class Shape:
    """How the components of a run spend their time."""

    lasts_s: float
    """How long the faults go on, and about how long sending takes."""
    burst: int
    """So many messages in a row, then a pause."""
    work_s: float
    """The most that a message is computed on."""
    patience_ms: int
    """For a message, in a loop that also does something else."""
    reply_within_ms: int
    """For replies, where not for ever."""
    style: int
    """One of several ways to write the same program."""

    @classmethod
    def draw(cls, chance: random.Random) -> Shape:
        """From a seed."""
        return cls(
            lasts_s=chance.choice((1.0, 3.0, 6.0)),
            burst=chance.choice((1, 3, 10, 40)),
            work_s=chance.choice((0.0, 0.001, 0.02, 0.3)),
            patience_ms=chance.choice((0, 5, 100, 1000)),
            reply_within_ms=chance.choice((50, 1000, 10_000)),
            style=chance.randrange(12),
        )


Program = Callable[["Component"], None]


@dataclass(frozen=True)
class Application:
    """A program for each type of component in a group."""

    roles: Callable[[random.Random], list[RoleOf]]
    programs: Mapping[str, Program]
    senders: tuple[str, ...]
    """The types that have a quota to send."""
    parks: bool = False
    """Messages may be held for as long as the run lasts, so that the cache has to have room for all of them."""
    waits_in_circles: bool = False
    """Its components may all wait for each other's caches. Two are told so; where there are more, a timeout has to."""


# What several have in common.


def several(component_type: str, count: int, expects: dict[str, int]) -> list[RoleOf]:
    """So many components of a type."""
    return [(f"{component_type}_{number}", component_type, expects) for number in range(count)]


def learners_and_actors(chance: random.Random) -> list[RoleOf]:
    """One or two that ask, and those that answer."""
    learners, actors = chance.choice((1, 1, 1, 2)), chance.randint(1, 5)
    return [*several("learner", learners, {"actor": actors}), *several("actor", actors, {"learner": learners})]


def learner_and_actors(chance: random.Random) -> list[RoleOf]:
    """One that hears of many."""
    actors = chance.randint(1, 5)
    return [*several("learner", 1, {"actor": actors}), *several("actor", actors, {"learner": 1})]


def sources_and_sinks(chance: random.Random) -> list[RoleOf]:
    """Those that send, and those that receive."""
    sources, sinks = chance.randint(1, 3), chance.randint(1, 3)
    return [*several("source", sources, {"sink": sinks}), *several("sink", sinks, {"source": sources})]


def stages(chance: random.Random) -> list[RoleOf]:
    """A pipeline of three stages."""
    sources, middles, sinks = chance.choice((1, 1, 2)), chance.choice((1, 1, 2)), chance.choice((1, 1, 2))
    return [
        *several("source", sources, {"middle": middles}),
        *several("middle", middles, {"source": sources, "sink": sinks}),
        *several("sink", sinks, {"middle": middles}),
    ]


def nodes(chance: random.Random) -> list[RoleOf]:
    """Two or three of a kind."""
    count = chance.choice((2, 2, 3))
    return several("node", count, {"node": count - 1})


def paced(component: Component) -> Iterator[int]:
    """The quota, spread over the run in bursts."""
    shape, messages = component.plan.shape, component.plan.messages
    pause_s = shape.lasts_s / messages * shape.burst
    for number in component.quota():
        if number % shape.burst == 0:
            component.computes(component.chance.uniform(0, 2 * pause_s))
        yield number


def works(component: Component) -> None:
    """Compute on a message."""
    work_s = component.plan.shape.work_s
    if work_s:
        component.computes(component.chance.uniform(0, work_s))


def takes(component: Component) -> None:
    """Receive until the end, and do nothing about it but work."""
    for _ in component.receive():
        works(component)


def answers(component: Component) -> None:
    """Receive until the end, and reply to whoever asks."""
    while not component.finishing:
        for message in component.receive(_patience_ms(component)):
            works(component)
            if message.payload.answers is None:
                component.reply(message)


def _patience_ms(component: Component) -> int:
    shape = component.plan.shape
    return -1 if shape.style % 2 else max(100, shape.patience_ms)


def _to(component: Component, component_type: str) -> list[str]:
    """Whom to send to: those that are there, or those that there should be."""
    if component.plan.shape.style % 3 == 0:
        present: list[str] = component.proxy.peers_name[component_type]
        if present:
            return present
    return [role.name for role in component.plan.roles if role.component_type == component_type]


def _reply_timeout_ms(component: Component) -> int:
    """For ever only where nothing is lost, or only with the dead."""
    plan = component.plan
    return plan.shape.reply_within_ms if plan.loses_replies or plan.shape.style % 4 == 0 else -1


# The programs.


def asks(component: Component) -> None:
    """Ask one actor after the other, and wait for each reply."""
    for number in paced(component):
        actors = _to(component, "actor")
        component.ask(actors[number % len(actors)], "ask", _reply_timeout_ms(component))
    takes(component)


def tells(component: Component, component_type: str = "sink") -> None:
    """Send to one or the other, and hear nothing."""
    for _ in paced(component):
        component.tell(component.chance.choice(_to(component, component_type)), "tell")
    takes(component)


def crosses(component: Component) -> None:
    """Send to others that do the same at the same time, in between receiving."""
    others = [role.name for role in component.plan.roles if role.name != component.name]
    for number in paced(component):
        component.tell(component.chance.choice(others), "tell")
        if number % (component.plan.shape.style + 1) == 0:
            for _ in component.receive(min(component.plan.shape.patience_ms, 10_000 // component.plan.messages)):
                works(component)
    takes(component)


def scatters(component: Component) -> None:
    """Give every actor work, do something else, and collect the replies; `receive` is never called meanwhile."""
    style = component.plan.shape.style
    for number in paced(component):
        actors = _to(component, "actor")
        if (number + style) % 3 == 0:
            component.scatter(actors, "work", _reply_timeout_ms(component))
            continue
        sessions = component.iscatter(actors, "work")
        works(component)
        if style % 2:
            component.chance.shuffle(sessions)
        component.collect(sessions, _reply_timeout_ms(component))
    takes(component)


def broadcasts(component: Component) -> None:
    """Tell all actors the same, and wait for what they say to it."""
    shape = component.plan.shape
    for _ in paced(component):
        if shape.style % 3:
            component.broadcast("actor", "round", shape.reply_within_ms)
        else:
            sessions = component.ibroadcast("actor", "round")
            works(component)
            component.collect(sessions, shape.reply_within_ms)
    takes(component)


def passes_on(component: Component) -> None:
    """Forward each message to the next stage."""
    for message in component.receive():
        works(component)
        component.forward(message, component.chance.choice(_to(component, "sink")))


def reports(component: Component) -> None:
    """Send results of two kinds as there are any."""
    for number in paced(component):
        component.tell("learner_0", ("tell", "other")[number % 5 == 4])
    takes(component)


_EVENTS: tuple[tuple[Any, bool], ...] = (
    ("actor:tell:2", False),
    ("actor:tell:60%", False),
    (("actor:tell:4", "actor:other:1", "AND"), True),
    (("actor:tell:100%", "actor:other:1", "OR"), True),
    ((("actor:tell:1", "actor:other:1", "AND"), "actor_0:tell:3", "||"), True),
)
"""With each, whether it takes the tag `other` too. Beside it every message has an event of its own."""


def learns(component: Component) -> None:
    """Act when enough results, of the right kinds, have come."""
    if component.plan.shape.style % 2:
        _learns_by_dist(component)
    else:
        _learns_by_hand(component)


def _event(component: Component) -> tuple[Any, bool]:
    return _EVENTS[component.plan.shape.style % len(_EVENTS)]


def _learns_by_hand(component: Component) -> None:
    table = RegisterTable(component.proxy.peers_name)
    for event in (_event(component)[0], "*:*:1"):
        table.register_event_handler(event, lambda messages: _handle(component, messages))
    for message in component.receive_for_events():
        if message is not None:
            table.push(message, auto_trigger=False)
        for handler, messages in table.get():
            handler(messages)


def _learns_by_dist(component: Component) -> None:
    def handle(_: Any, __: Proxy, messages: list[Message]) -> None:
        _handle(component, messages)

    with component.in_call("launch"):
        dist(component.proxy, {_event(component)[0]: handle, "*:*:1": handle})(Learner)().launch()


class Learner:
    """What `dist` launches."""


def _handle(component: Component, messages: Iterable[Message]) -> None:
    for message in messages:
        component.handle(message, 2 if message.tag == "tell" or _event(component)[1] else 1)
        works(component)
    component.handler_returns()


def acknowledges(component: Component) -> None:
    """Acknowledge by hand, some time later, and not in order."""
    kept: list[Message] = []
    most = min(component.plan.settings.cache_bound - 1, component.plan.shape.style + 1)

    def finish_one() -> None:
        component.ack(kept.pop(component.chance.randrange(len(kept))))

    while not component.finishing:
        for message in component.receive(max(100, component.plan.shape.patience_ms), auto_ack=False):
            kept.append(message)
            works(component)
            while len(kept) > most:
                finish_one()
        while kept and not component.finishing:
            finish_one()


APPLICATIONS: dict[str, Application] = {
    "request_and_reply": Application(learners_and_actors, {"learner": asks, "actor": answers}, ("learner",)),
    "one_way": Application(sources_and_sinks, {"source": tells, "sink": takes}, ("source",)),
    "crossing": Application(nodes, {"node": crosses}, ("node",), waits_in_circles=True),
    "scatter_and_gather": Application(
        learners_and_actors, {"learner": scatters, "actor": answers}, ("learner",), waits_in_circles=True
    ),
    "broadcast_rounds": Application(
        learners_and_actors, {"learner": broadcasts, "actor": answers}, ("learner",), waits_in_circles=True
    ),
    "pipeline": Application(
        stages, {"source": partial(tells, component_type="middle"), "middle": passes_on, "sink": takes}, ("source",)
    ),
    "events": Application(learner_and_actors, {"actor": reports, "learner": learns}, ("actor",), parks=True),
    "acknowledging": Application(sources_and_sinks, {"source": tells, "sink": acknowledges}, ("source",)),
}
