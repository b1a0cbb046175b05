"""How messages meet events: an index finds the leaves that a message matches, a state holds what waits in one event.

Nothing is ever searched. A message is looked up under the few patterns that it can match; a change in a leaf moves up
its tree only as long as it changes what holds there; a message knows the leaves that it waits in.

A message that waits in an event is held by it once, in however many leaves (see `receipts`). Who takes it out of the
event gets its receipt too, and lets it go when its work is done.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter

from maro.communication.event_syntax import ANY, Operation, SuffixTree, UnitEvent, parse_unit, tag_text
from maro.communication.message import Message
from maro.communication.peers_view import PeersView
from maro.communication.receipts import Receipt

Taken = tuple[list[Message], list[Receipt]]
"""Messages that were taken out of an event, and the receipts of those that have one, which are still held."""


class Held:
    """A message that waits in one event: its arrival number, receipt, and the leaves of that event that count it."""

    __slots__ = ("leaves", "message", "number", "receipt")

    def __init__(self, number: int, message: Message, leaves: Sequence[Leaf]) -> None:
        self.number = number
        self.message = message
        self.leaves = leaves
        # The one that is held must be the one that is let go, whatever a handler does to the message.
        self.receipt = message.receipt


class Leaf:
    """A unit event with the messages that wait in it, oldest first."""

    __slots__ = ("holds", "owner", "parent", "required", "unit", "waiting")

    def __init__(self, unit: UnitEvent, owner: EventState, parent: Branch | None) -> None:
        self.unit = unit
        self.owner = owner
        self.parent = parent
        self.required = unit.required(0)
        self.holds = False
        # Ordered by arrival, entries leave from anywhere; a plain dict or a deque would be slow at one of these.
        self.waiting: OrderedDict[int, Held] = OrderedDict()

    def add(self, held: Held) -> None:
        self.waiting[held.number] = held
        self._judge()

    def remove(self, number: int) -> None:
        del self.waiting[number]
        self._judge()

    def clear(self) -> None:
        self.waiting.clear()
        self._judge()

    def set_population(self, population: int) -> None:
        self.required = self.unit.required(population)
        self._judge()

    def choose(self, chosen: dict[int, Held]) -> None:
        """Add the oldest messages that this leaf requires; only for a leaf that holds."""
        if self.required == 1:  # the usual one, at a third of the cost
            oldest = next(iter(self.waiting))
            chosen[oldest] = self.waiting[oldest]
        else:
            chosen.update(islice(self.waiting.items(), self.required))

    def _judge(self) -> None:
        holds = 0 < self.required <= len(self.waiting)
        if holds is not self.holds:
            self.holds = holds
            if self.parent is not None:
                self.parent.operand_changed(holds)


class Branch:
    """An operation over nodes, with a count of those that hold."""

    __slots__ = ("_holding", "_needed", "holds", "nodes", "operation", "parent")

    def __init__(self, operation: Operation, parent: Branch | None) -> None:
        self.operation = operation
        self.parent = parent
        self.nodes: list[Leaf | Branch] = []
        self.holds = False
        self._holding = 0
        self._needed = 1

    def attach(self, nodes: list[Leaf | Branch]) -> None:
        self.nodes = nodes
        self._needed = len(nodes) if self.operation is Operation.AND else 1

    def operand_changed(self, holds: bool) -> None:
        """An operand began or ceased to hold."""
        self._holding += 1 if holds else -1
        now = self._holding >= self._needed
        if now is not self.holds:
            self.holds = now
            if self.parent is not None:
                self.parent.operand_changed(now)

    def choose(self, chosen: dict[int, Held]) -> None:
        """Add the messages that satisfy this branch; only for a branch that holds."""
        if self.operation is Operation.AND:
            for node in self.nodes:
                node.choose(chosen)
        else:
            next(node for node in self.nodes if node.holds).choose(chosen)


class EventState:
    """One registered event and what waits in it.

    Args:
        tree: an event that follows the grammar.
        position: orders events that one message touches.
    """

    __slots__ = ("_root", "leaves", "position")

    def __init__(self, tree: SuffixTree, position: int = 0) -> None:
        self.position = position
        self.leaves: list[Leaf] = []
        self._root = self._grow(tree, None)

    def _grow(self, tree: SuffixTree, parent: Branch | None) -> Leaf | Branch:
        if isinstance(tree.value, Operation):
            branch = Branch(tree.value, parent)
            branch.attach([self._grow(node, branch) for node in tree.nodes])
            return branch
        leaf = Leaf(parse_unit(str(tree.value)), self, parent)
        self.leaves.append(leaf)
        return leaf

    @property
    def is_satisfied(self) -> bool:
        return self._root.holds

    def hold(self, number: int, message: Message, leaves: Sequence[Leaf]) -> None:
        """Let a message wait in some of this event's leaves, under a number higher than all before."""
        held = Held(number, message, leaves)
        if message.receipt is not None:
            message.receipt.hold()
        for leaf in leaves:
            leaf.add(held)

    def take(self) -> Taken:
        """The messages that satisfy the event, in order of arrival, each once; they leave every leaf, and stay held.

        Only for an event that is satisfied. Takes at least one message.
        """
        chosen: dict[int, Held] = {}
        self._root.choose(chosen)
        messages: list[Message] = []
        receipts: list[Receipt] = []
        for number in sorted(chosen):
            held = chosen[number]
            for leaf in held.leaves:
                leaf.remove(number)
            messages.append(held.message)
            if held.receipt is not None:
                receipts.append(held.receipt)
        return messages, receipts

    def clear(self) -> None:
        """Forget what waits, and let go of it."""
        waiting = self._waiting()
        for leaf in self.leaves:
            leaf.clear()
        for number in sorted(waiting):
            if (receipt := waiting[number].receipt) is not None:
                receipt.release()

    def waiting(self) -> int:
        """How many messages wait, each counted once."""
        return len(self._waiting())

    def _waiting(self) -> dict[int, Held]:
        return {number: held for leaf in self.leaves for number, held in leaf.waiting.items()}


