"""Conditional events over a group that changes: percentages, and the type behind a name."""

from __future__ import annotations

from typing import Any

import pytest

from maro.communication.message import Message
from maro.communication.peers_view import PeersView
from maro.communication.registry_table import ConditionalEvent, RegisterTable
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError
from tests.support.naive_events import VIEWS, Group, LivePeers

TYPES = {
    "actor_proxy_0": "actor",
    "actor_proxy_1": "actor",
    "bob": "actor",
    "actor_eval_proxy_0": "actor_eval",
    "learner_proxy_0": "learner",
}


@pytest.fixture
def group() -> Group:
    """Three actors, one of them with a name of its own, an evaluating actor, and a type of which nobody is there."""
    return {
        "actor": ["actor_proxy_0", "actor_proxy_1", "bob"],
        "actor_eval": ["actor_eval_proxy_0"],
        "learner": [],
    }


def push(event: ConditionalEvent, *payloads: int, source: str = "actor_proxy_0", tag: str = "rollout") -> None:
    for payload in payloads:
        event.push_message(Message(tag, source, "learner_proxy_0", payload))


def taken(event: ConditionalEvent) -> list[Any]:
    return [message.payload for message in event.get_qualified_message()]


# Percentages


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_percentage_follows_the_group(group: Group, view: Any) -> None:
    """It is of those present when it is judged: fewer peers need fewer messages, without another message."""
    # Given two of three actors have answered
    event = ConditionalEvent("actor:rollout:100%", view(group, TYPES))
    push(event, 1)
    push(event, 2, source="bob")
    assert taken(event) == []
    # When the third is lost
    group["actor"].remove("actor_proxy_1")
    # Then the two are everybody
    assert taken(event) == [1, 2]
    # And when a third comes, two are no longer enough
    group["actor"].append("actor_proxy_7")
    push(event, 3, 4)
    assert taken(event) == []
    push(event, 5)
    assert taken(event) == [3, 4, 5]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_percentage_of_nobody_is_not_satisfied(group: Group, view: Any) -> None:
    """While nobody of the type is there, messages of those who left wait; they count when somebody is there again."""
    # Given two messages of a learner that has left
    event = ConditionalEvent("learner:rollout:1%", view(group, TYPES))
    push(event, 1, 2, source="learner_proxy_0")
    # When nobody of its type is there, then they wait
    assert taken(event) == []
    # When it is back, then they count
    group["learner"].append("learner_proxy_0")
    assert [taken(event), taken(event)] == [[1], [2]]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_percentage_of_everybody(group: Group, view: Any) -> None:
    """With `*` it is of the peers of all types: half of four are two."""
    event = ConditionalEvent("*:rollout:50%", view(group, TYPES))
    push(event, 1)
    assert taken(event) == []
    push(event, 2, source="actor_eval_proxy_0")
    assert taken(event) == [1, 2]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_percentage_of_one_component(group: Group, view: Any) -> None:
    """One component is one peer: any percentage of it is one message, and none would do while it is away."""
    event = ConditionalEvent("bob:rollout:1%", view(group, TYPES))
    push(event, 1, 2, source="bob")
    assert taken(event) == [1]
    group["actor"].remove("bob")
    assert taken(event) == []
    group["actor"].append("bob")
    assert taken(event) == [2]


def test_a_percentage_takes_the_number_that_it_required(group: Group) -> None:
    """What came beyond the required number waits on."""
    event = ConditionalEvent(("actor:rollout:34%", "actor:update:1", "AND"), group)
    push(event, 1, 2, 3)
    push(event, 4, tag="update")
    assert taken(event) == [1, 2, 4]


# The type behind a name


def test_a_name_that_joins_later_is_of_the_type_that_it_joined_under(group: Group) -> None:
    """A name that tells no type is nobody's until it is in the view, and keeps its type after it left."""
    event = ConditionalEvent("actor:rollout:1", group)
    push(event, 1, source="carol")
    assert taken(event) == []
    group["actor"].append("carol")
    push(event, 2, source="carol")
    assert taken(event) == [2]
    group["actor"] = ["dave"]
    push(event, 3, source="dave")
    assert taken(event) == [3]
    push(event, 3, source="carol")
    assert taken(event) == [3]


