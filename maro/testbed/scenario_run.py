"""Runs a scenario: starts the topology, plays the schedule, waits for the end, and passes judgement on every message.

    result = run(find_scenario("worker-killed"), folder=Path("result"))
    print(result.report())

The folder then has the journals and logs of all components, `schedule.json` (whose targets are the members that it was
played on, so that it can be replayed), `faults.jsonl` (what was done, and when) and `verdict.json`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maro.testbed.compose_file import ComposeFile, read_compose_file
from maro.testbed.faults.injector import FAULTS, Injector
from maro.testbed.history import JournalError, Verdict, check, journals_in, read_injected
from maro.testbed.joined import not_joined
from maro.testbed.player import Player
from maro.testbed.runners import make_runner, runner_kinds
from maro.testbed.runners.runner import JOURNALS, NETWORK, Capability, Member, RunnerError
from maro.testbed.scenario import Scenario
from maro.testbed.schedule import Schedule, ScheduleError
from maro.testbed.topology import AGENT_OVERLAY, TopologyError
from maro.utils.deployment import packaged_files

SCHEDULE, VERDICT = "schedule.json", "verdict.json"
REDIS_AWAY = ("redis-kill", "redis-pause")
"""A component that starts while one of these lasts may give up, and be started again."""
SEEN_BY_AGENT = ("kill", "pause")
"""After others, such as one that empties Redis, an agent's account is not complete."""
_ASK_EVERY_S = 0.2


class RunFailure(Exception):
    """The run did not come to its end; the text says how far it came, and why not."""


class Interrupted(RunFailure):
    """It was asked to end before its time."""

    def __init__(self) -> None:
        super().__init__("interrupted")


@dataclass(frozen=True)
class Planned:
    """A member that a compose file will have."""

    label: str
    service: str
    component_type: str


@dataclass
class RunResult:
    """What became of a run."""

    scenario: str
    runner: str
    folder: Path
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    """Faults that could not be injected when their time had come."""
    failures: list[str] = field(default_factory=list)
    """Why it did not come to a good end, whatever the messages say; empty where it did."""
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def has_passed(self) -> bool:
        """Whether it came to its end, and every promise was kept."""
        return not self.failures and self.verdict.has_passed

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "scenario": self.scenario,
            "runner": self.runner,
            "seconds": round(self.seconds, 3),
            "passed": self.has_passed,
            "skipped": self.skipped,
            "failures": self.failures,
            "verdict": self.verdict.as_json(),
        }

    def report(self) -> str:
        """In words, for people."""
        skipped = (f"skipped: {fault}" for fault in self.skipped)
        return "\n".join([*skipped, *(f"FAILED: {failure}" for failure in self.failures), self.verdict.report()])


