"""Passes judgement on journals: whether messages got lost, came twice, out of order, or again after they were finished.

Pure: entries in, faults out. What is a fault is what the library promises with the message cache on, no more: a message
that was handed out and not finished comes again at the next incarnation, so that alone is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.support.journals import (
    ACCEPTED,
    ANSWERED,
    FINISHED,
    OFFERED,
    POSTPONED,
    RECEIVED,
    TOLD,
    Entry,
    Numbered,
    of_kind,
)

_SHOWN = 8
"""Faults of one kind that a failure spells out."""


class Fault(NamedTuple):
    """One broken promise."""

    kind: str
    text: str


def lost(entries: Iterable[Entry], ends_at: str | None = None) -> list[Fault]:
    """Accepted from the component that made it, and finished by no incarnation of the one that it was for.

    One that was handed out only, to an incarnation that was killed then, is lost as well.

    Args:
        entries: of all journals.
        ends_at: the component that messages reach in the end, where others only pass them on.
    """
    entries = list(entries)
    finished = {(entry.name, entry.message) for entry in of_kind(entries, FINISHED)}
    received = Counter((entry.name, entry.message) for entry in of_kind(entries, RECEIVED))
    faults = []
    for entry in of_kind(entries, ACCEPTED):
        end = (ends_at or entry.peer, entry.message)
        if entry.name == entry.message.origin and end not in finished:
            text = f"{_shown(entry.message)} for {end[0]} was handed out {received[end]} times, and never finished"
            faults.append(Fault("lost", text))
    return faults


def repeated(entries: Iterable[Entry]) -> list[Fault]:
    """Handed twice to one incarnation by one incarnation of a sender."""
    times = Counter((_stream(entry), entry.message) for entry in of_kind(entries, RECEIVED))
    return [
        Fault("repeated", f"{_shown(message)} was handed {count} times to {stream}")
        for (stream, message), count in times.items()
        if count > 1
    ]


def reordered(entries: Iterable[Entry]) -> list[Fault]:
    """Handed to an incarnation after a later message of the same origin, from the same incarnation of a sender."""
    faults = []
    last: dict[tuple[str, str], int] = {}
    for entry in of_kind(entries, RECEIVED):
        key = (_stream(entry), entry.message.origin)
        before = last.get(key, -1)
        if entry.message.number < before:
            faults.append(Fault("reordered", f"{_shown(entry.message)} came after {before} to {key[0]}"))
        last[key] = max(before, entry.message.number)
    return faults


def phantom(entries: Iterable[Entry]) -> list[Fault]:
    """Handed out, though the component it seems to come from never sent it there; or with another payload."""
    entries = list(entries)
    offered = {(entry.name, entry.incarnation, entry.peer, entry.message) for entry in of_kind(entries, OFFERED)}
    faults = []
    for entry in of_kind(entries, RECEIVED):
        if (entry.peer, entry.peer_incarnation, entry.name, entry.message) not in offered:
            faults.append(Fault("phantom", f"{_shown(entry.message)} was not sent as {_stream(entry)}"))
        if not entry.intact:
            faults.append(Fault("damaged", f"{_shown(entry.message)} had another payload, as {_stream(entry)}"))
    return faults


def came_back(entries: Iterable[Entry]) -> list[Fault]:
    """Handed to an incarnation that began when the sender had been told that the message was finished."""
    entries = list(entries)
    told: dict[tuple[str, Numbered], int] = {}
    for entry in of_kind(entries, TOLD):
        key = (entry.peer, entry.message)
        told[key] = min(entry.at_ns, told.get(key, entry.at_ns))
    return [
        Fault("came back", f"{_shown(entry.message)} had been finished when {_stream(entry)} began")
        for entry in of_kind(entries, RECEIVED)
        if told.get((entry.name, entry.message), entry.incarnation) < entry.incarnation
    ]


def came_back_from_beyond(entries: Iterable[Entry], bound: int) -> list[Fault]:
    """Handed to a later incarnation, though the sender can't have kept it.

    A sender keeps so many unfinished messages for one peer at most. Where a peer finishes them in order, that it got
    one proves that all up to `bound` before that were finished.

    Args:
        entries: of components that finish in order.
        bound: the `max_length_for_message_cache` of the senders.
    """
    entries = list(entries)
    ranks: dict[tuple[str, Numbered], int] = {}
    sent: Counter[tuple[str, str]] = Counter()
    for entry in of_kind(entries, ACCEPTED):
        if entry.name == entry.message.origin:
            ranks[entry.peer, entry.message] = sent[entry.name, entry.peer]
            sent[entry.name, entry.peer] += 1
    by_incarnation: dict[tuple[str, str], dict[int, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in of_kind(entries, RECEIVED):
        if (entry.name, entry.message) in ranks:
            by_incarnation[entry.name, entry.message.origin][entry.incarnation].append(entry)
    faults = []
    for incarnations in by_incarnation.values():
        highest = -1
        for _, handed in sorted(incarnations.items()):
            ranked = [(ranks[entry.name, entry.message], entry) for entry in handed]
            for rank, entry in ranked:
                if rank <= highest - bound:
                    text = f"{_shown(entry.message)} came as {_stream(entry)}, after one that is {highest - rank} later"
                    faults.append(Fault("came back", text))
            highest = max(highest, *(rank for rank, _ in ranked))
    return faults


def unanswered(entries: Iterable[Entry]) -> list[Fault]:
    """Requests that got no reply, or more than one; and replies to what was not asked."""
    entries = list(entries)
    asked = {(entry.name, entry.peer, entry.message) for entry in of_kind(entries, OFFERED)}
    answers = Counter((entry.name, entry.peer, entry.message) for entry in of_kind(entries, ANSWERED))
    faults = []
    for name, peer, message in sorted(asked | set(answers)):
        count = answers[name, peer, message]
        if count != 1 or (name, peer, message) not in asked:
            faults.append(Fault("unanswered", f"{_shown(message)} from {name} to {peer} got {count} replies"))
    return faults


def postponed(entries: Iterable[Entry]) -> list[Fault]:
    """Blocking calls that returned without their reply."""
    return [
        Fault("postponed", f"{_shown(entry.message)}: the call of {entry.name} returned without {entry.peer}'s reply")
        for entry in of_kind(entries, POSTPONED)
    ]


def delivery_faults(entries: Iterable[Entry], *, ends_at: str | None = None, bound: int | None = None) -> list[Fault]:
    """All that is promised for every message; the arguments are those of `lost` and of `came_back_from_beyond`."""
    entries = list(entries)
    faults = lost(entries, ends_at) + repeated(entries) + reordered(entries) + phantom(entries) + came_back(entries)
    return faults + (came_back_from_beyond(entries, bound) if bound is not None else [])


def report(faults: Sequence[Fault]) -> str:
    """In words: how many of each kind, and the first of them; empty where there are none."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        by_kind[fault.kind].append(fault.text)
    return "\n".join(
        f"{len(texts)} x {kind}:\n    " + "\n    ".join(texts[:_SHOWN] + ["…"] * (len(texts) > _SHOWN))
        for kind, texts in by_kind.items()
    )


def _shown(message: Numbered) -> str:
    return f"{message.origin}'s {message.number}"


def _stream(entry: Entry) -> str:
    """From which incarnation to which."""
    return f"{entry.peer}@{entry.peer_incarnation} -> {entry.name}@{entry.incarnation}"
