"""Which numbers were sent, answered and heard, and whether they are as they have to be. Pure."""

from __future__ import annotations

from typing import NamedTuple


class CounterError(Exception):
    """A number is missing, or came out of turn; the text says which."""


class Note(NamedTuple):
    """What an actor sends of its own accord."""

    run: str
    """Of the actor's process: numbers begin anew with each."""
    number: int


class Tally:
    """The learner's account.

    Args:
        keeps: with the message cache on, nothing may be missing; else what a crash took with it may.
    """

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.open: set[tuple[str, int]] = set()
        """Requests without an answer: the actor, and the number."""
        self.excused: set[tuple[str, int]] = set()
        """Requests that need no answer any more, and may have one."""
        self.answered = 0
        self.heard = 0
        self.by_actor: dict[str, int] = {}
        """Answers and notes of each."""
        self._last: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"Tally(answered={self.answered}, heard={self.heard}, open={len(self.open)})"

    def asked(self, actor: str, number: int) -> None:
        """A request is on its way."""
        self.open.add((actor, number))

    def excuse(self, actor: str, number: int | None = None) -> None:
        """An actor has left for good, or was not sent a request: this one, or all that are open, may stay without an
        answer."""
        excused = {one for one in self.open if one[0] == actor and number in (None, one[1])}
        self.open -= excused
        self.excused |= excused

    def take_answer(self, actor: str, number: int) -> None:
        """An actor has answered a request.

        Raises:
            CounterError: to one that it was not asked, or has answered.
        """
        request = actor, number
        if request not in self.open and request not in self.excused:
            raise CounterError(f"{actor} has answered request {number}, which was not open")
        self.open.discard(request)
        self.excused.discard(request)
        self.answered += 1
        self._count(actor)

    def take_note(self, actor: str, note: Note) -> None:
        """An actor has sent a note.

        Raises:
            CounterError: it comes out of turn, or one is missing before it.
        """
        key = actor, note.run
        last = self._last.get(key)
        self._last[key] = note.number
        if last is not None and (note.number <= last or (self.keeps and note.number != last + 1)):
            raise CounterError(f"{actor} sent note {note.number} of its run {note.run} after {last}")
        self.heard += 1
        self._count(actor)

    def _count(self, actor: str) -> None:
        self.by_actor[actor] = self.by_actor.get(actor, 0) + 1
