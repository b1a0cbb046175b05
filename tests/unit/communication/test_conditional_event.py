"""One conditional event by itself: its sources, what satisfies it, and what it hands out."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from maro.communication.message import Message
from maro.communication.registry_table import ConditionalEvent
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError, PeersMissError
from tests.support.naive_events import Group


class Tag(Enum):
    ROLLOUT = "rollout"
    COUNT = 7


@pytest.fixture
def group() -> Group:
    """Three actors, one of them with a name of its own, an evaluating actor, and a type of which nobody is there."""
    return {
        "actor": ["actor_proxy_0", "actor_proxy_1", "bob"],
        "actor_eval": ["actor_eval_proxy_0"],
        "learner": [],
    }


def message(source: str = "actor_proxy_0", tag: str | Enum = "rollout", payload: object = None) -> Message:
    return Message(tag, source, "learner_proxy_0", payload)


def push(event: ConditionalEvent, *payloads: int, source: str = "actor_proxy_0", tag: str | Enum = "rollout") -> None:
    for payload in payloads:
        event.push_message(message(source, tag, payload))


def taken(event: ConditionalEvent) -> list[Any]:
    return [message.payload for message in event.get_qualified_message()]


# Sources


def test_a_wrong_event_is_refused_at_once(group: Group) -> None:
    """The constructor names what is wrong with an event, before any message comes."""
    with pytest.raises(ConditionalEventSyntaxError, match="'none'"):
        ConditionalEvent(("actor:rollout:1", ("learner:update:none", "AND"), "OR"), group)


@pytest.mark.parametrize("source", ["actor", "learner", "*", "bob", "actor_proxy_1", "actor_proxy_not_yet"])
def test_a_known_source(group: Group, source: str) -> None:
    """A type (with nobody there, too), a present name, and a name that tells a known type are accepted."""
    assert ConditionalEvent(f"{source}:rollout:1", group).get_qualified_message() == []


@pytest.mark.parametrize("source", ["act", "alice", "driver_proxy_1", "actor_proxy_", "_proxy_1", " actor", "Actor"])
def test_an_unknown_source(group: Group, source: str) -> None:
    """A source that the peers do not know is refused, wherever it stands; the types that are known are named."""
    with pytest.raises(PeersMissError, match=f"'{source}'.*'actor', 'actor_eval', 'learner'"):
        ConditionalEvent(("actor:rollout:1", (f"{source}:rollout:1", "AND"), "OR"), group)


# What matches

EVERYBODY = [
    *("actor_proxy_0", "actor_proxy_1", "bob", "actor_proxy_9"),
    *("actor_eval_proxy_0", "my_actor_proxy_0", "stranger"),
]


@pytest.mark.parametrize(
    ("source", "senders"),
    [
        ("actor", ["actor_proxy_0", "actor_proxy_1", "bob", "actor_proxy_9"]),
        ("actor_eval", ["actor_eval_proxy_0"]),
        ("bob", ["bob"]),
        ("actor_proxy_0", ["actor_proxy_0"]),
        ("*", EVERYBODY),
    ],
)
def test_a_source_matches_its_own_only(group: Group, source: str, senders: list[str]) -> None:
    """A type matches its members and names that tell it, never a type of which it is a part; a name matches itself."""
    # Given an event for one message from the source
    event = ConditionalEvent(f"{source}:rollout:1", group)
    # When everybody sends one
    answered = []
    for sender in EVERYBODY:
        push(event, 1, source=sender)
        if taken(event):
            answered.append(sender)
    # Then only those of the source satisfied it
    assert answered == senders


def test_a_type_comes_before_a_name(group: Group) -> None:
    """An event for a type is not about a component of another type that bears the type's name, nor counts one twice."""
    # Given an actor that is called learner, and a learner that is called actor
    group["actor"].append("learner")
    group["learner"].append("actor")
    event = ConditionalEvent("learner:rollout:1", group)
    # When both send
    push(event, 1, source="learner")
    push(event, 2, source="actor")
    # Then only the learner's message counts, once
    assert taken(event) == [2]
    assert taken(event) == []


@pytest.mark.parametrize(("tag", "sent"), [("rollout", "rollout"), ("rollout", Tag.ROLLOUT), ("7", Tag.COUNT)])
def test_a_tag_matches_by_its_text(group: Group, tag: str, sent: str | Enum) -> None:
    """An Enum member matches by its value, a value that is no string by its text."""
    event = ConditionalEvent(f"actor:{tag}:1", group)
    push(event, 1, tag="update")
    push(event, 2, tag=sent)
    assert taken(event) == [2]


