"""What a Proxy does over every kind of driver and store: sending, receiving, and matching replies."""

from __future__ import annotations

import threading
import time
from enum import Enum
from typing import Any

import pytest

from maro.communication import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    TaskSessionStage,
)
from maro.communication.proxy import Proxy
from maro.utils.exception.communication_exception import DriverSendError
from tests.contract.groups import WITHIN_MS, Group, doubled, one, serving


class Tag(Enum):
    WORK = "work"


def request(proxy: Proxy, to: str, payload: Any = 1, kind: SessionType = SessionType.TASK) -> SessionMessage:
    return SessionMessage("work", proxy.name, to, payload, kind)


def payloads(messages: Any) -> list[Any]:
    return [message.payload for message in messages]


def test_send_returns_the_reply(group: Group) -> None:
    """From the one that was asked, in the session of the request, with its last stage."""
    learner, actor = group.learner_and("actor_0")
    asked = request(learner, "actor_0", 21)
    with serving(actor, by=doubled) as got:
        replies = learner.send(asked, timeout=WITHIN_MS)
    assert replies is not None
    (reply,) = replies
    assert isinstance(reply, SessionMessage)
    assert (reply.payload, reply.tag, reply.source, reply.destination) == (42, "result", "actor_0", "learner_0")
    assert (reply.session_id, reply.session_stage) == (asked.session_id, TaskSessionStage.COMPLETE)
    assert (got[0].source, got[0].destination, got[0].payload) == ("learner_0", "actor_0", 21)


def test_send_returns_nothing_at_the_deadline(group: Group) -> None:
    """A peer that does not reply in time is not an error."""
    learner, _ = group.learner_and("actor_0")
    start = time.monotonic()
    assert learner.send(request(learner, "actor_0"), timeout=80) == []
    assert time.monotonic() - start >= 0.08


def test_scatter_returns_one_reply_for_each_payload(group: Group) -> None:
    """Each from the one that got the payload."""
    learner, first, second = group.learner_and("actor_0", "actor_1")
    with serving(first, second, by=doubled):
        replies = learner.scatter(Tag.WORK, SessionType.TASK, [("actor_0", 1), ("actor_1", 2)], timeout=WITHIN_MS)
    assert {reply.source: reply.payload for reply in replies} == {"actor_0": 2, "actor_1": 4}
    assert len(replies) == 2


def test_replies_are_in_the_order_in_which_they_came(group: Group) -> None:
    """Whatever was asked first."""
    learner, actor = group.learner_and("actor_0")
    asked: list[Message] = []

    def reply_to_the_last_first(proxy: Proxy, message: Message) -> None:
        asked.append(message)
        if len(asked) == 3:
            for each in asked[::-1]:
                doubled(proxy, each)

    with serving(actor, by=reply_to_the_last_first):
        replies = learner.scatter("w", SessionType.TASK, [("actor_0", number) for number in range(3)], WITHIN_MS)
    assert payloads(replies) == [4, 2, 0]


def test_a_destination_may_be_scattered_to_more_than_once(group: Group) -> None:
    """Each payload has a session of its own."""
    learner, actor = group.learner_and("actor_0")
    with serving(actor, by=doubled):
        replies = learner.scatter("work", SessionType.TASK, [("actor_0", number) for number in range(5)], WITHIN_MS)
    assert payloads(replies) == [0, 2, 4, 6, 8]
    assert len({reply.session_id for reply in replies}) == 5
    assert learner.scatter("work", SessionType.TASK, [], WITHIN_MS) == []


def test_broadcast_asks_each_peer_of_a_type(group: Group) -> None:
    """All replies are of one session, and name who replied."""
    learner, *actors = group.learner_and("actor_0", "actor_1", "actor_2")
    with serving(*actors, by=doubled) as got:
        replies = learner.broadcast("actor", "work", SessionType.TASK, 4, timeout=WITHIN_MS)
    assert payloads(replies) == [8, 8, 8]
    assert {reply.source for reply in replies} == {"actor_0", "actor_1", "actor_2"}
    assert len({reply.session_id for reply in replies}) == 1
    assert len(got) == 3


def test_the_first_broadcast_reaches_whoever_receives_late(group: Group) -> None:
    """However late that peer first calls `receive`; and an array as well."""
    learner, *actors = group.learner_and("actor_0", "actor_1")
    session_ids = learner.ibroadcast("actor", "weights", SessionType.NOTIFICATION, bytes(300_000))
    assert len(session_ids) == 2
    assert len(set(session_ids)) == 1
    for actor in actors:
        message = one(actor)
        assert (message.payload, message.session_id) == (bytes(300_000), session_ids[0])
        assert message.source == "learner_0"


