"""A small actor-critic network in plain NumPy: two towers of tanh layers, with the gradient written out by hand.

Weights are a flat dictionary of arrays, `"policy.0.weight"` (inputs, outputs), `"policy.0.bias"` (outputs,) and so on
for the towers `policy` (one logit an action) and `value` (one number). That dictionary is what travels from learner to
actors. The functions work in the precision of the weights that they are given; `ActorCritic` keeps float32.

The arrays are so small that a BLAS library's threads cost more than they bring: start every process with
`OPENBLAS_NUM_THREADS=1`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Weights = dict[str, FloatArray]

TOWERS = ("policy", "value")
OBSERVATION_SIZE = 4
ACTION_COUNT = 2


@dataclass(frozen=True, slots=True)
class Activations:
    """One pass through both towers over N observations, with what `backward` needs of it."""

    logits: FloatArray
    """(N, actions)"""
    values: FloatArray
    """(N,)"""
    layers: dict[str, list[FloatArray]]
    """By tower: the input of each of its layers, (N, inputs)."""


def initial_weights(
    rng: np.random.Generator,
    hidden: Sequence[int] = (64, 64),
    observation_size: int = OBSERVATION_SIZE,
    action_count: int = ACTION_COUNT,
) -> Weights:
    """Draw float32 weights: orthogonal layers and zero biases, the policy's last layer close to zero.

    The small last layer makes the first policy nearly uniform, whatever the draw (Andrychowicz et al., 2020,
    arXiv:2006.05990).
    """
    weights: Weights = {}
    for tower, outputs, last_gain in (("policy", action_count, 0.01), ("value", 1, 1.0)):
        sizes = (observation_size, *hidden, outputs)
        for layer, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            gain = last_gain if layer == len(hidden) else math.sqrt(2)
            weights[f"{tower}.{layer}.weight"] = (gain * _orthogonal(rng, inputs, units)).astype(np.float32)
            weights[f"{tower}.{layer}.bias"] = np.zeros(units, np.float32)
    return weights


def forward(weights: Mapping[str, FloatArray], observations: FloatArray) -> Activations:
    """Run both towers over observations (N, size)."""
    outputs: dict[str, FloatArray] = {}
    layers: dict[str, list[FloatArray]] = {}
    for tower in TOWERS:
        depth = _depth(weights, tower)
        signal = observations
        inputs = []
        for layer in range(depth):
            inputs.append(signal)
            signal = signal @ weights[f"{tower}.{layer}.weight"] + weights[f"{tower}.{layer}.bias"]
            if layer < depth - 1:
                signal = np.tanh(signal)
        outputs[tower] = signal
        layers[tower] = inputs
    return Activations(outputs["policy"], outputs["value"][:, 0], layers)


def backward(
    weights: Mapping[str, FloatArray], activations: Activations, d_logits: FloatArray, d_values: FloatArray
) -> Weights:
    """Return the loss's gradient by every weight, given its gradients by logits (N, actions) and values (N,)."""
    gradients: Weights = {}
    for tower, d_output in (("policy", d_logits), ("value", d_values[:, None])):
        gradient = d_output
        inputs = activations.layers[tower]
        for layer in range(len(inputs) - 1, -1, -1):
            signal = inputs[layer]
            gradients[f"{tower}.{layer}.weight"] = signal.T @ gradient
            gradients[f"{tower}.{layer}.bias"] = gradient.sum(axis=0)
            if layer:
                # The layer's input is tanh(x), whose derivative is 1 - tanh(x)**2.
                gradient = (gradient @ weights[f"{tower}.{layer}.weight"].T) * (1 - signal * signal)
    return gradients


def log_softmax(logits: FloatArray) -> FloatArray:
    """Return the logarithms of the actions' probabilities (N, actions) without overflow for large logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]


class ActorCritic:
    """A policy that plays: weights that can be exchanged, and quick answers for one observation at a time."""

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        """Take over a copy of the weights, whose shapes decide about the network's."""
        self._weights = {name: np.array(array, np.float32) for name, array in weights.items()}
        for tower in TOWERS:
            for layer in range(_depth(self._weights, tower)):
                if f"{tower}.{layer}.bias" not in self._weights:
                    raise ValueError(f"the weights lack {tower}.{layer}.bias; pass what `get_weights` returned")
        self._tower = self._policy_tower()

    def __repr__(self) -> str:
        count = sum(array.size for array in self._weights.values())
        return f"ActorCritic({len(self._tower)} layers a tower, {count} parameters)"

    def get_weights(self) -> Weights:
        """Return a copy of all weights."""
        return {name: array.copy() for name, array in self._weights.items()}

    def set_weights(self, weights: Mapping[str, FloatArray]) -> None:
        """Take over a copy of weights of the same names and shapes; others raise `ValueError`, and change nothing."""
        if weights.keys() != self._weights.keys():
            odd = sorted(weights.keys() ^ self._weights.keys())
            raise ValueError(f"these weights are of another network: {', '.join(odd)} on one side only")
        for name, array in weights.items():
            if array.shape != self._weights[name].shape:
                raise ValueError(
                    f"these weights are of another network: {name} has shape {array.shape}, "
                    f"this network's has {self._weights[name].shape}; give all components the same settings"
                )
        self._weights = {name: np.array(weights[name], np.float32) for name in self._weights}
        self._tower = self._policy_tower()

    def act(self, observation: FloatArray, rng: np.random.Generator) -> tuple[int, float]:
        """Draw an action for one observation (size,); return it with the logarithm of its probability."""
        logits = self._logits(observation)
        # Python floats: for a handful of actions NumPy's call overhead is most of the time.
        highest = max(logits)
        odds = [math.exp(logit - highest) for logit in logits]
        total = sum(odds)
        left = rng.random() * total
        action = 0
        while action < len(odds) - 1 and left >= odds[action]:
            left -= odds[action]
            action += 1
        return action, logits[action] - highest - math.log(total)

    def act_greedily(self, observation: FloatArray) -> int:
        """Return the most probable action for one observation (size,); among equals the first."""
        logits = self._logits(observation)
        return logits.index(max(logits))

    def evaluate_batch(self, observations: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log-probabilities (N, actions) and values (N,) for observations (N, size)."""
        activations = forward(self._weights, observations)
        return log_softmax(activations.logits), activations.values

    def _logits(self, observation: FloatArray) -> list[float]:
        signal = observation
        for weight, bias in self._tower[:-1]:
            signal = np.tanh(signal @ weight + bias)
        weight, bias = self._tower[-1]
        logits: list[float] = (signal @ weight + bias).tolist()
        return logits

    def _policy_tower(self) -> list[tuple[FloatArray, FloatArray]]:
        return [
            (self._weights[f"policy.{layer}.weight"], self._weights[f"policy.{layer}.bias"])
            for layer in range(_depth(self._weights, "policy"))
        ]


def _depth(weights: Mapping[str, FloatArray], tower: str) -> int:
    depth = 0
    while f"{tower}.{depth}.weight" in weights:
        depth += 1
    if not depth:
        raise ValueError(f"the weights lack {tower}.0.weight; make them with `initial_weights`")
    return depth


def _orthogonal(rng: np.random.Generator, inputs: int, units: int) -> FloatArray:
    tall = rng.standard_normal((max(inputs, units), min(inputs, units)))
    q, r = np.linalg.qr(tall)
    # The signs make the draw uniform over orthogonal matrices (Mezzadri, 2007, arXiv:math-ph/0609050).
    q = q * np.sign(np.diag(r))
    return q if inputs >= units else q.T