def test_any_tag_matches_once(group: Group) -> None:
    """`*` matches every tag, and a tag that is an asterisk itself does not count twice."""
    event = ConditionalEvent("actor:*:2", group)
    push(event, 1, tag="*")
    assert taken(event) == []
    push(event, 2, tag=Tag.COUNT)
    assert taken(event) == [1, 2]


# What is handed out


def test_a_unit_takes_the_oldest(group: Group) -> None:
    """As many as required, in order of arrival; the rest waits for the next time."""
    event = ConditionalEvent("actor:rollout:2", group)
    push(event, 1, 2, 3, 4, 5)
    assert [taken(event), taken(event), taken(event)] == [[1, 2], [3, 4], []]
    push(event, 6)
    assert taken(event) == [5, 6]


def test_and_takes_what_each_operand_requires(group: Group) -> None:
    """Nothing before all operands hold; then exactly their amounts, together in order of arrival."""
    event = ConditionalEvent(("actor:rollout:2", "actor:update:1", "AND"), group)
    push(event, 1, 2, 3)
    assert taken(event) == []
    push(event, 4, 5, tag="update")
    assert taken(event) == [1, 2, 4]
    push(event, 6)
    assert taken(event) == [3, 5, 6]


def test_or_takes_the_first_branch_that_holds(group: Group) -> None:
    """Of two branches that hold the one that is written first is taken, whichever was complete first."""
    event = ConditionalEvent(("actor:rollout:2", "actor:update:1", "OR"), group)
    push(event, 1, tag="update")
    push(event, 2, 3)
    assert [taken(event), taken(event), taken(event)] == [[2, 3], [1], []]


def test_nested_operations(group: Group) -> None:
    """An operand may be an event of its own; operands that a result does not need keep their messages."""
    # Given ((a and b) or c) and d
    event = ConditionalEvent((("actor:a:1", "actor:b:1", "&&"), "actor:c:1", "||"), group)
    both = ConditionalEvent((((("actor:a:1", "actor:b:1", "&&"), "actor:c:1", "||")), "actor:d:1", "AND"), group)
    # When c and d arrive, then the pair and another d
    for one in (event, both):
        push(one, 1, tag="a")
        push(one, 2, tag="d")
        push(one, 3, tag="c")
    # Then c stands for the first operand, and a still waits
    assert taken(event) == [3]
    assert taken(both) == [2, 3]
    push(both, 4, tag="b")
    push(both, 5, tag="d")
    assert taken(both) == [1, 4, 5]


def test_a_message_counts_in_every_leaf_but_is_handed_out_once(group: Group) -> None:
    """One message may satisfy two operands; it appears once, and has left both afterwards."""
    event = ConditionalEvent(("actor:rollout:1", "*:*:1", "AND"), group)
    push(event, 1, 2)
    assert [taken(event), taken(event), taken(event)] == [[1], [2], []]


def test_a_message_that_was_handed_out_has_left_the_other_branches(group: Group) -> None:
    """What one branch has taken no longer counts towards another."""
    event = ConditionalEvent(("actor:rollout:1", "actor:*:2", "OR"), group)
    push(event, 1)
    push(event, 2, tag="update")
    assert [taken(event), taken(event)] == [[1], []]
    push(event, 3, tag="update")
    assert taken(event) == [2, 3]


def test_the_same_message_pushed_twice_arrived_twice(group: Group) -> None:
    """Arrivals count, not objects."""
    event = ConditionalEvent("actor:rollout:2", group)
    again = message()
    event.push_message(again)
    event.push_message(again)
    assert event.get_qualified_message() == [again, again]


def test_clear_forgets_what_waits(group: Group) -> None:
    """After a clear the event counts from nothing, also where it was satisfied already."""
    event = ConditionalEvent((("actor:rollout:1", "actor:update:1", "AND"), "*:rollout:2", "OR"), group)
    push(event, 1, 2)
    event.clear()
    assert taken(event) == []
    push(event, 3)
    push(event, 4, tag="update")
    assert taken(event) == [3, 4]


def test_its_repr_tells_what_waits(group: Group) -> None:
    """Each waiting message is counted once, in however many leaves it waits."""
    event = ConditionalEvent(("actor:rollout:2", "*:*:5", "AND"), group)
    push(event, 1, 2)
    assert repr(event) == "ConditionalEvent(('actor:rollout:2', '*:*:5', 'AND'), waiting=2)"
