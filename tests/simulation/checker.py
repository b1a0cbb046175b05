"""What is held against a run: its history judged by what the library promises. Pure.

With the cache on nothing is lost, whoever crashes, but what a sender held that crashed or what was for somebody who
left; each incarnation gets a message once, and the messages of a sender in order; what was finished, and known to be,
is not handed out again; whoever has a known successor is not listened to. With the cache off messages may be lost, but
come once and in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.simulation.history import Handed, History, Key, Start

GRACE_S = 1.0
"""So long may it take until the sender of a message knows that it is finished, while nothing disturbs them."""
NEWS_S = 10.0
"""A sender may learn so late that a component has left, and take one for gone that is back already."""
PACKETS_PER_MESSAGE = 12
"""How many packets a message may cost, its acknowledgements and everything else counted in."""
PACKETS_APART = 400
"""How many packets a run may cost beside."""


class Violation(NamedTuple):
    """A promise that was not kept."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def judge(history: History, *, lossless: bool) -> list[Violation]:
    """Everything that the applications' history says by itself.

    Args:
        history: of a run that is over.
        lossless: whether nothing may be lost: the cache is on, or nothing went wrong.
    """
    found = [*phantoms(history), *repeated(history), *disordered(history), *handed_again(history), *split(history)]
    if lossless:
        found += [Violation("lost", f"{key}, accepted at {history.sent[key].accepted_at}") for key in lost(history)]
        found += [Violation("unanswered", str(key)) for key in unanswered(history)]
    return found


def phantoms(history: History) -> Iterator[Violation]:
    """Nobody gets what nobody sent."""
    for handed in history.handed:
        if handed.key not in history.sent:
            yield Violation("phantom", str(handed))


def repeated(history: History) -> Iterator[Violation]:
    """No incarnation gets a message twice."""
    for what, handings in (("received", history.received), ("handed", history.handed)):
        seen: dict[tuple[Start, str], Handed] = {}
        for handed in handings:
            before = seen.setdefault((handed.to, handed.message_id), handed)
            if before is not handed:
                yield Violation("repeated", f"{handed.key} {what} at {before.at} and {handed.at} by {handed.to}")


def disordered(history: History) -> Iterator[Violation]:
    """Each incarnation gets what another one sent in the order in which it was sent."""
    last: dict[tuple[Start, Start], Handed] = {}
    for handed in history.received:
        way = (handed.to, handed.key.sender)
        before = last.get(way)
        if before is not None and handed.key.number <= before.key.number:
            yield Violation("disordered", f"{handed.key} came at {handed.at:.6f} s to {handed.to} after {before.key}")
        last[way] = handed


def split(history: History) -> Iterator[Violation]:
    """What an incarnation sends while its receiver knows a newer one comes to nobody (split brain)."""
    for handed in history.handed:
        sender, sent = handed.key.sender, history.sent.get(handed.key)
        incarnation = history.incarnations.get(sender)
        if sent is None or incarnation is None:
            continue
        for at, newer in history.known.get((handed.to, sender.name), ()):
            if newer > incarnation and at < sent.at:
                yield Violation("split brain", f"{handed.key}, sent at {sent.at}, to {handed.to}, which knew {newer}")
                break


def lost(history: History) -> Iterator[Key]:
    """What should have been handed out, and was not, or not again after the one that had it crashed."""
    passed_on = _passed_on(history)
    for key, sent in history.sent.items():
        if (
            sent.accepted_at is not None
            and sent.answers is None
            and not history.ended(key.sender)
            and not _has_left(history, key.receiver, sent.at - NEWS_S)
            and not any(_is_enough(history, handed, passed_on) for handed in history.handed_of.get(key, ()))
        ):
            yield key


def unanswered(history: History) -> Iterator[Key]:
    """The requests that nobody got a reply to, though the one who asked and the one who was asked were there.

    Not where the reply to any of them was refused: the asker may wait for that one, and never take the others.
    """
    waiting_in_vain = let_down(history)
    for key, sent in history.sent.items():
        if (
            sent.asks
            and sent.accepted_at is not None
            and sent.answered_at is None
            and key.sender not in waiting_in_vain
            and not history.ended(key.sender)
            and not _has_left(history, key.receiver, sent.at - NEWS_S)
        ):
            yield key


def let_down(history: History) -> set[Start]:
    """Who asked for something, and the one who was asked was told in a call of its own that the reply can't be sent."""
    refused = (sent.answers for sent in history.sent.values() if sent.answers is not None and sent.accepted_at is None)
    return {key.sender for key in refused if history.sent[key].answered_at is None}


def handed_again(history: History) -> Iterator[Violation]:
    """What was finished, and could be known to be, does not go to a later incarnation.

    But for a request whose sender was still waiting in its call: it goes to the next one until there is a reply.
    """
    for key, handings in history.handed_of.items():
        for earlier in handings:
            later = [each for each in handings if history.rank[each.to] > history.rank[earlier.to]]
            if later and _is_known_to_be_finished(history, earlier) and not _is_awaited(history, earlier):
                at = history.finished[earlier.to, key]
                yield Violation("handed again", f"{key}, finished by {earlier.to} at {at}, to {later[0].to}")


def _is_known_to_be_finished(history: History, handed: Handed) -> bool:
    """Whether the sender must have learnt that this incarnation was done with it."""
    finished = history.finished.get((handed.to, handed.key))
    if finished is None:
        return False
    ended_at = history.ended_at(handed.to)
    names = (handed.key.sender.name, handed.key.receiver)
    return ended_at is None or (
        ended_at - finished > GRACE_S
        and (handed.key.receiver, handed.key.sender.name) not in history.impeded
        and not _disturbed(history, finished, finished + GRACE_S, names)
    )


def _is_awaited(history: History, handed: Handed) -> bool:
    """Whether its sender was waiting for the reply inside its call when this incarnation ended."""
    sent, ended_at = history.sent.get(handed.key), history.ended_at(handed.to)
    if sent is None or not sent.blocks:
        return False
    return sent.answered_at is None or (ended_at is not None and sent.answered_at > ended_at)


def _is_enough(history: History, handed: Handed, passed_on: set[tuple[Start, Key]]) -> bool:
    """Whether a message need not be handed out once more: whoever has it lives, or is done with it."""
    return (
        not history.ended(handed.to)
        or (handed.to, handed.key) in history.finished
        or (handed.to, handed.key) in passed_on
    )


def _passed_on(history: History) -> set[tuple[Start, Key]]:
    """Which messages were forwarded, by whom, so far that the next one had them, or may have had and died with them."""
    found = set()
    arrived = {handed.key for handed in history.received}
    for key, sent in history.sent.items():
        if sent.origin is not None and (key in arrived or _has_ended(history, key.receiver, sent.at)):
            found.add((key.sender, sent.origin))
    return found


def _has_ended(history: History, name: str, since: float) -> bool:
    return any(start.name == name and end.at >= since for start, end in history.ends.items())


def _has_left(history: History, name: str, since: float) -> bool:
    """Whether a component left the group by itself after that time: what was for it may be dropped."""
    return any(end.how == "left" and end.at >= since for start, end in history.ends.items() if start.name == name)


def _disturbed(history: History, start: float, end: float, names: Iterable[str]) -> bool:
    """Whether something was wrong with one of them in that time."""
    return any(
        start <= until and since <= end and (not who or not who.isdisjoint(names))
        for since, until, who in history.disturbances
    )