by_position = attrgetter("position")
"""Sorts events in order of registration."""


class _Population:
    """The peers that percentages are taken of, as last counted, and the leaves that ask."""

    __slots__ = ("count", "leaves", "measure")

    def __init__(self, measure: Callable[[], int]) -> None:
        self.measure = measure
        self.count = 0
        self.leaves: list[Leaf] = []


class LeafIndex:
    """Finds the leaves that a message matches, and those whose percentage has come to mean another number."""

    def __init__(self, peers: PeersView) -> None:
        self._peers = peers
        # Names apart from types: a component may bear the name of a type that it is not of.
        self._by_type: dict[tuple[str, str], list[Leaf]] = {}
        self._by_name: dict[tuple[str, str], list[Leaf]] = {}
        self._populations: dict[str, _Population] = {}

    def add(self, leaf: Leaf) -> None:
        """Enter a leaf; its source is a type if the peers have such a type now, else a component's name."""
        unit = leaf.unit
        is_type = unit.source == ANY or unit.source in self._peers.mapping()
        index = self._by_type if is_type else self._by_name
        index.setdefault((unit.source, unit.tag), []).append(leaf)
        if unit.is_percentage:
            population = self._populations.get(unit.source)
            if population is None:
                population = self._populations[unit.source] = _Population(self._measure(unit.source, is_type))
            population.leaves.append(leaf)
            leaf.set_population(population.count)

    def _measure(self, source: str, is_type: bool) -> Callable[[], int]:
        if source == ANY:
            return self._peers.total
        return partial(self._peers.count if is_type else self._peers.is_present, source)

    def matching(self, message: Message) -> list[Leaf]:
        """The leaves that count this message, each once: a list of the caller's own."""
        source, tag = message.source, tag_text(message.tag)
        patterns = [(self._by_type, ANY)]
        component_type = self._peers.type_of(source)
        if component_type is not None and component_type != ANY:
            patterns.append((self._by_type, component_type))
        if self._by_name:
            patterns.append((self._by_name, source))
        found: list[Leaf] = []
        for index, pattern in patterns:
            if leaves := index.get((pattern, ANY)):
                found += leaves
            if tag != ANY and (leaves := index.get((pattern, tag))):
                found += leaves
        return found

    def recount(self) -> list[EventState]:
        """Bring percentages up to date with the peers; the events concerned, in order of registration."""
        concerned: set[EventState] = set()
        for population in self._populations.values():
            count = int(population.measure())
            if count != population.count:
                population.count = count
                for leaf in population.leaves:
                    leaf.set_population(count)
                    concerned.add(leaf.owner)
        return sorted(concerned, key=by_position)
