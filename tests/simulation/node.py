"""One incarnation of a component: a process of the simulation, which may be interrupted, paused, and killed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent

from maro.communication import Proxy
from maro.communication.flusher import MESSAGES_AFTER_S, NEWS_AFTER_S, Pace
from maro.utils.exception.communication_exception import DriverSendError
from tests.simulation.component import Component
from tests.simulation.driver import SimDriver
from tests.simulation.history import Start
from tests.simulation.store import SimStore

if TYPE_CHECKING:
    from maro.communication.directory import Mailbox
    from maro.communication.exchange import Exchange
    from tests.simulation.plan import Role
    from tests.simulation.scheduler import Task
    from tests.simulation.store import SimWatch
    from tests.simulation.world import World

_INTERRUPTION_S = 0.002
"""How long another process runs at most when one is interrupted in the middle of a call."""


class SimFlusher:
    """In place of the thread that sends what waits when a component's call has returned.

    Args:
        node: whose it is.
        exchange: of its Proxy.
    """

    def __init__(self, node: Node, exchange: Exchange) -> None:
        self.pace = Pace.IDLE
        self._node = node
        self._exchange = exchange
        self._due = math.inf
        self._is_closed = False

    def wake(self, pace: Pace) -> None:
        """Something waits."""
        self.pace = pace
        due = self._node.scheduler.now + (MESSAGES_AFTER_S if pace is Pace.MESSAGES else NEWS_AFTER_S)
        if due < self._due:
            self._due = due
            self._node.scheduler.at(due, self._flush, self._node)

    def close(self) -> None:
        """No more."""
        self._is_closed = True

    def _flush(self) -> None:
        self._due, self.pace = math.inf, Pace.IDLE
        guard = self._exchange.guard
        if self._is_closed or not guard.enter_between_calls():
            return  # inside a call, which sends what waits before it blocks, and wakes us when it returns
        still_waits = False
        with contextlib.suppress(DriverSendError):
            still_waits = self._exchange.flush_late()
        guard.leave_between_calls()
        if still_waits:
            self.wake(Pace.NEWS)


class Node:
    """One incarnation.

    Args:
        world: that it lives in.
        role: of the component.
        number: of the start, from 1 on.
    """

    def __init__(self, world: World, role: Role, number: int) -> None:
        self.world = world
        self.scheduler = world.scheduler
        self.history = world.history
        self.role = role
        self.name = role.name
        self.start = Start(role.name, number)
        self.label = f"{role.name}.{number}"
        self.chance = world.chance
        self.dead = False
        self.paused = False
        self.held: list[Any] = []
        self.stall_s = 0.0
        """So long does the next computation take, beside its own time."""
        self.fuse = world.chance.randint(1, world.plan.settings.interruptions)
        """Operations of the driver until another process runs in between."""
        self.crash_in: int | None = None
        """Operations of the driver until it crashes, where that is planned."""
        self.call = ""
        """The call that is under way."""
        self.most_in_inbox = 0
        self.most_unfinished = 0
        """Messages that it kept for one peer."""
        self.idle_waits = self.most_idle_waits = 0
        """Waits in a row that ended at once, and nothing came or went: a few are in order, many are a busy loop."""
        self.proxy: Any = None
        self.exchange: Exchange | None = None
        self.driver: SimDriver | None = None
        self.mailbox: Mailbox | Any = None
        self.watch: SimWatch | None = None
        self.memory = world.memory.setdefault(role.name, {})
        """What outlives an incarnation: the component's disk."""
        self.app: Task = world.scheduler.spawn(self, self.label, lambda: world.live(self))

    def __repr__(self) -> str:
        state = "dead" if self.dead else "paused" if self.paused else "alive"
        return f"{self.label} ({state}{', in ' + self.call if self.call else ''})"

    # Being a process.

    def has_news(self) -> bool:
        """Whether the directory left something."""
        return self.mailbox is not None and bool(self.mailbox.items)

    def look(self) -> None:
        """Before it blocks: how much has piled up, and whether it gets anywhere."""
        self.most_idle_waits = max(self.most_idle_waits, self.idle_waits)
        if self.exchange is not None:
            if len(self.exchange.inbox) > self.most_in_inbox:
                kept = sum(
                    message.receipt is None or not message.receipt.is_finished for message in self.exchange.inbox
                )
                self.most_in_inbox = max(self.most_in_inbox, kept)
            for stream in self.exchange.delivery.sending.values():
                if len(stream) > self.most_unfinished:
                    # What is finished, and kept until its reply is there, comes on top.
                    kept = sum(not entry.awaited for entry in stream.entries.values())
                    self.most_unfinished = max(self.most_unfinished, kept)

    def interrupt(self) -> None:
        """In the middle of a call: another process runs, or this one dies."""
        if self.dead or self.scheduler.running is not self.app or getcurrent() is not self.app.greenlet:
            return
        if self.crash_in is not None:
            self.crash_in = None
            self.world.crash(self)
            raise GreenletExit
        self.fuse = self.chance.randint(1, self.world.plan.settings.interruptions)
        self.app.wait(self.scheduler.now + self.chance.uniform(0, _INTERRUPTION_S))
        if self.dead:
            raise GreenletExit

    def crash_soon(self, operations: int) -> None:
        """Crash in the middle of a call, that many operations of the driver from now."""
        self.crash_in = self.fuse = operations

    # What its program does.

    @contextlib.contextmanager
    def join(self) -> Iterator[Component]:
        """Join the group; leaves it in the end, unless the process is dead."""
        settings = self.world.plan.settings
        self.call = "Proxy()"
        arguments: dict[str, Any] = {
            "group_name": "simulated",
            "component_type": self.role.component_type,
            "expected_peers": dict(self.role.expects),
            "driver_type": SimDriver,
            "driver_parameters": {
                "node": self,
                "send_timeout": settings.send_timeout_ms,
                "high_water_mark": settings.high_water_mark,
            },
            "store": SimStore(self.world.server, "simulated", settings.lease_s, self),
            "component_name": self.name,
            "log_enable": False,
            "enable_rejoin": True,
            "enable_message_cache_for_rejoin": settings.cache,
            "max_length_for_message_cache": settings.cache_bound,
            "minimal_peers": settings.minimal_peers,
            "peers_catch_lifetime": settings.reread_s,
            "timeout_for_minimal_peer_number": settings.minimal_peers_timeout_s,
            "max_retries": 12,
            "max_rejoin_times": 1000,
            "lease_s": settings.lease_s,
            "linger_ms": settings.linger_ms,
        }
        with Proxy(**arguments) as proxy:
            self.proxy = proxy
            self.exchange = proxy._exchange
            proxy._exchange.flusher = SimFlusher(self, proxy._exchange)
            self.call = ""
            self.world.joined(self)
            yield Component(self, proxy)
            self.call = "close()"
        self.call = ""

    def computes(self, seconds: float) -> None:
        """Be busy: nothing of the Proxy runs but what it does between calls."""
        seconds, self.stall_s = seconds + self.stall_s, 0.0
        if seconds > 0:
            self.call = f"computing {seconds:.3f} s"
            self.scheduler.sleep(seconds)
            self.call = ""
