"""The server's mind: gradients in, new weights out, and the decision when it is done. No messages, no clock.

This is the staleness-aware n-softsync protocol of Zhang, Gupta, Lian and Liu (2016), "Staleness-aware async-SGD for
distributed deep learning", IJCAI: an update takes the gradients of a part of the workers (of half of them, n = 2), and
each moves the weights by the step divided by its staleness, the number of updates since its worker got its weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from maro.testbed.workloads.parameter_server.settings import ServerSettings
from maro.testbed.workloads.regression import FloatArray, Regression, random_stream


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What the server sends."""

    run: str
    """Of the server: one that was started again trains afresh, and is another run."""
    version: int
    """How many updates they have behind them."""
    values: FloatArray
    """(P,)"""
    applied: frozenset[str]
    """The workers whose gradients the server no longer has: they may send their next ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """What a worker sends."""

    run: str
    version: int
    """Of the weights that it was computed with."""
    values: FloatArray
    """(P,)"""


class Verdict(Enum):
    """Where a training stands."""

    GOING_ON = "going on"
    REACHED = "reached"
    FAILED = "failed"


def worker_gradient(regression: Regression, settings: ServerSettings, worker: str, weights: Weights) -> Gradient:
    """The gradient on a minibatch of all the data, which depends on the seed, the worker and the version alone."""
    rng = random_stream(settings.seed, worker, weights.version)
    rows = rng.choice(regression.rows, min(settings.batch, regression.rows), replace=False)
    return Gradient(weights.run, weights.version, regression.gradient(weights.values, rows))


def step_share(staleness: int) -> float:
    """The share of the step that a gradient moves the weights by; the older it is the less.

    Args:
        staleness: updates between the weights that it was computed with and those that it is applied to.

    Raises:
        ValueError: it is from the future.
    """
    if staleness < 0:
        raise ValueError(f"a gradient can't be newer than the weights, but its staleness is {staleness}")
    return 1.0 / max(1, staleness)


class Descent:
    """One training from zero weights.

    Args:
        regression: the task.
        run: tells this training's gradients from those of one before.
        settings: of the training.
    """

    def __init__(self, regression: Regression, run: str, settings: ServerSettings | None = None) -> None:
        self.settings = (settings or ServerSettings()).validate()
        self.run = run
        self.version = 0
        self.ratio = regression.ratio(np.zeros(regression.size))
        """The loss of the weights, as a multiple of the optimum."""
        self.gradients_by_worker: Counter[str] = Counter()
        """How many were applied."""
        self.staleness: Counter[int] = Counter()
        """How many of them had which staleness."""
        self.foreign = 0
        """Gradients of another run."""
        self._regression = regression
        self._values = np.zeros(regression.size)

    def __repr__(self) -> str:
        return f"Descent(update {self.version}, loss {self.ratio:.4f} times the optimum)"

    @property
    def loss(self) -> float:
        """The mean squared error of the weights over all the data."""
        return self._regression.loss(self._values)

    @property
    def optimum(self) -> float:
        """The least loss that there is."""
        return self._regression.optimum

    @property
    def mean_staleness(self) -> float:
        """Of all gradients that were applied."""
        return sum(age * count for age, count in self.staleness.items()) / max(1, self.staleness.total())

    def weights(self, applied: Collection[str] = ()) -> Weights:
        """The weights as they are now, to be sent."""
        return Weights(self.run, self.version, self._values.copy(), frozenset(applied))

    def is_foreign(self, gradient: Gradient) -> bool:
        """Whether it belongs to a run before this one."""
        return gradient.run != self.run

    def update(self, gradients: Mapping[str, Gradient]) -> None:
        """Move the weights by the mean of some gradients, each scaled by its staleness; foreign ones are left out.

        Args:
            gradients: by the worker that sent them; with nothing but foreign ones nothing changes.

        Raises:
            ValueError: a gradient is newer than the weights; nothing has changed.
        """
        own = {worker: gradient for worker, gradient in gradients.items() if not self.is_foreign(gradient)}
        self.foreign += len(gradients) - len(own)
        if not own:
            return
        ages = {worker: self.version - gradient.version for worker, gradient in own.items()}
        moves = [step_share(ages[worker]) * gradient.values for worker, gradient in own.items()]
        self._values = self._values - self.settings.step * np.mean(moves, axis=0)
        self.version += 1
        self.gradients_by_worker.update(own.keys())
        self.staleness.update(ages.values())
        self.ratio = self._regression.ratio(self._values)

    def verdict(self, workers: Collection[str]) -> Verdict:
        """Whether the training is done, with these workers in the group."""
        settings = self.settings
        all_took_part = all(self.gradients_by_worker[worker] >= settings.min_gradients for worker in workers)
        if all_took_part and self.ratio <= 1 + settings.tolerance:
            return Verdict.REACHED
        return Verdict.FAILED if self.version >= settings.max_updates else Verdict.GOING_ON

    def failure(self) -> str:
        """Why the training failed, in a sentence."""
        settings = self.settings
        return (
            f"no success after {self.version} updates: the loss is {self.ratio:.4f} times the optimum of "
            f"{self.optimum:.1f}, allowed is {1 + settings.tolerance:g}, and gradients by worker are "
            f"{dict(self.gradients_by_worker)}, asked for are {settings.min_gradients} of each; allow more updates"
        )
