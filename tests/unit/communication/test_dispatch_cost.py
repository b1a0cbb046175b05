"""What dispatching a message costs, in calls rather than in time: nothing that it does not match counts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from maro.communication.message import Message
from maro.communication.registry_table import RegisterTable
from tests.support.naive_events import Group, LivePeers


def message(payload: object, tag: str = "rollout", source: str = "actor_proxy_0") -> Message:
    return Message(tag, source, "learner_proxy_0", payload)


def peers(actors: int = 4) -> Group:
    return {"actor": [f"actor_proxy_{number}" for number in range(actors)], "learner": ["learner_proxy_0"]}


def calls_made(action: Callable[[], object]) -> int:
    """How many functions, of Python or of C, are called while `action` runs."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    previous = sys.getprofile()
    gc.collect()
    gc.disable()  # what it calls in the middle, for whatever other tests left behind, is not the action's
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(previous)
        gc.enable()
    return calls


def cost(events: list[Any], actors: int = 4, waiting: int = 0, live: bool = False) -> int:
    """The calls that a push of one message and the get that hands it out take."""
    group = peers(actors)
    types = {name: kind for kind, names in group.items() for name in names}
    table = RegisterTable(LivePeers(group, types) if live else group)
    for event in events:
        table.register_event_handler(event, print)
    for number in range(waiting):
        table.push(message(number, "waits"), auto_trigger=False)
    table.push(message(0), auto_trigger=False)
    assert len(table.get()) == 1
    arriving = message(1)

    def push_and_get() -> None:
        table.push(arriving, auto_trigger=False)
        assert len(table.get()) == 1

    return calls_made(push_and_get)


ONE = ["actor:rollout:1"]
OTHERS = [
    *(f"actor:other{number}:1" for number in range(500)),
    *((f"actor:left{number}:1", f"learner:right{number}:1", "AND") for number in range(250)),
    *(f"*:any{number}:50" for number in range(249)),
]


def test_the_cost_does_not_depend_on_registered_events() -> None:
    """A thousand events that a message does not match cost it not one call."""
    assert cost(ONE + OTHERS) == cost(ONE)
    # By name is a pattern of its own, looked up once any event uses it.
    by_name = [f"actor_proxy_{number}:other:1" for number in range(4)]
    assert cost(ONE + by_name * 250) == cost(ONE + by_name[:1])


def test_the_cost_does_not_depend_on_peers() -> None:
    """Ten thousand peers cost no more than four, in a dict or live, also where percentages are watched."""
    percentages = [*ONE, "actor:x:50%", "*:y:100%"]
    for live in (False, True):
        assert cost(ONE, actors=10_000, live=live) == cost(ONE, actors=4, live=live)
        assert cost(percentages, actors=10_000, live=live) == cost(percentages, actors=4, live=live)


def test_the_cost_does_not_depend_on_waiting_messages() -> None:
    """Messages that wait in the same event, or in another, are not gone through."""
    for events in ([*ONE, "actor:waits:9999999"], [("actor:waits:9999999", "actor:rollout:1", "OR")]):
        assert cost(events, waiting=10_000) == cost(events, waiting=10)


def test_the_cost_of_a_wide_event_does_not_grow_with_its_width() -> None:
    """A message for one of a thousand operands that must all hold costs what it costs with two."""

    def push_cost(width: int) -> int:
        table = RegisterTable(peers())
        table.register_event_handler((*(f"actor:part{number}:1" for number in range(width)), "AND"), print)
        arriving = message(1, "part0")

        def push_and_get() -> None:
            table.push(arriving, auto_trigger=False)
            assert table.get() == []

        return calls_made(push_and_get)

    assert push_cost(1000) == push_cost(2)


def test_no_list_of_peers_is_made_while_messages_come() -> None:
    """Over a live mapping counts and types are asked for, not the lists of names."""
    # Given a table with percentages over a live mapping
    group = peers(actors=100)
    live = LivePeers(group, {name: kind for kind, names in group.items() for name in names})
    table = RegisterTable(live)
    table.register_event_handler("actor:rollout:3%", lambda messages: 0)
    table.register_event_handler("*:rollout:100%", lambda messages: 1)
    made = live.lists_made
    # When messages come and go
    for number in range(99):
        table.push(message(number, source=f"actor_proxy_{number}"), auto_trigger=False)
        table.get()
    # Then no list was made
    assert live.lists_made == made
