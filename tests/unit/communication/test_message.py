"""What a message is: its ids, its session, and how replying and forwarding change it in place."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    TaskSessionStage,
    new_id,
)
from maro.utils.exception.communication_exception import MessageSessionTypeError
from tests.support.receipts import Hand


class Tag(Enum):
    ROLLOUT = "rollout"


def test_a_new_message_opens_a_session() -> None:
    """A message that is told no session has one of its own, and keeps everything else as it was given."""
    # Given a message with an Enum as its tag, and one more
    message = Message(Tag.ROLLOUT, "learner", "actor")
    other = Message(Tag.ROLLOUT, "learner", "actor")
    # Then each has its own ids, and nothing was made of tag and payload
    assert (message.tag, message.source, message.destination) == (Tag.ROLLOUT, "learner", "actor")
    assert message.payload is None
    assert message.request_id is None
    assert message.session_id and message.session_id != other.session_id
    assert message.message_id != other.message_id


def test_a_session_id_can_be_given_or_assigned() -> None:
    """Applications group messages by a session id of their own."""
    given = Message("a", "x", "y", session_id="mine")
    assigned = SessionMessage("a", "x", "y")
    assigned.session_id = "mine"
    assert given.session_id == assigned.session_id == "mine"
    assert given.message_id != "mine"


def test_reply_changes_the_message_in_place() -> None:
    """A reply goes back where it came from, in the same session, under a message id of its own."""
    # Given a message that was received
    message = Message("a", "learner", "actor", 1)
    session_id, message_id = message.session_id, message.message_id
    # When it is turned into its reply
    reply = message.reply(tag="b", payload=2)
    # Then it is the same object with new contents
    assert reply is message
    assert (reply.tag, reply.source, reply.destination, reply.payload) == ("b", "actor", "learner", 2)
    assert (reply.session_id, reply.request_id) == (session_id, message_id)
    assert reply.message_id != message_id


def test_forward_changes_the_message_in_place() -> None:
    """A forwarded message comes from the one that had received it."""
    message = Message("a", "learner", "actor", 1)
    session_id, message_id = message.session_id, message.message_id
    forwarded = message.forward("evaluator")
    assert forwarded is message
    assert (forwarded.tag, forwarded.source, forwarded.destination, forwarded.payload) == ("a", "actor", "evaluator", 1)
    assert forwarded.session_id == session_id
    assert forwarded.message_id != message_id


DUPLICATIONS: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(lambda message, protocol=protocol: pickle.loads(pickle.dumps(message, protocol)) for protocol in range(2, 6)),
]


@pytest.mark.parametrize("duplicate", DUPLICATIONS)
@pytest.mark.parametrize("kind", [Message, SessionMessage])
def test_a_copy_comes_without_a_receipt(kind: type[Message], duplicate: Callable[[Any], Any]) -> None:
    """Everything else is copied; the message that was received keeps its receipt."""
    # Given a message that was received; one that was made here has no receipt
    message = kind(Tag.ROLLOUT, "learner", "actor", [1])
    assert message.receipt is None
    Hand().receive(message)
    receipt = message.receipt
    # When it is copied or pickled
    twin = duplicate(message)
    # Then the copy is the same message, without a receipt
    assert type(twin) is kind
    assert repr(twin) == repr(message)
    assert twin.payload == [1]
    assert twin.receipt is None
    assert message.receipt is receipt is not None


class Stamped(Message):
    """A message with an attribute of its own."""


class Slotted(SessionMessage):
    """A message with a slot of its own."""

    __slots__ = ("stamp",)


@pytest.mark.parametrize("duplicate", DUPLICATIONS)
@pytest.mark.parametrize("kind", [Stamped, Slotted])
def test_a_subclass_is_copied_with_what_it_adds(kind: type[Any], duplicate: Callable[[Any], Any]) -> None:
    """Attributes and slots of a user's own class travel; the receipt does not."""
    message = kind("a", "x", "y")
    message.stamp = [3]
    Hand().receive(message)
    twin = duplicate(message)
    assert (type(twin), twin.stamp, twin.receipt) == (kind, [3], None)


