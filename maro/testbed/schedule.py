"""When which fault is injected and healed: written by hand as YAML, or drawn from a seed; kept as JSON, and replayed.

    - {at: 5, fault: kill, target: any actor}
    - {at: 10, for: 8, fault: pause, target: actor-2}

`at` is in seconds since the components have joined; `for`, until it is healed, otherwise at the end. Or, with rates in
faults a second:

    {seed: 7, duration: 60, rates: {kill any actor: 0.1, loss any actor percent=20: 0.05}, for: 5}
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from maro.testbed.faults.fault import KINDS, Fault, FaultError, fault_of
from maro.testbed.faults.partitions import resolved_groups
from maro.testbed.faults.targets import Named, Target, TargetError
from maro.testbed.runners.runner import Capability

_DRAWN_KEYS = {"seed", "duration", "rates", "for"}


class ScheduleError(ValueError):
    """A schedule can't be read, or does not fit what it is for; the text names the entry and what is allowed."""


@dataclass(frozen=True)
class Entry:
    """One fault, and when."""

    at_s: float
    """Since the components have joined."""
    fault: Fault
    for_s: float | None = None
    """Until it is healed; None at the end."""

    def as_json(self) -> dict[str, Any]:
        """As `entry_of` reads it."""
        lasts = {} if self.for_s is None else {"for": self.for_s}
        return {"at": self.at_s, **lasts, **self.fault.as_json()}


