"""Thousands of runs of whole groups, each through its own faults; and that a run is the same again with its seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maro.communication.admission import Admission
from maro.communication.lifetime import open_proxies
from tests.simulation.__main__ import main
from tests.simulation.plan import make_plan
from tests.simulation.running import run_seed
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[2]
CHUNKS = 40
SEEDS = 50
"""In each chunk."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promises_hold_in_every_run(chunk: int) -> None:
    """In order, at most once, nobody hangs, and everybody is back in the end, whatever the seed did to them."""
    # Given a seed's faults, When a group goes through them, Then its applications saw nothing that they must not see
    briefs = [run_seed(seed) for seed in range(chunk * SEEDS, (chunk + 1) * SEEDS)]
    failed = [brief.text for brief in briefs if brief.failures]
    assert not failed, f"{len(failed)} of {SEEDS} runs; the first: {failed[0]}"
    # and the runs were not idle
    assert sum(brief.facts["handed"] for brief in briefs) > 10 * SEEDS
    assert sum(brief.facts["ends: crashed"] for brief in briefs) > 0


def test_a_seed_replays_event_by_event() -> None:
    """In the same process, however many other runs there were between."""
    for seed in range(30, 40):
        first = simulate(make_plan(seed), trace=True)
        second = simulate(make_plan(seed), trace=True)
        assert first.trace == second.trace
        assert first.trace_hash == second.trace_hash != ""
        assert first.events == second.events
        # Looking on changes nothing.
        assert simulate(make_plan(seed)).facts == first.facts


def test_a_seed_replays_in_another_process() -> None:
    """Neither the order of sets nor random ids have a say."""
    program = (
        "from tests.simulation.plan import make_plan; from tests.simulation.world import simulate\n"
        "print([simulate(make_plan(seed), trace=True).trace_hash for seed in range(40, 60)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1


def test_other_seeds_do_something_else() -> None:
    """Each its own."""
    traces = {simulate(make_plan(seed), trace=True).trace_hash for seed in range(20)}
    assert len(traces) == 20


def open_files() -> int:
    """How many this process has, where that can be seen."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else 0


def test_nothing_piles_up() -> None:
    """What a run made is gone with it: the dead are not closed at the end of the process."""
    before = open_files()
    for seed in range(60, 90):
        simulate(make_plan(seed, cache=False))
    assert open_proxies() == []
    assert open_files() <= before + 2


def test_a_failing_seed_names_itself_and_its_schedule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails again alone, with a trace of everything."""
    # Given a library that lets in what is for somebody else
    monkeypatch.setattr(Admission, "admits", lambda *_: True)
    # When seeds run
    assert main(["--seeds", "150", "--jobs", "1", "--cache", "off"]) == 1
    said = capsys.readouterr().out
    # Then one that failed is named
    failed = [line.split()[2] for line in said.splitlines() if line.startswith("failed: --seed")]
    assert failed
    assert f"seed {failed[0]}: " in said
    assert "VIOLATED phantom" in said
    # and fails again
    assert main(["--seed", failed[0], "--trace", "--cache", "off"]) == 1
    again = capsys.readouterr().out
    assert "FAULT" in again
    assert "VIOLATED" in again


def test_seeds_that_hold_end_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    """And a summary by application and fault."""
    assert main(["--seeds", "50", "--start", "7", "--jobs", "2", "--cache", "off"]) == 0
    said = capsys.readouterr().out
    for part in ("By application", "By fault", "crash_together", "50 seeds", " 0 failed"):
        assert part in said
