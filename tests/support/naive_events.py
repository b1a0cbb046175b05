"""A slow, obvious reading of what conditional events promise, to hold the fast one against.

Everything is kept in plain lists and looked through from the start each time; the code under test shares nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from maro.communication.message import Message

Group = dict[str, list[str]]
Types = Mapping[str, str | None]


class LivePeers(Mapping[str, list[str]]):
    """Peers as a proxy offers them: each look-up a list of its own, counts and types without one."""

    def __init__(self, group: Group, types: Types) -> None:
        self.group = group
        self.lists_made = 0
        self._types = types
        self.message_bound: int | None = None

    def __getitem__(self, component_type: str) -> list[str]:
        self.lists_made += 1
        return list(self.group[component_type])

    def __iter__(self) -> Iterator[str]:
        return iter(self.group)

    def __len__(self) -> int:
        return len(self.group)

    def __contains__(self, component_type: object) -> bool:
        return component_type in self.group

    def count(self, component_type: str) -> int:
        return len(self.group[component_type])

    def type_of(self, name: str) -> str | None:
        return self._types.get(name)


VIEWS: dict[str, Callable[[Group, Types], Any]] = {
    "dict": lambda group, types: group,
    "callable": lambda group, types: lambda: {component_type: list(names) for component_type, names in group.items()},
    "live mapping": LivePeers,
    "callable of a live mapping": lambda group, types: lambda: LivePeers(group, types),
}
"""The ways in which a group can be given, each of which follows its changes."""


class NaiveEvent:
    """One event over a group that the test changes; `types` tells the type of each name, present or not."""

    def __init__(self, event: Any, group: Group, types: Types) -> None:
        self.event = event
        self.group = group
        self.types = types
        self.pending: list[tuple[int, Message]] = []
        self.last_counts = self.counts()

    def push(self, number: int, message: Message) -> bool:
        """Keep the message if a unit matches it."""
        matched = any(self.matches(unit, message) for unit in self.units(self.event))
        if matched:
            self.pending.append((number, message))
        return matched

    def get(self) -> list[Message]:
        chosen = self.satisfy(self.event)
        if chosen is None:
            return []
        self.pending = [entry for entry in self.pending if entry[0] not in chosen]
        return [chosen[number] for number in sorted(chosen)]

    def counts(self) -> list[int]:
        return [self.present(unit.split(":")[0]) for unit in self.units(self.event) if unit.endswith("%")]

    def units(self, event: Any) -> list[str]:
        return [event] if isinstance(event, str) else [unit for part in event[:-1] for unit in self.units(part)]

    def matches(self, unit: str, message: Message) -> bool:
        source, tag, _ = unit.split(":")
        is_type = source in self.group
        from_there = source == "*" or (self.types[message.source] if is_type else message.source) == source
        return from_there and tag in ("*", message.tag)

    def present(self, source: str) -> int:
        everybody = [name for names in self.group.values() for name in names]
        if source == "*":
            return len(everybody)
        return len(self.group[source]) if source in self.group else everybody.count(source)

    def satisfy(self, event: Any) -> dict[int, Message] | None:
        if isinstance(event, str):
            source, _, amount = event.split(":")
            if amount.endswith("%"):
                required = math.ceil(Fraction(self.present(source) * int(amount[:-1]), 100))
                if required == 0:
                    return None
            else:
                required = int(amount)
            waiting = [entry for entry in self.pending if self.matches(event, entry[1])]
            return dict(waiting[:required]) if len(waiting) >= required else None
        operands = [self.satisfy(part) for part in event[:-1]]
        holding = [operand for operand in operands if operand is not None]
        if event[-1] in ("OR", "||"):
            return holding[0] if holding else None
        if len(holding) < len(operands):
            return None
        return {number: message for operand in holding for number, message in operand.items()}


class NaiveTable:
    """Naive events, gone through one by one; a handler is the position of its event."""

    def __init__(self, events: list[Any], group: Group, types: Types) -> None:
        self.events = [NaiveEvent(event, group, types) for event in events]
        self.touched: list[NaiveEvent] = []
        self.number = 0

    def push(self, message: Message) -> None:
        self.number += 1
        self.touch([event for event in self.events if event.push(self.number, message)])

    def get(self) -> list[tuple[int, list[Message]]]:
        self.touch([event for event in self.events if event.counts() != event.last_counts])
        self.touch(self.events)
        satisfied = []
        for event in self.touched:
            while messages := event.get():
                satisfied.append((self.events.index(event), messages))
        for event in self.events:
            event.last_counts = event.counts()
        self.touched = []
        return satisfied

    def touch(self, events: list[NaiveEvent]) -> None:
        self.touched += [event for event in events if event not in self.touched]

    def clear(self) -> None:
        self.touched = []
        for event in self.events:
            event.pending = []
