"""One cell of the matrix: a topology run once in containers, under conditions that the cell names, and judged.

Undisturbed it has to reach its verified end. Where containers are started again when they crash, by a restart policy or
by an agent, one is crashed as soon as the work is under way; then it must be started again (or, with an agent and
removal, be replaced), be back in its group under its name, and the topology must reach its verified end all the same.
"""

from __future__ import annotations

import enum
import re
import shutil
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maro.testbed.compose_project import (
    ComposeError,
    ComposeProject,
    NoEngineError,
    ServiceContainer,
    remove_projects,
)
from maro.testbed.topology import AGENT_OVERLAY, Topology
from maro.utils.deployment import packaged_files

NEVER = "no"
"""The restart policy that starts nothing again."""
RESTART = re.compile(rf"{NEVER}|on-failure(:[1-9][0-9]*)?")
"""The restart policies that a cell can have: with the others, a component that has ended well is started again."""
PROJECT_PREFIX = "maro-matrix-"
"""What the names of all projects start with that cells are run as."""
_ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Cell:
    """What is run, and under which conditions."""

    topology: Topology
    restart: str
    """The restart policy of all containers, as Compose writes it."""
    size: int
    """How many containers the service has whose containers may crash."""
    agent: bool = False
    """Whether an agent starts crashed containers again, rather than the restart policy."""
    removal: bool = False
    """Whether that one replaces them by new ones."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.dimensions.items())

    @property
    def dimensions(self) -> dict[str, str]:
        """What tells it from other cells, for people, by the names of the matrix's dimensions."""
        return {
            "topology": self.topology.name,
            "restart": self.restart,
            "size": str(self.size),
            "agent": _on_or_off(self.agent),
            "removal": _on_or_off(self.removal),
        }

    @property
    def variables(self) -> dict[str, str]:
        """What the compose file's variables are set to."""
        return {
            "RESTART": self.restart,
            "MAIN_RESTART": self.restart,
            self.topology.size_variable: str(self.size),
            "REMOVAL": str(int(self.removal)),
            "MARO_REPORT": "json",
        }

    @property
    def slug(self) -> str:
        """A name of it for files."""
        extras = [name for name, is_on in (("agent", self.agent), ("removal", self.removal)) if is_on]
        words = [self.topology.name, self.restart, str(self.size), *extras]
        return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(words)).strip("-").lower()

    @property
    def has_crash(self) -> bool:
        """Whether a container is crashed."""
        return self.agent or self.restart != NEVER


class Verdict(enum.Enum):
    """How a cell ended."""

    PASSED = "passed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell ended, and why."""

    cell: Cell
    verdict: Verdict
    seconds: float = 0.0
    crashed: str = ""
    """What was crashed, and how long it took to come back; empty where nothing was."""
    reason: str = ""
    """Why it has not passed."""
    logs: Path | None = None
    """The folder with the logs of its containers, if they are kept."""


class CellFailure(Exception):
    """The topology did not do what it has to; the text says what is wrong."""


class Interrupted(Exception):
    """The run is to end before its time."""


