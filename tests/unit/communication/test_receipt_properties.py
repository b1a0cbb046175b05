"""Random events and happenings: a message is finished when nothing holds it any more, never earlier, never twice."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.message import Message
from maro.communication.registry_table import ConditionalEvent, RegisterTable
from tests.support.naive_events import Group, NaiveEvent
from tests.support.receipts import Hand, is_finished

GROUP: Group = {"actor": ["actor_proxy_0", "actor_proxy_1", "actor_proxy_2"], "learner": ["learner_proxy_0"]}
TYPES = {name: component_type for component_type, names in GROUP.items() for name in names}

units = st.builds(
    "{}:{}:{}".format,
    st.sampled_from(["*", "actor", "learner", "actor_proxy_0"]),
    st.sampled_from(["*", "a", "b"]),
    st.sampled_from(["1", "2", "4", "34%", "100%"]),
)


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda parts, last: (*parts, last), st.lists(inner, min_size=1, max_size=3), st.sampled_from(["AND", "OR"])
    )


events = st.recursive(units, compound, max_leaves=5)
pushes = st.tuples(
    st.sampled_from(["push", "push and trigger"]), st.sampled_from(sorted(TYPES)), st.sampled_from("abc")
)
moves = st.tuples(st.sampled_from(["leave", "join"]), st.sampled_from(["actor_proxy_1", "actor_proxy_2"]))
others = st.sampled_from([("get",), ("trigger",), ("clear",), ("receive",)])
steps = st.lists(st.one_of(*[pushes] * 6, others, moves), max_size=50)
deeds = st.lists(st.just(("raise",)) | pushes | others, max_size=12)
"""What handlers do, one after the other; those beyond the last just return."""


class Failure(Exception):
    """What a handler raises."""


class Bookkeeper:
    """Uses a table, and keeps its own account of who has not let go of which message yet.

    The account is kept from what the table hands out, not from which events should be satisfied: each event has a
    message from the push that it matches until the message is handed out for it, or the table is cleared.
    """

    def __init__(self, registered: list[Any], deeds: list[tuple[str, ...]]) -> None:
        self.group: Group = {component_type: list(names) for component_type, names in GROUP.items()}
        self.table = RegisterTable(self.group)
        self.events = [NaiveEvent(event, self.group, TYPES) for event in registered]
        self.handlers = [lambda messages, at=at: self.handle(at, messages) for at in range(len(registered))]
        for event, handler in zip(registered, self.handlers, strict=True):
            self.table.register_event_handler(event, handler)
        self.deeds = iter(deeds)
        self.hand = Hand()
        self.messages: list[Message] = []
        self.waiting: set[tuple[int, int]] = set()
        """Event, and number of the message."""
        self.with_handlers: list[int] = []
        """Messages of handlers that have not returned, one entry for each; those of handlers that raised stay."""
        self.in_hand: set[int] = set()

    def do(self, kind: str, *details: str) -> None:
        """One step; whenever a handler is called on the way, the account is right."""
        if kind.startswith("push"):
            self.push(*details, trigger=kind == "push and trigger")
        elif kind == "get":
            for handler, messages in self.table.get():
                numbers = self.take(self.handlers.index(handler), messages)
                self.in_hand.update(numbers)
        elif kind == "trigger":
            self.table.trigger()
        elif kind == "clear":
            self.table.clear()
            self.waiting.clear()
        elif kind == "receive":
            self.hand.receive()
            self.in_hand.clear()
        else:
            self.group["actor"] = [name for name in self.group["actor"] if name != details[0]]
            self.group["actor"] += [details[0]] * (kind == "join")

    def push(self, source: str, tag: str, trigger: bool) -> None:
        message = Message(tag, source, "learner_proxy_0", len(self.messages))
        self.hand.receive(message)
        self.in_hand.clear()
        self.messages.append(message)
        matching = [at for at, event in enumerate(self.events) if self.matches(event, message)]
        self.waiting.update((at, message.payload) for at in matching)
        self.table.push(message, auto_trigger=trigger)

    def matches(self, event: NaiveEvent, message: Message) -> bool:
        return any(event.matches(unit, message) for unit in event.units(event.event))

    def take(self, at: int, messages: list[Message]) -> list[int]:
        numbers = [message.payload for message in messages]
        self.waiting.difference_update((at, number) for number in numbers)
        return numbers

    def handle(self, at: int, messages: list[Message]) -> None:
        numbers = self.take(at, messages)
        self.with_handlers += numbers
        self.check()
        kind, *details = next(self.deeds, ("return",))
        if kind == "raise":
            raise Failure
        if kind != "return":
            self.do(kind, *details)
        for number in numbers:
            self.with_handlers.remove(number)

    def check(self) -> None:
        held = {number for _, number in self.waiting} | set(self.with_handlers) | self.in_hand
        for message in self.messages:
            assert is_finished(message) == (message.payload not in held), f"{message}: {message.receipt}"


@settings(max_examples=300)
@given(st.lists(events, min_size=1, max_size=5), steps, deeds)
def test_a_message_is_finished_when_nothing_holds_it(
    registered: list[Any], happenings: list[tuple[str, ...]], deeds: list[tuple[str, ...]]
) -> None:
    """No event, no handler that took it and did not return, and not the application's hand; then at once."""
    # Given a table with events, and handlers that return, raise, or use the table themselves
    keeper = Bookkeeper(registered, deeds)
    # When anything happens, then after each step exactly those are finished that nothing holds
    for kind, *details in [*happenings, ("get",), ("clear",), ("receive",)]:
        with contextlib.suppress(Failure):
            keeper.do(kind, *details)
        keeper.check()


@settings(max_examples=150)
@given(events, steps)
def test_an_event_by_itself_keeps_the_same_account(event: Any, happenings: list[tuple[str, ...]]) -> None:
    """What waits in it is held, what it hands out is finished by the next receive, and so is what it does not match."""
    group = {component_type: list(names) for component_type, names in GROUP.items()}
    single = ConditionalEvent(event, group)
    model = NaiveEvent(event, group, TYPES)
    hand, messages, in_hand = Hand(), list[Message](), list[Message]()
    for kind, *details in happenings:
        if kind.startswith("push"):
            message = Message(details[1], details[0], "learner_proxy_0", len(messages))
            hand.receive(message)
            messages.append(message)
            in_hand = [] if model.push(len(messages), message) else [message]
            single.push_message(message)
        elif kind in ("get", "trigger"):
            taken = single.get_qualified_message()
            assert taken == model.get()
            in_hand += taken
        elif kind == "clear":
            single.clear()
            model.pending = []
        elif kind == "receive":
            hand.receive()
            in_hand = []
        waiting = [message for _, message in model.pending]
        for message in messages:
            assert is_finished(message) == (message not in waiting and message not in in_hand)
