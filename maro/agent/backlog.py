"""Redis as the agent uses it: it may be away, and what it was to be told is told once it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from maro.communication.registration import StoreUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
"""Between attempts to reach Redis again."""


class Backlog:
    """Asks, but not while Redis is known to be away, for a restart must not wait for it each time; and keeps writes.

    Of the writes about one thing only the last is kept, so there are never more than there are things.

    Args:
        clock: seconds, of any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._writes: dict[Hashable, Callable[[], None]] = {}
        self._failures = 0
        self._retry_at_s = 0.0

    def __repr__(self) -> str:
        return f"Backlog({len(self._writes)} writes, {'away' if self._failures else 'answers'})"

    @property
    def retry_at_s(self) -> float:
        """By its clock: from then on Redis is asked."""
        return self._retry_at_s

    @property
    def is_empty(self) -> bool:
        """Whether Redis knows everything that it was to be told."""
        return not self._writes

    def ask(self, question: Callable[[], T], otherwise: T) -> T:
        """The answer; `otherwise` where there is none."""
        if self._clock() < self._retry_at_s:
            return otherwise
        try:
            answer = question()
        except StoreUnavailableError as error:
            if not self._failures:
                logger.warning("going on without Redis: %s", error)
            self._retry_at_s = self._clock() + min(_FIRST_PAUSE_S * 2.0**self._failures, _LONGEST_PAUSE_S)
            self._failures = min(self._failures + 1, 16)
            return otherwise
        if self._failures:
            logger.info("Redis answers again")
            self._failures = 0
        return answer

    def write(self, about: Hashable, write: Callable[[], None]) -> None:
        """Have it written, now or when Redis is back, instead of what was to be written about the same thing."""
        self._writes.pop(about, None)
        self._writes[about] = write
        self.flush()

    def flush(self) -> None:
        """Write what is left, oldest first."""
        if self._writes:
            self.ask(self._write_all, None)

    def _write_all(self) -> None:
        for about, write in list(self._writes.items()):
            write()
            del self._writes[about]