class CellRun:
    """One run of a cell.

    Args:
        cell: to run.
        logs: folder that gets a folder of logs if the cell does not pass.
        timeout_s: how long everything up to the verdict may take.
        stop: ends the run early, once it is set.
        tell: told what is being waited for, whenever that changes.
    """

    def __init__(
        self, cell: Cell, logs: Path, timeout_s: float, stop: threading.Event, tell: Callable[[str], None]
    ) -> None:
        run = uuid.uuid4().hex[:8]
        self.cell = cell
        self.project_name = f"{PROJECT_PREFIX}{run}"
        self.logs = logs / f"{cell.slug}-{run}"
        self._timeout_s = timeout_s
        self._stop = stop
        self._tell = tell
        self._deadline = time.monotonic() + timeout_s
        self._verdict = Verdict.PASSED
        self._reason = ""
        self._victim: ServiceContainer | None = None
        self._back_s: float | None = None

    def run(self) -> Outcome:
        """Run the cell, and remove everything; whatever goes wrong is the cell's outcome."""
        started = time.monotonic()
        self._deadline = started + self._timeout_s
        cell = self.cell
        # Hosts set JOB_ID for reasons of their own; an agent goes by it.
        variables = {**cell.variables, "JOB_ID": self.project_name}
        with (
            self._noting(),
            ComposeProject(
                cell.topology.file, self.project_name, variables, self.logs, overlays=_overlays(cell)
            ) as project,
        ):
            with self._noting():
                self._judge(project)
            self._tell("removing its containers")
        with self._noting():
            # What Compose did not remove, because it was ended itself.
            remove_projects(lambda name: name == self.project_name)
        has_passed = self._verdict is Verdict.PASSED
        if has_passed:
            shutil.rmtree(self.logs, ignore_errors=True)
        seconds = time.monotonic() - started
        logs = None if has_passed else self.logs
        return Outcome(cell, self._verdict, seconds, self._crashed(), self._reason, logs)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Make what goes wrong the outcome; the first that does counts."""
        try:
            yield
        except Interrupted:
            self._note("interrupted")
        except (CellFailure, ComposeError, NoEngineError) as error:
            self._note(str(error))
        except Exception as error:  # one cell must not take the others with it
            with suppress(OSError):
                self.logs.mkdir(parents=True, exist_ok=True)
                (self.logs / "traceback.log").write_text(traceback.format_exc())
            self._note(f"{type(error).__name__}: {error}")

    def _note(self, reason: str) -> None:
        if self._verdict is Verdict.PASSED:
            self._verdict = Verdict.INTERRUPTED if self._stop.is_set() else Verdict.FAILED
            self._reason = "interrupted" if self._stop.is_set() else reason

    def _crashed(self) -> str:
        if self._victim is None:
            return ""
        back = "not back" if self._back_s is None else f"back in {self._back_s:.1f} s"
        return f"{self._victim.label}, {back}"

    # What has to happen.

    def _judge(self, project: ComposeProject) -> None:
        self._start(project)
        if self.cell.has_crash:
            self._crash_one(project)
        self._until(project, "the verified end", lambda: self._has_ended(project))
        self._check_nobody_fell(project)
        if self.cell.agent:
            self._check_restarts_by_agent(project)
        for container in project.containers(self.cell.topology.verdict):
            reports = container.reports()
            if not reports or reports[-1].get("event") != "finished":
                last = reports[-1].get("event") if reports else None
                raise CellFailure(f"{container.label} ended with code 0, but its last report is {last}, not finished")

    def _start(self, project: ComposeProject) -> None:
        """Start everything, as the cell says."""
        self._tell("starting")
        try:
            project.up(give_up=lambda: self._stop.is_set() or self._is_late())
        except ComposeError as error:
            raise CellFailure(f"it did not start within {self._timeout_s:g} s") if self._is_late() else error from error
        topology, cell = self.cell.topology, self.cell
        crashable = project.containers(topology.crash)
        if len(crashable) != cell.size:
            raise CellFailure(
                f"there are {len(crashable)} containers of {topology.crash}, although {topology.size_variable} is "
                f"{cell.size}: let its replicas be that variable"
            )
        if cell.agent:
            self._until(
                project,
                "the agent to be in charge",
                lambda: all(one.restart_policy == NEVER for one in project.containers(topology.crash)),
            )
            return
        for container in crashable:
            if container.restart_policy != cell.restart:
                raise CellFailure(
                    f"{container.label} has the restart policy {container.restart_policy}, although RESTART is "
                    f"{cell.restart}: let its policy be that variable"
                )

    def _crash_one(self, project: ComposeProject) -> None:
        """Crash a container that takes part in the work, and wait until it does so again."""
        self._until(project, "progress", lambda: _has_progress(self._reports(project)))
        known = _ready_at(self._reports(project))
        crashable = project.containers(self.cell.topology.crash)
        victim = next((one for one in crashable if one.component in known), crashable[0])
        self._victim = victim
        first_at_s = victim.started_at_s
        crashed_at_s = time.time()
        victim.crash()
        successor = self._await_restart(project, victim, first_at_s)
        started_at_s = successor.started_at_s

        def is_back() -> bool:
            # Whoever was named before has to be named again: that says more than its health does.
            if victim.component in known:
                return _ready_at(self._reports(project)).get(victim.component, 0.0) >= started_at_s
            if not successor.health:
                raise CellFailure(
                    f"nothing tells whether {victim.label} is back in the group: no report has named it as ready, and "
                    "it has no health check"
                )
            return successor.health == "healthy"

        self._until(project, f"{victim.label} back in the group as {victim.component}", is_back)
        back_at_s = _ready_at(self._reports(project)).get(victim.component) or time.time()
        self._back_s = back_at_s - crashed_at_s

    def _await_restart(self, project: ComposeProject, victim: ServiceContainer, first_at_s: float) -> ServiceContainer:
        """Wait until what was crashed has been started again; the container that it runs in now."""
        found: list[ServiceContainer] = []

        def is_started() -> bool:
            found[:] = [one for one in project.containers(victim.service) if one.label == victim.label]
            # Not whether it runs, which the engine says of a container as well that is about to be started.
            return len(found) == 1 and found[0].started_at_s > first_at_s

        self._until(project, f"{victim.label} started again", is_started)
        if (found[0].container.id != victim.container.id) is not self.cell.removal:
            raise CellFailure(
                f"{victim.label} was {'started again' if self.cell.removal else 'replaced'}, although removal is "
                f"{_on_or_off(self.cell.removal)}"
            )
        return found[0]

    # How that is seen.

    def _until(self, project: ComposeProject, what: str, has_happened: Callable[[], bool]) -> None:
        """Wait for something, which can't happen any more when the topology has ended."""
        self._tell(f"waiting for {what}")
        while True:
            if self._stop.is_set():
                raise Interrupted
            has_ended = False
            with _absence_ignored():
                # Before the look, so that the last word of those that end counts.
                has_ended = self._has_ended(project)
                if has_happened():
                    return
                self._check_nobody_fell(project)
            if has_ended:
                raise CellFailure(f"it ended before there was {what}")
            if self._is_late():
                raise CellFailure(f"there was no {what} within {self._timeout_s:g} s")
            self._stop.wait(_ASK_EVERY_S)

    def _check_nobody_fell(self, project: ComposeProject) -> None:
        """Nobody may have failed but the one that was crashed, and that one once."""
        for container in project.containers():
            is_victim = self._victim is not None and container.label == self._victim.label
            code = container.exit_code
            # Until an agent has started it again, its end is that of the crash.
            if code and not (is_victim and self.cell.agent):
                raise CellFailure(f"{container.label} ended with code {code}; {_last_words(container)}")
            if container.restarts > is_victim:
                raise CellFailure(
                    f"{container.label} failed{' again' if is_victim else ''}, though nothing was done to it, and was "
                    f"started again; {_last_words(container)}"
                )

    def _check_restarts_by_agent(self, project: ComposeProject) -> None:
        """By its own account an agent has started again what was crashed, once, and nothing else."""
        asked = project.container("redis").container.exec_run(
            ["redis-cli", "--raw", "hgetall", f"job:{self.project_name}:restarts"]
        )
        words = asked.output.decode().split()
        counted = dict(zip(words[::2], words[1::2], strict=True))
        expected = {self._victim.component: "1"} if self._victim is not None else {}
        if counted != expected:
            raise CellFailure(f"the agent has restarted {counted or 'nothing'}, although it had to restart {expected}")

    def _has_ended(self, project: ComposeProject) -> bool:
        """Whether everybody has ended whose end is the verdict."""
        return all(one.exit_code is not None for one in project.containers(self.cell.topology.verdict))

    def _reports(self, project: ComposeProject) -> list[dict[str, Any]]:
        """What they have told of the work so far, but for the one that was crashed."""
        victim = self._victim and self._victim.label
        judges = [one for one in project.containers(self.cell.topology.verdict) if one.label != victim]
        return [report for judge in judges for report in judge.reports()]

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _overlays(cell: Cell) -> list[Path]:
    return [packaged_files(Path(__file__).resolve().parents[1]) / "compose" / AGENT_OVERLAY] if cell.agent else []


def _on_or_off(is_on: bool) -> str:
    return "on" if is_on else "off"


@contextmanager
def _absence_ignored() -> Iterator[None]:
    """An agent may remove a container while it is looked at: the next look finds the one in its place."""
    from docker.errors import NotFound

    with suppress(NotFound):
        yield


def _has_progress(reports: list[dict[str, Any]]) -> bool:
    return any(report.get("event") == "progress" for report in reports)


def _ready_at(reports: list[dict[str, Any]]) -> dict[str, float]:
    """When each peer was last reported as ready, in seconds of the epoch."""
    ready = [report for report in reports if report.get("event") == "ready" and report.get("who")]
    times = [(float(report.get("at", 0.0)), str(report["who"])) for report in ready]
    return {who: at_s for at_s, who in sorted(times)}


def _last_words(container: ServiceContainer) -> str:
    """The last line of a log that is not a report, for it may be a reason."""
    lines = [line for line in container.log(200).splitlines() if line.strip() and not line.startswith("{")]
    return f"it said: {lines[-1].strip()}" if lines else "it said nothing"
