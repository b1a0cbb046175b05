"""A scenario: a topology, what is done to it, and what it has to keep to; a file of YAML.

shows: A worker that is killed again and again loses no gradient.
topology: parameter-server          # one that is shipped, or the path of a compose file
variables: {WORKERS: 4, CACHE: 1}   # of the compose file
schedule:                           # see `schedule`; none by default
  - {at: 2, fault: kill, target: any worker}
limits: {rejoin_p99: 10}            # of recoveries, in seconds; none by default
runs_for: 60                        # seconds; by default until the topology ends by itself
within: 300                         # seconds for everything, 600 by default
agent: true                         # with an agent; not by default
removal: true                       # the agent replaces what fails; not by default
runners: [compose]                  # those that can run it; all by default
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from maro.testbed.history import Limits
from maro.testbed.schedule import Schedule, ScheduleError, schedule_of
from maro.testbed.topology import Topology, TopologyError, read_topology, shipped_topologies
from maro.utils.deployment import packaged_files

_KEYS = {
    "shows",
    "topology",
    "variables",
    "schedule",
    "limits",
    "runs_for",
    "within",
    "agent",
    "removal",
    "runners",
}
_LIMITS = [limit.name for limit in dataclasses.fields(Limits)]


class ScenarioError(ValueError):
    """A scenario can't be read, or is none; the text names the file, the entry, and what is allowed."""


@dataclass(frozen=True)
class Scenario:
    """What is run, and judged."""

    name: str
    shows: str
    topology: Topology
    variables: dict[str, str] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    limits: Limits = field(default_factory=Limits)
    runs_for_s: float | None = None
    """How long the components work before they are asked to end; None until the topology ends by itself."""
    within_s: float = 600.0
    agent: bool = False
    removal: bool = False
    runners: tuple[str, ...] = ()
    """Those that can run it; empty for all."""


def read_scenario(file: Path) -> Scenario:
    """The scenario of a file.

    Raises:
        ScenarioError: it can't be read, or holds none.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{file} can't be read: {error}") from error
    try:
        return _scenario_of(file, content)
    except (ScenarioError, ScheduleError, TopologyError) as error:
        raise ScenarioError(f"{file}: {error}") from error


def shipped_scenarios() -> dict[str, Path]:
    """The scenarios that come with the package, by name.

    Raises:
        ScenarioError: the installation has none.
    """
    try:
        folder = packaged_files(Path(__file__).resolve().parents[1]) / "scenarios"
    except FileNotFoundError as error:
        raise ScenarioError(str(error)) from error
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str) -> Scenario:
    """The scenario of a file, or of that name among those that are shipped.

    Raises:
        ScenarioError: there is none; the text says which there are.
    """
    if (file := Path(name)).suffix in (".yaml", ".yml") or file.exists():
        return read_scenario(file)
    shipped = shipped_scenarios()
    if name not in shipped:
        raise ScenarioError(f"there is no scenario {name!r}: give a file, or one of {', '.join(shipped)}")
    return read_scenario(shipped[name])


def _scenario_of(file: Path, content: Any) -> Scenario:
    if not isinstance(content, dict):
        raise ScenarioError("a scenario has at least `shows` and `topology`")
    for key in content:
        if key not in _KEYS:
            raise ScenarioError(f"there is no {key!r} in a scenario; there are {', '.join(sorted(_KEYS))}")
    shows = content.get("shows")
    if not isinstance(shows, str) or not shows.strip():
        raise ScenarioError("`shows` has to be a sentence on what the scenario shows")
    agent, removal = _switch(content, "agent"), _switch(content, "removal")
    if removal and not agent:
        raise ScenarioError("`removal` is what an agent does: set `agent: true` as well")
    return Scenario(
        file.stem,
        shows.strip(),
        _topology(file, content.get("topology")),
        _variables(content.get("variables", {})),
        schedule_of(content.get("schedule")),
        _limits(content.get("limits", {})),
        _seconds(content["runs_for"], "runs_for") if "runs_for" in content else None,
        _seconds(content.get("within", 600.0), "within"),
        agent,
        removal,
        _runners(content.get("runners", [])),
    )


def _topology(file: Path, name: Any) -> Topology:
    if not isinstance(name, str):
        raise ScenarioError("`topology` has to be the name of a shipped topology, or the path of a compose file")
    if name.endswith((".yaml", ".yml")):
        return read_topology((file.parent / name).resolve())
    shipped = {topology.name: topology for topology in shipped_topologies()}
    if name not in shipped:
        raise ScenarioError(f"there is no topology {name!r}: give the path of a compose file, or {', '.join(shipped)}")
    return shipped[name]


def _variables(content: Any) -> dict[str, str]:
    if not isinstance(content, dict) or not all(isinstance(value, str | int | float) for value in content.values()):
        raise ScenarioError(f"`variables` gives each variable of the compose file a text or a number, not {content!r}")
    return {str(name): str(int(value) if isinstance(value, bool) else value) for name, value in content.items()}


def _limits(content: Any) -> Limits:
    if not isinstance(content, dict) or not set(content) <= set(_LIMITS):
        raise ScenarioError(f"`limits` has some of {', '.join(_LIMITS)}, each in seconds, not {content!r}")
    return Limits(**{name: _seconds(value, f"limits: {name}") for name, value in content.items()})


def _runners(content: Any) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ScenarioError(f"`runners` is a list of names, such as [compose], not {content!r}")
    return tuple(content)


def _switch(content: dict[str, Any], key: str) -> bool:
    value = content.get(key, False)
    if not isinstance(value, bool):
        raise ScenarioError(f"`{key}` has to be true or false, not {value!r}")
    return value


def _seconds(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ScenarioError(f"`{key}` has to be a number of seconds above 0, not {value!r}")
    return float(value)
