"""The agent at work: takes in what the engine and Redis say, has it decided, and carries the decisions out.

One thread reads the engine's events, one (the caller's) decides and talks to Redis, and a few carry out what takes the
engine a while, so that the death of one component is made known while another one is still being started.
"""

from __future__ import annotations

import functools
import logging
import os
import queue
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from maro.agent import facts
from maro.agent.backlog import Backlog
from maro.agent.decisions import Decisions
from maro.agent.engine import ContainerMissingError, Engine, EngineAwayError, EngineError, EngineEvent
from maro.agent.event_reader import EventReader
from maro.agent.facts import NOTHING_KNOWN, Container, Known
from maro.agent.job_store import LOCK_S, JobStore
from maro.agent.obituaries import Obituaries
from maro.communication.settings import RedisAddress

logger = logging.getLogger(__name__)

_AT_ONCE = 4
"""Containers that are started, replaced or stopped at the same time."""
_RENEW_EVERY_S = 30.0
_KEEP_LOCKS_EVERY_S = LOCK_S / 4
_LOOK_AGAIN_S = 1.0
_LONGEST_WAIT_S = 1.0
"""A signal that comes right before a wait is noticed after it."""


class Agent:
    """Keeps the components of one job going.

    Args:
        job: its id.
        redis_address: of the Redis that the job's groups meet in.
        takes_over: take the restart policies of components away, and let them know that codes are told apart.

    Raises:
        EngineError: there is no container engine.
    """

    def __init__(self, job: str, redis_address: RedisAddress, *, takes_over: bool = False) -> None:
        self.job = job
        self._engine = Engine(job)
        self._store = JobStore(redis_address, job, f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}")
        self._takes_over = takes_over
        self._decisions = Decisions(takes_over=takes_over)
        self._facts: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._reader = EventReader(
            self._engine, lambda event: self._put(lambda: self._take_event(event)), lambda: self._put(self._take_stock)
        )
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="maro-agent")
        self._obituaries = Obituaries(self._store, self._engine)
        self._backlog = Backlog()
        self._locked: set[str] = set()
        """The components that this agent is restarting, as others can see."""
        self._keep_locks_at_s = 0.0
        self._renew_at_s = 0.0
        self._publish_at_s = 0.0
        self._ending = False

    def __repr__(self) -> str:
        return f"Agent({self.job!r}, {self._decisions!r})"

    def stop(self) -> None:
        """Have `run` return soon; may be called from a signal handler, and from any thread."""
        self._put(self._end)

    def run(self) -> None:
        """Watch until the job has been ended, or `stop` is called."""
        logger.info("watching the containers of the job %r", self.job)
        self._reader.start()
        try:
            while not self._ending:
                self._step()
        finally:
            self._reader.stop()
            # What was begun is finished: a container that is half replaced would be left to the next agent.
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._store.close()
            self._engine.close()
        logger.info("the agent of the job %r has ended", self.job)

    def _step(self) -> None:
        """Take in one fact, or what is due."""
        try:
            wait_s = min(self._next_due_s() - time.monotonic(), _LONGEST_WAIT_S)
            fact = self._facts.get(timeout=max(0.0, wait_s))
        except queue.Empty:
            self._do_what_is_due(time.monotonic())
            return
        try:
            fact()
        except EngineError as error:
            # The event stream breaks as well, and once it is back stock is taken.
            logger.warning("the engine could not be asked: %s", error)
            self._put_later(_LOOK_AGAIN_S, self._take_stock)
        # However much there is to take in, what is due does not wait for the end of it.
        if self._next_due_s() <= time.monotonic():
            self._do_what_is_due(time.monotonic())

    # Facts.

    def _take_event(self, event: EngineEvent) -> None:
        if event.kind == "kill":
            self._decisions.signal_sent(event.container_id, event.signal, event.at_s)
        else:
            self._look(event.container_id)

    def _look(self, container_id: str) -> None:
        """See what a container is doing now, whatever the event said that made us look."""
        container = self._engine.look(container_id)
        if container is not None:
            self._carry_out(self._decisions.seen(container, self._known(container)))
            return
        successor = self._engine.successor(container_id)
        if successor is not None:
            self._carry_out(self._decisions.replaced(container_id, successor, self._known(successor)))
        else:
            self._carry_out(self._decisions.removed(container_id))

    def _take_stock(self) -> None:
        containers = self._engine.containers()
        kill_all = self._backlog.ask(self._store.kill_all, None) is not None
        found = [(container, self._known(container)) for container in containers]
        logger.info("taking stock: %d containers", len(found))
        self._carry_out(self._decisions.took_stock(found, kill_all))

    def _known(self, container: Container) -> Known:
        component = container.component
        if component is None:
            return NOTHING_KNOWN
        return self._backlog.ask(lambda: self._store.known(component, container.told_name), NOTHING_KNOWN)

    def _end(self) -> None:
        self._ending = True

    # Actions.

    def _carry_out(self, actions: list[facts.Action]) -> None:
        for action in actions:
            _HANDLERS[type(action)](self, action)

    def _deregister(self, action: facts.Deregister) -> None:
        self._obituaries.add(action.container, action.kind)
        self._publish_obituaries()

    def _publish_obituaries(self) -> None:
        try:
            self._backlog.ask(self._obituaries.publish, None)
        except EngineError as error:
            self._publish_at_s = time.monotonic() + _LOOK_AGAIN_S
            logger.warning("who is dead can't be told before the engine answers: %s", error)

    def _count(self, action: facts.CountRestart) -> None:
        self._backlog.write(
            ("restarts", action.component),
            lambda: self._store.count_restart(action.component, action.run, action.restarts),
        )

    def _close(self, action: facts.Close) -> None:
        self._backlog.write(
            ("closed", action.component),
            lambda: self._store.close_component(action.component, action.run, action.given_up),
        )

    def _set_kill_all(self, action: facts.SetKillAll) -> None:
        self._backlog.write("kill all", lambda: self._store.set_kill_all(action.reason))

    def _clear_kill_all(self, action: facts.ClearKillAll) -> None:
        self._backlog.write("kill all", self._store.clear_kill_all)

    def _start(self, action: facts.Start) -> None:
        container = action.container
        self._restart(container.component or "", container.id, lambda: self._engine.start(container.id))

    def _replace(self, action: facts.Replace) -> None:
        failed_id, component = action.failed_id, action.component
        self._restart(component, failed_id, lambda: self._engine.replace(failed_id, component))

    def _restart(self, component: str, container_id: str, restart: Callable[[], None]) -> None:
        """Have a restart done beside the caller, unless another agent is at it."""
        wait_s = self._backlog.ask(lambda: self._store.lock(component), 0.0)
        if wait_s > 0:
            logger.debug("another agent restarts %s", component)
            self._put_later(wait_s, lambda: self._restart_if_still_down(component, container_id, restart))
            return
        self._locked.add(component)
        self._pool.submit(self._do_restart, component, container_id, restart)

    def _do_restart(self, component: str, container_id: str, restart: Callable[[], None]) -> None:
        """In a thread of the pool."""
        try:
            restart()
        except ContainerMissingError:
            self._put(lambda: self._look(container_id))
        except Exception as error:  # whatever it is, the component is down, and nobody else will come back to it
            if not isinstance(error, EngineError):
                logger.exception("restarting %s failed", component)
            why, refused = str(error) or repr(error), not isinstance(error, EngineAwayError)
            self._put(lambda: self._take_failed_start(component, why, refused))
        finally:
            self._put(lambda: self._unlock(component))

    def _restart_if_still_down(self, component: str, container_id: str, restart: Callable[[], None]) -> None:
        """The other agent has had its time, or is no more."""
        if not self._decisions.is_restarting(component, container_id):
            return  # it is back, or has ended once more since
        try:
            runs = self._engine.is_running(component)
        except EngineError:
            self._put_later(_LOOK_AGAIN_S, lambda: self._restart_if_still_down(component, container_id, restart))
            raise
        if not runs:
            self._restart(component, container_id, restart)

    def _take_failed_start(self, component: str, why: str, refused: bool) -> None:
        self._carry_out(self._decisions.start_failed(component, why, time.monotonic(), refused=refused))

    def _unlock(self, component: str) -> None:
        self._locked.discard(component)
        self._backlog.ask(lambda: self._store.unlock(component), None)

    def _take_over(self, action: facts.TakeOver) -> None:
        container = action.container

        def work() -> None:
            try:
                self._engine.take_over(container.id)
            except EngineError as error:
                logger.warning("%s keeps its restart policy for now: %s", container.name, error)
                self._put_later_from_elsewhere(_LOOK_AGAIN_S, lambda: self._look(container.id))
            else:
                logger.info("%s has no restart policy any more: this agent restarts it", container.name)
                self._put(lambda: self._look(container.id))  # it may have ended meanwhile, and nobody restarted it

        self._pool.submit(work)

    def _stop(self, action: facts.Stop) -> None:
        container = action.container

        def work() -> None:
            try:
                self._engine.stop(container)
            except EngineError as error:
                logger.warning("%s could not be stopped, and is asked again: %s", container.name, error)
                self._put(lambda: self._decisions.stop_failed(container))
                self._put_later_from_elsewhere(_LOOK_AGAIN_S, lambda: self._look(container.id))

        self._pool.submit(work)

    def _finish(self, action: facts.Finish) -> None:
        self._end()

    def _report(self, action: facts.Report) -> None:
        logger.log(logging.WARNING if action.is_failure else logging.INFO, "%s", action.text)

    # Time.

    def _next_due_s(self) -> float:
        times = [self._renew_at_s, *(at_s for at_s, _ in self._later)]
        if self._locked:
            times.append(self._keep_locks_at_s)
        if not self._backlog.is_empty:
            times.append(self._backlog.retry_at_s)
        if self._obituaries.are_waiting:
            times.append(max(self._backlog.retry_at_s, self._publish_at_s))
        restart_at_s = self._decisions.next_due_s()
        if restart_at_s is not None:
            times.append(restart_at_s)
        return min(times)

    def _do_what_is_due(self, now_s: float) -> None:
        due = [work for at_s, work in self._later if at_s <= now_s]
        self._later = [(at_s, work) for at_s, work in self._later if at_s > now_s]
        for work in due:
            self._put(work)
        self._carry_out(self._decisions.due(now_s))
        if now_s >= self._renew_at_s:
            self._renew_at_s = now_s + _RENEW_EVERY_S
            self._backlog.ask(functools.partial(self._store.renew, takes_over=self._takes_over), None)
        if now_s >= self._keep_locks_at_s:
            self._keep_locks_at_s = now_s + _KEEP_LOCKS_EVERY_S
            self._keep_locks()
        self._backlog.flush()
        if self._obituaries.are_waiting and now_s >= self._publish_at_s:
            self._publish_obituaries()

    def _keep_locks(self) -> None:
        for component in self._locked:
            self._backlog.ask(functools.partial(self._store.lock, component), 0.0)

    def _put(self, fact: Callable[[], None]) -> None:
        self._facts.put(fact)

    def _put_later(self, delay_s: float, fact: Callable[[], None]) -> None:
        """Only for the thread that runs the agent."""
        self._later.append((time.monotonic() + delay_s, fact))

    def _put_later_from_elsewhere(self, delay_s: float, fact: Callable[[], None]) -> None:
        self._put(lambda: self._put_later(delay_s, fact))


_HANDLERS: Mapping[type, Callable[[Agent, Any], None]] = {
    facts.Deregister: Agent._deregister,
    facts.CountRestart: Agent._count,
    facts.Close: Agent._close,
    facts.Start: Agent._start,
    facts.Replace: Agent._replace,
    facts.TakeOver: Agent._take_over,
    facts.SetKillAll: Agent._set_kill_all,
    facts.ClearKillAll: Agent._clear_kill_all,
    facts.Stop: Agent._stop,
    facts.Finish: Agent._finish,
    facts.Report: Agent._report,
}
