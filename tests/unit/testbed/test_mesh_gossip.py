"""A node's mind of the workload `mesh`: averages, catching up, and the verified end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="the workloads need the extra `examples`: pip install 'maro[examples]'")

from maro.testbed.workloads.mesh.gossip import Gossip, State, distance_to_mean  # noqa: E402 - only where NumPy is there
from maro.testbed.workloads.mesh.settings import MeshSettings  # noqa: E402 - as above
from maro.testbed.workloads.regression import Regression  # noqa: E402 - as above

NAMES = ("a", "b", "c", "d")
NOTHING = np.zeros(4)


def task() -> Regression:
    """A small task."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((120, 4))
    return Regression(features, features @ rng.standard_normal(4) + 0.5 * rng.standard_normal(120))


def node(name: str = "a", **changes: Any) -> Gossip:
    """A node at the start."""
    return Gossip(task(), name, MeshSettings(**changes))


def state(round: int, *weights: float, result: Any = None) -> State:
    """What a peer sends."""
    return State(round, np.array(weights or (0.0,) * 4), result)


def best() -> Any:
    """The weights of the optimum."""
    regression = task()
    return np.linalg.lstsq(regression.features, regression.targets, rcond=None)[0]


class TestRounds:
    def test_a_round_averages_and_then_moves_by_the_gradient(self) -> None:
        """Given states of this round, then the node's weights are the mean of all, its own too, less the step."""
        gossip = node(step=0.5)
        gossip.average({"b": state(0, 3, 3, 3, 3), "c": state(0, 0, 0, 0, 6)}, np.ones(4))
        assert gossip.weights.tolist() == [0.5, 0.5, 0.5, 2.5]
        assert gossip.round == 1

    def test_a_state_that_is_too_old_is_refused(self) -> None:
        """Given a state of an earlier round, then the node says so and stays as it is."""
        gossip = node()
        gossip.average({"b": state(0)}, NOTHING)
        with pytest.raises(ValueError, match="round 0 does not count for round 1"):
            gossip.average({"b": state(0)}, NOTHING)
        assert gossip.round == 1

    def test_a_node_whose_peers_are_all_further_takes_over_their_average(self) -> None:
        """Given a node that came back, then it drops its own weights and goes on in the round of its slowest peer."""
        gossip = node()
        gossip.average({"b": state(70, 2, 2, 2, 2), "c": state(71, 4, 4, 4, 4)}, np.ones(4))
        assert gossip.round == 70
        assert gossip.weights.tolist() == [3, 3, 3, 3]

    def test_one_peer_that_is_further_does_not_count_for_all(self) -> None:
        """Given one peer in this round and one ahead, then it is a round like any other."""
        gossip = node(step=1.0)
        gossip.average({"b": state(0, 3, 3, 3, 3), "c": state(1, 3, 3, 3, 3)}, np.ones(4))
        assert gossip.round == 1
        assert gossip.weights.tolist() == [1, 1, 1, 1]

    def test_a_lone_node_goes_on_by_itself(self) -> None:
        """Given no peers, when it makes rounds, then it has all the data and reaches the optimum."""
        gossip = node(batch=120, step=0.1)
        while not gossip.verified:
            gossip.average({}, gossip.gradient([]))
        assert gossip.result_ratio is not None and gossip.result_ratio <= 1.01

    @given(st.lists(st.integers(0, 40), max_size=5), st.integers(0, 40))
    def test_rounds_never_go_back_nor_past_the_last_peer(self, ahead: list[int], start: int) -> None:
        """Given peers in any rounds from the node's own on, then it goes on by one, or to the last of them."""
        gossip = node()
        gossip.round = start
        gossip.average({str(number): state(start + lead) for number, lead in enumerate(ahead)}, NOTHING)
        assert gossip.round == start + max(1, min(ahead, default=0))


