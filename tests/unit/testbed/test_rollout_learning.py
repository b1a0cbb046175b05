"""The learning of the workload `rollout`: network, objective, optimizer and trajectories."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

np = pytest.importorskip(
    "numpy", reason="the workload rollout needs the extra `examples`: pip install 'maro[examples]'"
)
pytest.importorskip("gymnasium", reason="the workload rollout needs the extra `examples`: pip install 'maro[examples]'")

from maro.testbed.workloads.rollout.policy import (  # noqa: E402 - only where NumPy is there
    ActorCritic,
    backward,
    forward,
    initial_weights,
    log_softmax,
)
from maro.testbed.workloads.rollout.ppo import (  # noqa: E402 - as above
    Adam,
    Batch,
    generalized_advantages,
    limit_norm,
    losses_and_gradients,
    make_batch,
)
from maro.testbed.workloads.rollout.settings import TrainingSettings  # noqa: E402 - as above
from maro.testbed.workloads.rollout.trajectory import (  # noqa: E402 - as above
    evaluate,
    make_environment,
    play_episode,
    random_stream,
)
from tests.support.trajectories import made_up  # noqa: E402 - as above

SEED = 7


def precise_weights(hidden: tuple[int, ...] = (5, 6)) -> dict[str, Any]:
    """Weights in float64, with a last layer large enough for the policy to prefer something."""
    rng = np.random.default_rng(SEED)
    weights = {name: array.astype(np.float64) for name, array in initial_weights(rng, hidden).items()}
    return {name: array + 0.3 * rng.standard_normal(array.shape) for name, array in weights.items()}


def random_batch(count: int = 40, spread: float = 0.5) -> Batch:
    """Steps whose recorded log-probabilities lie so far from the present ones that many ratios are clipped."""
    rng = np.random.default_rng(SEED)
    return Batch(
        observations=rng.standard_normal((count, 4)),
        actions=rng.integers(2, size=count),
        log_probabilities=math.log(0.5) + spread * rng.standard_normal(count),
        advantages=rng.standard_normal(count),
        targets=rng.random(count),
    )


def slope(function: Any, weights: dict[str, Any], name: str, index: tuple[int, ...]) -> float:
    """Return the central finite difference of a function of the weights by one of their elements."""
    step = 1e-6
    values = []
    for sign in (1, -1):
        moved = {key: array.copy() for key, array in weights.items()}
        moved[name][index] += sign * step
        values.append(function(moved))
    return float((values[0] - values[1]) / (2 * step))


def assert_gradients(function: Any, weights: dict[str, Any], gradients: dict[str, Any]) -> None:
    """Compare every element of the gradients with a finite difference."""
    assert gradients.keys() == weights.keys()
    for name, gradient in gradients.items():
        assert gradient.shape == weights[name].shape
        expected = [slope(function, weights, name, index) for index in np.ndindex(gradient.shape)]
        np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-5, atol=1e-8, err_msg=name)


class TestNetwork:
    def test_gradient_equals_finite_differences(self) -> None:
        """Given both towers and any loss of their outputs, When it is propagated back, Then slopes agree."""
        weights = precise_weights()
        rng = np.random.default_rng(SEED)
        observations, by_logit, by_value = rng.standard_normal((9, 4)), rng.standard_normal((9, 2)), rng.random(9)

        def loss(some: dict[str, Any]) -> float:
            activations = forward(some, observations)
            return float((activations.logits * by_logit).sum() + (activations.values * by_value).sum())

        assert_gradients(loss, weights, backward(weights, forward(weights, observations), by_logit, by_value))

    def test_shapes(self) -> None:
        """Given 11 observations, When they pass the network, Then there are 11 times 2 logits and 11 values."""
        weights = initial_weights(np.random.default_rng(SEED), hidden=(8, 16, 8))
        activations = forward(weights, np.ones((11, 4), np.float32))
        assert activations.logits.shape == (11, 2)
        assert activations.values.shape == (11,)
        assert {array.dtype for array in (*weights.values(), activations.logits)} == {np.dtype(np.float32)}

    def test_initial_layers_are_orthogonal_and_the_policy_is_undecided(self) -> None:
        """Given fresh weights, When looked at, Then hidden layers are orthogonal and both actions equally likely."""
        weights = initial_weights(np.random.default_rng(SEED), hidden=(16, 16))
        square = weights["policy.1.weight"]
        np.testing.assert_allclose(square @ square.T, 2 * np.eye(16), atol=1e-5)
        logs, _ = ActorCritic(weights).evaluate_batch(np.ones((1, 4), np.float32))
        np.testing.assert_allclose(np.exp(logs), 0.5, atol=0.02)

    def test_log_softmax_of_large_logits(self) -> None:
        """Given logits beyond the range of exp, When normalised, Then the probabilities are finite and sum to one."""
        logs = log_softmax(np.array([[1000.0, 999.0], [-1000.0, 1000.0]]))
        np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)
        assert logs[0, 0] == pytest.approx(-math.log1p(math.exp(-1)))

    def test_acting_agrees_with_the_batch(self) -> None:
        """Given one observation, When an action is drawn often, Then frequency and log-probability are the batch's."""
        policy = ActorCritic(precise_weights())
        rng = np.random.default_rng(SEED)
        observation = np.array([0.3, -0.2, 0.5, 0.1], np.float32)
        logs, _ = policy.evaluate_batch(observation[None])
        drawn = [policy.act(observation, rng) for _ in range(4000)]
        for action in (0, 1):
            (reported,) = {log for taken, log in drawn if taken == action}
            assert reported == pytest.approx(float(logs[0, action]), abs=1e-5)
            share = sum(taken == action for taken, _ in drawn) / len(drawn)
            assert share == pytest.approx(math.exp(logs[0, action]), abs=0.03)
        assert policy.act_greedily(observation) == int(logs[0].argmax())

    def test_weights_round_trip(self) -> None:
        """Given the weights of one policy, When another takes them pickled, Then it answers alike."""
        one, other = (ActorCritic(initial_weights(np.random.default_rng(seed))) for seed in (1, 2))
        observations = np.random.default_rng(SEED).standard_normal((5, 4)).astype(np.float32)
        assert not np.array_equal(one.evaluate_batch(observations)[1], other.evaluate_batch(observations)[1])
        other.set_weights(pickle.loads(pickle.dumps(one.get_weights())))
        for mine, its in zip(one.evaluate_batch(observations), other.evaluate_batch(observations), strict=True):
            np.testing.assert_array_equal(mine, its)

    def test_weights_are_copies(self) -> None:
        """Given weights that were handed in and out, When the caller changes them, Then the policy stays as it is."""
        given = initial_weights(np.random.default_rng(SEED))
        policy = ActorCritic(given)
        before = policy.get_weights()
        policy.set_weights(given)
        for array in (*given.values(), *policy.get_weights().values()):
            array.fill(0)
        for name, array in policy.get_weights().items():
            np.testing.assert_array_equal(array, before[name])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda weights: weights.pop("policy.1.bias"), r"another network: policy\.1\.bias"),
            (lambda weights: weights.update(extra=np.zeros(1)), "another network: extra"),
            (lambda weights: weights.update({"value.0.bias": np.zeros(3)}), r"value\.0\.bias has shape \(3,\)"),
        ],
    )
    def test_weights_of_another_network_are_refused(self, change: Any, words: str) -> None:
        """Given weights that do not fit, When they are set, Then the error names them and nothing has changed."""
        policy = ActorCritic(initial_weights(np.random.default_rng(1)))
        before = policy.get_weights()
        other = initial_weights(np.random.default_rng(2))
        change(other)
        with pytest.raises(ValueError, match=words):
            policy.set_weights(other)
        for name, array in policy.get_weights().items():
            np.testing.assert_array_equal(array, before[name])

    @pytest.mark.parametrize("name", ["policy.0.weight", "value.0.weight", "value.2.bias"])
    def test_incomplete_weights_make_no_policy(self, name: str) -> None:
        """Given weights without one array, When a policy is made of them, Then the error names it."""
        weights = initial_weights(np.random.default_rng(1))
        del weights[name]
        with pytest.raises(ValueError, match=name):
            ActorCritic(weights)


