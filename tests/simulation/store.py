"""The group's store of a simulation: answers in simulated time, fails when it is told to, and steps its directories."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from maro.communication.memory_store import MemoryServer, MemoryStore
from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.communication.registration import Registration, Renewal, StoreUnavailableError
from tests.simulation.scheduler import Scheduler, Task

if TYPE_CHECKING:
    from tests.simulation.node import Node

_PATIENCE_LEASES = 0.5
"""How long a client waits for an answer of a server that hangs."""


class SimServer(MemoryServer):
    """In place of Redis.

    Args:
        scheduler: of the simulation.
        chance: of everything random.
        lease_s: of the group.
    """

    def __init__(self, scheduler: Scheduler, chance: random.Random, lease_s: float) -> None:
        super().__init__(scheduler.clock)
        self.hangs = False
        """It takes questions, and answers none."""
        self.latency_s = (0.0, 0.0)
        """Least and most seconds to an answer."""
        self.news_s = (0.0001, 0.003)
        """Least and most seconds until a notice is with those who subscribed."""
        self.unreachable: set[str] = set()
        """The components that are cut off from it."""
        self.patience_s = _PATIENCE_LEASES * lease_s
        self.chance = chance
        self.scheduler = scheduler
        self._watches: dict[SimWatch, None] = {}

    def begin(self, watch: SimWatch) -> None:
        """A directory subscribed."""
        self._watches[watch] = None

    def end(self, watch: SimWatch) -> None:
        """A directory does not subscribe any more."""
        self._watches.pop(watch, None)

    def tell(self) -> None:
        """Something was published, or all connections broke: everybody looks, each a little later."""
        now = self.scheduler.now
        for watch in self._watches:
            if not watch.told:
                watch.told = True
                self.scheduler.at(now + self.chance.uniform(*self.news_s), watch.hear, watch.node)

    def answer(self, node: Node) -> None:
        """Take the time that an answer takes; StoreUnavailableError where none comes."""
        if node.dead:
            raise StoreUnavailableError("its own process is dead")
        scheduler = self.scheduler
        if self.hangs or node.name in self.unreachable:
            given_up = scheduler.now + self.patience_s
            while (self.hangs or node.name in self.unreachable) and scheduler.now < given_up:
                before = scheduler.now
                scheduler.sleep(min(0.02, given_up - scheduler.now))
                if scheduler.now == before:
                    break  # asked by what can't sleep
            if self.hangs or node.name in self.unreachable:
                raise StoreUnavailableError("the server in the simulation does not answer")
        if self.latency_s[1]:
            scheduler.sleep(self.chance.uniform(*self.latency_s))


class SimWatch:
    """Keeps the directory of one component going: a task beside its application's."""

    def __init__(self, server: SimServer, node: Node, step: Callable[[], float | None]) -> None:
        self.node = node
        self.told = False
        """News are on their way to it."""
        self._server = server
        self._step = step
        self._poked = False
        self._stopping = False
        node.mailbox = step.__self__.mailbox  # type: ignore[attr-defined] # it is a directory's method
        self.task: Task = server.scheduler.spawn(node, f"{node.label}/directory", self._run)
        server.begin(self)

    def poke(self) -> None:
        """Have the step called now."""
        self._poked = True
        self.task.wake()

    def hear(self) -> None:
        """News have arrived."""
        self.told = False
        self.poke()

    def stop(self) -> None:
        """Return when no step is under way."""
        self._stopping = True
        self._server.end(self)
        self.task.wake()
        while not self.task.ended and not self.node.dead:
            self._server.scheduler.sleep(0.001)

    def _run(self) -> None:
        scheduler = self._server.scheduler
        while not self._stopping:
            self._poked = False
            wait_s = self._step()
            if self.node.mailbox.items:
                self.node.app.wake()
            if wait_s is None:
                return
            if not self._poked and not self._stopping:
                self.task.wait(scheduler.now + wait_s)


class SimStore(MemoryStore):
    """One component's way to the server.

    Args:
        server: of the simulation.
        group: the group's name.
        lease_s: of the group.
        node: whose it is.
    """

    def __init__(self, server: SimServer, group: str, lease_s: float, node: Node) -> None:
        super().__init__(server, group, lease_s)
        self._sim = server
        self._node = node

    def watch(self, step: Callable[[], float | None]) -> SimWatch:
        """Call it in simulated time."""
        watch = self._node.watch = SimWatch(self._sim, self._node, step)
        return watch

    def register(self, registration: Registration) -> PeerRecord:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        record = super().register(registration)
        self._node.history.registers(self._node.start, self._sim.scheduler.now)
        self._sim.tell()
        return record

    def renew(self, registration: Registration, record: PeerRecord) -> Renewal:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        renewal = super().renew(registration, record)
        if renewal is Renewal.RESTORED:
            self._sim.tell()
        return renewal

    def deregister(self, record: PeerRecord, kind: NoticeKind) -> None:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        super().deregister(record, kind)
        self._sim.tell()

    def announce(self, notice: Notice) -> None:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        super().announce(notice)
        self._sim.tell()

    def records(self, component_type: str) -> list[PeerRecord]:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        return super().records(component_type)

    def leases(self, names: Iterable[str]) -> dict[str, int | None]:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        return super().leases(names)

    def remove_stale(self, record: PeerRecord) -> None:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        super().remove_stale(record)

    def subscribe(self) -> None:
        """As `MemoryStore`."""
        self._sim.answer(self._node)
        super().subscribe()

    def notices(self) -> list[Notice]:
        """As `MemoryStore`."""
        if self._node.dead:
            raise GreenletExit
        if self._sim.hangs or self._node.name in self._sim.unreachable:
            return []  # they wait in the connection
        return super().notices()

    def close(self) -> None:
        """As `MemoryStore`; the server notices by itself that a dead one is gone."""
        super().close()


def describe(item: Any) -> str:
    """An observation, in a few words for a trace."""
    if isinstance(item, Notice):
        return f"{item.kind.value} {item.record.name}"
    return type(item).__name__.lower()
