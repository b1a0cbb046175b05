"""Episodes as arrays, and how they are played: by actors for training, and greedily for evaluation."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maro.testbed.workloads.rollout.policy import ACTION_COUNT, OBSERVATION_SIZE, ActorCritic

ENVIRONMENT = "CartPole-v1"
_EVALUATION_STREAM = "evaluation"


class Environment(Protocol):
    """The part of a Gymnasium environment that is used here."""

    def reset(self, *, seed: int | None = None) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start an episode; return the first observation and further information."""

    def step(self, action: int, /) -> tuple[npt.NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        """Take one step; return observation, reward, terminated, truncated and further information."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One whole episode of T steps, as one actor played it with one version of the weights."""

    observations: npt.NDArray[np.float32]
    """(T, 4): what was seen before each action."""
    actions: npt.NDArray[np.int64]
    """(T,)"""
    rewards: npt.NDArray[np.float32]
    """(T,)"""
    log_probabilities: npt.NDArray[np.float32]
    """(T,): of each action under the policy that took it."""
    version: int
    """Version of the weights that it was played with."""
    terminated: bool
    """True when the pole fell; False when the time limit cut the episode off, and its future still has a value."""
    final_observation: npt.NDArray[np.float32]
    """(4,): what was seen last; without termination the value of the future is estimated from it."""

    def __len__(self) -> int:
        return len(self.actions)

    def __repr__(self) -> str:
        end = "terminated" if self.terminated else "truncated"
        return f"Trajectory(version {self.version}, {len(self)} steps, return {self.episode_return:g}, {end})"

    @property
    def episode_return(self) -> float:
        """Sum of the rewards, without discount."""
        return float(self.rewards.sum())

    def validate(self) -> Trajectory:
        """Return self, or raise `ValueError` if the arrays do not fit together."""
        steps = len(self.actions)
        expected: dict[str, tuple[int, ...]] = {
            "observations": (steps, OBSERVATION_SIZE),
            "actions": (steps,),
            "rewards": (steps,),
            "log_probabilities": (steps,),
            "final_observation": (OBSERVATION_SIZE,),
        }
        if not steps:
            raise ValueError("a trajectory needs at least one step; send whole episodes only")
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name} of a trajectory with {steps} steps must be {shape}, not {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of a trajectory holds something that is not a finite number")
        if self.actions.min() < 0 or self.actions.max() >= ACTION_COUNT:
            raise ValueError(f"actions of a trajectory must lie in 0..{ACTION_COUNT - 1}")
        return self


def make_environment() -> Environment:
    """Return a new CartPole-v1 (Gymnasium is imported here); episodes end after 500 steps at the latest."""
    import gymnasium

    environment: Environment = gymnasium.make(ENVIRONMENT)
    return environment


def random_stream(seed: int, *key: int | str) -> np.random.Generator:
    """Return the random numbers for one purpose, the same ones whenever seed and key are the same.

    An actor that draws from `random_stream(seed, name, version)` plays the same episode with the same weights however
    often it was restarted, and never that of another actor or version; a running number in the key makes it several.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.default_rng([seed, *words])


def play_episode(environment: Environment, policy: ActorCritic, rng: np.random.Generator, version: int) -> Trajectory:
    """Play one episode to its end, drawing the start and every action from `rng`."""
    observation, _ = environment.reset(seed=_episode_seed(rng))
    observations, actions, rewards, log_probabilities = [], [], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action, log_probability = policy.act(observation, rng)
        observations.append(observation)
        actions.append(action)
        log_probabilities.append(log_probability)
        observation, reward, terminated, truncated, _ = environment.step(action)
        rewards.append(reward)
    return Trajectory(
        observations=np.array(observations, np.float32),
        actions=np.array(actions, np.int64),
        rewards=np.array(rewards, np.float32),
        log_probabilities=np.array(log_probabilities, np.float32),
        version=version,
        terminated=bool(terminated),
        final_observation=np.array(observation, np.float32),
    )


def evaluate(policy: ActorCritic, episodes: int, seed: int) -> npt.NDArray[np.float64]:
    """Play episodes greedily and return their returns (episodes,); the same seed gives the same starts."""
    if episodes <= 0:
        raise ValueError(f"an evaluation needs at least one episode, not {episodes}")
    environment = make_environment()
    rng = random_stream(seed, _EVALUATION_STREAM)
    returns = np.zeros(episodes)
    for episode in range(episodes):
        observation, _ = environment.reset(seed=_episode_seed(rng))
        ended = False
        while not ended:
            observation, reward, terminated, truncated, _ = environment.step(policy.act_greedily(observation))
            returns[episode] += reward
            ended = terminated or truncated
    return returns


def _episode_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
