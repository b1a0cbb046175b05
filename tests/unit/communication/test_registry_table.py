"""The table of conditional events: which handlers are called with what, in which order."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from maro.communication import registry_table
from maro.communication.message import Message
from maro.communication.registry_table import RegisterTable
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError, PeersMissError
from tests.support.naive_events import Group


def message(payload: object, tag: str = "rollout", source: str = "actor_proxy_0") -> Message:
    return Message(tag, source, "learner_proxy_0", payload)


def peers(actors: int = 3) -> Group:
    return {"actor": [f"actor_proxy_{number}" for number in range(actors)], "learner": ["learner_proxy_0"]}


def table_of(*events: Any, group: Group | None = None) -> RegisterTable:
    """A table whose handlers are the numbers of the events, made callable by returning them."""
    table = RegisterTable(group or peers())
    for number, event in enumerate(events):
        table.register_event_handler(event, lambda messages, number=number: number)
    return table


def got(table: RegisterTable) -> list[tuple[int, list[Any]]]:
    """What `get` returns: the number of the event, and the payloads."""
    return [(handler(messages), [message.payload for message in messages]) for handler, messages in table.get()]


# get


def test_get_returns_every_satisfied_event() -> None:
    """Each event that a message satisfies gets it, whatever the others get; the others wait."""
    table = table_of("actor:rollout:1", "*:*:1", "actor_proxy_0:rollout:2", "learner:rollout:1")
    table.push(message(1), auto_trigger=False)
    assert got(table) == [(0, [1]), (1, [1])]
    table.push(message(2), auto_trigger=False)
    assert got(table) == [(0, [2]), (1, [2]), (2, [1, 2])]
    assert got(table) == []


def test_get_returns_an_event_as_often_as_it_is_satisfied() -> None:
    """Three waiting messages satisfy an event for one message three times."""
    table = table_of("actor:rollout:1", ("actor:rollout:2", "actor:update:1", "OR"))
    for payload in (1, 2, 3):
        table.push(message(payload), auto_trigger=False)
    assert got(table) == [(0, [1]), (0, [2]), (0, [3]), (1, [1, 2])]


def test_events_come_in_the_order_in_which_they_were_touched() -> None:
    """The event of the earlier message comes first; of one message's events that which was registered first."""
    table = table_of("actor:update:1", "*:*:1", "actor:rollout:1")
    table.push(message(1), auto_trigger=False)
    table.push(message(2, "update"), auto_trigger=False)
    assert got(table) == [(1, [1]), (1, [2]), (2, [1]), (0, [2])]


def test_get_follows_the_peers_without_a_message() -> None:
    """Three of four have answered and the fourth is lost: the event for all of them is satisfied by the next get."""
    # Given an event for everybody's answer, and one that has nothing to do with it
    group = peers(actors=4)
    table = table_of("learner:x:100%", ("actor:rollout:100%", "AND"), group=group)
    for number in range(3):
        table.push(message(number, source=f"actor_proxy_{number}"), auto_trigger=False)
    assert got(table) == []
    # When the fourth is lost
    group["actor"].pop()
    # Then the three are all, once
    assert got(table) == [(1, [0, 1, 2])]
    assert got(table) == []


def test_events_that_a_loss_satisfies_come_in_the_order_of_registration() -> None:
    """Where nothing but the peers changed, the order is that of registration, whichever messages came first."""
    # Given eight events for everybody's answer, each short of one, the last ones touched first
    group = peers(actors=3)
    table = table_of(*(f"actor:tag{number}:100%" for number in range(8)), group=group)
    for number in reversed(range(8)):
        table.push(message(1, f"tag{number}"), auto_trigger=False)
        table.push(message(2, f"tag{number}"), auto_trigger=False)
    assert got(table) == []
    # When one peer is lost
    group["actor"].pop()
    # Then all are satisfied, in order
    assert got(table) == [(number, [1, 2]) for number in range(8)]


def test_a_table_over_a_callable() -> None:
    """The callable is asked anew, so a group that is replaced as a whole is followed too."""
    group = peers(actors=2)
    table = RegisterTable(lambda: group)
    table.register_event_handler("actor:rollout:100%", lambda messages: 0)
    table.push(message(1), auto_trigger=False)
    assert got(table) == []
    group = peers(actors=1)
    assert got(table) == [(0, [1])]


def test_clear_forgets_messages_and_keeps_events() -> None:
    """Nothing that was pushed before a clear is handed out after it."""
    table = table_of("actor:rollout:2", "*:*:1")
    table.push(message(1), auto_trigger=False)
    table.clear()
    assert got(table) == []
    # Nor is the order in which events were touched remembered.
    table.push(message(1), auto_trigger=False)
    table.clear()
    table.push(message(2, source="learner_proxy_0"), auto_trigger=False)
    table.push(message(3), auto_trigger=False)
    table.push(message(4), auto_trigger=False)
    assert got(table) == [(1, [2]), (1, [3]), (1, [4]), (0, [3, 4])]


# push


