"""What a line of a log looks like: levels, formats, and the text of a message. Pure but for the clock."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeVar

_R = TypeVar("_R")

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
PROCESS: Final = 60
"""Above all others: for progress that is to be seen whatever else is hidden."""

_LEVELS: dict[str, int] = {
    "DEBUG": DEBUG,
    "INFO": INFO,
    "WARN": WARNING,
    "WARNING": WARNING,
    "ERROR": ERROR,
    "CRITICAL": CRITICAL,
    "PROCESS": PROCESS,
    "PROGRESS": PROCESS,
}
_NAMES: dict[int, str] = {
    DEBUG: "DEBUG",
    INFO: "INFO",
    WARNING: "WARNING",
    ERROR: "ERROR",
    CRITICAL: "CRITICAL",
    PROCESS: "PROCESS",
}


class LogFormat(Enum):
    """How a line begins; the message follows.

    `cli_info` differs between the two places that a logger writes to: its stdout shows the message alone.
    """

    full = 1
    """`date time,ms | host | user | pid | tag | level | msg`"""
    simple = 2
    """`time | tag | level | msg`"""
    internal = 3
    """`time | component | level | msg`"""
    cli_debug = 4
    """`date time | level | msg`"""
    cli_info = 5
    """in the file `date time | level | msg`, on stdout `msg`"""
    none = 6
    """`msg`"""


_DATED: Final = frozenset({LogFormat.full, LogFormat.cli_debug, LogFormat.cli_info})


def level_number(name: str) -> int:
    """The number of a level, given its name in any case.

    Raises:
        ValueError: there is no such level; the text lists those that there are.
    """
    level = _LEVELS.get(name.strip().upper()) if isinstance(name, str) else None
    if level is None:
        raise ValueError(f"{name!r} is not a log level; use one of {', '.join(_LEVELS)}")
    return level


def format_message(msg: object, args: tuple[object, ...] = ()) -> str:
    """The text of a log call. Never raises, whatever the objects' own methods do.

    A `msg` that is no string is shown by its repr. `args` fill the `%` placeholders of a string, a single mapping its
    named ones; where they don't fit, they follow as their repr.
    """
    if not isinstance(msg, str):
        return " ".join(_repr(item) for item in (msg, *args))
    if not args:
        return msg
    if "%" in msg:
        # A mapping is taken for the values of named placeholders only where there are some: with any other text the
        # `%` operator would swallow it without a trace.
        named = len(args) == 1 and isinstance(args[0], Mapping) and "%(" in msg
        try:
            return msg % (args[0] if named else args)
        except Exception:  # an object's own __str__ may raise anything
            pass
    return " ".join((msg, *(_repr(item) for item in args)))


def msgformat(logfunc: Callable[[Any, str], _R]) -> Callable[..., _R]:
    """Let a method `(self, text)` be called as `(self, msg, *args)`.

    A `msg` that is no string is shown by its repr; `args` fill the `%` placeholders of `msg`, or, where they don't
    fit, follow it as their repr.
    """

    @functools.wraps(logfunc)
    def wrapper(self: Any, msg: object, *args: object) -> _R:
        return logfunc(self, format_message(msg, args))

    return wrapper


def _repr(item: object) -> str:
    try:
        return repr(item)
    except Exception as error:
        return f"<{type(item).__qualname__}, whose repr raised {type(error).__name__}>"


class LineFormat:
    """Makes lines in one format for one logger; what does not change between lines is looked up once.

    Args:
        format_: the format.
        owner: what stands in the line's third-last field: a tag, or the name of a component.
    """

    __slots__ = ("_clock", "_format", "_host", "_owner", "_stamp", "_user")

    def __init__(self, format_: LogFormat, owner: str) -> None:
        self._format = format_
        self._owner = owner
        self._clock = "%Y-%m-%d %H:%M:%S" if format_ in _DATED else "%H:%M:%S"
        self._stamp = (0, "")
        self._host, self._user = _who() if format_ is LogFormat.full else ("", "")

    def file_line(self, level: int, text: str) -> str:
        """The line, without its end, as the log file shows it."""
        if self._format is LogFormat.none:
            return text
        now = time.time()
        second, stamp = self._stamp
        if second != int(now):
            second = int(now)
            stamp = time.strftime(self._clock, time.localtime(second))
            self._stamp = (second, stamp)
        name = _NAMES[level]
        if self._format is LogFormat.full:
            millis = int((now - second) * 1000)
            # The process id is asked for each time: a forked child goes on with its parent's logger.
            return (
                f"{stamp},{millis:03d} | {self._host} | {self._user} | {os.getpid()} | {self._owner} | {name} | {text}"
            )
        if self._format in _DATED:
            return f"{stamp} | {name} | {text}"
        return f"{stamp} | {self._owner} | {name} | {text}"

    def stdout_line(self, level: int, text: str) -> str:
        """The line, without its end, as stdout shows it."""
        return text if self._format is LogFormat.cli_info else self.file_line(level, text)


def _who() -> tuple[str, str]:
    """Host and user; a container may run under a user id that has no name."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return socket.gethostname(), user