@pytest.mark.parametrize("payload", [0, "", False, []])
def test_only_none_keeps_the_payload(payload: Any) -> None:
    """An empty payload is a payload."""
    assert Message("a", "x", "y", 1).reply(payload=payload).payload == payload
    assert Message("a", "x", "y", 1).forward("z", payload=payload).payload == payload
    assert Message("a", "x", "y", 1).reply().payload == 1


def test_a_session_message_is_a_request_of_a_task_unless_told_otherwise() -> None:
    """The documented defaults, and the first stage of the other kind."""
    message = SessionMessage("a", "x", "y")
    assert (message.session_type, message.session_stage) == (SessionType.TASK, TaskSessionStage.REQUEST)
    notification = SessionMessage("a", "x", "y", None, SessionType.NOTIFICATION)
    assert notification.session_stage is NotificationSessionStage.REQUEST


@pytest.mark.parametrize(
    ("session_type", "stage"),
    [(SessionType.TASK, stage) for stage in TaskSessionStage]
    + [(SessionType.NOTIFICATION, stage) for stage in NotificationSessionStage],
)
def test_every_stage_of_the_own_type_is_taken(session_type: SessionType, stage: Any) -> None:
    """A stage goes with its type."""
    assert SessionMessage("a", "x", "y", None, session_type, stage).session_stage is stage


@pytest.mark.parametrize(
    ("session_type", "stage"),
    [
        ("task", None),
        (None, None),
        (TaskSessionStage.REQUEST, None),
        (SessionType.TASK, NotificationSessionStage.REQUEST),
        (SessionType.NOTIFICATION, TaskSessionStage.COMPLETE),
        (SessionType.TASK, "task_request"),
        (SessionType.TASK, 0),
    ],
)
def test_a_wrong_type_or_stage_is_refused(session_type: Any, stage: Any) -> None:
    """The error quotes what was given, and says what may be."""
    wrong = stage if isinstance(session_type, SessionType) else session_type
    with pytest.raises(MessageSessionTypeError) as caught:
        SessionMessage("a", "x", "y", None, session_type, stage)
    assert repr(wrong) in str(caught.value)
    assert "use" in str(caught.value)


def test_ids_do_not_repeat() -> None:
    """A counter behind a random part: short, and new each time."""
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert len({text.partition("-")[0] for text in ids}) == 1
    assert max(map(len, ids)) < 32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kernel: no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_that_make_the_first_ids_of_a_process_make_different_ones() -> None:
    """Given a fresh source of ids, when threads ask it at once, every id has its random part and none repeats."""
    for _ in range(200):
        source, ids, barrier = type(new_id)(), [], threading.Barrier(4)

        def ask(source: Any = source, ids: list[str] = ids, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            ids.append(source())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert len(set(ids)) == 4
        assert all(len(made.partition("-")[0]) == 16 for made in ids)


def test_a_forked_child_makes_other_ids() -> None:
    """Parent and child do not count on from the same place."""
    # Given a process that has made ids already
    new_id()
    reading, writing = os.pipe()
    # When its forked child makes one, and it makes the next itself
    pid = os.fork()
    if pid == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    # Then they differ from the random part on
    assert child
    assert child.partition("-")[0] != new_id().partition("-")[0]


def test_repr_shows_what_matters_and_no_large_payload() -> None:
    """A log line with a message in it stays a line."""
    text = repr(SessionMessage("a", "learner", "actor", "x" * 10_000, SessionType.NOTIFICATION))
    for part in ("SessionMessage", "'a'", "'learner'", "'actor'", "NOTIFICATION", "REQUEST"):
        assert part in text
    assert len(text) < 500
    assert "payload=7" in repr(Message("a", "x", "y", 7))
