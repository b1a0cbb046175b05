"""What a message is: a tag and a payload on the way from one component to another, inside a session.

Nothing here knows of the wire. A message belongs to a session (`session_id`); a session message also carries the
kind of the session and the stage it has reached.
"""

from __future__ import annotations

import itertools
import os
from enum import Enum
from typing import TYPE_CHECKING, Any, SupportsIndex

from maro.utils.exception.communication_exception import MessageSessionTypeError

if TYPE_CHECKING:
    from maro.communication.receipts import Receipt

Tag = str | Enum


class SessionType(Enum):
    """What a session is for."""

    TASK = "task"
    """Work that is asked for, optionally acknowledged, and answered with a result."""
    NOTIFICATION = "notification"
    """News that is passed on and at most acknowledged."""


class TaskSessionStage(Enum):
    """How far a task has come."""

    REQUEST = "task_request"
    RECEIVE = "task_receive"
    COMPLETE = "task_complete"


class NotificationSessionStage(Enum):
    """How far a notification has come."""

    REQUEST = "notification_request"
    RECEIVE = "notification_receive"


SessionStage = TaskSessionStage | NotificationSessionStage

# Found faster than by way of their classes, and compared faster than hashed.
_TASK, _NOTIFICATION = SessionType.TASK, SessionType.NOTIFICATION
_TASK_REQUEST, _NOTIFICATION_REQUEST = TaskSessionStage.REQUEST, NotificationSessionStage.REQUEST

_STAGES: dict[SessionType, type[SessionStage]] = {
    SessionType.TASK: TaskSessionStage,
    SessionType.NOTIFICATION: NotificationSessionStage,
}


class _IdSource:
    """Ids that cost a counter: 64 random bits a process start, then a running number.

    The random part is drawn again in a forked child, so that parent and child never make the same id.
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = (0, "", itertools.count(1))

    def __call__(self) -> str:
        pid, prefix, counter = self._state
        if pid != os.getpid():
            # Threads that come here at once draw different bits, so their ids differ whichever state stays.
            prefix, counter = os.urandom(8).hex() + "-", itertools.count(1)
            self._state = (os.getpid(), prefix, counter)
        return f"{prefix}{next(counter):x}"


new_id = _IdSource()


class Message:
    """A message without a session stage.

    Args:
        tag: what the message is about: a string or any Enum member; arrives as what was sent.
        source: name of the component that sends it.
        destination: name of the component that gets it.
        payload: any picklable object; `None` stays `None`.
        session_id: the session it belongs to; by default a new one. May be assigned afterwards to group messages.
    """

    __slots__ = (
        "__weakref__",
        "destination",
        "message_id",
        "payload",
        "receipt",
        "request_id",
        "session_id",
        "source",
        "tag",
    )

    def __init__(
        self, tag: Tag, source: str, destination: str, payload: Any = None, *, session_id: str | None = None
    ) -> None:
        self.tag = tag
        self.source = source
        self.destination = destination
        self.payload = payload
        self.message_id = new_id()
        self.session_id = self.message_id if session_id is None else session_id
        self.request_id: str | None = None
        """Id of the message that this one replies to; `None` for a message that is no reply."""
        self.receipt: Receipt | None = None
        """What its sender waits for, if it was received from one that does; copies and pickles come without."""

    def reply(self, tag: Tag | None = None, payload: Any = None) -> Message:
        """Turn this message, in place, into the reply to itself; `None` keeps the tag or the payload."""
        self.source, self.destination = self.destination, self.source
        self.request_id = self.message_id
        self._renew(tag, payload)
        return self

    def forward(self, destination: str, tag: Tag | None = None, payload: Any = None) -> Message:
        """Turn this message, in place, into one from its receiver to `destination`; `None` keeps tag or payload."""
        self.source, self.destination = self.destination, destination
        self._renew(tag, payload)
        return self

    def _renew(self, tag: Tag | None, payload: Any) -> None:
        if tag is not None:
            self.tag = tag
        if payload is not None:
            self.payload = payload
        self.message_id = new_id()

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """As any object is copied and pickled, but for the receipt, which belongs to the message that was received."""
        match super().__reduce_ex__(protocol):
            case (_, _, (attributes, {"receipt": _} as slots), *_) as reduced:
                return (*reduced[:2], (attributes, {**slots, "receipt": None}), *reduced[3:])
            case reduced:
                return reduced

    def _fields(self) -> str:
        return (
            f"tag={self.tag!r}, source={self.source!r}, destination={self.destination!r}, "
            f"session_id={self.session_id!r}, message_id={self.message_id!r}, payload={_brief(self.payload)}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._fields()})"


class SessionMessage(Message):
    """A message of a session of a given kind.

    Args:
        session_type: the kind of the session.
        session_stage: a stage of that kind; by default its REQUEST.

    Raises:
        MessageSessionTypeError: the type is unknown, or the stage belongs to the other type.
    """

    __slots__ = ("session_stage", "session_type")

    def __init__(
        self,
        tag: Tag,
        source: str,
        destination: str,
        payload: Any = None,
        session_type: SessionType = SessionType.TASK,
        session_stage: SessionStage | None = None,
        *,
        session_id: str | None = None,
    ) -> None:
        # The base's constructor is repeated: calling it would cost a fifth of making a message.
        self.tag = tag
        self.source = source
        self.destination = destination
        self.payload = payload
        self.message_id = new_id()
        self.session_id = self.message_id if session_id is None else session_id
        self.request_id = None
        self.receipt = None
        self.session_type = session_type
        self.session_stage = _stage_of(session_type, session_stage)

    def _fields(self) -> str:
        return f"{super()._fields()}, session_stage={self.session_stage.name}, session_type={self.session_type.name}"


def _stage_of(session_type: SessionType, stage: SessionStage | None) -> SessionStage:
    """The stage, checked against the type of the session; a request where none is given."""
    if stage is None:
        if session_type is _TASK:
            return _TASK_REQUEST
        if session_type is _NOTIFICATION:
            return _NOTIFICATION_REQUEST
    if type(session_type) is not SessionType:
        raise MessageSessionTypeError(
            f"{session_type!r} is not a session type; use SessionType.TASK or SessionType.NOTIFICATION"
        )
    stages = _STAGES[session_type]
    if type(stage) is not stages:
        raise MessageSessionTypeError(
            f"{stage!r} is not a stage of a {session_type.value} session; use one of "
            f"{', '.join(f'{stages.__name__}.{stage.name}' for stage in stages)}"
        )
    return stage


def _brief(payload: Any) -> str:
    """A payload's repr where it is short and cheap, else its type."""
    if isinstance(payload, int | float | bool | str | bytes | type(None)) and len(text := repr(payload)) <= 80:
        return text
    return f"<{type(payload).__module__}.{type(payload).__qualname__}>"
