"""The one place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1


def eventually(predicate: Callable[[], T], timeout_s: float = 10.0, what: str | Callable[[], str] = "") -> T:
    """Ask `predicate` again and again until it answers something true, and return that answer.

    Args:
        predicate: a cheap question without side effects. What it raises ends the wait.
        timeout_s: how long to go on asking; it is asked at least twice, however slow the machine is.
        what: what is waited for, in words, for the failure; a callable is asked only when the wait has failed, and may
            tell how far things had come.

    Raises:
        AssertionError: `predicate` never said yes.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        in_time = time.monotonic() < deadline
        answer = predicate()
        if answer:
            return answer
        if not in_time:
            described = what() if callable(what) else what
            raise AssertionError(
                f"not within {timeout_s:g} s: {described or 'what was waited for'} (the last answer was {answer!r})"
            )
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
