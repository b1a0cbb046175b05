"""`maro run` as its user starts it: a topology as local processes, faults, and the verdict."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from maro.testbed.history import read_injected
from maro.testbed.runners.leftovers import marked_processes
from tests.support.programs import Program, started
from tests.support.waiting import eventually

pytestmark = [pytest.mark.xdist_group("maro run"), pytest.mark.timeout(400)]
"""One after the other: each is half a dozen processes."""

WITHIN_S = 300.0
PIPELINE = """
shows: Stages that are killed lose nothing.
topology: pipeline
variables: {NUMBERS: 400, CACHE: 1}
schedule:
  - {at: 0.2, fault: kill, target: any factor}
  - {at: 0.5, for: 1, fault: pause, target: any sieve}
  - {at: 1, for: 1, fault: fail-point, target: sink-1, point: after-receive, action: kill@3}
  - {at: 1.2, fault: redis-plant, target: source-1, entry: no-json}
  - {at: 1.5, fault: redis-flush}
  - {at: 2, for: 1, fault: redis-kill}
  - {at: 2.5, fault: redis-plant, target: source-1, entry: stale}
"""


def run(folder: Path, text: str, *arguments: object) -> Program:
    """`maro run` of a scenario; a context manager."""
    file = folder / "mine.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "maro", "run", str(file), "--folder", str(folder / "kept"), *map(str, arguments)]
    return started(command, folder)  # type: ignore[return-value]


def kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "kept" / "verdict.json").read_text())
    return found


def test_a_scenario_is_run_and_judged(tmp_path: Path) -> None:
    """With faults of every kind that processes can have; what it did is kept, and can be done again."""
    # Given a scenario, when it is run
    with run(tmp_path, PIPELINE) as program:
        code = program.exit_code(WITHIN_S)

    # Then every promise was kept, and the output says so
    assert code == 0, program.output()
    assert program.stdout.startswith("Stages that are killed lose nothing.\n")
    assert "all 6 components have joined" in program.stdout
    assert "passed: " in program.stdout
    verdict = kept(tmp_path)
    assert verdict["passed"] is True
    assert verdict["verdict"]["counts"]["messages accepted"] > 800
    # And what was done is there, with whom it was done to
    faults = read_injected(tmp_path / "kept" / "faults.jsonl")
    assert [fault.kind for fault in faults] == [
        "kill",
        "pause",
        "fail-point",
        "redis-plant",
        "redis-flush",
        "redis-kill",
    ]
    assert faults[1].healed_ns is not None
    assert [fault.component.partition(".")[0] for fault in faults] == ["factor", "sieve", "sink", "source", "", ""]
    # And what could not be done is told, and no fault of anybody
    assert "skipped: redis-plant source-1 entry=stale: " in program.stdout
    assert {file.name for file in (tmp_path / "kept").glob("*.log")} >= {"source-1.log", "sink-1.log"}
    schedule = json.loads((tmp_path / "kept" / "schedule.json").read_text())
    assert schedule["entries"][0]["target"] in ("factor-1", "factor-2")


def test_a_topology_that_fails_fails_the_run(tmp_path: Path) -> None:
    """With its last words; the messages are judged all the same."""
    text = "{shows: It fails., topology: parameter-server, variables: {MAX_UPDATES: 3, MAIN_RESTART: 'no'}}"
    with run(tmp_path, text) as program:
        code = program.exit_code(WITHIN_S)
    assert code == 1, program.output()
    assert "FAILED: server-1 ended with code 1" in program.stdout
    assert kept(tmp_path)["failures"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_behind(tmp_path: Path, signum: signal.Signals) -> None:
    """And says that it was; what was written is kept."""
    text = "{shows: It takes a while., topology: mesh, runs_for: 600}"
    with run(tmp_path, text) as program:
        eventually(lambda: "have joined" in program.stdout, WITHIN_S, program.output)
        program.signal(signum)
        assert program.exit_code(WITHIN_S) == 130, program.output()
    assert "FAILED: interrupted" in program.stdout
    folder = str(tmp_path / "kept")
    assert [pid for pid, environment in marked_processes() if folder in environment.get("MARO_JOURNAL", "")] == []
