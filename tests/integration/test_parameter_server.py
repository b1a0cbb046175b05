"""The workload `parameter_server`: a server and its workers as real processes, with a real Redis where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maro.testbed.launcher import LocalComponent, LocalGroup
from maro.testbed.redis_server import RedisServer
from tests.support.redis_servers import start_redis
from tests.support.reports import Report, Reports

pytest.importorskip("numpy", reason="numpy is not installed: pip install '.[examples]'")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[datasets]'")

WORKLOAD = "maro.testbed.workloads.parameter_server"
WORKERS = 4

# One after the other: two at once on two cores take twice as long each.
pytestmark = [pytest.mark.xdist_group("parameter_server"), pytest.mark.timeout(400)]


class Training:
    """A server and its workers, and what the server reports."""

    def __init__(self, group: LocalGroup, *options: str) -> None:
        self.group = group
        self.server = group.add("server", 0, f"{WORKLOAD}.server", ["--json", *options], {"worker": WORKERS}, True)
        self.workers = [self.add_worker(number) for number in range(WORKERS)]
        self.reports = Reports(group, self.server)

    def add_worker(self, number: int) -> LocalComponent:
        """Start a worker."""
        return self.group.add("worker", number, f"{WORKLOAD}.worker", ["--seed", "1"], {"server": 1})

    def reach(self, updates: int) -> Report:
        """Wait until so many updates were made."""
        return self.reports.until(lambda report: report.get("updates", 0) >= updates)

    def ends_well(self) -> Report:
        """Wait for the end, check that it is the verified one, and return what was reported then."""
        assert self.reports.exit_code() == 0, self.reports.logs()
        last = self.reports.last
        assert last["event"] == "finished"
        assert 1.0 <= last["ratio"] <= 1.01
        assert last["loss"] == pytest.approx(last["ratio"] * last["optimum"], rel=1e-3)
        assert min(last["gradients_by_worker"][worker] for worker in last["workers"]) >= 100
        return last


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with start_redis() as server:
        yield server


@pytest.fixture
def group(redis: RedisServer, tmp_path: Path) -> Iterator[LocalGroup]:
    """A group in it."""
    with LocalGroup("parameter-server", redis.url, tmp_path) as group:
        yield group


def test_the_loss_comes_close_to_the_optimum_although_a_worker_is_killed(group: LocalGroup) -> None:
    """Given four workers, when one is SIGKILLed and started again, it is used again and the training ends well."""
    training = Training(group)
    victim = training.workers[2]
    before = training.reach(updates=1000)["gradients_by_worker"][victim.name]
    victim.kill()
    victim.start()

    last = training.ends_well()
    assert last["gradients_by_worker"][victim.name] > before, training.reports.logs()
    assert set(last["gradients_by_worker"]) == {worker.name for worker in training.workers}
    # Workers outlive the server, and leave when they are asked to.
    assert all(worker.is_running for worker in training.workers)
    for worker in training.workers:
        worker.ask_to_end()
    assert [worker.wait() for worker in training.workers] == [0] * WORKERS, training.reports.logs()


def test_a_server_that_is_killed_trains_afresh(group: LocalGroup) -> None:
    """Given a training that is under way, when the server is SIGKILLed and comes back, it starts anew and ends well."""
    training = Training(group)
    first = training.reach(updates=1000)
    training.reports.restart()

    assert training.ends_well()["run"] != first["run"]
    assert [worker.starts for worker in training.workers] == [1] * WORKERS


def test_workers_may_die_leave_and_come(group: LocalGroup) -> None:
    """Given a training, when a worker dies for good, one leaves and one comes, it goes on with those that are there."""
    training = Training(group)
    training.reach(updates=500)
    training.workers[0].kill()
    training.workers[1].ask_to_end()
    assert training.workers[1].wait() == 0
    newcomer = training.add_worker(9)
    training.reports.until(lambda report: newcomer.name in report["gradients_by_worker"])

    assert newcomer.name in training.ends_well()["workers"]


def test_a_redis_that_comes_back_empty_costs_nothing(redis: RedisServer, group: LocalGroup) -> None:
    """Given a training, when Redis is killed and comes back empty, the training ends well."""
    training = Training(group)
    training.reach(updates=1000)
    redis.restart_empty()
    assert set(training.ends_well()["gradients_by_worker"]) == {worker.name for worker in training.workers}


def test_a_training_that_does_not_succeed_is_told_from_one_that_does(group: LocalGroup) -> None:
    """Given a server that may make one update only, then it ends with code 1, and says what is missing."""
    training = Training(group, "--max-updates", "1")

    assert training.reports.exit_code() == 1
    assert training.reports.last["event"] == "failed"
    assert "no success after 1 updates: the loss is" in training.reports.last["reason"]
    assert training.server.last_lines(1) == training.reports.last["reason"]


def test_without_the_data_a_worker_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: LocalGroup
) -> None:
    """Given a folder without the data set, then a component ends with the code that means: do not restart."""
    monkeypatch.setenv("MARO_DATA", str(tmp_path))
    worker = group.add("worker", 0, f"{WORKLOAD}.worker", [], {"server": 1})

    assert worker.wait(timeout_s=60.0) == 64
    assert "pip install scikit-learn, or put" in worker.last_lines(1)
