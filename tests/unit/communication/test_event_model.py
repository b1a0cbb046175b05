"""Conditional events against a slow and obvious model of them: random events, messages, and peers that come and go."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.message import Message
from maro.communication.registry_table import ConditionalEvent, RegisterTable
from tests.support.naive_events import VIEWS, Group, NaiveEvent, NaiveTable

GROUP: Group = {
    # An actor may be called like another type, or have a name that tells none.
    "actor": ["actor_proxy_0", "actor_proxy_1", "actor_proxy_2", "bob", "learner"],
    "actor_eval": ["actor_eval_proxy_0", "actor_eval_proxy_1"],
    "learner": ["learner_proxy_0"],
    "idle": [],
}
STRANGERS = {"actor_proxy_unseen": "actor", "my_actor_proxy_0": None, "somebody": None}
TYPES = {name: component_type for component_type, names in GROUP.items() for name in names} | STRANGERS
PASSING = ["actor_proxy_0", "actor_proxy_1", "actor_proxy_2", "actor_eval_proxy_0", "actor_eval_proxy_1"]

sources = st.sampled_from(["*", *GROUP, "bob", "actor_proxy_0", "actor_proxy_1", "actor_proxy_unseen"])
amounts = st.sampled_from(["1", "2", "3", "1%", "34%", "50%", "67%", "100%"])
units = st.builds("{}:{}:{}".format, sources, st.sampled_from(["*", "a", "b"]), amounts)
operations = st.sampled_from(["AND", "&&", "OR", "||"])


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda parts, last: (*parts, last), st.lists(inner, min_size=1, max_size=3), operations)


events = st.recursive(units, compound, max_leaves=6)
pushes = st.tuples(st.just("push"), st.sampled_from(sorted(TYPES)), st.sampled_from("ab"))
moves = st.tuples(st.sampled_from(["leave", "join"]), st.sampled_from(PASSING))
steps = st.lists(pushes | pushes | pushes | moves | st.just(("get",)) | st.just(("clear",)), max_size=60)


def move(group: Group, kind: str, name: str) -> None:
    names = group[str(TYPES[name])]
    if kind == "leave" and name in names:
        names.remove(name)
    elif kind == "join" and name not in names:
        names.append(name)


@settings(max_examples=150)
@given(st.lists(events, min_size=1, max_size=6), st.sampled_from(sorted(VIEWS)), steps)
def test_a_table_does_what_the_model_does(registered: list[Any], view: str, happenings: list[tuple[str, ...]]) -> None:
    """The same events are satisfied by the same messages in the same order, whatever happens."""
    # Given the same events in a table and in the model, over one group
    group = {component_type: list(names) for component_type, names in GROUP.items()}
    table = RegisterTable(VIEWS[view](group, TYPES))
    handlers = [lambda messages, number=number: number for number in range(len(registered))]
    for event, handler in zip(registered, handlers, strict=True):
        table.register_event_handler(event, handler)
    model = NaiveTable(registered, group, TYPES)
    # When anything happens, then both hand out the same
    for kind, *details in [*happenings, ("get",)]:
        if kind == "push":
            message = Message(details[1], details[0], "learner_proxy_0")
            table.push(message, auto_trigger=False)
            model.push(message)
        elif kind == "get":
            assert [(handlers.index(handler), messages) for handler, messages in table.get()] == model.get()
        elif kind == "clear":
            table.clear()
            model.clear()
        else:
            move(group, kind, details[0])


@settings(max_examples=150)
@given(events, st.sampled_from(sorted(VIEWS)), steps)
def test_an_event_does_what_the_model_does(event: Any, view: str, happenings: list[tuple[str, ...]]) -> None:
    """One event by itself, asked once at a time, hands out the same messages; none is ever handed out twice."""
    # Given one event, and the model of it
    group = {component_type: list(names) for component_type, names in GROUP.items()}
    fast = ConditionalEvent(event, VIEWS[view](group, TYPES))
    model = NaiveEvent(event, group, TYPES)
    handed_out: list[Message] = []
    # When anything happens, then both hand out the same
    for number, (kind, *details) in enumerate([*happenings, ("get",)]):
        if kind == "push":
            message = Message(details[1], details[0], "learner_proxy_0")
            fast.push_message(message)
            model.push(number, message)
        elif kind == "get":
            messages = fast.get_qualified_message()
            assert messages == model.get()
            handed_out += messages
        elif kind == "clear":
            fast.clear()
            model.pending = []
        else:
            move(group, kind, details[0])
    # Then nothing came twice
    assert len(set(map(id, handed_out))) == len(handed_out)


@settings(max_examples=50)
@given(st.lists(events, min_size=1, max_size=6), st.lists(pushes, max_size=30))
def test_triggering_and_getting_agree(registered: list[Any], happenings: list[tuple[str, ...]]) -> None:
    """What push hands to the handlers is what get would have returned after each push."""
    triggered: list[tuple[int, list[Message]]] = []
    pulled: list[tuple[int, list[Message]]] = []
    triggering, pulling = RegisterTable(GROUP), RegisterTable(GROUP)
    for number, event in enumerate(registered):
        triggering.register_event_handler(event, lambda messages, number=number: triggered.append((number, messages)))
        pulling.register_event_handler(event, lambda messages, number=number: pulled.append((number, messages)))
    for _, source, tag in happenings:
        message = Message(tag, source, "learner_proxy_0")
        triggering.push(message)
        pulling.push(message, auto_trigger=False)
        for handler, messages in pulling.get():
            handler(messages)
    assert triggered == pulled