@dataclass(frozen=True)
class Schedule:
    """Faults in the order of their times."""

    entries: tuple[Entry, ...] = ()
    seed: int = 0
    """Of what is drawn: faults, and whom they are for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: entry.at_s)))

    @property
    def end_s(self) -> float:
        """When the last fault has been injected and healed, as far as that is said."""
        return max((entry.at_s + (entry.for_s or 0.0) for entry in self.entries), default=0.0)

    def resolved(self, members: Sequence[Named]) -> Schedule:
        """The same, with every target a label: what was drawn is drawn once, and replayed as it was.

        Raises:
            ScheduleError: an entry is for nobody.
        """
        random = Random(self.seed)
        entries: list[Entry] = []
        for number, entry in enumerate(self.entries, start=1):
            try:
                entries += [replace(entry, fault=fault) for fault in resolved(entry.fault, members, random)]
            except TargetError as error:
                raise ScheduleError(f"entry {number} ({entry.fault}): {error}") from error
        return Schedule(tuple(entries), self.seed)

    def refuse_what_is_impossible(self, runner: str, capabilities: frozenset[Capability]) -> None:
        """See that a runner can do all of it.

        Raises:
            ScheduleError: it can't; before anything was started.
        """
        for number, entry in enumerate(self.entries, start=1):
            if entry.fault.needs not in capabilities:
                can = ", ".join(kind.name for kind in KINDS.values() if kind.needs in capabilities)
                raise ScheduleError(
                    f"entry {number} ({entry.fault}): not supported here. The runner `{runner}` can do: {can}"
                )

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        content = {"seed": self.seed, "entries": [entry.as_json() for entry in self.entries]}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def resolved(fault: Fault, members: Sequence[Named], random: Random) -> list[Fault]:
    """The same, with every name a label: one for each member that it is for.

    Raises:
        TargetError: it is for nobody.
    """
    if "groups" in fault.parameters:
        groups = resolved_groups(fault.parameters["groups"], members, random)
        return [replace(fault, parameters={**fault.parameters, "groups": groups})]
    if fault.target is None:
        return [fault]
    return [replace(fault, target=Target(label)) for label in fault.target.labels(members, random)]


def schedule_of(content: Any) -> Schedule:
    """The schedule that YAML or JSON holds: a list of entries, `seed` and `entries`, or what is to be drawn.

    Raises:
        ScheduleError: it is none.
    """
    if content is None:
        return Schedule()
    if isinstance(content, list):
        return Schedule(_entries(content))
    if not isinstance(content, dict):
        raise ScheduleError("a schedule is a list of entries, or has `seed`, `duration` and `rates` to draw them from")
    if "entries" in content:
        return Schedule(_entries(content["entries"]), _whole(content.get("seed", 0), "seed"))
    for name in content:
        if name not in _DRAWN_KEYS:
            raise ScheduleError(f"a schedule that is drawn has no {name!r}; it has {', '.join(sorted(_DRAWN_KEYS))}")
    rates = content.get("rates")
    if not isinstance(rates, dict) or not rates:
        raise ScheduleError("`rates` of a schedule names faults and how many there are a second: {kill any actor: 0.1}")
    faults = [(_named_fault(name), _seconds(rate, f"the rate of {name!r}")) for name, rate in rates.items()]
    seed, duration_s = _whole(content.get("seed", 0), "seed"), _seconds(content.get("duration"), "`duration`")
    return drawn(seed, duration_s, faults, _seconds(content.get("for", 5.0), "`for`"))


def read_schedule(file: Path) -> Schedule:
    """The schedule of a file of YAML or JSON.

    Raises:
        ScheduleError: it can't be read, or holds none; the text names the file.
    """
    try:
        return schedule_of(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ScheduleError) as error:
        raise ScheduleError(f"{file}: {error}") from error


def drawn(seed: int, duration_s: float, rates: Sequence[tuple[Fault, float]], for_s: float) -> Schedule:
    """A schedule drawn from a seed: each fault at its rate, independently, as a Poisson process.

    Args:
        seed: the same draws the same, on every machine.
        duration_s: nothing begins later.
        rates: of each fault, a second.
        for_s: how long each lasts, on average; between half of it and one and a half.
    """
    random = Random(seed)
    entries = []
    for fault, rate in sorted(rates, key=lambda pair: (str(pair[0]), pair[1])):
        at_s = 0.0
        while rate > 0:
            at_s += -math.log(1.0 - random.random()) / rate
            if at_s >= duration_s:
                break
            lasts_s = round(for_s * (0.5 + random.random()), 3) if fault.lasts else None
            entries.append(Entry(round(at_s, 3), fault, lasts_s))
    return Schedule(tuple(entries), seed)


def entry_of(fields: Any) -> Entry:
    """One entry.

    Raises:
        ScheduleError: it is none.
    """
    if not isinstance(fields, dict):
        raise ScheduleError(f"{fields!r} is no entry: it has `at`, `fault`, maybe `for`, and what the fault needs")
    at_s = _seconds(fields.get("at"), "`at`")
    try:
        fault = fault_of({name: value for name, value in fields.items() if name not in ("at", "for")})
    except FaultError as error:
        raise ScheduleError(str(error)) from error
    if "for" not in fields:
        return Entry(at_s, fault)
    if not fault.lasts:
        raise ScheduleError(f"{fault.kind} is over at once, and has no `for`")
    return Entry(at_s, fault, _seconds(fields["for"], "`for`"))


def _entries(content: Any) -> tuple[Entry, ...]:
    if not isinstance(content, list):
        raise ScheduleError(f"`entries` is a list, not {content!r}")
    entries = []
    for number, fields in enumerate(content, start=1):
        try:
            entries.append(entry_of(fields))
        except ScheduleError as error:
            raise ScheduleError(f"entry {number}: {error}") from error
    return tuple(entries)


def _named_fault(name: Any) -> Fault:
    """As a key of `rates` says it: the kind, whom it is for, and what else it needs, such as `percent=20`."""
    kind, *words = str(name).split()
    target = " ".join(word for word in words if "=" not in word)
    parameters = dict(word.split("=", 1) for word in words if "=" in word)
    try:
        values = {key: yaml.safe_load(text) for key, text in parameters.items()}
        return fault_of({"fault": kind, **({"target": target} if target else {}), **values})
    except yaml.YAMLError:
        raise ScheduleError(f"the rate of {name!r} has a parameter that can't be read") from None
    except FaultError as error:
        raise ScheduleError(f"the rate of {name!r}: {error}") from error


def _seconds(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ScheduleError(f"{what} has to be a number from 0 on, not {value!r}")
    return float(value)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ScheduleError(f"`{what}` has to be a whole number from 0 on, not {value!r}")
    return value
