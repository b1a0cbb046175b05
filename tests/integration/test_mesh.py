"""The workload `mesh`: nodes that are peers of each other as real processes, with a real Redis where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maro.testbed.launcher import LocalGroup
from tests.support.redis_servers import start_redis
from tests.support.reports import Report, Reports

pytest.importorskip("numpy", reason="numpy is not installed: pip install '.[examples]'")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[datasets]'")

NODE = "maro.testbed.workloads.mesh.node"
NODES = 4

# One after the other: two at once on two cores take twice as long each.
pytestmark = [pytest.mark.xdist_group("mesh"), pytest.mark.timeout(400)]


class Mesh:
    """Some nodes, and what they report, by number."""

    def __init__(self, group: LocalGroup, *options: str) -> None:
        self.group = group
        self.options = options
        self.nodes = {number: self.add_node(number) for number in range(NODES)}

    def add_node(self, number: int) -> Reports:
        """Start a node."""
        arguments = ["--json", "--nodes", str(NODES), *self.options]
        return Reports(self.group, self.group.add("node", number, NODE, arguments, {}, piped=True))

    def reach(self, round: int) -> Report:
        """Wait until the first node is in that round."""
        return self.nodes[0].until(lambda report: report.get("round", 0) >= round)

    def remove(self, number: int) -> None:
        """Ask a node to leave, and wait until the first one knows."""
        node = self.nodes.pop(number).component
        node.ask_to_end()
        assert node.wait() == 0
        self.nodes[0].until(lambda report: report["event"] == "progress" and node.name not in report["peers"])

    def end_well(self) -> list[Report]:
        """Wait for the end of all nodes, check that all verified a result, and return what they reported then."""
        codes = [node.exit_code() for node in self.nodes.values()]
        assert codes == [0] * len(self.nodes), [node.logs() for node in self.nodes.values()]
        reports = [node.last for node in self.nodes.values()]
        for report in reports:
            assert report["event"] == "finished"
            assert 1.0 <= report["result_ratio"] <= 1.01
        return reports


@pytest.fixture
def group(tmp_path: Path) -> Iterator[LocalGroup]:
    """A group with a Redis of its own."""
    with start_redis() as redis, LocalGroup("mesh", redis.url, tmp_path) as group:
        yield group


def test_nodes_agree_on_weights_close_to_the_optimum(group: LocalGroup) -> None:
    """Given four nodes, then each of them verifies the result, having used the weights of all others."""
    mesh = Mesh(group)
    reports = mesh.end_well()

    names = {report["node"] for report in reports}
    for report in reports:
        assert report["distance"] <= 0.05
        assert set(report["rounds_by_peer"]) == names - {report["node"]}
        assert min(report["rounds_by_peer"].values()) > 0.5 * report["round"]


def test_a_node_that_is_killed_comes_back_into_the_rounds(group: LocalGroup) -> None:
    """Given a training, when a node is SIGKILLed and started again, its weights are used again and all verify."""
    mesh = Mesh(group)
    before = mesh.reach(round=500)["rounds_by_peer"]["node.2"]
    mesh.nodes[2].restart()
    ready = mesh.nodes[0].until(lambda report: report["who"] == "node.2" and report["round"] >= 500)

    reports = mesh.end_well()
    assert reports[0]["rounds_by_peer"]["node.2"] > before
    # It went on in the round of the others, which had gone so far without it.
    assert reports[2]["round"] - reports[2]["rounds_by_peer"]["node.0"] >= ready["round"] - 2


def test_a_node_comes_back_although_another_one_is_gone_for_good(group: LocalGroup) -> None:
    """Given three of four nodes that go on, when one of them is killed and started again, it need not wait for four."""
    mesh = Mesh(group)
    mesh.reach(round=300)
    mesh.remove(1)
    before = mesh.nodes[0].last["rounds_by_peer"]["node.2"]
    mesh.nodes[2].restart()

    assert mesh.end_well()[0]["rounds_by_peer"]["node.2"] > before


def test_nodes_may_die_and_come(group: LocalGroup) -> None:
    """Given a training, when a node dies for good and another one comes, those that there are verify a result."""
    mesh = Mesh(group)
    mesh.reach(round=300)
    mesh.nodes.pop(1).component.kill()
    mesh.nodes[9] = mesh.add_node(9)

    assert mesh.end_well()[0]["rounds_by_peer"]["node.9"] > 0


def test_a_training_that_does_not_succeed_is_told_from_one_that_does(group: LocalGroup) -> None:
    """Given nodes that may make ten rounds only, then each ends with code 1, and says what is missing."""
    mesh = Mesh(group, "--max-rounds", "10")

    assert [node.exit_code() for node in mesh.nodes.values()] == [1] * NODES
    for node in mesh.nodes.values():
        assert node.last["event"] == "failed"
        assert "no success after 10 rounds: the average's loss is" in node.last["reason"]
        assert node.component.last_lines(1) == node.last["reason"]
