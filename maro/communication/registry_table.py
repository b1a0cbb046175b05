"""Conditional events: which messages, in which number, from whom, call which handler.

An event is `source:tag:amount`, or a tuple of events that ends with an operation (see `event_syntax`). The source is
a component type, a component name or `*`; the tag is the text of a tag (an Enum member by its value) or `*`; the amount
is a positive integer, or a percentage of the peers of that source that are in the group now, rounded up.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from maro.communication.event_matching import EventState, Leaf, LeafIndex, by_position
from maro.communication.event_syntax import ANY, Event, Operation, SuffixTree, parse_event, parse_unit, tag_text
from maro.communication.message import Message
from maro.communication.peers_view import PeersName, PeersView
from maro.utils.exception.communication_exception import PeersMissError

__all__ = ["ConditionalEvent", "Operation", "RegisterTable", "SuffixTree"]

Handler = Callable[..., Any]

_logger = logging.getLogger(__name__)

_MAX_REPORTED_TAGS = 1024


class ConditionalEvent:
    """One conditional event by itself, with the messages that wait for it.

    Every leaf of the event counts the messages that it matches; a message may count in several leaves, but is handed
    out once, and then leaves them all.

    Args:
        event: a unit event, or a tuple of events that ends with an operation.
        peers_name: `{type: [names]}`, or a callable that returns it; changes in it are followed.

    Raises:
        ConditionalEventSyntaxError: the event does not follow the grammar.
        PeersMissError: a source is neither a component type nor a component that the peers know.
    """

    def __init__(self, event: Event, peers_name: PeersName) -> None:
        peers = PeersView(peers_name)
        self._event = event
        self._state = EventState(_checked(event, peers))
        self._index = LeafIndex(peers)
        for leaf in self._state.leaves:
            self._index.add(leaf)
        self._numbers = itertools.count()

    def push_message(self, message: Message) -> None:
        """Let a message wait in every unit event that it matches; one that matches none is ignored."""
        if leaves := self._index.matching(message):
            self._state.hold(next(self._numbers), message, leaves)

    def get_qualified_message(self) -> list[Message]:
        """Take the messages that satisfy the event, in order of arrival; empty while it is not satisfied.

        AND takes, for each of its operands, the oldest ones that the operand requires; OR takes those of the first
        operand that holds. Percentages are judged by the peers that are present now.
        """
        self._index.recount()
        return self._state.take() if self._state.is_satisfied else []

    def clear(self) -> None:
        """Forget every waiting message."""
        self._state.clear()

    def __repr__(self) -> str:
        return f"ConditionalEvent({self._event!r}, waiting={self._state.waiting()})"


class RegisterTable:
    """Conditional events with their handlers.

    Pushing a message costs what the events that it matches cost, however many others are registered, however many peers
    there are and however many messages wait. For one thread at a time.

    Args:
        peers_name: `{type: [names]}`, or a callable that returns it; changes in it are followed.
    """

    def __init__(self, peers_name: PeersName) -> None:
        self._peers = PeersView(peers_name)
        self._index = LeafIndex(self._peers)
        self._registered: list[tuple[SuffixTree, Handler]] = []
        self._handlers: dict[EventState, Handler] = {}
        self._touched: OrderedDict[EventState, None] = OrderedDict()
        self._numbers = itertools.count()
        self._reported_tags: set[str] = set()

    def register_event_handler(self, event: Event, handler_fn: Handler) -> None:
        """Call `handler_fn` whenever `event` is satisfied. Events are independent: two may get the same message.

        Raises:
            ConditionalEventSyntaxError: the event does not follow the grammar.
            PeersMissError: a source is neither a component type nor a component that the peers know.
            TypeError: the handler can't be called.
        """
        if not callable(handler_fn):
            raise TypeError(f"the handler of the event {event!r} is {handler_fn!r}: pass something that can be called")
        self._register(_checked(event, self._peers), handler_fn)

    def _register(self, tree: SuffixTree, handler_fn: Handler) -> None:
        state = EventState(tree, position=len(self._registered))
        for leaf in state.leaves:
            self._index.add(leaf)
        self._registered.append((tree, handler_fn))
        self._handlers[state] = handler_fn

    def fresh_copy(self, peers_name: PeersName) -> RegisterTable:
        """A table with the same events and handlers, over other peers, in which nothing waits.

        The events were found good once and are not checked again: a component that one of them names may be away.
        """
        table = RegisterTable(peers_name)
        for tree, handler_fn in self._registered:
            table._register(tree, handler_fn)
        return table

    def push(self, message: Message, auto_trigger: bool = True) -> None:
        """Let a message wait in every event that it matches. One that matches none is dropped, with a warning per tag.

        Args:
            message: a received message.
            auto_trigger: call `handler_fn(messages)` for every event that is satisfied now, in the order of `get`. When
                a handler raises, what the other events are owed stays in the table.
        """
        leaves = self._index.matching(message)
        if not leaves:
            self._report_unmatched(message)
        else:
            self._hold(message, leaves)
        if auto_trigger:
            self._recount()
            while (satisfied := self._take_next()) is not None:
                handler_fn, messages = satisfied
                handler_fn(messages)

    def get(self) -> list[tuple[Handler, list[Message]]]:
        """Take what satisfies events: `(handler, messages)`, as often per event as its messages suffice for.

        Events come in the order in which messages touched them, those touched by the same message as they were
        registered; then the events whose percentages mean another number because peers came or went. Messages come in
        order of arrival.
        """
        self._recount()
        satisfied = []
        while (entry := self._take_next()) is not None:
            satisfied.append(entry)
        return satisfied

    def clear(self) -> None:
        """Forget every waiting message; the events stay registered."""
        for state in self._handlers:
            state.clear()
        self._touched.clear()

    def _hold(self, message: Message, leaves: list[Leaf]) -> None:
        number = next(self._numbers)
        if len(leaves) == 1:
            state = leaves[0].owner
            state.hold(number, message, leaves)
            self._touched[state] = None
            return
        by_state: dict[EventState, list[Leaf]] = {}
        for leaf in leaves:
            by_state.setdefault(leaf.owner, []).append(leaf)
        for state in sorted(by_state, key=by_position):
            state.hold(number, message, by_state[state])
            self._touched[state] = None

    def _recount(self) -> None:
        for state in self._index.recount():
            self._touched[state] = None

    def _take_next(self) -> tuple[Handler, list[Message]] | None:
        """What the first satisfied event is owed. Between two calls the table is consistent: a handler may use it."""
        while self._touched:
            state = next(iter(self._touched))
            if state.is_satisfied:
                return self._handlers[state], state.take()
            del self._touched[state]
        return None

    def _report_unmatched(self, message: Message) -> None:
        tag = tag_text(message.tag)
        if tag in self._reported_tags or len(self._reported_tags) >= _MAX_REPORTED_TAGS:
            return
        self._reported_tags.add(tag)
        _logger.warning(
            "a message with tag %r from %s matches no registered event and is dropped: register a handler for it, or "
            "do not send it (reported once per tag)",
            tag,
            message.source,
        )
        if len(self._reported_tags) == _MAX_REPORTED_TAGS:
            _logger.warning("%d tags matched no registered event: further ones are not reported", _MAX_REPORTED_TAGS)

    def __repr__(self) -> str:
        waiting = sum(state.waiting() for state in self._handlers)
        return f"RegisterTable(events={len(self._registered)}, waiting={waiting})"


def _checked(event: Event, peers: PeersView) -> SuffixTree:
    """The event taken apart, its sources known."""
    tree = parse_event(event)
    types = peers.mapping()
    for text in tree.units():
        source = parse_unit(text).source
        if source != ANY and source not in types and peers.type_of(source) is None:
            known = ", ".join(map(repr, types)) or "there are none"
            raise PeersMissError(
                f"the source {source!r} of the event {text!r} is neither a component type ({known}) nor a component in "
                f"the group: correct it, or add its type to expected_peers"
            )
    return tree
