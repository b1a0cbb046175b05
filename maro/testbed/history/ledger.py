"""What the journals say, brought into the order in which it is judged: by stream, and by who was handed what.

A stream is what one incarnation of a component sent to another component, whichever incarnations of that took it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from maro.testbed.history.events import Event
from maro.testbed.history.reader import Journal, Start

COLLECT = "collect"
"""How replies are handed out that a call waits for: in the order of the waiting, not of the sending."""


class Stream:
    """What one incarnation sent to one component."""

    __slots__ = ("accepted", "acked_ns", "dropped", "offered", "undeliverable")

    def __init__(self) -> None:
        self.offered: dict[str, int] = {}
        """Each message, with its place in the order of sending."""
        self.accepted: dict[str, int] = {}
        """Each, with the time."""
        self.dropped: set[str] = set()
        self.undeliverable: set[str] = set()
        self.acked_ns: dict[str, int] = {}


class Handed(NamedTuple):
    """One message that was handed to the application."""

    message: str
    sender: str
    sender_incarnation: int
    is_in_turn: bool
    """Its place among others of the sender counts."""
    at_ns: int


class Page:
    """What one incarnation of a component did."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.handed: list[Handed] = []
        self.finished: set[tuple[str, str]] = set()
        """Messages, with their senders."""
        self.unseen: list[str] = []
        """Finished before they were handed out."""
        self.newest: dict[str, int] = {}
        """The youngest incarnation of each peer that it has been told of."""
        self.heard: dict[str, int] = {}
        """The incarnation of each peer that something was handed out of last."""
        self.outdated: list[str] = []
        """What it took from an older one than that."""
        self.calls: dict[int, str] = {}
        """Those that have begun and not ended."""
        self.has_left = False
        self.has_ended = False
        """It wrote its last line."""
        self.is_cut = False
        self.last_ns = start.at_ns

    def __repr__(self) -> str:
        return f"Page({self.start}, {len(self.handed)} handed out)"


class Sighting(NamedTuple):
    """One component noticed something about another one."""

    at_ns: int
    kind: str
    """`lost`, `peer` or `received`."""
    incarnation: int


class Ledger:
    """All journals of a run.

    Args:
        journals: each is read to its end.

    Raises:
        JournalError: one can't be read.
    """

    def __init__(self, journals: Iterable[Journal]) -> None:
        self.pages: dict[tuple[str, int], Page] = {}
        self.streams: dict[tuple[str, int, str], Stream] = {}
        self.sightings: dict[str, list[Sighting]] = {}
        """By the component that was seen."""
        self.counts = {"journals": 0, "events": 0, "messages accepted": 0, "messages handed out": 0, "lines cut": 0}
        for journal in journals:
            self._take(journal)
        for page in self.pages.values():
            self.counts["messages handed out"] += len(page.handed)
        self.counts["messages accepted"] = sum(len(stream.accepted) for stream in self.streams.values())

    def __repr__(self) -> str:
        return f"Ledger({self.counts})"

    def incarnations(self, name: str) -> list[Page]:
        """Of a component, in their order."""
        return sorted((page for page in self.pages.values() if page.start.name == name), key=_incarnation)

    @property
    def names(self) -> list[str]:
        """Of all components."""
        return sorted({page.start.name for page in self.pages.values()})

    def _take(self, journal: Journal) -> None:
        start = journal.start
        page = self.pages[start.name, start.incarnation] = Page(start)
        seen: set[tuple[str, str]] = set()
        count = 1
        for event in journal:
            count += 1
            kind = event.kind
            if kind == "received":
                seen.add((event.message, event.peer))
                self._take_received(page, event)
            elif kind == "finished":
                key = event.message, event.peer
                page.finished.add(key)
                if key not in seen and "why" not in event.fields:
                    page.unseen.append(f"{event.message} of {event.peer} by {start}")
            elif event.message:
                self._take_sent(self._stream(start, event.peer), event)
            else:
                self._take_other(page, event)
            page.last_ns = event.at_ns
        page.is_cut = journal.is_cut
        self.counts["journals"] += 1
        self.counts["events"] += count
        self.counts["lines cut"] += journal.is_cut

    def _take_received(self, page: Page, event: Event) -> None:
        is_in_turn = event.fields["by"] != COLLECT
        page.handed.append(Handed(event.message, event.peer, event.incarnation, is_in_turn, event.at_ns))
        # What was let in before the news of a younger incarnation came is handed out after it, and that is right.
        newest = event.fields.get("known", page.newest.get(event.peer, 0))
        if event.incarnation < newest:
            page.outdated.append(
                f"{event.message} of {event.peer}@{event.incarnation} by {page.start}, which knew {newest}"
            )
        if event.incarnation != page.heard.get(event.peer):
            page.heard[event.peer] = event.incarnation
            self._see(event)

    def _take_sent(self, stream: Stream, event: Event) -> None:
        message, kind = event.message, event.kind
        if kind == "offered":
            stream.offered.setdefault(message, len(stream.offered))
        elif kind == "accepted":
            stream.accepted[message] = event.at_ns
        elif kind == "acked":
            stream.acked_ns.setdefault(message, event.at_ns)
        elif kind == "dropped":
            stream.dropped.add(message)
        else:
            stream.undeliverable.add(message)

    def _take_other(self, page: Page, event: Event) -> None:
        kind, fields = event.kind, event.fields
        if kind in ("peer", "lost"):
            self._see(event)
            if kind == "peer":
                page.newest[event.peer] = max(event.incarnation, page.newest.get(event.peer, 0))
        elif kind == "call":
            page.calls[fields["c"]] = fields["k"]
        elif kind in ("return", "raised"):
            page.calls.pop(fields["c"], None)
        elif kind in ("close", "end"):
            page.has_ended = True
            page.has_left = kind == "close"

    def _see(self, event: Event) -> None:
        self.sightings.setdefault(event.peer, []).append(Sighting(event.at_ns, event.kind, event.incarnation))

    def _stream(self, start: Start, peer: str) -> Stream:
        key = start.name, start.incarnation, peer
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = Stream()
        return stream


def _incarnation(page: Page) -> int:
    return page.start.incarnation