class TestEnd:
    def results(self, gossip: Gossip, **states: State) -> bool:
        """Whether the end is reached in a round with these states."""
        gossip.average(states, NOTHING)
        return gossip.verified

    def test_it_takes_a_result_of_everybody(self) -> None:
        """Given a node with a result, when a peer has none, then it is not the end; when all have one, it is."""
        gossip, good = node(), best()
        gossip.weights = good
        assert not self.results(gossip, b=state(0, *good), c=state(0, *good, result=good))
        assert gossip.result_ratio == pytest.approx(1.0)
        assert self.results(gossip, b=state(1, *good, result=good), c=state(1, *good, result=good))

    def test_results_that_do_not_agree_are_not_the_end(self) -> None:
        """Given results that are far from each other, then it goes on."""
        gossip, good = node(), best()
        gossip.weights = good
        assert not self.results(gossip, b=state(0, *good, result=2 * good))

    def test_a_bad_average_is_no_result(self) -> None:
        """Given an average that is bad, or good but of nodes that do not agree, then there is no result."""
        gossip, good = node(), best()
        assert not self.results(gossip, b=state(0))
        gossip.weights = good + 1
        assert not self.results(gossip, b=state(1, *(good - 1)))
        assert gossip.ratio == pytest.approx(1.0) and gossip.result is None

    def test_a_result_stays_when_a_later_average_is_worse(self) -> None:
        """Given a result, when the next average misses a peer and is worse, then the result stays."""
        gossip, good = node(), best()
        gossip.weights = good
        self.results(gossip, b=state(0, *good))
        self.results(gossip, b=state(1, *(3 * good)))
        assert gossip.ratio > 1.01 and gossip.result_ratio == pytest.approx(1.0)

    def test_it_fails_when_the_rounds_are_used_up(self) -> None:
        """Given two rounds only, then it has failed after them, and the sentence says what was missing."""
        gossip = node(max_rounds=2)
        for round in range(2):
            assert not gossip.failed
            gossip.average({"b": state(round)}, NOTHING)
        assert gossip.failed
        assert "no success after 2 rounds: the average's loss is" in gossip.failure()

    @settings(max_examples=10)
    @given(st.integers(0, 10**6), st.floats(0.0, 0.3))
    def test_nodes_that_lose_messages_end_all_the_same(self, seed: int, loss: float) -> None:
        """Given nodes that miss some states in each round, then all reach the end with results that agree."""
        rng = np.random.default_rng(seed)
        nodes = {name: Gossip(task(), name, MeshSettings(seed=seed, step=0.1)) for name in NAMES}
        while not all(gossip.verified for gossip in nodes.values()):
            states = {name: gossip.state() for name, gossip in nodes.items()}
            for name, gossip in nodes.items():
                heard = {peer: sent for peer, sent in states.items() if peer != name and rng.random() >= loss}
                gossip.average(heard, gossip.gradient([peer for peer in NAMES if peer != name]))
                assert not gossip.failed
        results = np.array([gossip.result for gossip in nodes.values()])
        assert distance_to_mean(results) <= 0.05
        assert max(task().ratio(result) for result in results) <= 1.01


def test_the_distance_is_a_share_of_the_means_length() -> None:
    """Given vectors, then the distance is that of the farthest; equal ones have none, and around zero it has no end."""
    assert distance_to_mean(np.array([[3.0, 0.0], [5.0, 0.0]])) == 0.25
    assert distance_to_mean(np.zeros((3, 2))) == 0.0
    assert distance_to_mean(np.array([[1.0, 0.0], [-1.0, 0.0]])) == float("inf")


def test_the_rows_are_dealt_anew_when_peers_come_and_go() -> None:
    """Given a node, when its last peer goes, then its minibatches come from all rows."""
    gossip = node(batch=1000)
    gossip.gradient(["b", "c"])
    assert len(gossip._rows) == 40
    everything = gossip.gradient([])
    assert everything == pytest.approx(task().gradient(gossip.weights, np.arange(120)))


@pytest.mark.parametrize("field", ["seed", "batch", "step", "tolerance", "spread", "max_rounds"])
def test_settings_that_make_no_sense_are_refused(field: str) -> None:
    """Given a negative value, then the error names the setting."""
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(MeshSettings(), **{field: -1}).validate()
