"""One cell of the matrix: a topology and a fault, under conditions that the cell names, run once in containers."""

from __future__ import annotations

import enum
import re
import shutil
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maro.testbed.history import Limits
from maro.testbed.runners.runner import RunnerError
from maro.testbed.scenario import Scenario
from maro.testbed.scenario_run import RunResult, run
from maro.testbed.schedule import Schedule, ScheduleError, schedule_of
from maro.testbed.topology import Topology, TopologyError

NEVER = "no"
"""The restart policy that starts nothing again."""
RESTART = re.compile(rf"{NEVER}|on-failure(:[1-9][0-9]*)?")
"""The restart policies that a cell can have: with the others, a component that has ended well is started again."""
FAULTS: Mapping[str, tuple[str, float | None]] = {
    "none": ("", None),
    "kill": ("{any}", None),
    "pause": ("{any}", 3.0),
    "isolate": ("{any}", 3.0),
    "redis-kill": ("", 2.0),
}
"""Those that a cell can have: whom they are for, and how long they last."""
_AT_S = 0.5
"""Of the fault, after all have joined."""
_BACK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Cell:
    """What is run, and under which conditions."""

    topology: Topology
    fault: str
    restart: str
    """The restart policy of all containers, as Compose writes it."""
    size: int
    """How many containers the service has whose containers may crash."""
    cache: bool = False
    """Whether components keep messages until they are finished."""
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
            "fault": self.fault,
            "restart": self.restart,
            "size": str(self.size),
            "cache": _on_or_off(self.cache),
            "agent": _on_or_off(self.agent),
            "removal": _on_or_off(self.removal),
        }

    @property
    def slug(self) -> str:
        """A name of it for files."""
        switches = (("cache", self.cache), ("agent", self.agent), ("removal", self.removal))
        words = [self.topology.name, self.fault, self.restart, str(self.size), *(name for name, on in switches if on)]
        return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(words)).strip("-").lower()

    @property
    def schedule(self) -> Schedule:
        """What is done, and when."""
        target, for_s = FAULTS[self.fault]
        if self.fault == "none":
            return Schedule()
        whom = {"target": target.format(any=f"any {self.topology.crash}")} if target else {}
        lasts = {} if for_s is None else {"for": for_s}
        return schedule_of([{"at": _AT_S, "fault": self.fault, **whom, **lasts}])

    def scenario(self, timeout_s: float) -> Scenario:
        """The cell as a scenario, which may take so long."""
        return Scenario(
            name=self.slug,
            shows=str(self),
            topology=self.topology,
            variables={
                "RESTART": self.restart,
                "MAIN_RESTART": self.restart,
                self.topology.size_variable: str(self.size),
                "CACHE": str(int(self.cache)),
            },
            schedule=self.schedule,
            limits=Limits(rejoin_p99=_BACK_WITHIN_S),
            within_s=timeout_s,
            agent=self.agent,
            removal=self.removal,
            runners=("compose",),
        )


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
    back: str = ""
    """How long who was killed took to come back; empty where nobody was."""
    messages: int = 0
    """How many were accepted, and judged."""
    reason: str = ""
    """Why it has not passed."""
    logs: Path | None = None
    """The folder with journals, logs, schedule and verdict, if it is kept."""


def run_cell(
    cell: Cell, logs: Path, timeout_s: float, stop: threading.Event, tell: Callable[[str], None] = lambda text: None
) -> Outcome:
    """Run a cell, and remove everything; whatever goes wrong is its outcome.

    Args:
        cell: to run.
        logs: folder that gets a folder, which is kept if the cell does not pass.
        timeout_s: how long everything up to the verdict may take.
        stop: ends the run early, once it is set.
        tell: told what is going on.
    """
    run_id = uuid.uuid4().hex[:12]
    folder = logs / f"{cell.slug}-{run_id}"
    began_s = time.monotonic()
    result: RunResult | None = None
    try:
        result = run(cell.scenario(timeout_s), folder=folder, runner="compose", run_id=run_id, stop=stop, tell=tell)
        reason = _why_not(cell, result)
    except (RunnerError, ScheduleError, TopologyError) as error:
        reason = str(error)
    except Exception as error:  # one cell must not take the others with it
        reason = f"{type(error).__name__}: {error}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "traceback.log").write_text(traceback.format_exc())
    verdict = Verdict.PASSED if not reason else Verdict.INTERRUPTED if stop.is_set() else Verdict.FAILED
    if verdict is Verdict.INTERRUPTED:
        reason = "interrupted"
    if verdict is Verdict.PASSED:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(
        cell,
        verdict,
        time.monotonic() - began_s,
        back=_back(result) if result is not None else "",
        messages=result.verdict.counts.get("messages accepted", 0) if result is not None else 0,
        reason=reason,
        logs=None if verdict is Verdict.PASSED else folder,
    )


def _why_not(cell: Cell, result: RunResult) -> str:
    """Why a run does not count as passed; empty if it does. What was not injected shows nothing."""
    if cell.schedule.entries and result.skipped:
        return f"not injected: {result.skipped[0]}"
    if result.failures:
        return result.failures[0]
    return "" if result.verdict.has_passed else result.verdict.report()


def _back(result: RunResult) -> str:
    return ", ".join("never" if one.rejoin_s is None else f"{one.rejoin_s:.1f} s" for one in result.verdict.recoveries)


def _on_or_off(is_on: bool) -> str:
    return "on" if is_on else "off"