class TestObjective:
    @pytest.mark.parametrize("entropy_bonus", [0.0, 0.2])
    def test_gradient_equals_finite_differences(self, entropy_bonus: float) -> None:
        """Given clipped and unclipped steps of either sign, When the gradient is taken, Then slopes agree."""
        settings = TrainingSettings(entropy_bonus=entropy_bonus)
        weights, batch = precise_weights(), random_batch()
        losses, gradients = losses_and_gradients(weights, batch, settings)
        assert 0.2 < losses.clipped < 0.9

        def total(some: dict[str, Any]) -> float:
            return losses_and_gradients(some, batch, settings)[0].total(settings)

        assert_gradients(total, weights, gradients)

    @pytest.mark.parametrize(
        ("log_ratio", "advantage", "pulls"),
        [(0.5, 1.0, False), (0.5, -1.0, True), (-0.5, -1.0, False), (-0.5, 1.0, True), (0.0, 1.0, True)],
    )
    def test_clip(self, log_ratio: float, advantage: float, pulls: bool) -> None:
        """Given a ratio beyond the clip, When it went the rewarded way, Then only the way back has a gradient."""
        weights = precise_weights()
        observations = np.array([[0.1, 0.2, -0.3, 0.4]])
        present = log_softmax(forward(weights, observations).logits)[0, 1]
        batch = Batch(
            observations=observations,
            actions=np.array([1]),
            log_probabilities=np.array([present - log_ratio]),
            advantages=np.array([advantage]),
            targets=np.zeros(1),
        )
        losses, gradients = losses_and_gradients(weights, batch, TrainingSettings(entropy_bonus=0.0))
        bounded = min(max(math.exp(log_ratio), 0.8), 1.2)
        assert losses.policy == pytest.approx(-min(math.exp(log_ratio) * advantage, bounded * advantage))
        assert losses.clipped == (log_ratio != 0)
        assert bool(np.any(gradients["policy.2.bias"])) is pulls

    def test_advantages_equal_the_direct_sum(self) -> None:
        """Given rewards and values, When the recursion is compared with its definition, Then they agree."""
        rng = np.random.default_rng(SEED)
        rewards, values, bootstrap, discount, decay = rng.random(12), rng.random(12), 0.7, 0.9, 0.8
        following = np.append(values[1:], bootstrap)
        errors = rewards + discount * following - values
        expected = [sum((discount * decay) ** (k - t) * errors[k] for k in range(t, 12)) for t in range(12)]
        actual = generalized_advantages(rewards, values, bootstrap, discount, decay)
        np.testing.assert_allclose(actual, expected)

    def test_a_time_limit_is_no_termination(self) -> None:
        """Given equal episodes that fell or were cut off, When targets are made, Then only the latter have a future."""
        settings = TrainingSettings(gae_decay=1.0)
        weights = {name: array * 0 for name, array in initial_weights(np.random.default_rng(1)).items()}
        weights["value.2.bias"] += 1
        fallen, cut = (
            make_batch(weights, [made_up(terminated=terminated)], settings).targets for terminated in (True, False)
        )
        steps_left = np.arange(6, 0, -1)
        np.testing.assert_allclose(fallen, 1 - settings.discount**steps_left, rtol=1e-4)
        np.testing.assert_allclose(cut, 1, rtol=1e-4)

    def test_batch_joins_trajectories(self) -> None:
        """Given trajectories of several lengths, When they are joined, Then steps keep their order."""
        trajectories = [made_up(steps=steps) for steps in (3, 1, 8)]
        batch = make_batch(initial_weights(np.random.default_rng(1)), trajectories, TrainingSettings())
        assert len(batch) == 12
        np.testing.assert_array_equal(batch.observations[4:], trajectories[2].observations)
        assert batch.observations.dtype == batch.advantages.dtype == batch.targets.dtype == np.float32
        assert float(batch.advantages.mean()) == pytest.approx(0, abs=1e-6)
        assert float(batch.advantages.std()) == pytest.approx(1, abs=1e-3)
        taken = batch.take(np.array([11, 0]))
        np.testing.assert_array_equal(taken.observations, batch.observations[[11, 0]])

    def test_adam_step(self) -> None:
        """Given two gradients, When Adam steps twice, Then the weights are where its formula puts them."""
        adam = Adam(first_decay=0.9, second_decay=0.99, epsilon=1e-8)
        weights = {"w": np.array([1.0, -2.0])}
        first, second = np.array([0.5, -4.0]), np.array([1.5, 1.0])
        once = adam.step(weights, {"w": first}, 0.1)
        np.testing.assert_allclose(once["w"], [0.9, -1.9])
        twice = adam.step(once, {"w": second}, 0.1)
        mean = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
        square = (0.99 * 0.01 * first**2 + 0.01 * second**2) / (1 - 0.99**2)
        np.testing.assert_allclose(twice["w"], once["w"] - 0.1 * mean / (np.sqrt(square) + 1e-8))
        np.testing.assert_array_equal(weights["w"], [1.0, -2.0])

    def test_long_gradients_are_shortened(self) -> None:
        """Given gradients of norm 5, When limited to 1 or 10, Then they keep their direction, or are left alone."""
        gradients = {"a": np.array([3.0]), "b": np.array([[4.0]])}
        short = limit_norm(gradients, 1.0)
        assert (float(short["a"][0]), float(short["b"][0, 0])) == (pytest.approx(0.6), pytest.approx(0.8))
        np.testing.assert_array_equal(limit_norm(gradients, 10.0)["b"], gradients["b"])


