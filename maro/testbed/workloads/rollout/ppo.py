"""Proximal policy optimisation in plain NumPy: advantages, the clipped objective with its gradient, Adam.

Formulas: the clipped objective from Schulman et al., 2017 (arXiv:1707.06347), generalised advantages from Schulman
et al., 2015 (arXiv:1506.02438), Adam from Kingma and Ba, 2014 (arXiv:1412.6980).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maro.testbed.workloads.rollout.policy import FloatArray, IntArray, Weights, backward, forward, log_softmax
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.testbed.workloads.rollout.trajectory import Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """N steps to learn from, their order no longer of interest."""

    observations: FloatArray
    """(N, 4)"""
    actions: IntArray
    """(N,)"""
    log_probabilities: FloatArray
    """(N,): under the policy that took the actions, which may be older than the present one."""
    advantages: FloatArray
    """(N,)"""
    targets: FloatArray
    """(N,): what the value tower should answer."""

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, indices: IntArray) -> Batch:
        """Return the steps with these indices."""
        return Batch(
            self.observations[indices],
            self.actions[indices],
            self.log_probabilities[indices],
            self.advantages[indices],
            self.targets[indices],
        )


@dataclass(frozen=True, slots=True)
class Losses:
    """What the objective is made of, each a mean over the steps of a batch."""

    policy: float
    """The clipped objective, negated."""
    value: float
    """Half the squared error of the values."""
    entropy: float
    """Of the policy, in nats; log 2 is a coin flip between two actions."""
    divergence: float
    """Estimate of the Kullback-Leibler divergence from the policy that acted to the present one."""
    clipped: float
    """Share of the steps whose ratio has left the clip range."""

    def total(self, settings: TrainingSettings) -> float:
        """Return the number that the gradient descends."""
        return self.policy + settings.value_weight * self.value - settings.entropy_bonus * self.entropy


def generalized_advantages(
    rewards: FloatArray, values: FloatArray, bootstrap_value: float, discount: float, decay: float
) -> FloatArray:
    """Return the advantages (T,) of one trajectory, given its rewards (T,) and the estimated values (T,).

    `bootstrap_value` is what the future after the last step is worth: 0 after a termination.
    """
    advantages = np.empty(len(rewards))
    following, advantage = bootstrap_value, 0.0
    for step, (reward, value) in reversed(list(enumerate(zip(rewards.tolist(), values.tolist(), strict=True)))):
        advantage = reward + discount * following - value + discount * decay * advantage
        advantages[step] = advantage
        following = value
    return advantages


def make_batch(
    weights: Mapping[str, FloatArray], trajectories: Sequence[Trajectory], settings: TrainingSettings
) -> Batch:
    """Join trajectories to a batch: values and advantages by the present weights, advantages normalised.

    Rewards are scaled by `1 - discount`, so that values lie in 0..1 for rewards of 1, which a fresh tower can reach.
    """
    observations = np.concatenate([trajectory.observations for trajectory in trajectories])
    finals = np.stack([trajectory.final_observation for trajectory in trajectories])
    values = forward(weights, np.concatenate([observations, finals])).values
    bootstraps = values[len(observations) :].tolist()
    parts, begin = [], 0
    for trajectory, bootstrap in zip(trajectories, bootstraps, strict=True):
        end = begin + len(trajectory)
        parts.append(
            generalized_advantages(
                trajectory.rewards * (1 - settings.discount),
                values[begin:end],
                0.0 if trajectory.terminated else bootstrap,
                settings.discount,
                settings.gae_decay,
            )
        )
        begin = end
    advantages = np.concatenate(parts)
    targets = advantages + values[:begin]
    normalised = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    precision = values.dtype
    return Batch(
        observations=observations,
        actions=np.concatenate([trajectory.actions for trajectory in trajectories]),
        log_probabilities=np.concatenate([trajectory.log_probabilities for trajectory in trajectories]),
        advantages=normalised.astype(precision),
        targets=targets.astype(precision),
    )


def losses_and_gradients(
    weights: Mapping[str, FloatArray], batch: Batch, settings: TrainingSettings
) -> tuple[Losses, Weights]:
    """Return the losses of the weights on a batch, and the gradient of `Losses.total` by every weight."""
    count = len(batch)
    rows = np.arange(count)
    activations = forward(weights, batch.observations)
    logs = log_softmax(activations.logits)
    probabilities = np.exp(logs)
    log_ratio = logs[rows, batch.actions] - batch.log_probabilities
    ratio = np.exp(log_ratio)
    bounded = np.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    plain, limited = ratio * batch.advantages, bounded * batch.advantages
    entropies = -(probabilities * logs).sum(axis=1)
    errors = activations.values - batch.targets

    # Where the limited term is the smaller one it does not depend on the weights, so the step has no gradient.
    pull = np.where(plain <= limited, -plain, 0) / count
    d_logits = -pull[:, None] * probabilities
    d_logits[rows, batch.actions] += pull
    d_logits += settings.entropy_bonus / count * probabilities * (logs + entropies[:, None])
    d_values = settings.value_weight / count * errors

    losses = Losses(
        policy=-float(np.minimum(plain, limited).mean()),
        value=0.5 * float(np.square(errors).mean()),
        entropy=float(entropies.mean()),
        divergence=float((ratio - 1 - log_ratio).mean()),
        clipped=float((ratio != bounded).mean()),
    )
    return losses, backward(weights, activations, d_logits, d_values)


def limit_norm(gradients: Mapping[str, FloatArray], longest: float) -> Weights:
    """Return the gradients, all shortened by one factor if their common Euclidean norm exceeds `longest`."""
    norm = float(np.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients.values())))
    factor = min(1.0, longest / max(norm, 1e-12))
    return {name: gradient * factor for name, gradient in gradients.items()}


class Adam:
    """The optimizer's memory: running means of the gradients and of their squares."""

    def __init__(self, first_decay: float = 0.9, second_decay: float = 0.999, epsilon: float = 1e-5) -> None:
        self._first_decay = first_decay
        self._second_decay = second_decay
        self._epsilon = epsilon
        self._steps = 0
        self._means: Weights = {}
        self._squares: Weights = {}

    def __repr__(self) -> str:
        return f"Adam({self._steps} steps)"

    def step(
        self, weights: Mapping[str, FloatArray], gradients: Mapping[str, FloatArray], learning_rate: float
    ) -> Weights:
        """Return the weights one step further down the gradients; the arrays passed in stay as they are."""
        self._steps += 1
        rate = learning_rate / (1 - self._first_decay**self._steps)
        correction = 1 / (1 - self._second_decay**self._steps)
        moved: Weights = {}
        for name, gradient in gradients.items():
            mean = self._means.get(name, np.zeros_like(gradient))
            square = self._squares.get(name, np.zeros_like(gradient))
            self._means[name] = mean = mean + (1 - self._first_decay) * (gradient - mean)
            self._squares[name] = square = square + (1 - self._second_decay) * (gradient * gradient - square)
            moved[name] = weights[name] - rate * mean / (np.sqrt(correction * square) + self._epsilon)
        return moved
