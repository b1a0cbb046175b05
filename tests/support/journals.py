"""Journals of what components did with numbered messages: one file for each start of a component, one JSON line an act.

A line is one write to the operating system, so whatever had been written when a process was killed is there. That
decides where a line stands: what claims that something is about to happen (*offered*, *finished*) is written before it,
what claims that it has happened (*accepted*, *received*) after it. A kill in between then never looks like a broken
promise.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

SUFFIX = ".journal"

OFFERED = "offered"
"""About to be sent to `peer`."""
ACCEPTED = "accepted"
"""The sending call returned: from now on it is promised to arrive."""
RECEIVED = "received"
"""Handed out; `peer` is the component that sent it."""
FINISHED = "finished"
"""The component is done with it, and about to say so."""
REFUSED = "refused"
"""The sending call raised; `why` is what it said."""
ANSWERED = "answered"
"""The reply of `peer` to the message was handed out."""
POSTPONED = "postponed"
"""A blocking call returned without the reply of `peer`, which a later one is to return."""
TOLD = "told"
"""A message of `peer` arrived that was sent after the message had been finished there."""


HOW_MANY = "how many"
"""The tag of a request for the number of messages that came before it."""


class Numbered(NamedTuple):
    """What identifies a message wherever it goes."""

    origin: str
    """The component that made it."""
    number: int
    """Ascending in the order in which its origin made them."""


class Entry(NamedTuple):
    """One line of a journal."""

    kind: str
    name: str
    """The component that wrote it."""
    incarnation: int
    """Of its process: when it began, in nanoseconds of the clock that all processes of a machine share."""
    at_ns: int
    """On the same clock."""
    message: Numbered
    peer: str = ""
    peer_incarnation: int = 0
    """Where it was received: of the process that sent it."""
    intact: bool = True
    """Its payload was what it had to be."""
    why: str = ""


class Journal:
    """Writes the journal of this process.

    Args:
        folder: where it stands.
        name: of the component.
        began_ns: when the process began, before it joined.
    """

    def __init__(self, folder: Path, name: str, began_ns: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(folder / f"{name}@{began_ns}{SUFFIX}", flags, 0o644)

    def write(self, kind: str, message: Numbered, **more: Any) -> None:
        """One line, at once; `more` are other fields of `Entry`."""
        line = {"kind": kind, "at_ns": time.monotonic_ns(), "message": message, **more}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Journals:
    """Reads all journals of a folder while they grow.

    Args:
        folder: where they stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_until: dict[Path, int] = {}
        self._entries: list[Entry] = []
        self._by_kind_and_name: dict[tuple[str, str], int] = {}
        self._finished: set[tuple[str, Numbered]] = set()
        self._accepted: set[tuple[str, Numbered]] = set()

    def __repr__(self) -> str:
        counts = {f"{kind} by {name}": count for (kind, name), count in sorted(self._by_kind_and_name.items())}
        return f"Journals({counts})"

    def entries(self) -> list[Entry]:
        """Everything written so far; the lines of one process in their order."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            for entry in self._new_entries(path):
                self._entries.append(entry)
                key = (entry.kind, entry.name)
                self._by_kind_and_name[key] = self._by_kind_and_name.get(key, 0) + 1
                if entry.kind == FINISHED:
                    self._finished.add((entry.name, entry.message))
                elif entry.kind == ACCEPTED and entry.name == entry.message.origin:
                    self._accepted.add((entry.peer, entry.message))
        return self._entries

    def count(self, kind: str, *names: str) -> int:
        """How many lines of a kind these components have written so far, over all of their incarnations."""
        self.entries()
        return sum(self._by_kind_and_name.get((kind, name), 0) for name in names)

    def unfinished(self, ends_at: str | None = None) -> int:
        """How many messages were accepted where they were made, and are not finished where they go.

        Args:
            ends_at: the component that they reach in the end; None where the first who gets them is the last.
        """
        self.entries()
        due = {(ends_at or peer, message) for peer, message in self._accepted}
        return len(due - self._finished)

    def _new_entries(self, path: Path) -> Iterator[Entry]:
        name, _, began = path.name.removesuffix(SUFFIX).rpartition("@")
        start = self._read_until.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_until[path] = start + len(whole) + len(newline)
        for line in whole.splitlines():
            fields = json.loads(line)
            message = Numbered(*fields.pop("message"))
            yield Entry(name=name, incarnation=int(began), message=message, **fields)


def of_kind(entries: Iterable[Entry], *kinds: str) -> Iterator[Entry]:
    """The entries of these kinds."""
    return (entry for entry in entries if entry.kind in kinds)
