"""Which components of a run have joined their group since they were last started.

Where components keep journals, a line `joined` says so: their constructor has all its peers. Else it is their record in
Redis, which they write once they are bound and before they have seen their peers. An incarnation is the time in
microseconds at which it began, so one that is older than the last start is that of a process which is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from maro.testbed.runners.runner import JOURNALS, Member, Runner, RunnerError

_MICROSECONDS = 1_000_000
_TOLD_LATER_S = 0.05
"""An engine notes the start of a container when it has started. Shorter than any pause before a restart."""


def not_joined(runner: Runner, members: Sequence[Member]) -> list[Member]:
    """Those of the members that have not joined since their last start.

    Args:
        runner: that runs them.
        members: components.
    """
    journals = sorted((runner.folder / JOURNALS).glob("*.jsonl"))
    joined = _by_journals(journals) if journals else _by_records(runner, members)
    return [member for member in members if not _is_current(member, joined.get(member.component, 0))]


def _is_current(member: Member, incarnation: int) -> bool:
    """Whether an incarnation is that of the process that runs; none is while a member waits for its restart."""
    return member.is_running and incarnation >= (member.started_at_s - _TOLD_LATER_S) * _MICROSECONDS


def _by_journals(files: Iterable[Path]) -> dict[str, int]:
    """The last incarnation of each name that has joined."""
    joined: dict[str, int] = {}
    for file in files:
        name, _, number = file.stem.rpartition("@")
        if number.isdigit() and _says_joined(file):
            name = unquote(name)
            joined[name] = max(joined.get(name, 0), int(number))
    return joined


def _says_joined(file: Path) -> bool:
    """Whether a journal has the line, which is among its first ones."""
    with file.open("rb") as lines:
        return any(b'"joined"' in line and _event(line) == "joined" for line in lines)


def _event(line: bytes) -> str:
    try:
        return str(json.loads(line).get("e", ""))
    except ValueError:  # it is being written
        return ""


def _by_records(runner: Runner, members: Iterable[Member]) -> dict[str, int]:
    """The incarnations in the groups' tables; none while Redis is away.

    The group's name may stand in the program alone, so any group's table of the type counts: the run has its own Redis.
    """
    joined: dict[str, int] = {}
    try:
        for kind in {member.component_type for member in members}:
            for table in runner.redis_command("KEYS", f"*:{kind}").splitlines():
                if table.count(":") == 1 and runner.redis_command("TYPE", table) == "hash":
                    joined.update(_records(runner.redis_command("HGETALL", table).splitlines()))
    except RunnerError:
        return {}
    return joined


def _records(lines: Sequence[str]) -> dict[str, int]:
    """Names and incarnations out of a table: a line with the name, then one with the record."""
    found = {}
    for name, record in zip(lines[::2], lines[1::2], strict=False):
        try:
            found[name] = int(json.loads(record)["incarnation"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