def run(
    scenario: Scenario,
    *,
    folder: Path,
    runner: str = "processes",
    schedule: Schedule | None = None,
    run_id: str | None = None,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> RunResult:
    """Run a scenario, and remove everything but its folder.

    Args:
        scenario: to be run.
        folder: for what is kept of it; a new one.
        runner: which kind of runner runs it.
        schedule: to be played instead of the scenario's own, such as one that an earlier run has kept.
        run_id: unique, in the names or labels of all that is started; None for a new one.
        stop: ends it early, once it is set.
        tell: told in words what is going on.

    Raises:
        RunnerError, ScheduleError, TopologyError: it can't be run here; nothing was started.
    """
    return _Run(scenario, folder, runner, schedule, run_id, stop or threading.Event(), tell).run()


def members_of(file: ComposeFile) -> list[Planned]:
    """The members that a run of a compose file has, as far as they are known before it is started."""
    return [
        Planned(f"{service.name}-{number}", service.name, service.component_type)
        for service in sorted(file.services.values(), key=lambda service: service.name)
        for number in range(1, service.replicas + 1)
    ]


def _overlays(scenario: Scenario) -> list[Path]:
    return [packaged_files(Path(__file__).resolve().parents[1]) / "compose" / AGENT_OVERLAY] if scenario.agent else []


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        kind: str,
        schedule: Schedule | None,
        run_id: str | None,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        if kind not in runner_kinds():
            raise RunnerError(f"there is no runner {kind!r}: there are {', '.join(runner_kinds())}")
        if scenario.runners and kind not in scenario.runners:
            raise RunnerError(f"{scenario.name} can't be run by {kind!r}, only by {', '.join(scenario.runners)}")
        if scenario.agent and kind == "processes":
            raise RunnerError(f"{scenario.name} needs an agent, which needs containers: {kind!r} has none")
        variables = {"MARO_REPORT": "json", "REMOVAL": str(int(scenario.removal)), **scenario.variables}
        self._file = read_compose_file(scenario.topology.file, *_overlays(scenario), variables=variables)
        self._schedule = (schedule or scenario.schedule).resolved(members_of(self._file))
        self._runner = make_runner(kind, self._file, folder, run_id=run_id)
        capabilities = self._runner.capabilities - (set() if scenario.agent else {Capability.AGENT})
        self._schedule.refuse_what_is_impossible(kind, frozenset(capabilities))
        self._refuse_what_the_kernel_lacks()
        self._scenario = scenario
        self._hits: Mapping[str, int] = {}
        self._kills: Mapping[str, int] = {}
        self._stop = stop
        self._tell = tell
        self._deadline = 0.0
        self._result = RunResult(scenario.name, kind, self._runner.folder)

    def run(self) -> RunResult:
        began_s = time.monotonic()
        self._deadline = began_s + self._scenario.within_s
        folder, result = self._runner.folder, self._result
        self._schedule.save(folder / SCHEDULE)
        (folder / FAULTS).touch()
        try:
            with self._runner:
                try:
                    self._go_through_it()
                finally:
                    self._runner.keep_logs()
                    self._tell("stopping everything")
        except (RunFailure, RunnerError) as error:
            result.failures.append(str(error))
        self._tell("judging")
        try:
            faults = read_injected(folder / FAULTS)
            result.verdict = check(journals_in(folder / JOURNALS), faults, limits=self._scenario.limits)
        except JournalError as error:
            result.failures.append(f"the journals can't be judged: {error}")
        result.seconds = time.monotonic() - began_s
        (folder / VERDICT).write_text(json.dumps(result.as_json(), indent=1) + "\n")
        return result

    def _refuse_what_the_kernel_lacks(self) -> None:
        kinds = {entry.fault.kind for entry in self._schedule.entries if entry.fault.needs in NETWORK}
        if kinds:
            unsupported = self._runner.network().unsupported(sorted(kinds))
            if unsupported:
                raise ScheduleError("; ".join(f"{kind}: {why}" for kind, why in unsupported.items()))

    def _go_through_it(self) -> None:
        self._tell("starting")
        self._runner.start()
        components = [member for member in self._runner.members() if member.component]
        self._until(f"all {len(components)} components to join", self._all_are_in)
        self._until("the agent to be in charge", self._runner.agent_is_in_charge)
        joined_s = time.monotonic()
        self._tell(f"all {len(components)} components have joined")
        injector = Injector(self._runner, self._runner.folder / FAULTS, self._tell)
        player = Player(injector, self._schedule, self._stop)
        player.play()
        self._hits, self._kills = player.hits, player.kills
        self._result.skipped += player.skipped
        self._result.failures += player.failures
        if self._scenario.runs_for_s is not None:
            end_s = joined_s + self._scenario.runs_for_s
            self._until("the end of its time", lambda: time.monotonic() >= end_s)
            self._until("everybody back in the group", self._all_are_in)
        else:
            self._until("the topology's own end", self._has_ended)
        self._judge_restarts()
        self._judge_reports()

    def _all_are_in(self) -> bool:
        """Whether all components that have not ended have joined."""
        components = [member for member in self._runner.members() if member.component]
        return not not_joined(self._runner, [member for member in components if member.exit_code is None])

    def _judges(self) -> list[Member]:
        return self._runner.members(self._scenario.topology.verdict)

    def _has_ended(self) -> bool:
        return all(member.exit_code is not None for member in self._judges())

    def _check_nobody_fell(self) -> None:
        """Nobody may have failed by itself.

        Raises:
            RunFailure: somebody has.
        """
        for member in self._runner.members():
            code, hits = member.exit_code, self._hits.get(member.label, 0)
            if code and not member.was_stopped and not (self._scenario.agent and self._is_redis_away):
                raise RunFailure(f"{member.label} ended with code {code}; it said last: {member.log(3).strip()}")
            if member.starts > 1 + hits and member.component and not self._is_redis_away:
                raise RunFailure(
                    f"{member.label} was started {member.starts} times, though only {hits} faults were its own: it has "
                    f"failed by itself; it said last: {member.log(3).strip()}"
                )

    @property
    def _is_redis_away(self) -> bool:
        return any(entry.fault.kind in REDIS_AWAY for entry in self._schedule.entries)

    def _judge_restarts(self) -> None:
        """An agent has to have done what it is there for, and nothing else."""
        if not self._scenario.agent or any(entry.fault.kind not in SEEN_BY_AGENT for entry in self._schedule.entries):
            return
        counted, expected = self._runner.restarts_by_agent(), dict[str, int]()
        for member in self._runner.members():
            if member.component and self._kills.get(member.label):
                expected[member.component] = self._kills[member.label]
                if member.was_replaced is not self._scenario.removal:
                    what = "started again, although removal is on" if self._scenario.removal else "replaced"
                    raise RunFailure(f"{member.label} was {what}")
        if counted != expected:
            raise RunFailure(f"the agent has restarted {counted or 'nothing'}, although it had to restart {expected}")

    def _judge_reports(self) -> None:
        """Whose end is the verdict has to have said that it has verified the result, if it says anything."""
        for member in self._judges() if self._scenario.runs_for_s is None else ():
            reports = [line for line in member.log().splitlines() if line.startswith('{"event"')]
            if reports and json.loads(reports[-1])["event"] != "finished":
                raise RunFailure(f"{member.label} ended with code 0, but its last report is {reports[-1]}")

    def _until(self, what: str, has_happened: Callable[[], bool]) -> None:
        """Wait for something, which can't happen any more when somebody has failed.

        Raises:
            RunFailure: it did not come in time, or can't.
        """
        self._tell(f"waiting for {what}")
        while not has_happened():
            if self._stop.is_set():
                raise Interrupted
            self._check_nobody_fell()
            if time.monotonic() > self._deadline:
                raise RunFailure(f"no {what} within {self._scenario.within_s:g} s; {self._account()}")
            self._stop.wait(_ASK_EVERY_S)
        self._check_nobody_fell()

    def _account(self) -> str:
        states = (f"{one.label} {'runs' if one.exit_code is None else one.exit_code}" for one in self._runner.members())
        return ", ".join(states)


__all__ = ["RunFailure", "RunResult", "RunnerError", "ScheduleError", "TopologyError", "members_of", "run"]
