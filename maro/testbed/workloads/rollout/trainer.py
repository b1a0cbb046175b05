"""The learner's mind: trajectories in, new weights out, and the decision when it is done. No messages, no files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from maro.testbed.workloads.rollout.policy import ActorCritic, Weights, initial_weights
from maro.testbed.workloads.rollout.ppo import Adam, Batch, Losses, limit_norm, losses_and_gradients, make_batch
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.testbed.workloads.rollout.trajectory import Trajectory, random_stream


class TrainingError(RuntimeError):
    """Training used up its updates without reaching its goal."""


class Trainer:
    """Trains one policy; given the settings and the same trajectories in the same order, always the same one.

    Its cycle: hand out `weights()` as `version`, gather trajectories, drop those for which `is_stale` holds, `update`
    with the others; when `evaluation_due`, evaluate `policy` and `record_evaluation`; until `finished`. The result is
    `best_weights()`.
    """

    def __init__(self, settings: TrainingSettings | None = None) -> None:
        self.settings = (settings or TrainingSettings()).validate()
        self._weights = initial_weights(random_stream(self.settings.seed, "weights"), self.settings.hidden)
        self._optimizer = Adam()
        self._rng = random_stream(self.settings.seed, "minibatches")
        self._version = 0
        self._steps = 0
        self._episodes = 0
        self._returns: deque[float] = deque(maxlen=self.settings.training_window)
        self._evaluated_at = -self.settings.evaluation_interval
        self._best_mean = -np.inf
        self._best_weights: Weights | None = None

    def __repr__(self) -> str:
        return f"Trainer(version {self._version}, {self._steps} steps, mean return {self.mean_return:.1f})"

    @property
    def version(self) -> int:
        """Version of the present weights: the number of updates so far."""
        return self._version

    @property
    def steps(self) -> int:
        """Environment steps learnt from so far."""
        return self._steps

    @property
    def episodes(self) -> int:
        """Episodes learnt from so far."""
        return self._episodes

    @property
    def mean_return(self) -> float:
        """Mean return of the latest training episodes, 0 before the first one."""
        return float(np.mean(self._returns)) if self._returns else 0.0

    @property
    def best_mean(self) -> float:
        """Mean return of the best evaluation, minus infinity before the first one."""
        return float(self._best_mean)

    @property
    def policy(self) -> ActorCritic:
        """A policy with a copy of the present weights."""
        return ActorCritic(self._weights)

    @property
    def evaluation_due(self) -> bool:
        """Whether the latest training episodes are good enough, and enough updates have passed, to evaluate now."""
        settings = self.settings
        return (
            not self.finished
            and len(self._returns) == settings.training_window
            and self.mean_return >= settings.training_target
            and self._version - self._evaluated_at >= settings.evaluation_interval
        )

    @property
    def finished(self) -> bool:
        """Whether an evaluation has reached the goal."""
        return self._best_mean >= self.settings.evaluation_target

    def weights(self) -> Weights:
        """Return a copy of the present weights, to be handed out with `version`."""
        return {name: array.copy() for name, array in self._weights.items()}

    def best_weights(self) -> Weights:
        """Return a copy of the weights of the best evaluation, or of the present ones before the first evaluation."""
        chosen = self._weights if self._best_weights is None else self._best_weights
        return {name: array.copy() for name, array in chosen.items()}

    def is_stale(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory's weights are too old to learn from, or were never handed out by this trainer."""
        return not 0 <= self._version - trajectory.version <= self.settings.max_staleness

    def update(self, trajectories: Iterable[Trajectory]) -> dict[str, float]:
        """Learn from trajectories and make the next version; return statistics of the update by name.

        None at all, a stale or a malformed one: `ValueError`, and nothing has changed. `TrainingError` when the
        updates of the settings are used up.
        """
        settings = self.settings
        taken = [trajectory.validate() for trajectory in trajectories]
        if not taken:
            raise ValueError("an update needs at least one trajectory; wait for the actors")
        for trajectory in taken:
            if self.is_stale(trajectory):
                raise ValueError(f"{trajectory!r} does not suit version {self._version}; drop it, see `is_stale`")
        if self._version >= settings.max_updates:
            raise TrainingError(
                f"no success after {self._version} updates and {self._steps} steps with seed {settings.seed}: the best "
                f"evaluation reached {self.best_mean:.1f} of {settings.evaluation_target:g}, the latest training "
                f"episodes {self.mean_return:.1f} of {settings.training_target:g}; allow more with max_updates"
            )
        batch = make_batch(self._weights, taken, settings)
        losses = [self._descend(batch.take(indices)) for indices in self._minibatches(len(batch))]

        returns = [trajectory.episode_return for trajectory in taken]
        stale_share = float(np.mean([trajectory.version != self._version for trajectory in taken]))
        self._returns.extend(returns)
        self._version += 1
        self._steps += len(batch)
        self._episodes += len(taken)
        return {
            "version": self._version,
            "steps": len(batch),
            "episodes": len(taken),
            "return": float(np.mean(returns)),
            "mean_return": self.mean_return,
            "older": stale_share,
            **_mean_losses(losses),
        }

    def record_evaluation(self, returns: Sequence[float] | npt.NDArray[np.float64]) -> float:
        """Take note of an evaluation of the present weights; keep them if it is the best; return its mean."""
        if len(returns) != self.settings.evaluation_episodes:
            raise ValueError(f"an evaluation has {self.settings.evaluation_episodes} episodes, not {len(returns)}")
        mean = float(np.mean(returns))
        self._evaluated_at = self._version
        if mean > self._best_mean:
            self._best_mean = mean
            self._best_weights = self.weights()
        return mean

    def _descend(self, batch: Batch) -> Losses:
        losses, gradients = losses_and_gradients(self._weights, batch, self.settings)
        gradients = limit_norm(gradients, self.settings.max_gradient_norm)
        self._weights = self._optimizer.step(self._weights, gradients, self.settings.learning_rate)
        return losses

    def _minibatches(self, count: int) -> Iterable[npt.NDArray[np.int64]]:
        # Equal parts: a rest of a few steps would pull as hard as a whole minibatch.
        parts = max(1, round(count / self.settings.minibatch))
        for _ in range(self.settings.epochs):
            yield from np.array_split(self._rng.permutation(count), parts)


def _mean_losses(losses: Sequence[Losses]) -> dict[str, float]:
    rows = [asdict(entry) for entry in losses]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
