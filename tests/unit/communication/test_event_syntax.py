"""The grammar of conditional events: what is understood, and how the rest is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.communication.event_syntax import MAX_DEPTH, UnitEvent, parse_event, parse_unit
from maro.communication.message import Message
from maro.communication.registry_table import ConditionalEvent, Operation, SuffixTree
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError


def test_an_event_becomes_a_tree() -> None:
    """Tuples become operations over nodes, strings become leaves, in the order in which they stand."""
    # Given a nested event that uses every spelling of an operation
    event = (("a:x:1", "b:y:2", "&&"), ("c:z:100%", Operation.AND), ("d:*:1", "||"), "OR")
    # When it is taken apart
    tree = parse_event(event)
    # Then the tree has its shape
    assert isinstance(tree, SuffixTree)
    assert tree.value is Operation.OR
    assert [node.value for node in tree.nodes] == [Operation.AND, Operation.AND, Operation.OR]
    assert list(tree.units()) == ["a:x:1", "b:y:2", "c:z:100%", "d:*:1"]
    assert tree.nodes[0].nodes[1].nodes == []


def test_an_empty_tree() -> None:
    """A tree can be made with nothing in it, as the reference has it."""
    assert (SuffixTree().value, SuffixTree().nodes, list(SuffixTree().units())) == (None, [], [])


WRONG = [
    ("actor:rollout", "'actor:rollout'"),
    ("actor:rollout:1:2", "'actor:rollout:1:2'"),
    ("", "''"),
    (":rollout:1", "the source ''"),
    ("actor: :1", "the tag ' '"),
    ("actor:rollout:", "the amount ''"),
    ("actor:rollout:0", "'0'"),
    ("actor:rollout:-1", "'-1'"),
    ("actor:rollout:+1", "'+1'"),
    ("actor:rollout:01", "'01'"),
    ("actor:rollout:1.5", "'1.5'"),
    ("actor:rollout:1_0", "'1_0'"),
    ("actor:rollout: 1", "' 1'"),
    ("actor:rollout:1\n", "'1\\n'"),
    ("actor:rollout:\u0663", "'\u0663'"),
    ("actor:rollout:" + "9" * 5000, "'9999"),
    ("actor:rollout:0%", "'0%'"),
    ("actor:rollout:101%", "'101%'"),
    ("actor:rollout:2.5%", "'2.5%'"),
    ("actor:rollout:%", "'%'"),
    ("(actor:rollout:1", "'(actor'"),
    ((), "()"),
    (("AND",), "'AND'"),
    (("actor:rollout:1",), "'actor:rollout:1'"),
    (("actor:rollout:1", "XOR"), "'XOR'"),
    (("actor:rollout:1", "and"), "'and'"),
    (("actor:rollout:1", 5), "5"),
    (("actor:rollout:1", "AND", "actor:rollout:1", "OR"), "'AND'"),
    (("actor:rollout:1", (Operation.OR, "learner:x:1", "AND"), "OR"), "Operation.OR"),
    (("actor:rollout:1", 5, "AND"), "5"),
    (("actor:rollout:1", ("learner:x:none", "AND"), "OR"), "'none'"),
    (["actor:rollout:1", "AND"], "['actor:rollout:1', 'AND']"),
    (None, "None"),
    (b"actor:rollout:1", "b'actor:rollout:1'"),
]


@pytest.mark.parametrize(("event", "quoted"), WRONG, ids=[repr(event)[:40] for event, _ in WRONG])
def test_what_does_not_follow_the_grammar(event: Any, quoted: str) -> None:
    """Anything else is refused with the part that is at fault in quotes."""
    with pytest.raises(ConditionalEventSyntaxError, match=re.escape(quoted)):
        parse_event(event)


def nested(depth: int) -> Any:
    event: Any = "actor:rollout:1"
    for _ in range(depth):
        event = (event, "AND")
    return event


def test_the_depth_of_nesting_is_bounded() -> None:
    """The deepest event that is allowed works; one more is a syntax error, and ten thousand more are no crash."""
    deepest = ConditionalEvent(nested(MAX_DEPTH), {"actor": []})
    deepest.push_message(message := Message("rollout", "actor_proxy_0", "learner_proxy_0"))
    assert deepest.get_qualified_message() == [message]
    for depth in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(ConditionalEventSyntaxError, match=f"more than {MAX_DEPTH}"):
            parse_event(nested(depth))


@given(st.integers(1, 100), st.integers(0, 10_000))
def test_a_percentage_is_rounded_up(percent: int, population: int) -> None:
    """It is the least number that is no smaller than the fraction, so at least one of anybody and none of nobody."""
    required = parse_unit(f"actor:rollout:{percent}%").required(population)
    assert required * 100 >= population * percent > (required - 1) * 100
    assert (required == 0) is (population == 0)


@given(st.integers(1, 10**18 - 1), st.integers(0, 100))
def test_an_integer_is_taken_literally(amount: int, population: int) -> None:
    """It does not depend on who is there."""
    unit = parse_unit(f"actor:rollout:{amount}")
    assert unit == UnitEvent("actor", "rollout", amount, is_percentage=False)
    assert unit.required(population) == amount


@given(st.recursive(st.text(), lambda inner: st.lists(inner).map(tuple)))
def test_nonsense_is_a_syntax_error_and_nothing_else(event: Any) -> None:
    """Whatever strings and tuples come, they are understood or refused with the one exception."""
    try:
        tree = parse_event(event)
    except ConditionalEventSyntaxError as error:
        assert "write" in str(error) or "tuple" in str(error)
    else:
        assert list(tree.units())