class TestTrajectory:
    def test_an_episode_is_recorded_whole(self) -> None:
        """Given a fresh policy, When an episode is played, Then its arrays fit and tell what the policy did."""
        policy = ActorCritic(initial_weights(np.random.default_rng(SEED)))
        trajectory = play_episode(make_environment(), policy, random_stream(SEED, "actor_a", 3), 3).validate()
        steps = len(trajectory)
        assert trajectory.observations.shape == (steps, 4)
        assert trajectory.observations.dtype == trajectory.log_probabilities.dtype == np.float32
        assert trajectory.episode_return == steps < 500
        assert (trajectory.terminated, trajectory.version) == (True, 3)
        logs, _ = policy.evaluate_batch(trajectory.observations)
        taken = logs[np.arange(steps), trajectory.actions]
        np.testing.assert_allclose(trajectory.log_probabilities, taken, atol=1e-5)
        np.testing.assert_array_equal(trajectory.observations[1:-1] == trajectory.observations[2:], False)

    def test_the_time_limit_truncates(self) -> None:
        """Given a policy that balances, When an episode is played to the limit, Then it is not terminated."""
        trajectory = play_episode(make_environment(), balancing_policy(), random_stream(SEED), 0)
        assert (len(trajectory), trajectory.terminated) == (500, False)
        assert abs(float(trajectory.final_observation[2])) < 0.2

    def test_the_same_key_plays_the_same_episode(self) -> None:
        """Given actor, version and seed, When one of them differs, Then the episode does, and else not."""
        policy = ActorCritic(initial_weights(np.random.default_rng(SEED)))

        def episode(*key: int | str) -> bytes:
            observations = play_episode(make_environment(), policy, random_stream(*key), 0).observations
            return bytes(observations.tobytes())

        original = episode(SEED, "actor_a", 5)
        assert episode(SEED, "actor_a", 5) == original
        for other in ((SEED, "actor_b", 5), (SEED, "actor_a", 6), (SEED + 1, "actor_a", 5)):
            assert episode(*other) != original

    def test_pickling(self) -> None:
        """Given a trajectory, When it is pickled as for a message, Then the arrays come back."""
        trajectory = made_up(version=4)
        again = pickle.loads(pickle.dumps(trajectory, protocol=5))
        np.testing.assert_array_equal(again.observations, trajectory.observations)
        assert (again.version, again.terminated, len(again)) == (4, True, 6)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"rewards": np.ones(5, np.float32)}, r"rewards of a trajectory with 6 steps must be \(6,\), not \(5,\)"),
            ({"final_observation": np.ones(3, np.float32)}, "final_observation"),
            ({"log_probabilities": np.full(6, np.nan, np.float32)}, "log_probabilities .* not a finite number"),
            ({"actions": np.full(6, 2)}, r"actions of a trajectory must lie in 0\.\.1"),
            ({"actions": np.zeros(0, np.int64)}, "at least one step"),
        ],
    )
    def test_malformed_ones_are_refused(self, changes: dict[str, Any], words: str) -> None:
        """Given arrays that do not fit together, When the trajectory is validated, Then the error says which."""
        with pytest.raises(ValueError, match=words):
            made_up(**changes).validate()

    def test_evaluation_is_greedy_and_repeatable(self) -> None:
        """Given a policy that balances and one that does not, When evaluated, Then the returns tell them apart."""
        good = evaluate(balancing_policy(), episodes=3, seed=SEED)
        np.testing.assert_array_equal(good, [500, 500, 500])
        poor = ActorCritic(initial_weights(np.random.default_rng(SEED)))
        returns = evaluate(poor, episodes=4, seed=SEED)
        assert returns.max() < 200
        np.testing.assert_array_equal(returns, evaluate(poor, episodes=4, seed=SEED))
        assert not np.array_equal(returns, evaluate(poor, episodes=4, seed=SEED + 1))
        with pytest.raises(ValueError, match="at least one episode"):
            evaluate(poor, episodes=0, seed=SEED)


def balancing_policy() -> ActorCritic:
    """A linear controller written into the weights: push towards where the pole falls and the cart drifts."""
    weights = {name: array * 0 for name, array in initial_weights(np.random.default_rng(1), hidden=(1,)).items()}
    weights["policy.0.weight"][:, 0] = [0.01, 0.02, 0.3, 0.1]
    weights["policy.1.weight"][0] = [-1e4, 1e4]
    return ActorCritic(weights)
