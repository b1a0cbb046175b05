"""The workload `pipeline`: source, stages and sink as real processes, with a real Redis where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maro.testbed.launcher import LocalComponent, LocalGroup
from tests.support.programs import write_program
from tests.support.redis_servers import start_redis
from tests.support.reports import Reports

WORKLOAD = "maro.testbed.workloads.pipeline"
NUMBERS = 500
SOON = 60
"""After so many numbers somebody is killed."""
REPLICAS = 2
STAGES = {"sieve.0", "sieve.1", "factor.0", "factor.1"}

# One after the other: two at once on two cores take twice as long each.
pytestmark = [pytest.mark.xdist_group("pipeline"), pytest.mark.timeout(300)]


class Pipeline:
    """A source, a sink, and two stages of each kind between them."""

    def __init__(self, group: LocalGroup, numbers: int = NUMBERS, factor: str = f"{WORKLOAD}.stage") -> None:
        self.group = group
        self.removed: set[str] = set()
        """Whom the test has ended for good."""
        options = ["--seed", "1", "--numbers", str(numbers), "--json"]
        peers = {"sieve": REPLICAS, "sink": 1}
        self.source = Reports(group, group.add("source", 0, f"{WORKLOAD}.source", options, peers, piped=True))
        self.sink = group.add("sink", 0, f"{WORKLOAD}.sink", [], {"source": 1})
        for number in range(REPLICAS):
            self.add_stage("sieve", number)
            self.add_stage("factor", number, factor)

    def add_stage(self, kind: str, number: int, module: str = f"{WORKLOAD}.stage") -> LocalComponent:
        """Start a stage."""
        peers = {"factor": REPLICAS} if kind == "sieve" else {"sink": 1}
        return self.group.add(kind, number, module, [], peers)

    def half_way(self) -> dict[str, int]:
        """Wait until everybody has done something, and return how much by stage."""
        report = self.source.until(
            lambda report: report["confirmed"] >= SOON and set(report["items_by_stage"]) >= STAGES
        )
        counts: dict[str, int] = report["items_by_stage"]
        return counts

    def ends_well(self) -> None:
        """Wait for the end, and check that it is the verified one."""
        assert self.source.exit_code() == 0, self.source.logs()
        last = self.source.last
        assert last["event"] == "finished"
        assert last["confirmed"] == last["numbers"]
        assert last["total"].startswith(f"{last['numbers']} numbers")
        outliving = self.group.components.keys() - {self.source.component.name, *self.removed}
        assert all(self.group.components[name].is_running for name in outliving), self.source.logs()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[LocalGroup]:
    """A group of its own, in a Redis of its own."""
    with start_redis() as redis, LocalGroup("pipeline", redis.url, tmp_path) as group:
        yield group


def test_every_stage_contributes_to_a_verified_total(group: LocalGroup) -> None:
    """Given two stages of each kind, when all numbers have come through, the total is right and all had a share."""
    pipeline = Pipeline(group)
    pipeline.ends_well()
    counts = pipeline.source.last["items_by_stage"]
    assert set(counts) == STAGES
    assert counts["sieve.0"] + counts["sieve.1"] == counts["factor.0"] + counts["factor.1"] == NUMBERS


@pytest.mark.parametrize("victim", ["sieve.1", "factor.0"])
def test_a_stage_that_is_killed_comes_back_and_is_used_again(victim: str, group: LocalGroup) -> None:
    """Given numbers on their way, when a stage is SIGKILLed and restarted, it is used again and the total is right."""
    pipeline = Pipeline(group)
    pipeline.half_way()
    component = group.components[victim]
    component.kill()
    component.start()

    pipeline.ends_well()
    ready = [report for report in pipeline.source.all if report["event"] == "ready" and report["who"] == victim]
    assert len(ready) == 2, pipeline.source.logs()
    back = ready[1]["items_by_stage"][victim]
    assert pipeline.source.last["items_by_stage"][victim] > back
    assert pipeline.source.last["sent_again"] > 0


def test_a_sink_that_is_killed_gets_everything_again(group: LocalGroup) -> None:
    """Given a sink that is SIGKILLed with its ledger, when it is back, all is sent again and the total is right."""
    pipeline = Pipeline(group)
    pipeline.half_way()
    pipeline.sink.kill()
    pipeline.sink.start()

    pipeline.ends_well()
    assert pipeline.source.last["lost_ledgers"] == 1
    assert sum(pipeline.source.last["items_by_stage"].values()) >= 2 * (NUMBERS + SOON)


def test_a_source_that_is_killed_begins_a_new_run(group: LocalGroup) -> None:
    """Given a source that is SIGKILLed, when it is back, its new run is counted apart and the total is right."""
    pipeline = Pipeline(group)
    pipeline.half_way()
    pipeline.source.restart()

    pipeline.ends_well()
    assert pipeline.source.component.starts == 2
    assert pipeline.source.last["lost_ledgers"] == 0


def test_stages_are_added_and_removed_while_it_runs(group: LocalGroup) -> None:
    """Given numbers on their way, when stages leave, die for good and come new, those that are there do the work."""
    pipeline = Pipeline(group)
    pipeline.half_way()
    pipeline.add_stage("sieve", 7)
    pipeline.add_stage("factor", 7)
    pipeline.source.until(lambda report: {"sieve.7", "factor.7"} <= set(report["items_by_stage"]))
    group.components["sieve.0"].ask_to_end()
    assert group.components["sieve.0"].wait() == 0
    group.components["factor.1"].kill()  # and not started again: its lease has to run out
    pipeline.removed = {"sieve.0", "factor.1"}

    pipeline.ends_well()


def test_a_wrong_total_is_detected(group: LocalGroup, tmp_path: Path) -> None:
    """Given stages that take every number for a prime, when all have come through, the source says so and fails."""
    liar = write_program(
        tmp_path / "liar.py",
        """
        from maro.communication import Proxy, group_from_environment
        from maro.testbed.workloads.pipeline.stage import Stage

        with Proxy(**group_from_environment(), enable_rejoin=True) as proxy:
            Stage(proxy, lambda number: ([number], 1)).run()
        """,
    )
    pipeline = Pipeline(group, numbers=50, factor=str(liar))
    assert pipeline.source.exit_code() == 1, pipeline.source.logs()
    assert pipeline.source.last["event"] == "failed"
    assert "the pipeline failed: the sink has 50 numbers" in pipeline.source.component.last_lines()
