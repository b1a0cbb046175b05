"""Reads journals from their files, a line at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from maro.testbed.history.events import LEVELS, SUFFIX, VERSION, Event, JournalError, event_of


class Start(NamedTuple):
    """What the first line of a journal says of its component."""

    name: str
    component_type: str
    group: str
    incarnation: int
    level: str
    host: str
    at_ns: int

    def __str__(self) -> str:
        return f"{self.name}@{self.incarnation}"


class Journal:
    """One file: its first line is read at once, the others as they are iterated over, once.

    Args:
        source: the file's name, for messages.
        lines: of it, with their ends.

    Raises:
        JournalError: there is no first line, or it is not that of a journal.
    """

    def __init__(self, source: str, lines: Iterable[bytes]) -> None:
        self.source = source
        self.is_cut = False
        """The last line had no end, and is left out; known once all were read."""
        self._lines = enumerate(lines, start=1)
        first = next(self._events(), None)
        if first is None or first.kind != "start":
            raise JournalError(f"{source}, line 1: a journal begins with `start`, not with {first and first.kind!r}")
        self.start = self._start(first)

    def __repr__(self) -> str:
        return f"Journal({str(self.start)!r}, {self.source})"

    def __iter__(self) -> Iterator[Event]:
        return self._events()

    def _events(self) -> Iterator[Event]:
        intern = sys.intern
        for number, line in self._lines:
            if not line.endswith(b"\n"):
                # Only the last line can be without an end: the machine failed in the middle of a write.
                self.is_cut = True
                return
            try:
                event = event_of(json.loads(line))
            except ValueError as error:
                raise JournalError(f"{self.source}, line {number}: {error}") from None
            # A message's id stands in six lines or so, in several files.
            yield event._replace(message=intern(event.message), peer=intern(event.peer)) if event.message else event

    def _start(self, event: Event) -> Start:
        said = event.fields
        if said["v"] != VERSION:
            raise JournalError(f"{self.source}, line 1: its version is {said['v']}; this reads version {VERSION} only")
        if said["level"] not in LEVELS:
            raise JournalError(f"{self.source}, line 1: `level` is {said['level']!r}, none of {', '.join(LEVELS)}")
        return Start(
            sys.intern(said["name"]),
            said["type"],
            said["group"],
            said["incarnation"],
            said["level"],
            said["host"],
            event.at_ns,
        )


def journals_in(folder: Path) -> Iterator[Journal]:
    """The journals of a folder, by the names of their files; each is open while it is the latest.

    A file without a whole line is left out: its process was killed before it could say who it was.

    Raises:
        JournalError: there is no such folder, or a file is no journal.
    """
    if not folder.is_dir():
        raise JournalError(f"{folder} is no folder: give the one that MARO_JOURNAL named")
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with path.open("rb") as file:
                if not file.readline().endswith(b"\n"):
                    continue
                file.seek(0)
                yield Journal(str(path), file)
        except OSError as error:
            raise JournalError(f"{path} can't be read: {error}") from error
