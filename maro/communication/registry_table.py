"""Conditional events: which messages, in which number, from whom, call which handler.

An event is `source:tag:amount`, or a tuple of events that ends with an operation (see `event_syntax`). The source is
a component type, a component name or `*`; the tag is the text of a tag (an Enum member by its value) or `*`; the amount
is a positive integer, or a percentage of the peers of that source that are in the group now, rounded up.

Messages whose senders wait to hear that they are finished (those with a `receipt`) are so when no event holds them any
more and the handlers that took them have returned.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from maro.communication.event_matching import EventState, Leaf, LeafIndex, Taken, by_position
from maro.communication.event_syntax import ANY, Event, Operation, SuffixTree, parse_event, parse_unit, tag_text
from maro.communication.message import Message
from maro.communication.peers_view import PeersByType, PeersName, PeersView
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError, PeersMissError

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
        ConditionalEventSyntaxError: the event does not follow the grammar, or waits for more messages than senders
            keep.
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
        """Let a message wait in every unit event that it matches; one that matches none stays in hand, for others."""
        if leaves := self._index.matching(message):
            self._state.hold(next(self._numbers), message, leaves)

    def get_qualified_message(self) -> list[Message]:
        """Take the messages that satisfy the event, in order of arrival; empty while it is not satisfied.

        AND takes, for each of its operands, the oldest ones that the operand requires; OR takes those of the first
        operand that holds. Percentages are judged by the peers that are present now. The messages are in the caller's
        hand then: the next `receive` of the proxy that they came from finishes them.
        """
        self._index.recount()
        if not self._state.is_satisfied:
            return []
        messages, receipts = self._state.take()
        for receipt in receipts:
            receipt.hand_out()
        return messages

    def clear(self) -> None:
        """Forget every waiting message, which is finished by that."""
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
            ConditionalEventSyntaxError: the event does not follow the grammar, or waits for more messages than senders
                keep.
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
            auto_trigger: call the handlers of every event that is satisfied now, as `trigger` does.
        """
        leaves = self._index.matching(message)
        if leaves:
            self._hold(message, leaves)
        else:
            self._drop(message)
        if auto_trigger:
            self.trigger()

    def trigger(self, *arguments: Any) -> None:
        """Call `handler_fn(*arguments, messages)` for every event that is satisfied now, in the order of `get`.

        Messages are finished when every handler that they were given to has returned. When a handler raises, its
        messages stay unfinished, and what the other events are owed stays in the table.
        """
        self._recount()
        while (satisfied := self._take_next()) is not None:
            handler_fn, (messages, receipts) = satisfied
            for receipt in receipts:
                receipt.take_up()
            try:
                handler_fn(*arguments, messages)
            except BaseException:
                for receipt in receipts:
                    receipt.put_down()
                raise
            for receipt in receipts:
                receipt.release()

    def get(self) -> list[tuple[Handler, list[Message]]]:
        """Take what satisfies events: `(handler, messages)`, as often per event as its messages suffice for.

        Events come in the order in which messages touched them, those touched by the same message as they were
        registered; then the events whose percentages mean another number because peers came or went. Messages come in
        order of arrival. Those that wait in no further event are in the caller's hand then: the next `receive` of the
        proxy that they came from finishes them.
        """
        self._recount()
        satisfied = []
        while (entry := self._take_next()) is not None:
            handler_fn, (messages, receipts) = entry
            for receipt in receipts:
                receipt.hand_out()
            satisfied.append((handler_fn, messages))
        return satisfied

    def clear(self) -> None:
        """Forget every waiting message, which is finished by that; the events stay registered."""
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

    def _take_next(self) -> tuple[Handler, Taken] | None:
        """What the first satisfied event is owed, still held by it. Between two calls a handler may use the table."""
        while self._touched:
            state = next(iter(self._touched))
            if state.is_satisfied:
                return self._handlers[state], state.take()
            del self._touched[state]
        return None

    def _drop(self, message: Message) -> None:
        """Nobody wants the message: it is finished, and reported if it is the first of its tag."""
        if message.receipt is not None:
            message.receipt.finish()
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
    """The event taken apart, its sources known and its amounts within what senders keep."""
    tree = parse_event(event)
    types = peers.mapping()
    bound = peers.message_bound()
    for text in tree.units():
        unit = parse_unit(text)
        _check_source(text, unit.source, types, peers)
        if bound is not None and not unit.is_percentage and unit.amount > bound:
            raise ConditionalEventSyntaxError(
                f"the unit event {text!r} waits for {unit.amount} messages, but a sender stops when {bound} of its "
                f"messages are unfinished: lower the amount, or raise max_length_for_message_cache in the whole group"
            )
    return tree


def _check_source(text: str, source: str, types: PeersByType, peers: PeersView) -> None:
    if source == ANY or source in types or peers.type_of(source) is not None:
        return
    known = ", ".join(map(repr, types)) or "there are none"
    raise PeersMissError(
        f"the source {source!r} of the event {text!r} is neither a component type ({known}) nor a component in "
        f"the group: correct it, or add its type to expected_peers"
    )
