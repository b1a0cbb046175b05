"""How reliably the workload `rollout` learns: the whole training, as local processes, once for each seed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.goals import ACTORS, REQUIRED_RETURN
from benchmarks.harness import MeasurementError
from maro.testbed.launcher import LocalComponent, LocalGroup
from maro.testbed.redis_server import RedisServer
from maro.testbed.report_reader import ReportReader, ReportsLostError

_WORKLOAD = "maro.testbed.workloads.rollout"
_TRAINING_LIMIT_S = 600.0
"""Ten times what the training takes on two idle cores."""
_SILENCE_S = 90.0
"""A learner that reports nothing for so long is taken for stuck."""


@dataclass(frozen=True)
class Training:
    """How the training with one seed went."""

    seed: int
    seconds: float
    """From the start of the processes to the end of the learner."""
    updates: int
    evaluation: float | None
    """Mean return over the evaluation's episodes; None where there was none."""

    @property
    def passed(self) -> bool:
        """Whether the policy is good enough."""
        return self.evaluation is not None and self.evaluation >= REQUIRED_RETURN


def train_all(seeds: Iterable[int], redis: RedisServer, done: Callable[[Training], None]) -> list[Training]:
    """Train with each seed, one after the other.

    Args:
        seeds: of the trainings.
        redis: for the groups.
        done: told of each training when it has ended.

    Raises:
        MeasurementError: a component failed, or the learner is stuck; the text has the end of its log.
    """
    trainings = []
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="maro-seeds-") as logs:
            trainings.append(_train(seed, redis, Path(logs)))
        done(trainings[-1])
    return trainings


def _train(seed: int, redis: RedisServer, logs: Path) -> Training:
    start = time.monotonic()
    with LocalGroup(f"seed-{seed}-{redis.port}", redis.url, logs) as group:
        arguments = ["--seed", str(seed)]
        learner = group.add("learner", 0, f"{_WORKLOAD}.learner", [*arguments, "--json"], {"actor": ACTORS}, piped=True)
        actors = [
            group.add("actor", number, f"{_WORKLOAD}.actor", arguments, {"learner": 1}) for number in range(ACTORS)
        ]
        last = _last_report(learner, actors, start + _TRAINING_LIMIT_S)
        code = learner.wait()
        if code != 0:
            raise MeasurementError(f"seed {seed}: the learner ended with code {code}:\n{learner.last_lines()}")
    return make_training(seed, time.monotonic() - start, last)


def make_training(seed: int, seconds: float, last: Mapping[str, Any]) -> Training:
    """From the learner's last report; MeasurementError where that is not its end."""
    if last.get("event") != "finished":
        raise MeasurementError(f"seed {seed}: the learner's last report is not that it has finished: {dict(last)}")
    return Training(seed, seconds, int(last["version"]), last["evaluation"])


def _last_report(learner: LocalComponent, actors: list[LocalComponent], deadline: float) -> dict[str, Any]:
    """Follow the learner to its end, and return what it said last."""
    reports = ReportReader(learner.process.stdout or ())
    last: dict[str, Any] = {}
    while True:
        left_s = deadline - time.monotonic()
        try:
            arrival = reports.next(max(0.0, min(_SILENCE_S, left_s)))
        except TimeoutError:
            raise MeasurementError(
                f"the learner said nothing for {_SILENCE_S:.0f} s, or trains for more than {_TRAINING_LIMIT_S:.0f} s; "
                f"its last report is {last}:\n{learner.last_lines()}"
            ) from None
        except ReportsLostError as error:
            raise MeasurementError(f"{error}; the learner's last report is {last}:\n{learner.last_lines()}") from error
        if arrival is None:
            return last
        last = arrival.report
        for actor in actors:
            code = actor.process.poll()
            if code not in (None, 0):
                raise MeasurementError(f"{actor.name} ended with code {code}:\n{actor.last_lines()}")


def make_seed_table(trainings: Iterable[Training]) -> Table:
    """A line for each seed."""
    table = Table(title=f"rollout with {ACTORS} actors; required is a mean return of {REQUIRED_RETURN:g}")
    for heading in ("seed", "seconds", "updates", "evaluation mean"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for training in trainings:
        mean = "none" if training.evaluation is None else f"{training.evaluation:.1f}"
        word = Text("pass", "bold green") if training.passed else Text("fail", "bold red")
        table.add_row(str(training.seed), f"{training.seconds:.1f}", str(training.updates), mean, word)
    return table


def make_seed_report(trainings: Iterable[Training]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "seed": training.seed,
            "seconds": training.seconds,
            "updates": training.updates,
            "evaluation": training.evaluation,
            "passed": training.passed,
        }
        for training in trainings
    ]
