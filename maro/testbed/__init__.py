"""The testbed: topologies of components, started, disturbed, and judged.

from maro.testbed import Cluster, find_scenario, run

with Cluster("rollout", variables={"ACTORS": "8"}) as cluster:
    cluster.wait_until_joined()
    cluster.kill("actor-2")
    cluster.wait_until_joined()
    assert cluster.verdict().has_passed

assert run(find_scenario("worker-killed"), folder=Path("result")).has_passed
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maro.testbed.cluster import Cluster, ClusterError
    from maro.testbed.compose_file import ComposeFile, read_compose_file
    from maro.testbed.faults.injector import Injection
    from maro.testbed.history import Limits, Verdict
    from maro.testbed.runners import make_runner, register_runner, runner_kinds
    from maro.testbed.runners.runner import Capability, Member, Runner, RunnerError
    from maro.testbed.scenario import Scenario, ScenarioError, find_scenario, read_scenario
    from maro.testbed.scenario_run import RunResult, run
    from maro.testbed.schedule import Schedule, ScheduleError, read_schedule
    from maro.testbed.topology import TopologyError

__all__ = [
    "Capability",
    "Cluster",
    "ClusterError",
    "ComposeFile",
    "Injection",
    "Limits",
    "Member",
    "RunResult",
    "Runner",
    "RunnerError",
    "Scenario",
    "ScenarioError",
    "Schedule",
    "ScheduleError",
    "TopologyError",
    "Verdict",
    "find_scenario",
    "make_runner",
    "read_compose_file",
    "read_scenario",
    "read_schedule",
    "register_runner",
    "run",
    "runner_kinds",
]

_HOMES = {
    "maro.testbed.cluster": ("Cluster", "ClusterError"),
    "maro.testbed.compose_file": ("ComposeFile", "read_compose_file"),
    "maro.testbed.runners": ("make_runner", "register_runner", "runner_kinds"),
    "maro.testbed.runners.runner": ("Capability", "Member", "Runner", "RunnerError"),
    "maro.testbed.faults.injector": ("Injection",),
    "maro.testbed.history": ("Limits", "Verdict"),
    "maro.testbed.scenario": ("Scenario", "ScenarioError", "find_scenario", "read_scenario"),
    "maro.testbed.scenario_run": ("RunResult", "run"),
    "maro.testbed.schedule": ("Schedule", "ScheduleError", "read_schedule"),
    "maro.testbed.topology": ("TopologyError",),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: components import their workloads from here, and need none of it."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
