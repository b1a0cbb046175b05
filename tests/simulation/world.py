"""A run: a group of processes, what happens to them, and how it is brought to its end and judged."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import random
import traceback
from collections.abc import Iterable
from typing import Any

from greenlet import GreenletExit

from maro.communication import LeaveGroup, clock, message
from maro.communication.membership import Change, ChangeKind, Peer
from maro.communication.observations import Observation
from maro.utils.exception.communication_exception import (
    ComponentFencedError,
    InformationUncompletedError,
    PeersRejoinTimeout,
    ProxyClosedError,
    RedisConnectionError,
)
from tests.simulation import checker
from tests.simulation.applications import APPLICATIONS
from tests.simulation.checker import Violation
from tests.simulation.faults import KINDS, STORE_FAULTS
from tests.simulation.history import End, History, Start
from tests.simulation.network import SimNetwork
from tests.simulation.node import Node
from tests.simulation.outcome import Outcome, judged, outcome_of, unfinished
from tests.simulation.plan import START_S, Fault, Plan, Role
from tests.simulation.scheduler import Livelock, Scheduler
from tests.simulation.store import SimServer
from tests.simulation.trace import Trace, TraceLog

_DRAIN_S = 150.0
"""How long everybody may take, once everything is healed, until all is done."""
_CLOSING_S = 30.0
"""How long leaving may take."""
_LOOK_S = 0.05
"""How often it is looked whether all is done."""
_QUIET_S = 0.2
"""For so long, beside the time that an application computes, nobody has sent or got anything when all is done: who has
a message in hand may pass it on."""
_AGAIN_S = 0.3
"""After an end by an exception a component starts again."""


class World:
    """One run.

    Args:
        plan: what is to happen.
        trace: keep a line for everything that happens, and a hash of it.
    """

    def __init__(self, plan: Plan, *, trace: bool = False) -> None:
        settings = plan.settings
        self.plan = plan
        self.chance = random.Random(f"run {plan.seed}")
        self.scheduler = Scheduler(self.chance)
        self.history = History()
        self.trace = Trace(self.scheduler.clock) if trace else None
        self.network = SimNetwork(
            self.chance,
            self.scheduler.clock,
            settings.reuse,
            0.3 if settings.cache else 0.0,
            self.trace.line if self.trace else None,
        )
        self.network.delay_s = settings.delay_s
        self.server = SimServer(self.scheduler, self.chance, settings.lease_s)
        self.memory: dict[str, dict[str, Any]] = {}
        self.nodes: list[Node] = []
        self.current: dict[str, Node] = {}
        self.violations: list[Violation] = []
        self.finishing = False
        senders = APPLICATIONS[plan.application].senders
        self.pending = {role.name: None for role in plan.roles if role.component_type in senders}
        """Who has yet to send something."""
        self._seen = (0, 0)
        self._seen_at = self.scheduler.now
        self._starts: dict[str, int] = {}
        self._over: set[Start] = set()
        self._joined: set[Start] = set()
        self.began = self.scheduler.now

    # A run.

    def run(self) -> Outcome:
        """Let it happen, and judge it."""
        clock.install(self.scheduler.clock, self.scheduler.sleep)
        # Ids are unique in a run, and the same when it is replayed: their length matters to the size of packets.
        message.new_id._state = (os.getpid(), "5eed-", itertools.count(1))
        logging.disable(logging.CRITICAL)
        collecting = gc.isenabled()
        gc.disable()  # whenever it came it would come at another time in the next run
        try:
            self._run()
        finally:
            if collecting:
                gc.enable()
            self._bury_all()
            logging.disable(logging.NOTSET)
            clock.restore()
        return outcome_of(self)

    def _run(self) -> None:
        for role in self.plan.roles:
            self.scheduler.at(self.began + self.chance.uniform(0, START_S / 2), lambda role=role: self.start(role))  # type: ignore[misc]
        last = self.began + START_S
        for fault in self.plan.faults:
            self.scheduler.at(self.began + fault.at_s, lambda fault=fault: self._inject(fault))  # type: ignore[misc]
            last = max(last, self.began + fault.at_s + fault.lasts_s)
        self.scheduler.at(last, self._heal_all)
        self.scheduler.at(last + _LOOK_S, self._look)
        try:
            self.scheduler.run(last + _DRAIN_S, lambda: self.finishing)
            if not self.finishing:
                self.violations += unfinished(self)
                self.finish()
            self.scheduler.run(self.scheduler.now + _CLOSING_S, self._all_over)
        except Livelock as error:
            self.violations.append(Violation("livelock", f"{error}; {self.nodes}"))
            return
        self.violations += judged(self)

    # What happens to processes.

    def start(self, role: Role) -> Node:
        """Start a component: its next incarnation."""
        number = self._starts[role.name] = self._starts.get(role.name, 0) + 1
        self.note(None, "start", f"{role.name}.{number}")
        node = Node(self, role, number)
        self.nodes.append(node)
        self.current[role.name] = node
        return node

    def start_again(self, name: str) -> None:
        """Start a component whose last incarnation is no more."""
        node = self.current.get(name)
        if node is not None and (node.dead or node.start in self._over) and not self.finishing:
            self.start(node.role)

    def live(self, node: Node) -> None:
        """What the process of a node does, from its start to its end."""
        how = "finished"
        try:
            with node.join() as component:
                APPLICATIONS[self.plan.application].programs[node.role.component_type](component)
                if not self.finishing and not node.dead:
                    self.violations.append(Violation("ended early", node.label))
        except GreenletExit:
            return
        except (LeaveGroup, Exception) as error:
            if node.dead:
                return
            how = self._end_by(node, error)
        if not node.dead:
            self._over.add(node.start)
            self.history.ends.setdefault(node.start, End(self.scheduler.now, how))
            self.note(node, "ends", how)

    def _end_by(self, node: Node, error: BaseException) -> str:
        """How a process ended that something was raised in."""
        if isinstance(error, LeaveGroup):
            return "finished" if self.finishing else "left"
        if isinstance(error, ComponentFencedError):
            if self.history.registered[node.name] == node.start:
                self.violations.append(Violation("fenced", f"{node.label} has no successor, but: {error}"))
            return "fenced"
        if isinstance(error, ProxyClosedError) and self.finishing:
            return "finished"
        if isinstance(error, PeersRejoinTimeout | InformationUncompletedError | RedisConnectionError):
            self.note(node, "gives up", str(error))
            self.scheduler.at(self.scheduler.now + _AGAIN_S, lambda: self.start_again(node.name))
            return "gone"
        text = "".join(traceback.format_exception(error))
        self.violations.append(Violation("error", f"{node.label}, in {node.call}: {text}"))
        return "gone"

    def joined(self, node: Node) -> None:
        """Its constructor returned."""
        self._joined.add(node.start)
        self.note(node, "joined")
        self._follow_membership(node)
        if self.trace is not None:
            node.exchange._log = TraceLog(self.trace, node.label)  # type: ignore[union-attr, assignment] # it has joined

    def _follow_membership(self, node: Node) -> None:
        """Note what a component learns of the others."""
        exchange = node.exchange
        assert exchange is not None
        membership, observe = exchange.membership, exchange.membership.observe
        self.history.incarnations[node.start] = exchange._record.incarnation
        for name, incarnation in membership.incarnations.items():
            self.history.knows(node.start, name, incarnation, self.scheduler.now)

        def observed(observation: Observation) -> list[Change]:
            changes = observe(observation)
            for change in changes:
                if change.kind in (ChangeKind.JOINED, ChangeKind.REJOINED):
                    self.history.knows(node.start, change.peer.name, change.peer.incarnation, self.scheduler.now)
                elif change.kind is ChangeKind.LOST and self._is_wrongly_lost(change.peer, node.name):
                    self.violations.append(Violation("wrongly lost", f"{node.label} lost {change.peer}"))
            return changes

        membership.observe = observed  # type: ignore[method-assign]

    def _is_wrongly_lost(self, peer: Peer, name: str) -> bool:
        """Whether a peer is taken for gone though nothing has been wrong but with the store, and that only once.

        Of one that comes and goes some may see nothing, and others nothing else.
        """
        if peer.leaving or peer.name not in self.current:
            return False
        node = self.current[peer.name]
        now = self.scheduler.now - self.began
        wrong = [
            fault.kind
            for fault in self.plan.faults
            if fault.at_s <= now and (not fault.who or not {peer.name, name}.isdisjoint(fault.who + fault.others))
        ]
        is_there = not node.dead and node.start in self._joined and node.start not in self._over
        return is_there and not self.finishing and STORE_FAULTS.issuperset(wrong) and len(wrong) < 2

    def done(self, name: str) -> None:
        """A component has sent all that it had to."""
        self.pending.pop(name, None)

    def crash(self, node: Node) -> None:
        """End a process without a word: no more of its code has an effect."""
        self.note(node, "crashes", node.call)
        node.dead = True
        self.history.ends.setdefault(node.start, End(self.scheduler.now, "crashed"))
        if node.driver is not None:
            node.driver.crash()
        if node.watch is not None:
            self.server.end(node.watch)
        self.scheduler.at(self.scheduler.now, lambda: _bury(node))

    def ask_to_leave(self, node: Node) -> None:
        """What SIGTERM is to a component: it leaves its group and ends."""
        if node.paused or not node.app.greenlet or node.call == "close()":
            return
        self.note(node, "is asked to leave", node.call)
        self.history.ends[node.start] = End(self.scheduler.now, "finished" if self.finishing else "left")
        node.app.interrupt(LeaveGroup())

    def alive(self, names: Iterable[str]) -> list[Node]:
        """The newest incarnations of these components, but for those that are no more."""
        nodes = [self.current[name] for name in names if name in self.current]
        return [node for node in nodes if not node.dead and not node.paused and node.start not in self._over]

    def all_alive(self) -> list[Node]:
        """Whoever is no more is not among them; whoever is paused is."""
        return [node for node in self.nodes if not node.dead and node.start not in self._over]

    # What goes wrong.

    def _inject(self, fault: Fault) -> None:
        self.note(None, "FAULT", str(fault))
        self.history.disturbances.append(
            (self.scheduler.now, self.scheduler.now + fault.lasts_s, frozenset(fault.who + fault.others))
        )
        KINDS[fault.kind].inject(self, fault)
        self.scheduler.at(self.scheduler.now + fault.lasts_s, lambda: self._heal(fault))

    def _heal(self, fault: Fault) -> None:
        self.note(None, "HEAL", str(fault))
        KINDS[fault.kind].heal(self, fault)

    def _heal_all(self) -> None:
        for fault in self.plan.faults:
            KINDS[fault.kind].heal(self, fault)
        self.note(None, "HEALED")

    # How it ends.

    def _look(self) -> None:
        if self.pending or not self._is_quiet() or self.not_joined() or not self._is_settled():
            self.scheduler.at(self.scheduler.now + _LOOK_S, self._look)
            for role in self.plan.roles:
                self.start_again(role.name)
        else:
            self.finish()

    def _is_quiet(self) -> bool:
        seen = len(self.history.sent), len(self.history.handed)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self.scheduler.now
        return self.scheduler.now - self._seen_at >= self.plan.shape.work_s + _QUIET_S

    def _is_settled(self) -> bool:
        if not self.plan.settings.cache and (self.plan.faults or self.history.refused):
            return self.network.is_quiet()
        return not any(checker.lost(self.history)) and not any(checker.unanswered(self.history))

    def not_joined(self) -> list[str]:
        """Who does not have all the peers that it expects, in words."""
        missing = []
        for role in self.plan.roles:
            node = self.current[role.name]
            if node.dead or node.start not in self._joined or node.start in self._over:
                missing.append(f"{node!r} has not joined")
                continue
            for kind, count in role.expects.items():
                present = node.proxy.peers_name[kind]
                if len(present) < count:
                    missing.append(f"{node!r} has {present} of {count} {kind}")
        return missing

    def finish(self) -> None:
        """Tell everybody that there is nothing more to do."""
        self.finishing = True
        self.note(None, "FINISH")
        for node in self.all_alive():
            if node.exchange is not None:
                node.exchange.interrupt()
                node.app.wake()
            else:
                self.ask_to_leave(node)

    def _all_over(self) -> bool:
        return all(node.dead or node.start in self._over for node in self.nodes)

    def _bury_all(self) -> None:
        for node in self.nodes:
            if not node.dead and node.start not in self._over:
                self.crash(node)
            _bury(node)

    def note(self, node: Node | None, word: str, *details: object) -> None:
        """A line for the trace, where one is kept."""
        if self.trace is not None:
            self.trace.line(word, "" if node is None else node.label, *details)


def _bury(node: Node) -> None:
    """Unwind what a dead process left in memory; nothing of it has an effect any more."""
    node.app.destroy()
    if node.watch is not None:
        node.watch.task.destroy()
    if node.mailbox is not None:
        node.mailbox.close()
    if node.proxy is not None:
        node.proxy._lifetime.release()


def simulate(plan: Plan, *, trace: bool = False) -> Outcome:
    """Run a plan."""
    return World(plan, trace=trace).run()
