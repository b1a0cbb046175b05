"""Messages between processes: order, sessions, payloads, back-pressure."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from maro.communication import NotificationSessionStage, SessionMessage, SessionType, TaskSessionStage
from tests.support.components import Group, nothing_waits, request, take


class Work(Enum):
    """Tags of an application."""

    ROLLOUT = "rollout"


def test_order_is_kept_per_sender(group: Group) -> None:
    """What one component sends to another arrives in that order, unicast and broadcast together."""
    # Given two actors that flood a learner with numbers, and the learner's own messages to them
    learner, actors = group.team(2)
    floods = [[actor.start("isend", to="learner", payload=number) for number in range(100)] for actor in actors]
    for number in range(50):
        learner.isend(request(learner, "actor.1", 2 * number))
        learner.ibroadcast("actor", "data", SessionType.NOTIFICATION, 2 * number + 1)
    # When all of it is received
    received = take(learner, 200)
    for flood in floods:
        for sent in flood:
            assert sent() is not None
    # Then the numbers of each sender are in order
    for actor in actors:
        assert [message.payload for message in received if message.source == actor.name] == list(range(100))
    assert [message["payload"] for message in actors[0].ask("receive", count=100)] == list(range(100))
    assert [message["payload"] for message in actors[1].ask("receive", count=50)] == list(range(1, 100, 2))


def test_a_payload_changed_after_the_call_arrives_unchanged(group: Group) -> None:
    """Small and large buffers are what they were when the call returned, however late they go out."""
    # Given an actor that receives later than the caller changes what it sent
    learner, actor = group.together(
        lambda: group.proxy("learner", {"actor": 1}), lambda: group.proxy("actor", {"learner": 1})
    )
    buffers = [bytearray(b"a" * size) for size in (10, 100_000, 5_000_000)]
    # When it is changed right after each way of sending
    for buffer in buffers:
        learner.isend(request(learner, "actor", buffer))
        learner.iscatter("data", SessionType.TASK, [("actor", buffer)])
        learner.ibroadcast("actor", "data", SessionType.TASK, buffer)
        buffer[:] = b"b" * len(buffer)
    # Then the old content arrives
    for message, size in zip(take(actor, 9), [10] * 3 + [100_000] * 3 + [5_000_000] * 3, strict=True):
        assert message.payload == b"a" * size


def test_components_that_flood_each_other_get_through(group: Group) -> None:
    """A sender that is blocked goes on reading, so two that send at the same time do not wait for each other."""
    # Given two components with short queues
    options: dict[str, Any] = {"driver_parameters": {"high_water_mark": 2, "send_timeout": 25_000}}
    actor = group.actor(1, **options)
    learner = group.component("learner", {"actor": 1}, **options).joined()
    # When both send more than the connection takes before they receive anything
    floods = [
        learner.start("flood", to="actor.1", size=500_000, count=40),
        actor.joined().start("flood", to="learner", size=500_000, count=40),
    ]
    # Then both get through, although neither receives before it has sent everything, and everything is there
    receives = [component.start("receive", count=40) for component in (learner, actor)]
    assert [flood() for flood in floods] == [40, 40]
    assert [len(receive()) for receive in receives] == [40, 40]


def test_replies_are_matched_by_session_whatever_their_order(group: Group) -> None:
    """`receive_by_id` takes what it was asked for, and keeps the rest for `receive`."""
    # Given an actor that gets two requests and replies to them in turn
    learner, actor = group.pair()
    first, second = (learner.isend(request(learner, "actor.1", number)) for number in (1, 2))
    assert first is not None and second is not None
    for _ in range(2):
        actor.ask("reply_to_next")
    actor.ask("isend", to="learner", payload="unrelated")
    # When the second reply is asked for before the first
    later = learner.receive_by_id(second, timeout=20_000)
    earlier = learner.receive_by_id(first[0], timeout=20_000)
    # Then each is what was asked for, and the unrelated message is left for receive
    assert later is not None and earlier is not None
    assert [reply.payload["to"] for reply in later + earlier] == [2, 1]
    assert [message.payload for message in take(learner, 1)] == ["unrelated"]
    assert nothing_waits(learner)


def test_a_task_is_acknowledged_and_then_completed(group: Group) -> None:
    """The stages of a session, a tag of an Enum, and the names on the way through a third component."""
    # Given three components in a row
    learner, broker, actor = group.together(
        lambda: group.proxy("learner", {"broker": 1}),
        lambda: group.proxy("broker", {"learner": 1, "actor": 1}),
        lambda: group.proxy("actor", {"broker": 1}),
    )
    # When a task is acknowledged by the broker, passed on, and completed by the actor
    ids = learner.isend(SessionMessage(Work.ROLLOUT, "learner", "broker", [1, 2]))
    assert ids is not None
    (task,) = take(broker, 1)
    broker.reply(task, ack_reply=True, payload="accepted")
    assert broker.forward(task, "actor") == ids
    (passed_on,) = take(actor, 1)
    assert (passed_on.source, passed_on.tag, passed_on.payload) == ("broker", Work.ROLLOUT, [1, 2])
    actor.reply(passed_on, payload="done")
    (result,) = take(broker, 1)
    broker.forward(result, "learner")
    # Then the learner finds both replies in the session
    replies = learner.receive_by_id(ids * 2, timeout=20_000)
    assert replies is not None
    assert [(reply.source, reply.payload) for reply in replies] == [("broker", "accepted"), ("broker", "done")]
    stages = [reply.session_stage for reply in replies if isinstance(reply, SessionMessage)]
    assert stages == [TaskSessionStage.RECEIVE, TaskSessionStage.COMPLETE]
    # And a notification has no more than an acknowledgement
    ids = learner.isend(SessionMessage("news", "learner", "broker", None, SessionType.NOTIFICATION))
    assert ids is not None
    (news,) = take(broker, 1)
    broker.reply(news)
    replies = learner.receive_by_id(ids, timeout=20_000)
    assert replies is not None and isinstance(replies[0], SessionMessage)
    assert (replies[0].session_stage, replies[0].payload) == (NotificationSessionStage.RECEIVE, None)


@pytest.mark.parametrize("call", ["send", "broadcast", "receive_by_id", "receive"])
def test_a_wait_ends_at_its_deadline_with_what_has_come(group: Group, call: str) -> None:
    """A peer that is alive and does not reply costs the timeout, and is no error."""
    # Given an actor that does nothing
    learner, _ = group.pair()
    # When the learner waits for it, Then it gets nothing
    if call == "send":
        assert learner.send(request(learner, "actor.1"), timeout=100) == []
    elif call == "broadcast":
        assert learner.broadcast("actor", "status", SessionType.TASK, timeout=100) == []
    elif call == "receive_by_id":
        assert learner.receive_by_id(learner.isend(request(learner, "actor.1")), timeout=100) == []
    else:
        assert list(learner.receive(timeout=100)) == []
