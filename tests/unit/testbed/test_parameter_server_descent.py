"""The server's mind of the workload `parameter_server`: staleness, updates, and when it is done."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="the workloads need the extra `examples`: pip install 'maro[examples]'")

from maro.testbed.workloads.parameter_server.descent import (  # noqa: E402 - only where NumPy is there
    Descent,
    Gradient,
    Verdict,
    step_share,
    worker_gradient,
)
from maro.testbed.workloads.parameter_server.settings import ServerSettings  # noqa: E402 - as above
from maro.testbed.workloads.regression import Regression  # noqa: E402 - as above

RUN = "this run"
WORKERS = ("a", "b", "c", "d")


def descent(**changes: Any) -> Descent:
    """A training on a small task."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((200, 6))
    targets = features @ rng.standard_normal(6) + 0.5 * rng.standard_normal(200)
    defaults: dict[str, Any] = {"step": 0.05, "batch": 20, "min_gradients": 5}
    return Descent(Regression(features, targets), RUN, ServerSettings(**{**defaults, **changes}))


def gradient(training: Descent, worker: str, weights: Any = None) -> Gradient:
    """What a worker sends for some weights, by default the newest ones."""
    return worker_gradient(training._regression, training.settings, worker, weights or training.weights())


class TestStaleness:
    @given(st.integers(0, 10**9))
    def test_the_share_of_the_step_is_one_over_the_staleness(self, staleness: int) -> None:
        """Given any staleness, then the share is 1 for fresh ones, and never grows with age."""
        assert step_share(staleness) * max(1, staleness) == pytest.approx(1.0)
        assert 0 < step_share(staleness + 1) <= step_share(staleness) <= 1

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    def test_an_update_scales_each_gradient_by_its_age(self, ages: list[int]) -> None:
        """Given gradients of any ages, then the weights move by the mean of gradient / age, times the step."""
        training = descent()
        for _ in range(20):
            training.update({"a": gradient(training, "a")})
        before = training.weights().values
        values = [np.full(6, float(number)) for number in range(1, len(ages) + 1)]
        sent = {
            f"worker {number}": Gradient(RUN, training.version - age, value)
            for number, (age, value) in enumerate(zip(ages, values, strict=True))
        }
        training.update(sent)

        move = np.mean([value / max(1, age) for age, value in zip(ages, values, strict=True)], axis=0)
        assert training.weights().values == pytest.approx(before - 0.05 * move)
        assert training.version == 21
        assert sum(training.staleness.values()) == 20 + len(ages)

    def test_a_gradient_from_the_future_changes_nothing(self) -> None:
        """Given a gradient for weights that were never handed out, then an update fails and leaves all as it was."""
        training = descent()
        before = training.weights().values
        with pytest.raises(ValueError, match="staleness is -1"):
            training.update({"a": Gradient(RUN, 1, np.ones(6))})
        assert training.version == 0 and not training.gradients_by_worker
        assert np.array_equal(training.weights().values, before)

    def test_gradients_of_a_server_before_this_one_are_left_out(self) -> None:
        """Given a gradient of another run, then it is counted as foreign and moves nothing."""
        training = descent()
        foreign = dataclasses.replace(gradient(training, "a"), run="an earlier run", version=900)
        training.update({"a": foreign})
        assert (training.version, training.foreign) == (0, 1)
        training.update({"a": foreign, "b": gradient(training, "b")})
        assert (training.version, training.foreign) == (1, 2)
        assert set(training.gradients_by_worker) == {"b"}


class TestVerdict:
    def test_asynchronous_gradients_reach_the_optimum(self) -> None:
        """Given workers of which two at a time answer, on weights of different ages, then the training succeeds."""
        training = descent()
        held = {worker: training.weights() for worker in WORKERS}
        rng = np.random.default_rng(2)
        while training.verdict(WORKERS) is Verdict.GOING_ON:
            pair = rng.choice(WORKERS, 2, replace=False).tolist()
            training.update({worker: gradient(training, worker, held[worker]) for worker in pair})
            held |= {worker: training.weights() for worker in pair}
        assert training.verdict(WORKERS) is Verdict.REACHED
        assert training.ratio <= 1.01 and training.mean_staleness > 0.5

    def test_it_is_not_done_before_every_worker_took_part(self) -> None:
        """Given a loss that is good enough, when a worker has delivered too few, then it goes on until it has not."""
        training = descent()
        while training.verdict(["a"]) is not Verdict.REACHED:
            training.update({"a": gradient(training, "a")})
        assert training.verdict(["a", "b"]) is Verdict.GOING_ON
        for _ in range(5):
            training.update({"b": gradient(training, "b")})
        assert training.verdict(["a", "b"]) is Verdict.REACHED

    def test_it_fails_when_the_updates_are_used_up(self) -> None:
        """Given one update only, then the verdict is that it failed, and the sentence says what was missing."""
        training = descent(max_updates=1)
        training.update({"a": gradient(training, "a")})
        assert training.verdict(["a"]) is Verdict.FAILED
        assert "no success after 1 updates: the loss is" in training.failure()

    def test_weights_that_are_sent_stay_as_they_are(self) -> None:
        """Given weights that were handed out, when an update follows, then they have not changed."""
        training = descent()
        sent = training.weights(applied=["a"])
        training.update({"a": gradient(training, "a")})
        assert not sent.values.any() and training.weights().values.any()
        assert sent.applied == {"a"}


@pytest.mark.parametrize("field", ["seed", "batch", "step", "tolerance", "min_gradients", "max_updates"])
def test_settings_that_make_no_sense_are_refused(field: str) -> None:
    """Given a negative value, then the error names the setting."""
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(ServerSettings(), **{field: -1}).validate()