def test_the_type_is_what_stands_before_the_last_infix() -> None:
    """A type whose own name holds the infix is told apart from the one that its name begins with."""
    peers = PeersView({"actor": [], "actor_proxy_eval": []})
    assert peers.type_of("actor_proxy_eval_proxy_0") == "actor_proxy_eval"
    assert peers.type_of("actor_proxy_0") == "actor"
    assert peers.type_of("learner_proxy_0") is None


def test_the_joined_type_beats_the_name(group: Group) -> None:
    """A learner that is called like an actor is a learner."""
    group["learner"].append("actor_proxy_like")
    peers = PeersView(group)
    assert peers.type_of("actor_proxy_like") == "learner"
    assert peers.type_of("actor_proxy_unheard_of") == "actor"


def test_names_of_those_who_left_are_not_kept_for_ever(group: Group) -> None:
    """However many names come and go, the view remembers a bounded number of them."""
    # Given a view that has been asked about ten thousand names, one after the other
    peers = PeersView(group)
    for number in range(10_000):
        group["actor"] = [f"actor_proxy_{number}"]
        assert peers.type_of(f"actor_proxy_{number}") == "actor"
    # Then it remembers far fewer
    assert len(peers._type_by_name) < 2_000


def test_a_type_named_like_a_method_of_a_live_mapping() -> None:
    """A dict that shows its keys as attributes, with a component type called count, is still a dict."""

    class Dotted(dict[str, list[str]]):
        def __getattr__(self, name: str) -> list[str]:
            try:
                return self[name]
            except KeyError:
                raise AttributeError(name) from None

    event = ConditionalEvent("count:rollout:100%", Dotted(count=["a", "b"], type_of=["c"], message_bound=["d"]))
    push(event, 1, source="a")
    assert taken(event) == []
    push(event, 2, source="b")
    assert taken(event) == [1, 2]


# How many messages may wait


@pytest.mark.parametrize("is_callable", [False, True])
def test_an_amount_above_what_senders_keep_is_refused(group: Group, is_callable: bool) -> None:
    """An event that could never be satisfied is an error at once, which names the unit, the bound and the way out."""
    # Given peers whose senders keep three messages
    live = LivePeers(group, TYPES)
    live.message_bound = 3
    peers: Any = (lambda: live) if is_callable else live
    # When events wait for as many, or for percentages, then they are fine
    for amount in ("1", "3", "4%", "100%"):
        ConditionalEvent(f"actor:rollout:{amount}", peers)
    # When a part of one waits for more, then it is refused, in a table as well
    event = ("actor:rollout:3", ("learner:update:4", "bob:rollout:1", "AND"), "OR")
    refused = "'learner:update:4' waits for 4 messages.* 3 of its messages.*max_length_for_message_cache"
    with pytest.raises(ConditionalEventSyntaxError, match=refused):
        ConditionalEvent(event, peers)
    with pytest.raises(ConditionalEventSyntaxError, match=refused):
        RegisterTable(peers).register_event_handler(event, print)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_no_amount_is_refused_where_nothing_bounds_it(group: Group, view: Any) -> None:
    """Peers that know of no bound, or say that there is none, leave amounts alone."""
    assert PeersView(view(group, TYPES)).message_bound() is None
    ConditionalEvent("actor:rollout:999999999", view(group, TYPES))


# What is no view


@pytest.mark.parametrize("peers", [None, 5, [("actor", ["a"])], property(lambda self: {})])
def test_peers_that_are_none(peers: Any) -> None:
    """What is neither a mapping nor a callable is refused at once, with what to pass instead."""
    with pytest.raises(TypeError, match="neither a mapping"):
        ConditionalEvent("actor:rollout:1", peers)


def test_a_callable_that_returns_no_peers() -> None:
    """A callable that answers with something else is named together with its answer."""
    with pytest.raises(TypeError, match="returned None"):
        ConditionalEvent("actor:rollout:1", lambda: None)  # type: ignore[arg-type, return-value]