def test_a_type_that_begins_like_another_gets_its_own_broadcasts_only(group: Group) -> None:
    """`actor` is not `actor_eval`."""
    learner, actor, judge = group.together(
        ("learner_0", {"actor": 1, "actor_eval": 1}), ("actor_0", {"learner": 1}), ("actor_eval_0", {"learner": 1})
    )
    assert dict(learner.peers_name) == {"actor": ["actor_0"], "actor_eval": ["actor_eval_0"]}
    for kind in ("actor", "actor_eval"):
        assert len(learner.ibroadcast(kind, kind, SessionType.NOTIFICATION)) == 1
    for proxy in (actor, judge):
        learner.isend(Message("end", "learner_0", proxy.name))
    assert [one(actor).tag, one(actor).tag] == ["actor", "end"]
    assert [one(judge).tag, one(judge).tag] == ["actor_eval", "end"]


def test_isend_and_iscatter_return_session_ids(group: Group) -> None:
    """Whose replies are collected later, in whatever order they are asked for."""
    learner, actor = group.learner_and("actor_0")
    asked = request(learner, "actor_0", 1)
    assert learner.isend(asked) == [asked.session_id]
    ids = learner.iscatter("work", SessionType.TASK, [("actor_0", 2), ("actor_0", 3)])
    assert len(set(ids)) == 2
    with serving(actor, by=doubled):
        last = learner.receive_by_id(ids[::-1], timeout=WITHIN_MS)
        first = learner.receive_by_id(asked.session_id, timeout=WITHIN_MS)
    assert payloads(last) == [4, 6]
    assert payloads(first) == [2]


def test_targets_are_a_multiset(group: Group) -> None:
    """An id given three times waits for three replies."""
    learner, *actors = group.learner_and("actor_0", "actor_1", "actor_2")
    ids = learner.ibroadcast("actor", "work", SessionType.TASK, 1)
    with serving(*actors, by=doubled):
        replies = learner.receive_by_id(ids, timeout=WITHIN_MS)
    assert replies is not None
    assert {reply.source for reply in replies} == {actor.name for actor in actors}
    assert learner.receive_by_id(ids[:1], timeout=30) == []


def test_targets_of_none_are_none(group: Group) -> None:
    """As `isend` returns for a peer that is away."""
    learner, _ = group.learner_and("actor_0")
    assert learner.receive_by_id(None) is None
    assert learner.receive_by_id([]) == []


def test_what_nobody_waits_for_is_kept_for_receive(group: Group) -> None:
    """In its order, also where it came before the reply; and a reply may be collected after it was passed over."""
    learner, actor = group.learner_and("actor_0")
    ids = learner.iscatter("work", SessionType.TASK, [("actor_0", "a"), ("actor_0", "b")])
    first, second = one(actor), one(actor)
    actor.isend(Message("news", "actor_0", "learner_0", 1))
    actor.reply(first)
    actor.isend(Message("news", "actor_0", "learner_0", 2))
    actor.reply(second)
    assert payloads(learner.receive_by_id(ids[1], timeout=WITHIN_MS)) == ["b"]
    assert payloads(learner.receive_by_id(ids[0], timeout=WITHIN_MS)) == ["a"]
    assert [one(learner).payload, one(learner).payload] == [1, 2]


def test_a_reply_of_an_unknown_session_goes_to_receive(group: Group) -> None:
    """So does one that nobody asked for any more."""
    learner, actor = group.learner_and("actor_0")
    assert learner.send(request(learner, "actor_0"), timeout=0) == []
    actor.reply(one(actor), payload="late")
    stranger = SessionMessage("odd", "learner_0", "actor_0", "never asked", session_id="unknown")
    actor.reply(stranger)
    assert [one(learner).payload, one(learner).payload] == ["late", "never asked"]


def test_a_second_reply_to_the_same_message_is_dropped(group: Group) -> None:
    """Of the same stage; an acknowledgement and a result are two."""
    learner, actor = group.learner_and("actor_0")
    ids = learner.isend(request(learner, "actor_0"))
    got = one(actor)
    actor.reply(got, payload="received", ack_reply=True)
    actor.reply(got, payload="again", ack_reply=True)
    actor.reply(got, payload="done")
    actor.reply(got, payload="done again")
    actor.isend(Message("end", "actor_0", "learner_0"))
    assert ids is not None
    replies = learner.receive_by_id(ids * 2, timeout=WITHIN_MS)
    assert payloads(replies) == ["received", "done"]
    assert one(learner).tag == "end"


@pytest.mark.parametrize(
    ("kind", "ack_reply", "stage"),
    [
        (SessionType.TASK, False, TaskSessionStage.COMPLETE),
        (SessionType.TASK, True, TaskSessionStage.RECEIVE),
        (SessionType.NOTIFICATION, False, NotificationSessionStage.RECEIVE),
        (SessionType.NOTIFICATION, True, NotificationSessionStage.RECEIVE),
    ],
)
def test_the_stage_of_a_reply(group: Group, kind: SessionType, ack_reply: bool, stage: Any) -> None:
    """None keeps tag and payload; what the caller holds stays as it is."""
    learner, actor = group.learner_and("actor_0")
    ids = learner.isend(request(learner, "actor_0", [1], kind))
    got = one(actor)
    before = (got.tag, got.source, got.destination, got.payload, got.message_id, got.session_id)
    assert actor.reply(got, ack_reply=ack_reply) == ids
    assert before == (got.tag, got.source, got.destination, got.payload, got.message_id, got.session_id)
    (reply,) = learner.receive_by_id(ids, timeout=WITHIN_MS) or []
    assert isinstance(reply, SessionMessage)
    assert (reply.session_stage, reply.session_type) == (stage, kind)
    assert (reply.tag, reply.payload, reply.source) == ("work", [1], "actor_0")
    assert reply.message_id != got.message_id