def test_push_calls_the_handlers() -> None:
    """By default a push hands the messages of every event that it satisfies to the event's handler."""
    calls: list[tuple[str, list[Any]]] = []
    table = RegisterTable(peers())
    table.register_event_handler("actor:*:2", lambda m: calls.append(("pair", [one.payload for one in m])))
    table.register_event_handler("actor:*:1", lambda m: calls.append(("single", [one.payload for one in m])))
    table.push(message(1))
    assert calls == [("single", [1])]
    table.push(message(2))
    assert calls == [("single", [1]), ("pair", [1, 2]), ("single", [2])]
    assert table.get() == []


def test_a_handler_that_raises_takes_only_its_own_messages() -> None:
    """Its exception reaches the caller of push; what other events are owed is still there afterwards."""
    table = RegisterTable(peers())

    def fail(messages: list[Message]) -> None:
        raise OSError("no space")

    table.register_event_handler("actor:rollout:1", fail)
    table.register_event_handler("actor:*:1", lambda messages: 1)
    with pytest.raises(OSError, match="no space"):
        table.push(message("a"))
    assert got(table) == [(1, ["a"])]


def test_a_handler_may_use_the_table() -> None:
    """A handler that pushes a further message has that one handled too, and nothing twice."""
    handled: list[Any] = []
    table = RegisterTable(peers())

    def handle(messages: list[Message]) -> None:
        handled.extend(one.payload for one in messages)
        if len(handled) < 5:
            table.push(message(len(handled)))

    table.register_event_handler("actor:rollout:1", handle)
    table.push(message(0))
    assert handled == [0, 1, 2, 3, 4]
    assert table.get() == []


def test_an_event_registered_twice_calls_both_handlers() -> None:
    """Events are independent even where they are equal."""
    table = table_of("actor:rollout:1", "actor:rollout:1")
    table.push(message(1), auto_trigger=False)
    assert got(table) == [(0, [1]), (1, [1])]


def test_a_message_that_matches_nothing_is_reported_once_per_tag(caplog: pytest.LogCaptureFixture) -> None:
    """The first of each tag costs a warning that names tag and sender; it is dropped, nothing else happens."""
    table = table_of("actor:rollout:1")
    with caplog.at_level(logging.WARNING, registry_table.__name__):
        for tag in ("update", "update", "other", "update"):
            table.push(message(1, tag, source="learner_proxy_0"), auto_trigger=False)
    assert [record.args for record in caplog.records] == [("update", "learner_proxy_0"), ("other", "learner_proxy_0")]
    assert got(table) == []


def test_the_memory_of_reported_tags_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """With endlessly many tags the warnings end with one that says so."""
    table = table_of("actor:rollout:1")
    with caplog.at_level(logging.WARNING, registry_table.__name__):
        for number in range(3000):
            table.push(message(1, f"tag {number}"), auto_trigger=False)
    assert len(caplog.records) == 1025
    assert "further ones are not reported" in caplog.messages[-1]


# Registration


def test_registering_what_is_wrong() -> None:
    """A wrong event, an unknown source and a handler that can't be called are refused; the table goes on working."""
    table = table_of("actor:rollout:1")
    with pytest.raises(ConditionalEventSyntaxError, match="'0'"):
        table.register_event_handler("actor:rollout:0", print)
    with pytest.raises(PeersMissError, match="'act'"):
        table.register_event_handler(("actor:rollout:1", "act:rollout:1", "OR"), print)
    with pytest.raises(TypeError, match="'print'"):
        table.register_event_handler("actor:rollout:1", "print")  # type: ignore[arg-type]
    table.push(message(1), auto_trigger=False)
    assert got(table) == [(0, [1])]


def test_an_event_registered_late_counts_from_then_on() -> None:
    """Messages that came before an event was registered are not its."""
    table = table_of("actor:rollout:1")
    table.push(message(1), auto_trigger=False)
    table.register_event_handler("*:*:1", lambda messages: 9)
    table.push(message(2), auto_trigger=False)
    assert got(table) == [(0, [1]), (0, [2]), (9, [2])]


def test_a_percentage_registered_late_is_of_those_present() -> None:
    """An event for a source whose peers were counted before is judged by that count from the start."""
    table = table_of("actor:update:100%", group=peers(actors=2))
    assert got(table) == []
    table.register_event_handler("actor:rollout:100%", lambda messages: 9)
    table.push(message(1), auto_trigger=False)
    assert got(table) == []
    table.push(message(2), auto_trigger=False)
    assert got(table) == [(9, [1, 2])]


def test_a_fresh_copy_shares_nothing_that_waits() -> None:
    """It has the events and handlers, over the peers that it is given, though a component that they name is away."""
    # Given a table with an event for a component by its own name, and a message that waits
    group: Group = {"actor": ["bob"], "learner": []}
    table = table_of("bob:rollout:2", group=group)
    table.push(message(1, source="bob"), auto_trigger=False)
    # When it is copied while that component is away
    group["actor"].clear()
    copy = table.fresh_copy(group)
    # Then each counts its own messages
    copy.push(message(2, source="bob"), auto_trigger=False)
    assert (got(table), got(copy)) == ([], [])
    copy.push(message(3, source="bob"), auto_trigger=False)
    assert (got(table), got(copy)) == ([], [(0, [2, 3])])
    assert (repr(table), repr(copy)) == ("RegisterTable(events=1, waiting=1)", "RegisterTable(events=1, waiting=0)")
