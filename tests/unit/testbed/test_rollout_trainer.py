"""The trainer of the workload `rollout`: what it learns from, when it evaluates, and when it is done."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

np = pytest.importorskip(
    "numpy", reason="the workload rollout needs the extra `examples`: pip install 'maro[examples]'"
)
pytest.importorskip("gymnasium", reason="the workload rollout needs the extra `examples`: pip install 'maro[examples]'")

from maro.testbed.workloads.rollout.policy import initial_weights  # noqa: E402 - only where NumPy is there
from maro.testbed.workloads.rollout.ppo import (  # noqa: E402 - as above
    Adam,
    limit_norm,
    losses_and_gradients,
    make_batch,
)
from maro.testbed.workloads.rollout.settings import TrainingSettings  # noqa: E402 - as above
from maro.testbed.workloads.rollout.trainer import Trainer, TrainingError  # noqa: E402 - as above
from maro.testbed.workloads.rollout.trajectory import (  # noqa: E402 - as above
    Trajectory,
    make_environment,
    play_episode,
    random_stream,
)
from tests.support.trajectories import made_up  # noqa: E402 - as above

SEED = 7
ACTORS = ("actor_a", "actor_b", "actor_c", "actor_d")


def played(trainer: Trainer, names: tuple[str, ...] = ACTORS) -> list[Trajectory]:
    """One episode by each actor with the present weights."""
    environment = make_environment()
    seed, version = trainer.settings.seed, trainer.version
    return [play_episode(environment, trainer.policy, random_stream(seed, name, version), version) for name in names]


def trained_to(version: int, **changes: Any) -> Trainer:
    """A trainer with that many updates behind it, each from one short trajectory."""
    trainer = Trainer(TrainingSettings(**changes))
    for current in range(version):
        trainer.update([made_up(version=current)])
    return trainer


class TestTrainer:
    def test_an_update_makes_a_version(self) -> None:
        """Given four trajectories, When the trainer learns from them, Then version, weights and counts move on."""
        trainer = Trainer(TrainingSettings(seed=SEED))
        before, trajectories = trainer.weights(), played(trainer)
        statistics = trainer.update(trajectories)
        assert (trainer.version, trainer.episodes, trainer.steps) == (1, 4, sum(map(len, trajectories)))
        assert any(not np.array_equal(array, before[name]) for name, array in trainer.weights().items())
        assert {array.dtype for array in trainer.weights().values()} == {np.dtype(np.float32)}
        assert statistics["return"] == trainer.mean_return == pytest.approx(np.mean([len(t) for t in trajectories]))
        assert all(math.isfinite(value) for value in statistics.values())
        assert statistics["entropy"] == pytest.approx(math.log(2), abs=0.01)

    def test_the_loss_goes_down_on_a_fixed_batch(self) -> None:
        """Given one batch, When it is descended a hundred times, Then values and policy fit it better."""
        settings = TrainingSettings(seed=SEED)
        weights = initial_weights(np.random.default_rng(SEED))
        batch = make_batch(weights, played(Trainer(settings)), settings)
        adam = Adam()
        first, _ = losses_and_gradients(weights, batch, settings)
        for _ in range(100):
            _, gradients = losses_and_gradients(weights, batch, settings)
            weights = adam.step(weights, limit_norm(gradients, settings.max_gradient_norm), 1e-3)
        last, _ = losses_and_gradients(weights, batch, settings)
        assert last.value < 0.5 * first.value
        assert last.policy < first.policy - 0.02
        assert last.divergence > 0

    def test_training_learns(self) -> None:
        """Given a coarse step size, When four actors play fifty versions, Then the returns have at least doubled."""
        trainer = Trainer(TrainingSettings(seed=SEED, learning_rate=1e-3, epochs=4, training_window=20))
        history = [trainer.update(played(trainer))["return"] for _ in range(50)]
        assert np.mean(history[-10:]) > 2 * np.mean(history[:10])

    def test_the_seed_decides(self) -> None:
        """Given equal settings, When two trainers learn, Then their weights are equal, and another seed's are not."""
        outcomes = []
        for seed in (1, 1, 2):
            trainer = Trainer(TrainingSettings(seed=seed))
            for _ in range(3):
                trainer.update(played(trainer))
            outcomes.append(trainer.weights())
        for name, array in outcomes[0].items():
            np.testing.assert_array_equal(array, outcomes[1][name])
        assert not np.array_equal(outcomes[0]["policy.0.weight"], outcomes[2]["policy.0.weight"])

    def test_weights_are_copies(self) -> None:
        """Given weights that were handed out, When the caller changes them, Then the trainer's are as before."""
        trainer = Trainer(TrainingSettings(seed=SEED))
        before = trainer.policy.get_weights()
        for array in (*trainer.weights().values(), *trainer.best_weights().values()):
            array.fill(0)
        for name, array in trainer.weights().items():
            np.testing.assert_array_equal(array, before[name])

    @pytest.mark.parametrize(
        ("version", "stale"), [(0, True), (1, True), (2, False), (3, False), (4, True), (-1, True)]
    )
    def test_stale_rule(self, version: int, stale: bool) -> None:
        """Given version 3 and a bound of one, When trajectories are judged, Then only versions 2 and 3 are fresh."""
        trainer = trained_to(3)
        assert trainer.is_stale(made_up(version=version)) is stale

    @pytest.mark.parametrize(
        ("trajectories", "words"),
        [
            ([], "at least one trajectory"),
            ([made_up(version=3), made_up(version=1)], "version 1, 6 steps.* does not suit version 3.*drop it"),
            ([made_up(version=3, rewards=np.ones(2, np.float32))], "rewards of a trajectory"),
        ],
    )
    def test_a_refused_update_changes_nothing(self, trajectories: list[Trajectory], words: str) -> None:
        """Given nothing, a stale or a malformed trajectory, When an update is asked for, Then it only raises."""
        trainer = trained_to(3)
        before = trainer.weights()
        with pytest.raises(ValueError, match=words):
            trainer.update(trajectories)
        assert trainer.version == 3
        for name, array in trainer.weights().items():
            np.testing.assert_array_equal(array, before[name])

    def test_trajectories_one_version_old_are_learnt_from(self) -> None:
        """Given three fresh trajectories and a late one, When the trainer learns, Then it counts the late one."""
        trainer = trained_to(2)
        statistics = trainer.update([*(made_up(version=2, steps=steps) for steps in (5, 6, 7)), made_up(version=1)])
        assert statistics["older"] == 0.25
        assert (trainer.version, statistics["episodes"]) == (3, 4)

    def test_an_evaluation_waits_for_good_training_episodes(self) -> None:
        """Given a window of two and a target of 10, When returns rise, Then an evaluation is due once both reach it."""
        trainer = Trainer(TrainingSettings(training_window=2, training_target=10.0))
        due = []
        for version, steps in enumerate((20, 4, 12, 12)):
            trainer.update([made_up(version=version, steps=steps)])
            due.append(trainer.evaluation_due)
        assert due == [False, True, False, True]

    def test_evaluations_keep_their_distance_and_end_the_training(self) -> None:
        """Given an interval of two updates, When evaluations fall short, Then they repeat until one succeeds."""
        settings = TrainingSettings(
            training_window=1,
            training_target=1.0,
            evaluation_episodes=2,
            evaluation_interval=2,
            evaluation_target=490.0,
        )
        trainer = Trainer(settings)
        due = []
        for version in range(5):
            trainer.update([made_up(version=version)])
            due.append(trainer.evaluation_due)
            if due[-1]:
                assert trainer.record_evaluation([400.0, 500.0]) == 450.0
                assert not trainer.finished
        assert due == [True, False, True, False, True]
        trainer.record_evaluation([480.0, 500.0])
        assert trainer.finished
        assert not trainer.evaluation_due

    def test_the_best_weights_are_kept(self) -> None:
        """Given evaluations that rise and fall, When training goes on, Then the weights of the best one stay."""
        trainer = Trainer(TrainingSettings(evaluation_episodes=1))
        handed_out = []
        for version, mean in enumerate((100.0, 300.0, 200.0)):
            trainer.update([made_up(version=version)])
            trainer.record_evaluation([mean])
            handed_out.append(trainer.weights())
        assert trainer.best_mean == 300.0
        np.testing.assert_array_equal(trainer.best_weights()["policy.0.weight"], handed_out[1]["policy.0.weight"])
        assert not np.array_equal(trainer.weights()["policy.0.weight"], handed_out[1]["policy.0.weight"])
        with pytest.raises(ValueError, match="1 episodes, not 2"):
            trainer.record_evaluation([1.0, 2.0])

    def test_training_without_success_ends_with_an_error(self) -> None:
        """Given two updates to spend, When a third is asked for, Then the error says how far it came and what to do."""
        trainer = trained_to(2, max_updates=2)
        with pytest.raises(TrainingError, match=r"no success after 2 updates and 12 steps with seed 0.*max_updates"):
            trainer.update([made_up(version=2)])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("seed", -1),
            ("hidden", ()),
            ("max_staleness", -1),
            ("discount", 1.0),
            ("gae_decay", 1.5),
            ("clip", 0.0),
            ("entropy_bonus", -0.1),
            ("value_weight", 0.0),
            ("learning_rate", 0.0),
            ("epochs", 0),
            ("minibatch", 1),
            ("max_gradient_norm", 0.0),
            ("training_window", 0),
            ("evaluation_episodes", 0),
            ("evaluation_interval", 0),
            ("max_updates", 0),
        ],
    )
    def test_settings_are_checked(self, name: str, value: Any) -> None:
        """Given a setting out of range, When a trainer is made with it, Then the error names setting and value."""
        settings = dataclasses.replace(TrainingSettings(), **{name: value})
        with pytest.raises(ValueError, match=f"^{name} .*not {value}".replace("()", r"\(\)")):
            Trainer(settings)