def test_forward_passes_a_message_on(group: Group) -> None:
    """In its session and stage, from the one that forwards; the last one's reply goes to it."""
    learner, middle, last = group.together(
        ("learner_0", {"actor": 1}), ("actor_0", {"learner": 1, "critic": 1}), ("critic_0", {"actor": 1})
    )
    asked = request(learner, "actor_0", 5)
    learner.isend(asked)
    got = one(middle)
    assert middle.forward(got, "critic_0") == [asked.session_id]
    assert (got.source, got.destination) == ("learner_0", "actor_0")
    middle.forward(got, "critic_0", tag="changed", payload=6)
    passed, changed = one(last), one(last)
    assert (passed.source, passed.tag, passed.payload, passed.session_id) == ("actor_0", "work", 5, asked.session_id)
    assert (changed.tag, changed.payload) == ("changed", 6)
    assert isinstance(passed, SessionMessage)
    assert passed.session_stage is TaskSessionStage.REQUEST


def test_a_plain_message_can_be_replied_to(group: Group) -> None:
    """By the Proxy, and by the message itself."""
    learner, actor = group.learner_and("actor_0")
    sent = Message(Tag.WORK, "learner_0", "actor_0")
    ids = learner.isend(sent)
    got = one(actor)
    assert got.tag is Tag.WORK
    assert got.payload is None
    actor.reply(got, payload=1)
    assert payloads(learner.receive_by_id(ids, timeout=WITHIN_MS)) == [1]
    learner.isend(Message("b", "learner_0", "actor_0"))
    in_place = one(actor).reply(tag="c", payload=2)
    actor.isend(in_place)
    reply = one(learner)
    assert (reply.tag, reply.payload, reply.source, reply.session_id) == ("c", 2, "actor_0", in_place.session_id)


def test_sessions_can_be_shared(group: Group) -> None:
    """Messages that the application groups come back under the one id."""
    learner, first, second = group.learner_and("actor_0", "actor_1")
    for name in ("actor_0", "actor_1"):
        assert learner.isend(SessionMessage("work", "learner_0", name, 1, session_id="mine")) == ["mine"]
    with serving(first, second, by=doubled):
        replies = learner.receive_by_id(["mine", "mine"], timeout=WITHIN_MS)
    assert {reply.source for reply in replies or []} == {"actor_0", "actor_1"}


def test_receive_by_its_timeouts(group: Group) -> None:
    """0 polls once; a continuous one ends when nothing comes; one message may be enough."""
    learner, actor = group.learner_and("actor_0")
    assert list(actor.receive(timeout=0)) == []
    for number in range(3):
        learner.isend(Message("n", "learner_0", "actor_0", number))
    assert payloads(actor.receive(is_continuous=False, timeout=WITHIN_MS)) == [0]
    running = actor.receive(timeout=WITHIN_MS)
    assert payloads([next(running), next(running)]) == [1, 2]
    start = time.monotonic()
    assert list(actor.receive(timeout=40)) == []
    assert time.monotonic() - start >= 0.04


def test_a_payload_that_can_not_be_sent_harms_no_other(group: Group) -> None:
    """Of a scatter nothing goes out then; what works goes on working."""
    learner, actor = group.learner_and("actor_0")
    bad = threading.Lock()
    for send in (
        lambda: learner.isend(request(learner, "actor_0", bad)),
        lambda: learner.send(request(learner, "actor_0", bad)),
        lambda: learner.iscatter("w", SessionType.TASK, [("actor_0", 1), ("actor_0", bad)]),
        lambda: learner.ibroadcast("actor", "w", SessionType.TASK, bad),
    ):
        with pytest.raises(DriverSendError, match="can't be pickled"):
            send()
    learner.isend(request(learner, "actor_0", "fine"))
    assert one(actor).payload == "fine"


def test_a_payload_that_is_changed_after_the_call_arrives_unchanged(group: Group) -> None:
    """Sent, scattered and broadcast."""
    learner, actor = group.learner_and("actor_0")
    plain, raw = {"a": 0}, bytearray(200_000)
    learner.isend(request(learner, "actor_0", [plain, raw]))
    learner.iscatter("w", SessionType.TASK, [("actor_0", [plain, raw])])
    learner.ibroadcast("actor", "w", SessionType.TASK, [plain, raw])
    plain["a"] = 1
    raw[:] = b"\1" * len(raw)
    for _ in range(3):
        assert one(actor).payload == [{"a": 0}, bytearray(200_000)]
