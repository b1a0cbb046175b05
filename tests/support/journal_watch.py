"""What a trial asks of the journals of its components while they are at work, and in the end; wherever they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.delivery_checker import Fault, delivery_faults, report
from tests.support.journals import Entry, Journals
from tests.support.waiting import eventually

BOUND = 500
"""Unfinished messages that a sender keeps for one peer: a quarter of a second of the fastest of them, so that a sender
waits while a receiver starts."""
WITHIN_S = 90.0
"""How long a trial waits for what has to happen, on a machine that is busy with other tests."""


class JournalWatch(ABC):
    """Waits for what components write down, and judges it.

    Args:
        folder: where the journals stand.
    """

    def __init__(self, folder: Path) -> None:
        self.journals = Journals(folder)

    @property
    @abstractmethod
    def members(self) -> Sequence[object]:
        """The components; shown where a wait fails."""

    @abstractmethod
    def ended(self) -> Sequence[object]:
        """Those of them that have ended, though nobody has told or made them to."""

    def await_count(self, kind: str, count: int, *names: str) -> None:
        """Wait until these components have written so many lines of a kind, all together."""
        eventually(
            lambda: self.journals.count(kind, *names) >= count or self.ended(),
            WITHIN_S,
            lambda: f"{count} {kind} by {names}; there are {self._progress()}",
        )
        self._nobody_ended()

    def await_more(self, kind: str, count: int, *names: str) -> None:
        """Wait until these components have written so many lines of a kind more than now, all together."""
        self.await_count(kind, self.journals.count(kind, *names) + count, *names)

    def await_all_finished(self, ends_at: str | None = None) -> None:
        """Wait until all that was accepted is finished where it goes.

        Args:
            ends_at: the component that messages reach in the end, where others only pass them on.
        """
        eventually(
            lambda: self.journals.unfinished(ends_at) == 0 or self.ended(),
            WITHIN_S,
            lambda: f"all finished; {self._account(ends_at)}",
        )
        self._nobody_ended()

    def entries(self) -> list[Entry]:
        """Of all journals."""
        return self.journals.entries()

    def assert_delivered(self, *more: Fault, ends_at: str | None = None, bound: int | None = BOUND) -> None:
        """All promises that hold for every message are kept, and these faults that a test looks for beside are none.

        Args:
            more: other faults.
            ends_at: see `await_all_finished`.
            bound: the `max_length_for_message_cache`; None where components do not finish in order.
        """
        faults = delivery_faults(self.entries(), ends_at=ends_at, bound=bound) + list(more)
        assert not faults, f"{self._progress()}\n{report(faults)}"

    def _nobody_ended(self) -> None:
        ended = self.ended()
        assert not ended, f"ended: {ended}; {self._progress()}"

    def _account(self, ends_at: str | None) -> str:
        return f"{self.journals.unfinished(ends_at)} are not; {self._progress()}"

    def _progress(self) -> str:
        return f"{list(self.members)}, {self.journals!r}"
