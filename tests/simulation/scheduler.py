"""Simulated time, and who runs when: greenlets that wait, in one thread, in an order that the seed alone decides.

Nothing waits in earnest. Whoever waits switches to the scheduler with the time at which it wants to go on; the
scheduler takes the earliest, sets the clock to it, and switches there. What is due at the same time comes in an order
that the seed draws.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import Any, Protocol

from greenlet import GreenletExit, getcurrent, greenlet

TICK_S = 1e-6
"""Whoever goes on, goes on at least this much later: no loop stands still in time."""


class Owner(Protocol):
    """What a task belongs to: a process that may be stopped for a while, or for good."""

    dead: bool
    paused: bool
    held: list[Any]
    """What came due while it was paused."""


class Livelock(Exception):
    """So much has happened that nobody can be getting anywhere."""


class Task:
    """Something that runs and waits: one thread of a process."""

    __slots__ = ("_scheduler", "due", "ended", "greenlet", "name", "owner")

    def __init__(self, scheduler: Scheduler, owner: Owner, name: str, run: Callable[[], None]) -> None:
        self.owner = owner
        self.name = name
        self.due = math.inf
        """When it goes on; without end while it runs, or where nothing but a wake is waited for."""
        self.ended = False
        self._scheduler = scheduler
        self.greenlet = greenlet(lambda: self._run(run), scheduler.greenlet)

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            self.ended = True

    @property
    def waiting(self) -> bool:
        """Whether it is not the one that runs."""
        return self._scheduler.running is not self

    def wait(self, until: float = math.inf) -> None:
        """Called by the task: return then, or when woken before; GreenletExit where its owner is dead."""
        if self.owner.dead:
            raise GreenletExit
        scheduler = self._scheduler
        scheduler.resume(self, until)
        scheduler.greenlet.switch()

    def wake(self, at: float = 0.0) -> None:
        """Have it go on, at that time or now, if it waits for longer."""
        if self._scheduler.running is not self and not self.ended:
            self._scheduler.resume(self, at)

    def interrupt(self, error: BaseException) -> None:
        """Raise an error in the middle of its wait, as a signal handler does."""
        scheduler = self._scheduler
        self.due = math.inf
        scheduler.running = self
        self.greenlet.throw(error)
        scheduler.running = None

    def destroy(self) -> None:
        """Unwind it, so that nothing of it stays in memory. Its owner is dead."""
        if not self.greenlet.dead:
            self.greenlet.throw(GreenletExit)


class Scheduler:
    """The clock and the order of events.

    Args:
        chance: decides between what is due at the same time.
        most_events: more than that is a livelock.
    """

    def __init__(self, chance: random.Random, most_events: int = 400_000) -> None:
        self.now = 1000.0
        self.greenlet = getcurrent()
        self.running: Task | None = None
        self.events = 0
        self._most_events = most_events
        self._chance = chance.random
        self._queue: list[tuple[float, float, int, Task | Callable[[], None], Owner | None]] = []
        self._number = 0

    def clock(self) -> float:
        """The time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """For whoever runs: so many seconds; what is not a task does not sleep."""
        if self.running is not None and getcurrent() is self.running.greenlet:
            task, until = self.running, self.now + seconds
            while self.now < until:
                task.wait(until)

    def at(self, when: float, action: Callable[[], None], owner: Owner | None = None) -> None:
        """Call an action then; where it has an owner, only while that runs: a paused one does it when it goes on."""
        self._push(when, action, owner)

    def spawn(self, owner: Owner, name: str, run: Callable[[], None]) -> Task:
        """A task that starts now."""
        task = Task(self, owner, name, run)
        self.resume(task, self.now)
        return task

    def resume(self, task: Task, when: float) -> None:
        """Let a task go on then, if not before."""
        when = max(when, self.now + TICK_S)
        if when < task.due:
            task.due = when
            self._push(when, task, task.owner)

    def release(self, owner: Owner) -> None:
        """An owner goes on that was paused: what came due meanwhile is due now."""
        held, owner.held = owner.held, []
        for item in held:
            if isinstance(item, Task):
                item.due = math.inf
                self.resume(item, self.now)
            else:
                self._push(self.now + TICK_S, item, owner)

    def run(self, until: float, is_done: Callable[[], bool]) -> None:
        """Go on until it is done, time is up, or nothing is left to happen.

        Raises:
            Livelock: too much happened.
        """
        queue = self._queue
        while queue and not is_done():
            if queue[0][0] > until:
                self.now = until
                return
            when, _, _, item, owner = heapq.heappop(queue)
            if owner is not None:
                if owner.dead or (isinstance(item, Task) and item.due != when):
                    continue
                if owner.paused:
                    owner.held.append(item)
                    continue
            self.now = when
            self.events += 1
            if self.events > self._most_events:
                raise Livelock(f"{self.events} events by {self.now:.3f} s")
            if isinstance(item, Task):
                item.due = math.inf
                self.running = item
                item.greenlet.switch()
                self.running = None
            else:
                item()

    def _push(self, when: float, item: Task | Callable[[], None], owner: Owner | None) -> None:
        self._number += 1
        heapq.heappush(self._queue, (when, self._chance(), self._number, item, owner))
