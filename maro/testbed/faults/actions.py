"""Carries faults out on a runner, and heals them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from maro.testbed.faults.fault import Fault
from maro.testbed.faults.partitions import Pairs, around, between_groups
from maro.testbed.runners.network import Bandwidth, Delay, Heal, Loss, Shape
from maro.testbed.runners.runner import Member, Runner, RunnerError

AGENT_SERVICE = "agent"
_DEAD_ADDRESS = "tcp://127.0.0.1:9"
"""Where nobody listens: the port is that of the discard service."""
_LONG_AGO = 1
_AGENT_WITHIN_S = 15.0
_ASK_EVERY_S = 0.1
HEALED_BY_ITSELF_S = 3600.0
"""The network of a run whose owner is gone is whole after that."""


def inject(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    """Do what a fault says.

    Args:
        fault: its target, if it has one, is a label.
        runner: that has the member.

    Returns:
        The name in the group of the component that it was done to, empty if to none; and what heals it.

    Raises:
        RunnerError: it could not be done.
    """
    return _ACTIONS[fault.kind](fault, runner)


def member_of(runner: Runner, fault: Fault) -> Member:
    """The member that a fault is for.

    Raises:
        RunnerError: there is none now.
    """
    label = fault.target.name if fault.target is not None else ""
    found = next((member for member in runner.members() if member.label == label), None)
    if found is None:
        raise RunnerError(f"there is no member {label!r} now: it may have been removed, or scaled away")
    return found


# Members.


def _kill(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    name = member.component
    member.kill()
    return name, lambda: _see_started(runner, fault)


def _stop(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    name = member.component
    member.stop()
    return name, lambda: _start(runner, fault)


def _restart(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    name = member.component
    member.kill()
    member_of(runner, fault).start()
    return name, _nothing


def _pause(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    name = member.component
    member.pause()

    def heal() -> None:
        paused = member_of(runner, fault)
        if paused.is_running:  # somebody may have ended it meanwhile
            paused.resume()

    return name, heal


def _start(runner: Runner, fault: Fault) -> None:
    member = member_of(runner, fault)
    if member.exit_code is not None:
        member.start()


def _see_started(runner: Runner, fault: Fault) -> None:
    """Start who was killed, unless that is the task of an agent.

    Raises:
        RunnerError: the agent has not done it in time.
    """
    if not any(agent.is_running for agent in runner.members(AGENT_SERVICE)):
        _start(runner, fault)
        return
    deadline = time.monotonic() + _AGENT_WITHIN_S
    while not _runs(runner, fault):
        if time.monotonic() > deadline:
            raise RunnerError(f"{fault.target} was not started again by the agent within {_AGENT_WITHIN_S:g} s")
        time.sleep(_ASK_EVERY_S)


def _runs(runner: Runner, fault: Fault) -> bool:
    try:
        return member_of(runner, fault).exit_code is None
    except RunnerError:  # its container is gone, and the new one has not come yet
        return False


def _fail_point(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    name = member.component
    runner.set_fail_points(member, f"{fault.parameters['point']}={fault.parameters['action']}")

    def heal() -> None:
        _see_started(runner, fault)
        runner.set_fail_points(member_of(runner, fault), "")

    return name, heal


def _kill_agents(_: Fault, runner: Runner) -> tuple[str, Heal]:
    agents = runner.members(AGENT_SERVICE)
    if not agents:
        raise RunnerError(f"there is no member of the service {AGENT_SERVICE!r}: start the topology with an agent")
    for agent in agents:
        agent.kill()

    def heal() -> None:
        for agent in runner.members(AGENT_SERVICE):
            if agent.exit_code is not None:
                agent.start()

    return "", heal


# The network.


def _partition(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    return "", _cut(runner, between_groups(fault.parameters["groups"]))


def _isolate(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    if not member.is_running:
        raise RunnerError(f"{member.label} does not run")
    others = [other.label for other in runner.members() if other.is_running]
    return member.component, _cut(runner, around(member.label, others, fault.parameters["direction"]))


def _cut(runner: Runner, pairs: Pairs) -> Heal:
    running = {member.label: member for member in runner.members() if member.is_running}
    between = [(running[one], running[two]) for one, two in sorted(pairs) if one in running and two in running]
    if not between:
        raise RunnerError("nobody runs who could be cut off from another one")
    return runner.network().cut(between, HEALED_BY_ITSELF_S)


def _shape(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    member = member_of(runner, fault)
    if not member.is_running:
        raise RunnerError(f"{member.label} does not run")
    name, told = member.component, fault.parameters
    shape: Shape
    if fault.kind == "loss":
        shape = Loss(told["percent"])
    elif fault.kind == "bandwidth":
        shape = Bandwidth(told["kbit"])
    else:
        shape = Delay(told["ms"], told["jitter_ms"])
    return name, runner.network().shape(member, shape, HEALED_BY_ITSELF_S)


# Redis.


def _kill_redis(_: Fault, runner: Runner) -> tuple[str, Heal]:
    runner.redis().kill()

    def heal() -> None:
        redis = runner.redis()
        if not redis.is_running:
            redis.start()

    return "", heal


def _pause_redis(_: Fault, runner: Runner) -> tuple[str, Heal]:
    runner.redis().pause()
    return "", lambda: runner.redis().resume()


def _flush_redis(_: Fault, runner: Runner) -> tuple[str, Heal]:
    runner.redis_command("FLUSHALL")
    return "", _nothing


def _plant(fault: Fault, runner: Runner) -> tuple[str, Heal]:
    """Make a component's entry wrong."""
    member = member_of(runner, fault)
    name = member.component
    for table in sorted(runner.redis_command("KEYS", f"*:{member.component_type}").splitlines()):
        group = table.removesuffix(f":{member.component_type}")
        if ":" not in group and runner.redis_command("HEXISTS", table, name).strip() == "1":
            _plant_at(runner, table, f"{group}:lease:{name}", name, fault.parameters["entry"])
            return name, _nothing
    raise RunnerError(f"{member.label} has no entry in Redis that could be made wrong: it is not registered now")


def _plant_at(runner: Runner, table: str, lease: str, name: str, entry: str) -> None:
    if entry == "no-json":
        runner.redis_command("HSET", table, name, "{no json")
    elif entry == "no-lease":
        runner.redis_command("DEL", lease)
    elif entry == "wrong-lease":
        runner.redis_command("SET", lease, str(_LONG_AGO), "PX", "5000")
    else:
        record = _as_of_long_ago(json.loads(runner.redis_command("HGET", table, name)))
        runner.redis_command("HSET", table, name, json.dumps(record))


def _as_of_long_ago(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an incarnation that was there before everybody, at an address where nobody is."""
    return {
        key: _LONG_AGO if key == "incarnation" else _DEAD_ADDRESS if str(value).startswith("tcp://") else value
        for key, value in record.items()
    }


def _nothing() -> None:
    pass


_ACTIONS: Mapping[str, Callable[[Fault, Runner], tuple[str, Heal]]] = {
    "kill": _kill,
    "stop": _stop,
    "restart": _restart,
    "pause": _pause,
    "fail-point": _fail_point,
    "partition": _partition,
    "isolate": _isolate,
    "loss": _shape,
    "bandwidth": _shape,
    "delay": _shape,
    "agent-kill": _kill_agents,
    "redis-kill": _kill_redis,
    "redis-pause": _pause_redis,
    "redis-flush": _flush_redis,
    "redis-plant": _plant,
}
