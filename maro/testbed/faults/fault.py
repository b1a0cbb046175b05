"""A fault as a plain value: its kind, whom it is for, its parameters; read from what people and programs write."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from maro.communication import fail_points
from maro.testbed.faults.partitions import DIRECTIONS, HALVES, PartitionError, check_groups
from maro.testbed.faults.targets import Target, TargetError, target_of
from maro.testbed.runners.runner import Capability


class FaultError(ValueError):
    """Something is no fault; the text says what is wrong, and what there is."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    name: str
    does: str
    """In words."""
    needs: Capability
    has_target: bool = True
    """Else it is about Redis, of which there is one."""
    lasts: bool = True
    """Whether it is healed after a while; else it is over at once."""
    parameters: tuple[str, ...] = ()
    optional: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that may be left out, and what they are then."""


_C = Capability
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("kill", "SIGKILL; healed by starting it, if nobody else has", _C.KILL),
        Kind("stop", "SIGTERM, and SIGKILL after ten seconds; healed by starting it", _C.STOP),
        Kind("restart", "SIGKILL, and started again at once", _C.RESTART, lasts=False),
        Kind("pause", "frozen; healed by letting it go on", _C.PAUSE),
        Kind("partition", "no packets between groups, which may overlap", _C.CUT, False, parameters=("groups",)),
        Kind("isolate", "no packets from it, to it, or both", _C.CUT, optional={"direction": "both"}),
        Kind("loss", "so many percent of its packets are lost, both ways", _C.SHAPE, parameters=("percent",)),
        Kind("bandwidth", "it sends so many thousand bits a second at most", _C.SHAPE, parameters=("kbit",)),
        Kind(
            "delay",
            "what it sends comes so many milliseconds later, more or less",
            _C.SHAPE,
            parameters=("ms",),
            optional={"jitter_ms": 0},
        ),
        Kind("agent-kill", "SIGKILL to the agents of the job", _C.AGENT, has_target=False),
        Kind("redis-kill", "SIGKILL to Redis, which comes back empty", _C.REDIS, has_target=False),
        Kind("redis-pause", "Redis is frozen", _C.REDIS, has_target=False),
        Kind("redis-flush", "Redis forgets everything", _C.REDIS, has_target=False, lasts=False),
        Kind(
            "redis-plant",
            "its entry is wrong: `stale`, `no-lease`, `wrong-lease`, `no-json`",
            _C.REDIS,
            lasts=False,
            parameters=("entry",),
        ),
        Kind(
            "fail-point",
            "it fails where `point` says, in the way of `action`",
            _C.FAIL_POINT,
            parameters=("point", "action"),
        ),
    )
}
PLANTS = ("stale", "no-lease", "wrong-lease", "no-json")


@dataclass(frozen=True)
class Fault:
    """What is to be done."""

    kind: str
    target: Target | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.kind, *([str(self.target)] if self.target else [])]
        usual = KINDS[self.kind].optional
        told = (f"{name}={value}" for name, value in self.parameters.items() if usual.get(name) != value)
        return " ".join([*words, *told])

    @property
    def needs(self) -> Capability:
        """What a runner must be able to do."""
        return KINDS[self.kind].needs

    @property
    def lasts(self) -> bool:
        """Whether there is something to heal."""
        return KINDS[self.kind].lasts

    def as_json(self) -> dict[str, Any]:
        """As `fault_of` reads it."""
        target = {"target": str(self.target)} if self.target else {}
        return {"fault": self.kind, **target, **self.parameters}


def fault_of(fields: Mapping[str, Any]) -> Fault:
    """The fault that a mapping describes: `fault`, `target`, and the parameters of its kind.

    Raises:
        FaultError: it describes none.
    """
    kind = KINDS.get(fields["fault"]) if isinstance(fields.get("fault"), str) else None
    if kind is None:
        raise FaultError(f"`fault` is {fields.get('fault')!r}; there are {_listed(KINDS)}")
    known = {"fault", *(["target"] if kind.has_target else []), *kind.parameters, *kind.optional}
    for name in fields:
        if name not in known:
            raise FaultError(f"{kind.name} has no {name!r}; it has {_listed(sorted(known - {'fault'})) or 'none'}")
    for name in kind.parameters:
        if name not in fields:
            raise FaultError(f"{kind.name} needs `{name}`: {_ALLOWED[name]}")
    parameters = {name: fields[name] for name in kind.parameters}
    parameters |= {name: fields.get(name, usual) for name, usual in kind.optional.items()}
    _check(kind, parameters)
    if not kind.has_target:
        return Fault(kind.name, None, parameters)
    try:
        return Fault(kind.name, target_of(fields.get("target")), parameters)
    except TargetError as error:
        raise FaultError(f"{kind.name}: {error}") from error


_ALLOWED = {
    "entry": f"one of {', '.join(PLANTS)}",
    "point": "the name of a fail point",
    "action": "what happens there",
    "groups": f"`{HALVES}`, or a list of lists of members, such as [[learner, actor-1], [actor-2, actor-3]]",
    "direction": f"one of {', '.join(DIRECTIONS)}",
    "percent": "a number above 0, to 100",
    "kbit": "a number from 1 on",
    "ms": "a number above 0, to 60000",
    "jitter_ms": "a number from 0 on, to 60000",
}
_BOUNDS = {"percent": (1e-4, 100), "kbit": (1, 1e9), "ms": (1e-3, 60_000), "jitter_ms": (0, 60_000)}


def _check(kind: Kind, parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if not _is_allowed(name, value):
            raise FaultError(f"{kind.name}: `{name}` is {_ALLOWED[name]}, not {value!r}")
    if kind.name == "partition":
        try:
            check_groups(parameters["groups"])
        except PartitionError as error:
            raise FaultError(f"partition: {error}") from error
    if kind.name == "fail-point":
        try:
            fail_points.parse(f"{parameters['point']}={parameters['action']}")
        except ValueError as error:
            raise FaultError(f"fail-point: {error}") from error


def _is_allowed(name: str, value: Any) -> bool:
    if name in _BOUNDS:
        least, most = _BOUNDS[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and least <= value <= most
    if name == "groups":
        return value == HALVES or isinstance(value, list)
    return isinstance(value, str) and value in {"entry": PLANTS, "direction": DIRECTIONS}.get(name, (value,))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
