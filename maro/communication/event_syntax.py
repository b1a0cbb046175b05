"""The grammar of conditional events: strings and tuples in, a tree of unit events out.

    event     = unit | "(" event { "," event } "," operation ")"
    unit      = source ":" tag ":" amount
    operation = "AND" | "&&" | "OR" | "||" | a member of Operation
    amount    = a positive integer | 1% to 100%

Pure text: who is in the group is no concern of this module.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from maro.utils.exception.communication_exception import ConditionalEventSyntaxError

Event = str | tuple[Any, ...]
"""A unit event, or a tuple of events that ends with an operation."""

ANY = "*"
"""The source or tag that every message has."""

MAX_DEPTH = 64
"""How deep tuples may nest. What is deeper is refused; no interpreter's recursion limit is near."""

_INTEGER = re.compile(r"[1-9][0-9]{0,17}")
_PERCENTAGE = re.compile(r"([1-9][0-9]?|100)%")
_RESERVED = "(),"

_quote = reprlib.Repr()
_quote.maxstring = _quote.maxother = 200


class Operation(Enum):
    """How the operands of a compound event are combined."""

    AND = "AND"
    OR = "OR"


_OPERATIONS = {"AND": Operation.AND, "&&": Operation.AND, "OR": Operation.OR, "||": Operation.OR}


class SuffixTree:
    """A conditional event taken apart.

    Args:
        value: a unit event as text, for a leaf; else the operation that combines the nodes.
        nodes: the operands, in the order in which they were written; empty for a leaf.
    """

    def __init__(self, value: Operation | str | None = None, nodes: Sequence[SuffixTree] | None = None) -> None:
        self.value = value
        self.nodes: list[SuffixTree] = list(nodes or ())

    def units(self) -> Iterator[str]:
        """The unit events below this node, from left to right."""
        if isinstance(self.value, str):
            yield self.value
        for node in self.nodes:
            yield from node.units()

    def __repr__(self) -> str:
        return f"SuffixTree({self.value!r}, {self.nodes!r})" if self.nodes else f"SuffixTree({self.value!r})"


@dataclass(frozen=True)
class UnitEvent:
    """One `source:tag:amount`, understood.

    Attributes:
        source: a component type, a component name, or `*`.
        tag: the text of a tag, or `*`.
        amount: how many messages, or how many percent of the source's peers.
        is_percentage: which of the two `amount` is.
    """

    source: str
    tag: str
    amount: int
    is_percentage: bool

    def required(self, population: int) -> int:
        """How many messages it takes while `population` peers are present; 0 if no number of messages would do."""
        if not self.is_percentage:
            return self.amount
        return -(-population * self.amount // 100)


def parse_event(event: Event) -> SuffixTree:
    """Take an event apart and check every part of it.

    Raises:
        ConditionalEventSyntaxError: it does not follow the grammar; the text quotes the part that is at fault.
    """
    return _parse(event, MAX_DEPTH)


def _parse(event: Any, depth: int) -> SuffixTree:
    if isinstance(event, str):
        parse_unit(event)
        return SuffixTree(event)
    if not isinstance(event, tuple):
        raise ConditionalEventSyntaxError(
            f"{_quote.repr(event)} is no conditional event: write a string 'source:tag:amount', or a tuple of events "
            f"that ends with an operation"
        )
    if depth == 0:
        raise ConditionalEventSyntaxError(
            f"the part {_quote.repr(event)} is nested more than {MAX_DEPTH} tuples deep: flatten the event"
        )
    if not event:
        raise ConditionalEventSyntaxError("the empty tuple () is no conditional event: write (event, …, 'AND')")
    *operands, last = event
    operation = last if isinstance(last, Operation) else _OPERATIONS.get(last) if isinstance(last, str) else None
    if operation is None:
        raise ConditionalEventSyntaxError(
            f"the last element {_quote.repr(last)} of {_quote.repr(event)} is no operation: end the tuple with one of "
            f"{', '.join(map(repr, _OPERATIONS))}"
        )
    if not operands:
        raise ConditionalEventSyntaxError(
            f"{_quote.repr(event)} has nothing for {_quote.repr(last)} to combine: put one or more events before it"
        )
    return SuffixTree(operation, [_parse(operand, depth - 1) for operand in operands])


def parse_unit(text: str) -> UnitEvent:
    """Understand one unit event.

    Raises:
        ConditionalEventSyntaxError: it has not exactly three non-empty parts, one of them holds a character that is
            reserved for tuples, or the amount is neither a positive integer nor a percentage from 1% to 100%.
    """
    parts = text.split(":")
    if len(parts) != 3:
        raise ConditionalEventSyntaxError(
            f"the unit event {_quote.repr(text)} has {len(parts)} part(s) between colons instead of three: write "
            f"source:tag:amount, for example 'actor:rollout:1'"
        )
    for name, part in zip(("source", "tag", "amount"), parts, strict=True):
        if not part.strip():
            raise ConditionalEventSyntaxError(
                f"the {name} {_quote.repr(part)} of the unit event {_quote.repr(text)} is empty: write "
                f"source:tag:amount, with * for any source or any tag"
            )
        if any(character in part for character in _RESERVED):
            raise ConditionalEventSyntaxError(
                f"the {name} {_quote.repr(part)} of the unit event {_quote.repr(text)} holds one of the characters "
                f"{_RESERVED!r}: a compound event is a Python tuple of strings, not one string"
            )
    source, tag, amount = parts
    if _INTEGER.fullmatch(amount):
        return UnitEvent(source, tag, int(amount), is_percentage=False)
    if percentage := _PERCENTAGE.fullmatch(amount):
        return UnitEvent(source, tag, int(percentage[1]), is_percentage=True)
    raise ConditionalEventSyntaxError(
        f"the amount {_quote.repr(amount)} of the unit event {_quote.repr(text)} is neither a positive integer nor a "
        f"percentage: write for example 3, or 90% (1% to 100%) of the peers that are present"
    )


def tag_text(tag: str | Enum) -> str:
    """A tag as it stands in an event: an Enum member by its value, everything as text."""
    if type(tag) is str:
        return tag
    return str(tag.value if isinstance(tag, Enum) else tag)
