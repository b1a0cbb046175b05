"""The group's store in memory: the twin of the one in Redis, for tests and simulations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from maro.communication import clock as clocks
from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.communication.registration import (
    GroupStore,
    History,
    Registration,
    Renewal,
    StoreUnavailableError,
    judge_renewal,
    succeed,
)
from maro.utils.exception.communication_exception import RejoinBudgetError


@dataclass
class _Group:
    """What the server holds of one group."""

    records: dict[str, PeerRecord] = field(default_factory=dict)
    leases: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Name to incarnation and the time at which the lease ends."""
    histories: dict[str, History] = field(default_factory=dict)
    subscribers: list[list[Notice]] = field(default_factory=list)


class MemoryServer:
    """In place of a Redis server: shared by the stores of all components.

    Args:
        clock: seconds; by default those that all of the package goes by.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or clocks.monotonic
        self.available = True
        """Set to False, it does not answer, as a server that was stopped; leases run on."""
        self.lock = threading.RLock()
        self._groups: dict[str, _Group] = {}

    def group(self, name: str) -> _Group:
        """What is held of a group, expired leases removed.

        Raises:
            StoreUnavailableError: the server is not available.
        """
        if not self.available:
            raise StoreUnavailableError("the server in memory does not answer")
        group = self._groups.setdefault(name, _Group())
        now = self.clock()
        for component in [component for component, (_, ends) in group.leases.items() if ends <= now]:
            del group.leases[component]
        return group

    def restart_empty(self) -> None:
        """Forget everything, subscriptions included, as a server that was killed and started again."""
        with self.lock:
            for group in self._groups.values():
                group.subscribers.clear()
            self._groups.clear()


class MemoryStore(GroupStore):
    """The store of one group in a `MemoryServer`.

    Args:
        server: shared by all that are to find each other.
        group: the group's name.
        lease_s: seconds that a registration holds without being renewed.
    """

    def __init__(self, server: MemoryServer, group: str, lease_s: float) -> None:
        self._server = server
        self._group = group
        self._lease_s = lease_s
        self._inbox: list[Notice] | None = None

    def outward_host(self) -> str:
        """There is no machine between."""
        return "127.0.0.1"

    def register(self, registration: Registration) -> PeerRecord:
        """Take the name for a new incarnation, and tell the group; RejoinBudgetError where it is given up."""
        name, component_type = registration.name, registration.component_type
        with self._server.lock:
            group = self._server.group(self._group)
            old = group.records.get(name)
            history = group.histories.get(name, History())
            last = old.incarnation if old else 0
            try:
                now_us = int(self._server.clock() * 1_000_000)
                new = succeed(name, history, last, now_us, registration.max_rejoin_times)
            except RejoinBudgetError:
                given_up = PeerRecord(name, component_type, max(last, history.incarnation), {})
                _tell(group, Notice(NoticeKind.GIVEN_UP, given_up))
                raise
            record = PeerRecord(name, component_type, new.incarnation, registration.addresses)
            self._keep(group, record, new)
            _tell(group, Notice(NoticeKind.REJOIN if history.incarnation or old else NoticeKind.JOIN, record))
            return record

    def renew(self, registration: Registration, record: PeerRecord) -> Renewal:
        """Keep the registration for another term; SupersededError where a newer incarnation has the name."""
        with self._server.lock:
            group = self._server.group(self._group)
            stored = group.records.get(record.name)
            history = group.histories.get(record.name, History())
            lease = group.leases.get(record.name, (None, 0.0))[0]
            renewal = judge_renewal(
                record.incarnation, lease, stored.incarnation if stored else None, history.incarnation
            )
            self._keep(group, record, History(record.incarnation, history.unclean_ends, left=False))
            if renewal is Renewal.RESTORED:
                _tell(group, Notice(NoticeKind.REJOIN, record))
            return renewal

    def deregister(self, record: PeerRecord, kind: NoticeKind) -> None:
        """End a registration, if it is still this incarnation's, and tell the group how it ended."""
        with self._server.lock:
            group = self._server.group(self._group)
            history = group.histories.get(record.name, History())
            stored = group.records.get(record.name)
            if max(history.incarnation, stored.incarnation if stored else 0) > record.incarnation:
                return
            group.records.pop(record.name, None)
            group.leases.pop(record.name, None)
            left = kind is NoticeKind.LEFT
            group.histories[record.name] = History(record.incarnation, history.unclean_ends, left)
            _tell(group, Notice(kind, record))

    def announce(self, notice: Notice) -> None:
        """Tell the group."""
        with self._server.lock:
            _tell(self._server.group(self._group), notice)

    def records(self, component_type: str) -> list[PeerRecord]:
        """The records of all components of a type, leases or not."""
        with self._server.lock:
            records = self._server.group(self._group).records.values()
            return [record for record in records if record.component_type == component_type]

    def leases(self, names: Iterable[str]) -> dict[str, int | None]:
        """Which incarnation holds the lease of each name."""
        with self._server.lock:
            held = self._server.group(self._group).leases
            return {name: held[name][0] if name in held else None for name in names}

    def remove_stale(self, record: PeerRecord) -> None:
        """Remove a record that has no lease, unless either has changed."""
        with self._server.lock:
            group = self._server.group(self._group)
            if record.name not in group.leases and group.records.get(record.name) == record:
                del group.records[record.name]

    def subscribe(self) -> None:
        """From now on keep the group's notices until they are asked for."""
        with self._server.lock:
            subscribers = self._server.group(self._group).subscribers
            subscribers[:] = [inbox for inbox in subscribers if inbox is not self._inbox]
            self._inbox = []
            subscribers.append(self._inbox)

    def notices(self) -> list[Notice]:
        """The notices that came since the last call."""
        with self._server.lock:
            subscribers = self._server.group(self._group).subscribers
            if self._inbox is None or not any(inbox is self._inbox for inbox in subscribers):
                raise StoreUnavailableError("the subscription to the server in memory is gone")
            found = list(self._inbox)
            self._inbox.clear()
            return found

    def notice_fd(self) -> int | None:
        """There is nothing to wait on: notices are asked for."""
        return None

    def close(self) -> None:
        """Give up the subscription."""
        with self._server.lock:
            if self._inbox is not None and self._server.available:
                subscribers = self._server.group(self._group).subscribers
                subscribers[:] = [inbox for inbox in subscribers if inbox is not self._inbox]
            self._inbox = None

    def _keep(self, group: _Group, record: PeerRecord, history: History) -> None:
        group.records[record.name] = record
        group.leases[record.name] = (record.incarnation, self._server.clock() + self._lease_s)
        group.histories[record.name] = history


def _tell(group: _Group, notice: Notice) -> None:
    for inbox in group.subscribers:
        inbox.append(notice)
