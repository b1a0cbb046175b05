"""What the library itself writes down while components are killed, and the verdict on it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from maro.testbed.history import Injected, Verdict, check, journals_in
from tests.support.journals import ACCEPTED, RECEIVED
from tests.support.trials import Trial

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""


@pytest.fixture
def folder(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they write it."""
    found = tmp_path / "library"
    found.mkdir()
    monkeypatch.setenv("MARO_JOURNAL", str(found))
    return found


def verdict(folder: Path, *faults: Injected) -> Verdict:
    """With what it says on standard output."""
    found = check(journals_in(folder), faults)
    print(found.report())
    return found


def test_a_pipeline_whose_stage_is_killed_keeps_every_promise_by_its_own_account(trial: Trial, folder: Path) -> None:
    """And each kill has a recovery."""
    # Given a pipeline
    source = trial.member("source", {"stage": 1})
    stage = trial.member("stage", {"source": 1, "sink": 1}, work="pass_on", to="sink")
    trial.member("sink", {"stage": 1}, work="consume")

    # When its middle is killed twice, each time after it has done some of its work
    count, faults = 1500, []
    for _ in range(2):
        before = trial.journals.count(RECEIVED, stage.name)
        source.start("stream", to=["stage"], count=count, rate=1500)
        trial.await_count(RECEIVED, before + count // 2, stage.name)
        faults.append(Injected("kill", stage.name, time.time_ns()))
        stage.kill_and_restart()
    source.start("listen")
    trial.await_count(ACCEPTED, 2 * count, "source")
    trial.await_all_finished(ends_at="sink")
    trial.end()

    # Then nothing is broken, and each recovery was seen
    found = verdict(folder, *faults)
    assert found.has_passed, found.report()
    assert found.counts["journals"] == 5
    assert found.counts["messages accepted"] >= 4 * count
    assert [row["seen"] for row in found.recovery_table().values()] == [2, 2, 2]


def test_requests_to_workers_that_are_killed_at_random_keep_every_promise(
    trial: Trial, folder: Path, dice: random.Random
) -> None:
    """Replies as well; and where a line is taken away, that is found."""
    # Given an asker, and workers that answer
    rounds = 300
    asker = trial.member("asker", {"worker": 3})
    workers = [trial.member("worker", {"asker": 1}, f"worker.{number}", work="answer") for number in range(3)]
    asked = asker.start("ask_each", to=[worker.name for worker in workers], count=rounds, rate=150)

    # When some are killed
    for share in (0.2, 0.4, 0.6):
        trial.await_count(ACCEPTED, int(share * rounds), "asker")
        dice.choice(workers).kill_and_restart()
    asked()
    trial.end()

    # Then nothing is broken
    found = verdict(folder)
    assert found.has_passed, found.report()

    # And a message that the journals say nothing of any more is missed
    finished = '"e":"finished"'
    file = next(file for file in sorted(folder.iterdir()) if "worker" in file.name and finished in file.read_text())
    lines = file.read_text().splitlines(keepends=True)
    lines.remove(next(line for line in lines if finished in line))
    file.write_text("".join(lines))
    assert verdict(folder).broken == {"lost": 1}
