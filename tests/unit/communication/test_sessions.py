"""Matching replies to requests, against naive models; and that what is remembered is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication import sessions
from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    TaskSessionStage,
)
from maro.communication.sessions import Collection, Inbox, Requests


@dataclass(frozen=True)
class Whom:
    destination: str
    destination_incarnation: int = 1


def reply_of(session: str, source: str = "a", request: str = "m", stage: Any = TaskSessionStage.COMPLETE) -> Message:
    kind = SessionType.TASK if isinstance(stage, TaskSessionStage) else SessionType.NOTIFICATION
    message = SessionMessage("tag", source, "me", None, kind, stage, session_id=session)
    message.request_id = request
    return message


inbox_steps = st.lists(
    st.tuples(st.just("push"), st.sampled_from("xyz"))
    | st.tuples(st.just("take"), st.sampled_from("xyz"))
    | st.tuples(st.just("pop"), st.just("")),
    max_size=80,
)


@given(inbox_steps)
def test_an_inbox_is_a_list_that_can_be_searched(steps: list[tuple[str, str]]) -> None:
    """Taking out of the middle and from the front give what a plain list would give."""
    inbox, model = Inbox(), []
    for step, session in steps:
        if step == "push":
            message = Message("t", "a", "me", session_id=session)
            inbox.push(message)
            model.append(message)
            continue
        wanted = next((message for message in model if step == "pop" or message.session_id == session), None)
        assert (inbox.pop() if step == "pop" else inbox.take(session)) is wanted
        if wanted is not None:
            model.remove(wanted)
        assert len(inbox) == len(model)
    while model:
        assert inbox.pop() is model.pop(0)
    assert not inbox._sessions, "nothing is left of sessions without messages"


@settings(max_examples=200)
@given(st.lists(st.sampled_from("xyz"), max_size=6), st.lists(st.sampled_from("yzw"), max_size=3), st.data())
def test_a_collection_is_a_multiset(targets: list[str], welcome: list[str], data: st.DataObject) -> None:
    """It wants each session as often as it was named, and is complete when all of that has come."""
    # Given a wait, and lists of what is still to come
    collection = Collection(targets, Requests(), welcome)
    missing, extra = list(targets), list(welcome)
    arrivals = data.draw(st.lists(st.sampled_from("xyzw"), max_size=15))
    taken = []
    # When replies come in any order
    for session in arrivals:
        assert collection.complete == (not missing)
        assert collection.wants(session) == (session in missing or session in extra)
        assert set(collection.sessions()) == set(missing) | set(extra)
        if collection.wants(session):
            message = reply_of(session)
            collection.add(message)
            taken.append(message)
            (missing if session in missing else extra).remove(session)
    # Then they were taken in that order
    assert collection.replies == taken
    assert collection.complete == (not missing)


def test_a_second_reply_to_the_same_message_and_stage_is_repeated() -> None:
    """Another stage, another peer, or another message makes it a reply of its own."""
    requests = Requests()
    first = [
        reply_of("s"),
        reply_of("s", stage=TaskSessionStage.RECEIVE),
        reply_of("s", source="b"),
        reply_of("s", request="m2"),
    ]
    assert [requests.is_repeated(reply) for reply in first] == [False] * 4
    assert [requests.is_repeated(reply) for reply in first] == [True] * 4


def test_a_plain_message_is_repeated_too() -> None:
    """A reply without stages counts as one stage."""
    requests = Requests()
    reply = Message("t", "me", "a").reply()
    assert [requests.is_repeated(reply), requests.is_repeated(reply)] == [False, True]


def everybody(*_: object) -> bool:
    return True


def nobody(*_: object) -> bool:
    return False


def test_only_the_dead_end_a_wait() -> None:
    """Alive, a peer may take its time; dead, what it owes will not come."""
    requests = Requests()
    requests.asked("s", Whom("a"))
    collection = Collection(["s"], requests)
    assert collection.owed_by_the_dead(everybody) == []
    assert collection.owed_by_the_dead(nobody) == ["a"]


def test_the_living_are_waited_for_although_others_are_dead() -> None:
    """One of two sessions is lost, the other is not: the wait goes on until the living one has replied."""
    requests = Requests()
    requests.asked("s", Whom("a"))
    requests.asked("t", Whom("b"))
    collection = Collection(["s", "t"], requests)

    def only_b(peer: str, incarnation: int) -> bool:
        return peer == "b"

    assert collection.owed_by_the_dead(only_b) == []
    collection.add(reply_of("t", source="b"))
    assert collection.owed_by_the_dead(only_b) == ["a"]


def test_a_restarted_peer_does_not_know_what_its_dead_self_was_asked() -> None:
    """The incarnation that was asked is the one that counts."""
    requests = Requests()
    requests.asked("s", Whom("a", 7))
    collection = Collection(["s"], requests)
    assert collection.owed_by_the_dead(lambda peer, incarnation: incarnation == 8) == ["a"]
    requests.asked("s", Whom("a", 8))
    assert collection.owed_by_the_dead(lambda peer, incarnation: incarnation == 8) == []


def test_a_broadcast_waits_for_each_living_peer() -> None:
    """Three were asked, one died: two replies end the wait."""
    requests = Requests()
    for name in "abc":
        requests.asked("s", Whom(name))
    collection = Collection(["s"] * 3, requests)

    def not_c(peer: str, incarnation: int) -> bool:
        return peer != "c"

    for name in "ab":
        assert collection.owed_by_the_dead(not_c) == []
        reply = reply_of("s", source=name, request=f"m-{name}")
        requests.is_repeated(reply)
        collection.add(reply)
    assert collection.owed_by_the_dead(not_c) == ["c"]
    assert not collection.complete


@pytest.mark.parametrize(
    ("stage", "done"),
    [
        (TaskSessionStage.RECEIVE, False),
        (TaskSessionStage.COMPLETE, True),
        (NotificationSessionStage.RECEIVE, True),
    ],
)
def test_the_last_stage_settles_what_a_peer_owes(stage: Any, done: bool) -> None:
    """An acknowledgement is followed by a result; a result by nothing."""
    requests = Requests()
    requests.asked("s", Whom("a"))
    requests.is_repeated(reply_of("s", stage=stage))
    assert requests.is_done("s", "a") is done


def test_a_session_that_nobody_asked_in_is_never_owed_by_the_dead() -> None:
    """A stranger may still send it."""
    assert Collection(["s"], Requests()).owed_by_the_dead(nobody) == []


def test_a_session_that_goes_on_for_ever_takes_no_more_memory() -> None:
    """Applications may put everything that they send into one session."""
    requests = Requests()
    routes = [Whom("a"), Whom("b"), Whom("a", 2)]
    for number in range(3000):
        requests.asked("s", routes[number % 3])
        requests.peers_of("s")
    assert requests.peers_of("s") == {"a": 2, "b": 1}
    remembered: Any = requests._asked["s"]
    assert len(remembered) == 3


def test_the_oldest_requests_and_replies_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is bounded, and the newest is kept."""
    monkeypatch.setattr(sessions, "_REQUESTS_KEPT", 10)
    requests = Requests()
    for number in range(1000):
        requests.asked(f"s{number}", Whom("a"))
        assert not requests.is_repeated(reply_of(f"s{number}", request=f"m{number}"))
        if number % 7 == 0:
            assert requests.peers_of(f"s{number}") == {"a": 1}
        assert len(requests._asked) <= 20
        assert len(requests._seen) <= 20
        assert len(requests._done) <= 20
    assert requests.peers_of("s999") == {"a": 1}
    assert requests.peers_of("s0") == {}
    assert requests.is_repeated(reply_of("s999", request="m999"))
