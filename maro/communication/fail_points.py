"""Points in the code at which a testbed can have a component fail, so that a crash comes exactly there.

`MARO_FAIL_POINTS` names them, with what is to happen and, behind `@`, the how many-th time that is (else the first):

    after-receive=kill@3,before-reply=delay:0.5

`MARO_FAIL_POINT_FILE` names a file with the same content, which is read again whenever it has changed: it counts from
then on, until a point of it is hit. Then the file is removed, so that the component's next start is not hit as well.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BEFORE_REGISTER, AFTER_REGISTER, AFTER_JOIN = "before-register", "after-register", "after-join"
BEFORE_SEND, AFTER_SEND, BEFORE_REPLY = "before-send", "after-send", "before-reply"
AFTER_RECEIVE, BEFORE_FINISH, AFTER_FINISH = "after-receive", "before-finish", "after-finish"
BEFORE_CLOSE = "before-close"
NAMES = (
    BEFORE_REGISTER,
    AFTER_REGISTER,
    AFTER_JOIN,
    BEFORE_SEND,
    AFTER_SEND,
    BEFORE_REPLY,
    AFTER_RECEIVE,
    BEFORE_FINISH,
    AFTER_FINISH,
    BEFORE_CLOSE,
)
"""*Register*: in Redis, before it connects. *Join*: all expected peers are there. *Send*: any message; *reply*: one
that answers or passes on another one. *Receive*: before the application has it. *Finish*: its sender may forget it."""
ACTIONS = ("kill", "stop", "raise", "delay:SECONDS")
"""SIGKILL and SIGSTOP to oneself; a `FailPointError`; a pause."""


class FailPointError(RuntimeError):
    """Raised by a fail point that was told to."""


class FailPoint(NamedTuple):
    """What happens at a point."""

    action: str
    at: int
    """The how many-th time."""
    delay_s: float = 0.0


def parse(text: str) -> dict[str, FailPoint]:
    """Fail points as the environment names them.

    Raises:
        ValueError: one is not written like that; the text quotes it.
    """
    points = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, rest = part.partition("=")
        action, at_sign, count = rest.partition("@")
        if name not in NAMES:
            raise ValueError(f"{part!r} names no fail point: there are {', '.join(NAMES)}")
        if not equals or (at_sign and not (count.isdecimal() and int(count) > 0)):
            raise ValueError(f"{part!r} is not of the form name=action or name=action@N, N from 1")
        points[name] = FailPoint(*_action(part, action, int(count or 1)))
    return points


def _action(part: str, action: str, at: int) -> tuple[str, int, float]:
    kind, _, seconds = action.partition(":")
    if action in ACTIONS[:3]:
        return action, at, 0.0
    try:
        delay_s = float(seconds) if kind == "delay" else -1.0
    except ValueError:
        delay_s = -1.0
    if not 0 <= delay_s < float("inf"):
        raise ValueError(f"{part!r} asks for the action {action!r}: there are {', '.join(ACTIONS)}")
    return kind, at, delay_s


class FailPoints:
    """The points of one component, and how often each was passed.

    Args:
        text: what `MARO_FAIL_POINTS` has; may be empty.
        file: what `MARO_FAIL_POINT_FILE` names; it need not be there.
        on_hit: told the name of a point before it does what it does.

    Raises:
        ValueError: the text is none.
    """

    def __init__(self, text: str, file: str | None, on_hit: Callable[[str], None]) -> None:
        self._points = parse(text)
        self._file = None if file is None else Path(file)
        self._state: tuple[int, int] | None = None
        self._passed: dict[str, int] = {}
        self._on_hit = on_hit

    def __repr__(self) -> str:
        return f"FailPoints({self._points}, {self._file})"

    def passed(self, name: str) -> None:
        """The component comes by a point.

        Raises:
            FailPointError: it was told to.
        """
        if self._file is not None:
            self._read_again(self._file)
        point = self._points.get(name)
        if point is None:
            return
        count = self._passed[name] = self._passed.get(name, 0) + 1
        if count != point.at:
            return
        self._on_hit(name)
        if self._file is not None and self._state is not None:
            self._file.unlink(missing_ok=True)
        if point.action == "raise":
            raise FailPointError(f"the fail point {name} was told to raise")
        if point.action == "delay":
            time.sleep(point.delay_s)
        else:
            os.kill(os.getpid(), signal.SIGKILL if point.action == "kill" else signal.SIGSTOP)

    def _read_again(self, file: Path) -> None:
        try:
            found = file.stat()
        except OSError:
            self._state, self._points = None, {} if self._state is not None else self._points
            return
        state = found.st_mtime_ns, found.st_size
        if state != self._state:
            self._state = state
            self._passed.clear()
            self._points = parse(file.read_text(encoding="utf-8"))
