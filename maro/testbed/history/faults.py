"""What was done to components while they were at work, as the checker needs it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from maro.testbed.history.events import JournalError

KILLS = ("kill", "restart", "fail-point")
"""Kinds of faults that end a process without a word."""


class Injected(NamedTuple):
    """One fault."""

    kind: str
    component: str
    """Its name in the group; empty where the fault was nobody's own, such as one of Redis."""
    at_ns: int
    """When it was injected, in nanoseconds of the epoch; and healed, None if it never was."""
    healed_ns: int | None = None

    def is_kill_of(self, name: str, since_ns: int) -> bool:
        """Whether it ended the process of a component that was there since then."""
        return self.kind in KILLS and self.component == name and self.at_ns >= since_ns


def injected_of(fields: Any) -> Injected:
    """The fault that a JSON object describes: `kind`, `component`, `at_ns`, `healed_ns`.

    Raises:
        ValueError: it describes none.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str) or type(fields.get("at_ns")) is not int:
        raise ValueError("a fault needs at least a `kind` and `at_ns`, in nanoseconds of the epoch")
    return Injected(fields["kind"], fields.get("component") or "", fields["at_ns"], fields.get("healed_ns"))


def read_injected(file: Path) -> list[Injected]:
    """The faults of a file of JSON lines, by time; one that could not be injected is left out.

    The healing of a fault may be a line of its own, which has the same number `n`.

    Raises:
        JournalError: it can't be read, or a line is none; the text names it.
    """
    found: dict[int, Injected] = {}
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"{file} can't be read: {error}") from error
    for line_number, line in enumerate(lines[:-1], start=1):
        try:
            fields = json.loads(line)
            number = fields.get("n", -line_number) if isinstance(fields, dict) else 0
            if number in found:
                found[number] = found[number]._replace(healed_ns=fields.get("healed_ns"))
            elif not (isinstance(fields, dict) and fields.get("error")):
                found[number] = injected_of(fields)
        except ValueError as error:
            raise JournalError(f"{file}, line {line_number}: {error}") from None
    return sorted(found.values(), key=lambda fault: fault.at_ns)


def touched(faults: Iterable[Injected]) -> set[str]:
    """The components to which something was done; the empty name stands for everybody."""
    return {fault.component for fault in faults}
