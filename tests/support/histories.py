"""Journals of runs that never took place: of a small world in which every promise is kept, and what breaks one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from maro.testbed.history import Injected, Journal

Line = dict[str, Any]
Place = tuple[str, int]
"""The name and the incarnation of who wrote a journal."""
T0 = 10**18


@dataclass
class Book:
    """All journals of a run, as their lines, and the faults that were injected."""

    pages: dict[Place, list[Line]] = field(default_factory=dict)
    faults: list[Injected] = field(default_factory=list)
    end_ns: int = 0

    def journals(self) -> Iterable[Journal]:
        """As the checker reads them."""
        for (name, incarnation), lines in self.pages.items():
            yield Journal(f"{name}@{incarnation}", [json.dumps(line).encode() + b"\n" for line in lines])

    def find(
        self, kind: str, suits: Callable[[Place, Line], bool] = lambda place, line: True
    ) -> list[tuple[Place, int]]:
        """Where lines of an event stand that suit: the journal, and the number in it."""
        return [
            (place, number)
            for place, lines in self.pages.items()
            for number, line in enumerate(lines)
            if line["e"] == kind and suits(place, line)
        ]


class World:
    """Components that send to each other, and are killed; each step is drawn at random.

    Args:
        random: what draws.
        level: of all components.
        names: of them.
        kills: how many ends there are at most.
    """

    def __init__(self, random: Random, level: str, names: str = "abc", kills: int = 3) -> None:
        self.book = Book()
        self._random = random
        self._level = level
        self._now_ns = T0
        self._incarnations: dict[str, int] = {}
        self._kept: dict[tuple[str, str], list[str]] = {}
        """What each has sent to each, and the other one has not finished yet; in order."""
        self._next: dict[tuple[str, str], int] = {}
        """Of these, which is handed out next."""
        self._in_hand: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
        self._messages = 0
        self._calls = 0
        self._kills = kills
        for name in names:
            self._begin(name)

    def run(self, steps: int) -> Book:
        """So many steps; then everything that is under way comes to its end, and all leave."""
        names = list(self._incarnations)
        for _ in range(steps):
            one, other = self._random.sample(names, 2)
            act = self._random.choices(
                [self._send, self._hand_out, self._finish, self._call, self._kill], [6, 6, 5, 1, 0.3]
            )[0]
            act(one, other)
        for one in names:
            for other in names:
                while one != other and self._hand_out(one, other):
                    pass
        for name in names:
            while self._in_hand[name]:
                self._finish(name, "")
        self.book.end_ns = self._write(names[0], "joined")["t"]
        for name in names:
            self._write(name, "close")
        return self.book

    # Steps.

    def _send(self, sender: str, receiver: str) -> None:
        self._messages += 1
        message = f"m{self._messages}"
        self._write(sender, "offered", m=message, p=receiver)
        if self._random.random() < 0.05:
            self._write(sender, "dropped", m=message, p=receiver, why="no room")
            return
        self._kept.setdefault((sender, receiver), []).append(message)
        self._write(sender, "accepted", m=message, p=receiver)

    def _hand_out(self, sender: str, receiver: str) -> bool:
        key = sender, receiver
        kept, place = self._kept.get(key, []), self._next.get(key, 0)
        if place >= len(kept):
            return False
        self._next[key] = place + 1
        message = kept[place]
        self._write(receiver, "received", m=message, p=sender, i=self._incarnations[sender], by="receive")
        self._in_hand[receiver].append((message, sender))
        return True

    def _finish(self, name: str, _other: str) -> None:
        if not self._in_hand[name]:
            return
        message, sender = self._in_hand[name].pop(self._random.randrange(len(self._in_hand[name])))
        self._write(name, "finished", m=message, p=sender)
        kept = self._kept.get((sender, name), [])
        if message in kept and (self._random.random() < 0.8 or not self._kills):
            if kept.index(message) < self._next[sender, name]:
                self._next[sender, name] -= 1
            kept.remove(message)
            self._write(sender, "acked", m=message, p=name)

    def _call(self, name: str, _other: str) -> None:
        self._calls += 1
        self._write(name, "call", c=self._calls, k="send")
        if self._kills and self._random.random() < 0.2:
            self._kill(name, "")
        elif self._random.random() < 0.5:
            self._write(name, "return", c=self._calls, got=1)
        else:
            self._write(name, "raised", c=self._calls, why="no luck")

    def _kill(self, name: str, _other: str) -> None:
        if not self._kills:
            return
        self._kills -= 1
        old = self._incarnations[name]
        self.book.faults.append(Injected("kill", name, self._tick()))
        self._in_hand[name] = []
        for key in list(self._kept):
            if key[0] == name or (key[1] == name and self._level != "cache"):
                # What it alone held is lost with it; without the cache, so is what was on its way to it.
                del self._kept[key]
                self._next[key] = 0
            elif key[1] == name:
                self._next[key] = 0
        others = [other for other in self._incarnations if other != name]
        for other in others:
            self._in_hand[other] = [item for item in self._in_hand[other] if item[1] != name]
            self._write(other, "lost", p=name, i=old, why="gone")
        self._begin(name)
        for other in others:
            self._write(other, "peer", p=name, i=self._incarnations[name])

    # Inside.

    def _begin(self, name: str) -> None:
        incarnation = self._incarnations[name] = self._tick()
        self.book.pages[name, incarnation] = []
        start = {"v": 1, "name": name, "type": "t", "group": "g", "incarnation": incarnation}
        self._write(name, "start", **start, level=self._level, host="here")
        for other, theirs in self._incarnations.items():
            if other != name:
                self._write(name, "peer", p=other, i=theirs)

    def _write(self, name: str, kind: str, /, **fields: Any) -> Line:
        line = {"e": kind, "t": self._tick(), **fields}
        self.book.pages[name, self._incarnations[name]].append(line)
        return line

    def _tick(self) -> int:
        self._now_ns += 1_000_000
        return self._now_ns


# What breaks a promise: each takes one place of a good history, and returns whether there was one.


def lose(book: Book, random: Random) -> bool:
    """A message that was accepted for good is finished by nobody."""
    left = {place for place, lines in book.pages.items() if lines[-1]["e"] == "close"}
    found = book.find("accepted", lambda place, line: place in left)
    if not found or _level(book) != "cache":
        return False
    place, number = random.choice(found)
    message = book.pages[place][number]["m"]
    for lines in book.pages.values():
        lines[:] = [line for line in lines if line["e"] != "finished" or line["m"] != message]
    return True


def lose_undisturbed(book: Book, random: Random) -> bool:
    """Nothing was done to anybody, and still a message did not arrive."""
    if book.faults or _level(book) == "cache":
        return False
    found = book.find("received", lambda place, line: True)
    if not found:
        return False
    place, number = random.choice(found)
    message = book.pages[place][number]["m"]
    book.pages[place][:] = [line for line in book.pages[place] if line.get("m") != message or line["e"] == "offered"]
    return True


def duplicate(book: Book, random: Random) -> bool:
    """One is handed out twice."""
    return _insert(book, random, "received", lambda line: line)


def bring_back(book: Book, random: Random) -> bool:
    """One comes again to an incarnation that began after its sender knew that it was finished."""
    for (sender, incarnation), number in book.find("acked"):
        acked = book.pages[sender, incarnation][number]
        for (name, _), lines in book.pages.items():
            is_later = name == acked["p"] and lines[0]["t"] > acked["t"] and lines[-1]["e"] == "close"
            if is_later:
                fields = {"m": acked["m"], "p": sender, "i": incarnation, "by": "collect"}
                lines.insert(len(lines) - 1, {"e": "received", "t": lines[-1]["t"], **fields})
                return True
    return False


def swap(book: Book, random: Random) -> bool:
    """Two of one sender change their places."""
    for lines in book.pages.values():
        by_stream: dict[tuple[str, int], list[int]] = {}
        for number, line in enumerate(lines):
            if line["e"] == "received":
                by_stream.setdefault((line["p"], line["i"]), []).append(number)
        for numbers in by_stream.values():
            if len(numbers) > 1:
                first = random.randrange(len(numbers) - 1)
                one, two = (lines[numbers[first + more]] for more in (0, 1))
                one["m"], two["m"] = two["m"], one["m"]
                return True
    return False


def invent(book: Book, random: Random) -> bool:
    """One is handed out that nobody sent."""
    return _insert(book, random, "received", lambda line: {**line, "m": "invented"})


def hang(book: Book, random: Random) -> bool:
    """A call does not return."""
    left = {place for place, lines in book.pages.items() if lines[-1]["e"] == "close"}
    found = [at for kind in ("return", "raised") for at in book.find(kind, lambda place, line: place in left)]
    if not found:
        return False
    place, number = random.choice(found)
    del book.pages[place][number]
    return True


def split(book: Book, random: Random) -> bool:
    """One is taken from an incarnation that was outlived."""
    for place, number in book.find("peer"):
        lines = book.pages[place]
        line = lines[number]
        old = [incarnation for name, incarnation in book.pages if name == line["p"] and incarnation < line["i"]]
        if old:
            fields = {"m": "late", "p": line["p"], "i": old[-1], "by": "collect"}
            lines.insert(number + 1, {"e": "received", "t": line["t"], **fields})
            return True
    return False


def finish_unseen(book: Book, random: Random) -> bool:
    """One is finished before it was handed out."""
    found = book.find("received")
    if not found:
        return False
    place, number = random.choice(found)
    received = book.pages[place][number]
    book.pages[place].insert(number, {"e": "finished", "t": received["t"], "m": received["m"], "p": received["p"]})
    return True


BREAKS: dict[Callable[[Book, Random], bool], str] = {
    lose: "lost",
    lose_undisturbed: "lost",
    duplicate: "duplicated",
    bring_back: "duplicated",
    swap: "reordered",
    invent: "phantom",
    hang: "unfinished call",
    split: "split brain",
    finish_unseen: "finished unseen",
}
"""With the kind of the promise that each breaks."""


def _insert(book: Book, random: Random, kind: str, changed: Callable[[Line], Line]) -> bool:
    found = book.find(kind)
    if not found:
        return False
    place, number = random.choice(found)
    book.pages[place].insert(number + 1, changed(book.pages[place][number]))
    return True


def _level(book: Book) -> str:
    return str(next(iter(book.pages.values()))[0]["level"])
