"""The rules of registering, whatever stores the group: pure, shared by Redis and its twin in memory.

A component has a name; each start of it is an incarnation. The group's store holds, by name, the record of the present
incarnation, a lease that it renews, and a history that outlives both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.utils.exception.communication_exception import RejoinBudgetError


class StoreUnavailableError(Exception):
    """The store does not answer; it may later."""


class StoreRefusedError(StoreUnavailableError):
    """The store answers, and refuses: trying again with the same credentials is of no use."""


@dataclass(frozen=True)
class JobDetails:
    """What the agent needs to know of a component that runs in a container."""

    job_id: str
    container_name: str
    enable_rejoin: bool
    max_rejoin_times: int
    is_remove_failed_container: bool


@dataclass(frozen=True)
class Registration:
    """A component that wants to join."""

    name: str
    component_type: str
    addresses: Mapping[str, str]
    max_rejoin_times: int | None
    """How many incarnations may follow an end without a clean leave; None: any number."""
    job: JobDetails | None = None


@dataclass(frozen=True)
class History:
    """What is remembered of a name."""

    incarnation: int = 0
    unclean_ends: int = 0
    left: bool = True
    """Whether the last incarnation left under its own power."""


class Renewal(Enum):
    """What renewing a lease found."""

    HELD = "held"
    RESTORED = "restored"
    """The lease or the record was missing: registered again, under the same incarnation."""


class SupersededError(Exception):
    """A newer incarnation has the name."""

    def __init__(self, newer: int) -> None:
        super().__init__(newer)
        self.newer = newer


def succeed(name: str, history: History, record_incarnation: int, now_us: int, max_rejoin_times: int | None) -> History:
    """The history of a name with a new incarnation, which is younger than any before, also where Redis lost them.

    Raises:
        RejoinBudgetError: the name has had all the unclean ends that it may have.
    """
    last = max(history.incarnation, record_incarnation)
    ended_unclean = last > 0 and not (history.left and history.incarnation == last)
    unclean_ends = history.unclean_ends + ended_unclean
    if max_rejoin_times is not None and unclean_ends > max_rejoin_times:
        raise RejoinBudgetError(
            f"{name!r} ended {unclean_ends} times without leaving the group, and may rejoin {max_rejoin_times} times: "
            "it is given up. Find out why it ends, or raise max_rejoin_times"
        )
    return History(max(now_us, last + 1), unclean_ends, left=False)


def judge_renewal(mine: int, lease: int | None, record: int | None, history: int) -> Renewal:
    """What to do with one's own registration, from the incarnations that the store holds for the name.

    Raises:
        SupersededError: one of them is newer.
    """
    newest = max(lease or 0, record or 0, history)
    if newest > mine:
        raise SupersededError(newest)
    return Renewal.HELD if lease == mine and record == mine else Renewal.RESTORED


class Watch(Protocol):
    """What calls a directory's step, again and again."""

    def poke(self) -> None:
        """Have it called now."""

    def stop(self) -> None:
        """Return when it is not under way, and will not be called any more. A second call does nothing."""


class GroupStore(ABC):
    """Where a group keeps who is in it. Every method may raise StoreUnavailableError.

    A write that depends on what was read is compare-and-set: a late clean-up can't remove a successor, and an older
    incarnation can't overwrite a newer one.
    """

    @abstractmethod
    def outward_host(self) -> str:
        """The address of this machine on the way to the store."""

    @abstractmethod
    def register(self, registration: Registration) -> PeerRecord:
        """Take the name for a new incarnation, and tell the group.

        Raises:
            RejoinBudgetError: the name is given up; the group is told that, too.
        """

    @abstractmethod
    def renew(self, registration: Registration, record: PeerRecord) -> Renewal:
        """Keep lease, record and everything that belongs to them for another term.

        Raises:
            SupersededError: a newer incarnation has the name; nothing was changed.
        """

    @abstractmethod
    def deregister(self, record: PeerRecord, kind: NoticeKind) -> None:
        """End a registration, if it is still this incarnation's, and tell the group how it ended."""

    @abstractmethod
    def announce(self, notice: Notice) -> None:
        """Tell the group."""

    @abstractmethod
    def records(self, component_type: str) -> list[PeerRecord]:
        """The records of all components of a type, leases or not."""

    @abstractmethod
    def leases(self, names: Iterable[str]) -> dict[str, int | None]:
        """Which incarnation holds the lease of each name."""

    @abstractmethod
    def remove_stale(self, record: PeerRecord) -> None:
        """Remove a record that has no lease, unless either has changed."""

    @abstractmethod
    def subscribe(self) -> None:
        """From now on keep the group's notices until they are asked for."""

    @abstractmethod
    def notices(self) -> list[Notice]:
        """The notices that came since the last call."""

    @abstractmethod
    def notice_fd(self) -> int | None:
        """Readable when a notice has come; None where there is none to wait on."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def watch(self, step: Callable[[], float | None]) -> Watch | None:
        """Call `step` at once, whenever the seconds that it returned have passed, and when a notice has come.

        A store may do so in its own way, as one that lives in simulated time must. None: there is nothing of the kind,
        and the directory has a thread for it.

        Args:
            step: returns the seconds until it is due again, None to end.
        """
        return None
