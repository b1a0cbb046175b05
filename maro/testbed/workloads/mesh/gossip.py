"""A node's mind: the peers' weights in, its own for the next round out, and whether it is done. No messages, no clock.

This is D-PSGD of Lian, Zhang, Zhang, Hsieh, Zhang and Liu (2017), "Can decentralized algorithms outperform centralized
algorithms?", NeurIPS, on a complete graph: in each round a node computes a gradient with its own weights, averages them
with those of its peers, and moves the average by the gradient.

What may be lost or late on the way needs two rules beyond the paper. A message counts for its own round and for those
before it, so a node that missed one is helped by the next. And a node whose peers are all further than itself takes
over their average in place of its own weights and goes on in their round: so does one that was killed and came back.

A node checks each average. One that is good enough becomes its result, which it announces with its weights from then
on. The end is reached where everybody who is there has announced a result and these agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maro.testbed.workloads.mesh.settings import MeshSettings
from maro.testbed.workloads.regression import FloatArray, IntArray, Regression, random_stream, shard


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a node sends to its peers."""

    round: int
    weights: FloatArray
    """(P,): with which it entered the round."""
    result: FloatArray | None
    """(P,): the last average of all that was good enough, if there was one."""
    asks: bool = False
    """Whether it wants an answer: it has just come, or has been waiting for a while."""


def distance_to_mean(vectors: FloatArray) -> float:
    """The largest distance of some vectors (N, P) to their mean, as a share of the mean's length; 0 for equal ones."""
    mean = vectors.mean(axis=0)
    farthest = float(np.linalg.norm(vectors - mean, axis=1).max())
    length = float(np.linalg.norm(mean))
    if farthest == 0:
        return 0.0
    return farthest / length if length else float("inf")


class Gossip:
    """The training as one node sees it.

    Args:
        regression: the task.
        name: of the node.
        settings: of the training.
    """

    def __init__(self, regression: Regression, name: str, settings: MeshSettings | None = None) -> None:
        self.settings = (settings or MeshSettings()).validate()
        self.name = name
        self.round = 0
        self.weights: FloatArray = np.zeros(regression.size)
        """With which the node entered the round."""
        self.ratio = regression.ratio(self.weights)
        """The loss of the last average over all the data, as a multiple of the optimum."""
        self.distance = float("inf")
        """See `distance_to_mean`, of the weights that went into the last average."""
        self.result: FloatArray | None = None
        """See `State`. A later average that is not good enough does not take it away: the peers may rely on it."""
        self.verified = False
        """Whether everybody had a result, and they agreed: the end."""
        self._regression = regression
        self._names: frozenset[str] | None = None
        self._rows: IntArray = np.arange(0)

    def __repr__(self) -> str:
        return f"Gossip({self.name!r}, round {self.round}, loss {self.ratio:.4f} times the optimum)"

    @property
    def optimum(self) -> float:
        """The least loss that there is."""
        return self._regression.optimum

    @property
    def failed(self) -> bool:
        """Whether the rounds are used up."""
        return not self.verified and self.round >= self.settings.max_rounds

    @property
    def result_ratio(self) -> float | None:
        """The loss of the result, as a multiple of the optimum."""
        return None if self.result is None else self._regression.ratio(self.result)

    def state(self, asks: bool = False) -> State:
        """The node's part in this round, to be sent."""
        return State(self.round, self.weights, self.result, asks)

    def gradient(self, names: Collection[str]) -> FloatArray:
        """The gradient at the node's weights on a minibatch of its shard.

        Args:
            names: of the peers that are present; the rows are dealt anew when they change.
        """
        present = frozenset(names)
        if present != self._names:
            self._names = present
            self._rows = shard(self._regression.rows, sorted(present), self.name, self.settings.seed)
        rng = random_stream(self.settings.seed, self.name, self.round)
        part = max(1, self.settings.batch // (len(present) + 1))
        rows = rng.choice(self._rows, min(part, len(self._rows)), replace=False)
        return self._regression.gradient(self.weights, rows)

    def average(self, states: Mapping[str, State], gradient: FloatArray) -> None:
        """End the round.

        Args:
            states: by peer, of this round or a later one. None at all where the node is alone.
            gradient: at the node's weights.

        Raises:
            ValueError: a state is of an earlier round; nothing has changed.
        """
        rounds = [state.round for state in states.values()] or [self.round]
        if min(rounds) < self.round:
            raise ValueError(f"a state of round {min(rounds)} does not count for round {self.round}; drop it")
        is_behind = min(rounds) > self.round
        vectors = [state.weights for state in states.values()]
        if not is_behind:
            vectors.append(self.weights)
        mean = np.mean(vectors, axis=0)
        self.distance = distance_to_mean(np.array(vectors))
        self.ratio = self._regression.ratio(mean)
        settings = self.settings
        if not is_behind and self.ratio <= 1 + settings.tolerance and self.distance <= settings.spread:
            self.result = mean
        self.verified = self._agrees([state.result for state in states.values()])
        self.weights = mean if is_behind else mean - settings.step * gradient
        self.round = max(self.round + 1, min(rounds))

    def _agrees(self, others: Sequence[FloatArray | None]) -> bool:
        """Whether there is a result, the others have one too, and all of them are close to each other."""
        results = [result for result in (self.result, *others) if result is not None]
        return len(results) == 1 + len(others) and distance_to_mean(np.array(results)) <= self.settings.spread

    def failure(self) -> str:
        """Why the training failed, in a sentence."""
        settings = self.settings
        return (
            f"no success after {self.round} rounds: the average's loss is {self.ratio:.4f} times the optimum of "
            f"{self.optimum:.1f}, allowed is {1 + settings.tolerance:g}, and a node is {self.distance:.4f} of the "
            f"average's length away from it, allowed is {settings.spread:g}; allow more rounds"
        )
