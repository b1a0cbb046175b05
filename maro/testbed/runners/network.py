"""What a runner's network can be asked to do to packets; a runner that can has one, by `Runner.network`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass

from maro.testbed.runners.runner import Member

Heal = Callable[[], None]
"""Undoes one thing that was done; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets are lost by chance, in both directions."""

    percent: float


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What a member sends goes out at so many thousand bits a second."""

    kbit: int


@dataclass(frozen=True, slots=True)
class Delay:
    """What a member sends is delayed by so many milliseconds, more or less."""

    ms: float
    jitter_ms: float = 0.0


Shape = Loss | Bandwidth | Delay


class Network(ABC):
    """Drops and slows packets of members. What is done by several calls adds up, and is healed one by one."""

    @abstractmethod
    def cut(self, pairs: Collection[tuple[Member, Member]], limit_s: float) -> Heal:
        """Drop the packets from the first to the second member of each pair.

        Args:
            pairs: of members that run.
            limit_s: healed by itself after that, should this process be gone by then.

        Raises:
            RunnerError: it could not be done; nothing is left of it.
        """

    @abstractmethod
    def shape(self, member: Member, shape: Shape, limit_s: float) -> Heal:
        """Lose or slow the packets of a member; otherwise as `cut`."""

    @abstractmethod
    def unsupported(self, kinds: Collection[str]) -> dict[str, str]:
        """Which kinds of faults can't be done on this machine, and why. Tried out.

        Raises:
            RunnerError: it can't be tried out.
        """
