"""What an application of a simulation holds: a Proxy, and a note of everything that it asked for and that came.

The methods call the Proxy's of the same or a similar name; what they add is for the checker alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from maro.communication import Message, SessionMessage, SessionType
from maro.communication.membership import PeerState
from maro.utils.exception.communication_exception import DriverSendError
from tests.simulation.history import Handed, Key, Sent, Start

if TYPE_CHECKING:
    from tests.simulation.node import Node


_END: Any = object()


class Payload:
    """What the messages of a simulation carry: which message it is, which one it answers or passes on, and ballast."""

    __slots__ = ("answers", "ballast", "number", "origin", "sender")

    def __init__(
        self, sender: Start, number: int, answers: Key | None = None, origin: Key | None = None, ballast: bytes = b""
    ) -> None:
        self.sender = sender
        self.number = number
        self.answers = answers
        self.origin = origin
        self.ballast = ballast

    def __reduce__(self) -> Any:
        return Payload, (self.sender, self.number, self.answers, self.origin, self.ballast)


class Component:
    """One incarnation of a component, as its own program sees it.

    Args:
        node: the process that it is.
        proxy: of it.
    """

    def __init__(self, node: Node, proxy: Any) -> None:
        self.node = node
        self.proxy = proxy
        self.name = node.name
        self.start = node.start
        self.plan = node.world.plan
        self.chance = node.chance
        self._history = node.history
        self._scheduler = node.scheduler
        self._note = node.world.note
        self._number = 0
        self._in_hand: Key | None = None
        """What the next call that receives will finish."""
        self._handled: dict[Key, int] = {}
        self._handled_now: list[Key] = []

    @property
    def finishing(self) -> bool:
        """Whether the run comes to its end."""
        return self.node.world.finishing

    def computes(self, seconds: float) -> None:
        """Be busy: nothing of the Proxy runs but what it does between calls."""
        self.node.computes(seconds)

    def quota(self) -> Iterator[int]:
        """Number what the component has to send, until it is done, over all of its incarnations."""
        while self.node.memory.setdefault("sent", 0) < self.plan.messages and not self.finishing:
            self.node.memory["sent"] += 1
            yield self.node.memory["sent"]
        self.node.world.done(self.name)

    def tell(self, destination: str, tag: str) -> None:
        """`isend` to one, who need not reply."""
        key, payload = self._new(destination)
        with self._sending("isend", [key]):
            self.proxy.isend(SessionMessage(tag, self.name, destination, payload, SessionType.NOTIFICATION))

    def ask(self, destination: str, tag: str, timeout_ms: int) -> list[Message]:
        """`send` to one, and wait for the reply."""
        key, payload = self._new(destination)
        message = SessionMessage(tag, self.name, destination, payload, SessionType.TASK)
        with self._sending("send", [key], asks=True, blocks=True):
            return self._replies(self.proxy.send(message, timeout=timeout_ms))
        return []

    def scatter(self, destinations: Sequence[str], tag: str, timeout_ms: int) -> list[Message]:
        """`scatter`: one message to each; the replies."""
        keys, pairs = self._each(destinations)
        with self._sending("scatter", keys, asks=True, blocks=True):
            return self._replies(self.proxy.scatter(tag, SessionType.TASK, pairs, timeout=timeout_ms))
        return []

    def iscatter(self, destinations: Sequence[str], tag: str) -> list[str]:
        """`iscatter`: one message to each; the sessions."""
        keys, pairs = self._each(destinations)
        with self._sending("iscatter", keys, asks=True):
            return list(self.proxy.iscatter(tag, SessionType.TASK, pairs))
        return []

    def broadcast(self, component_type: str, tag: str, timeout_ms: int) -> list[Message]:
        """`broadcast`; the replies."""
        keys, unobliged, payload = self._all(component_type)
        with self._sending("broadcast", keys, unobliged, asks=True, blocks=True):
            return self._replies(
                self.proxy.broadcast(component_type, tag, SessionType.TASK, payload, timeout=timeout_ms)
            )
        return []

    def ibroadcast(self, component_type: str, tag: str) -> list[str]:
        """`ibroadcast`; the sessions."""
        keys, unobliged, payload = self._all(component_type)
        with self._sending("ibroadcast", keys, unobliged, asks=True):
            return list(self.proxy.ibroadcast(component_type, tag, SessionType.TASK, payload))
        return []

    def collect(self, sessions: Sequence[str], timeout_ms: int) -> list[Message]:
        """`receive_by_id`."""
        with self.in_call("receive_by_id"):
            return self._replies(self.proxy.receive_by_id(sessions, timeout=timeout_ms))

    def receive(self, timeout_ms: int = -1, **options: Any) -> Iterator[Message]:
        """`receive`, continuously: what was handed out before is finished when the next is asked for."""
        finishes = options.get("auto_ack", True)
        messages = self.proxy.receive(timeout=timeout_ms, **options)
        while True:
            if self._in_hand is not None:
                self.finish(self._in_hand)
            with self.in_call("receive"):
                message = next(messages, None)
            self._in_hand = None
            if message is None:
                return
            key = self.got(message)
            if finishes:
                self._in_hand = key
            yield message

    def reply(self, message: Message) -> None:
        """`reply`; which finishes the message."""
        answered = self.key_of(message)
        key, payload = self._new(message.source, answers=answered)
        with self._sending("reply", [key], answers=answered):
            self.proxy.reply(message, tag="reply", payload=payload)
        self.finish(answered)  # surely, now that the call has returned

    def forward(self, message: Message, destination: str) -> None:
        """`forward`."""
        passed_on = self.key_of(message)
        if self._in_hand == passed_on:
            self._in_hand = None  # finished when the next one has it, and only then
        key, payload = self._new(destination, origin=passed_on)
        with self._sending("forward", [key], origin=passed_on):
            self.proxy.forward(message, destination, payload=payload)

    def ack(self, message: Message) -> None:
        """`ack`."""
        self.finish(self.key_of(message))
        with self.in_call("ack"):
            self.proxy.ack(message)

    def receive_for_events(self) -> Iterator[Message | None]:
        """`receive`, for a RegisterTable that is served by hand; None where peers came or went."""
        messages = self.proxy.receive(timeout=-1, wake_on_peer_change=True)
        while True:
            with self.in_call("receive"):
                message = next(messages, _END)
            if message is _END:
                return
            if message is not None:
                self._history.received.append(self._handed(message))
            yield message

    def handle(self, message: Message, events: int) -> None:
        """Note what a handler of conditional events was given, and that it is done with it.

        Args:
            message: which.
            events: how many events take it; the message is finished with the last of them.
        """
        key = self.key_of(message)
        calls = self._handled[key] = self._handled.get(key, 0) + 1
        if calls == 1:
            self.got(message, in_order=False)
        if calls == events:
            self._handled_now.append(key)

    def handler_returns(self) -> None:
        """What it took is finished, where no other event holds it."""
        for key in self._handled_now:
            self.finish(key)
        self._handled_now.clear()

    def got(self, message: Message, *, in_order: bool = True) -> Key:
        """Note a message that the application has now; `in_order` where `receive` gave it."""
        payload: Payload = message.payload
        now = self._scheduler.now
        handed = self._handed(message)
        key = handed.key
        self._history.hand(handed)
        if in_order:
            self._history.received.append(handed)
        if payload.answers is not None and payload.answers.sender == self.start:
            asked = self._history.sent[payload.answers]
            asked.answered_at = asked.answered_at or now
        self._note(self.node, "handed", key)
        return key

    def finish(self, key: Key) -> None:
        """Note that the application is done with a message."""
        self._history.finished.setdefault((self.start, key), self._scheduler.now)

    def key_of(self, message: Message) -> Key:
        """Which message it is."""
        return Key(message.payload.sender, message.payload.number, self.name)

    @contextlib.contextmanager
    def in_call(self, name: str) -> Iterator[None]:
        """Say which call is under way, for the report of one that does not end."""
        self.node.call = name
        yield
        self.node.call = ""

    # Inside.

    def _handed(self, message: Message) -> Handed:
        return Handed(self._scheduler.now, self.start, self.key_of(message), message.message_id)

    def _replies(self, messages: Sequence[Message] | None) -> list[Message]:
        for message in messages or ():
            self.finish(self.got(message, in_order=False))
        return list(messages or ())

    def _new(self, destination: str, *, origin: Key | None = None, answers: Key | None = None) -> tuple[Key, Payload]:
        self._number += 1
        key = Key(self.start, self._number, destination)
        return key, Payload(self.start, self._number, answers, origin, self._ballast())

    def _each(self, destinations: Sequence[str]) -> tuple[list[Key], list[tuple[str, Payload]]]:
        news = [self._new(destination) for destination in destinations]
        return [key for key, _ in news], [(key.receiver, payload) for key, payload in news]

    def _all(self, component_type: str) -> tuple[list[Key], list[Key], Payload]:
        """One message for all peers; those that have left when the call begins may get it, or not."""
        self._number += 1
        peers = self.node.exchange.membership.expected_peers(component_type)  # type: ignore[union-attr] # it has joined
        keys: tuple[list[Key], list[Key]] = ([], [])
        for peer in peers:
            keys[peer.state is PeerState.LEFT].append(Key(self.start, self._number, peer.name))
        return *keys, Payload(self.start, self._number, ballast=self._ballast())

    def _ballast(self) -> bytes:
        heavy = self.plan.settings.heavy
        return bytes(self.chance.randint(1, 40_000)) if heavy and self.chance.random() < heavy else b""

    @contextlib.contextmanager
    def _sending(
        self,
        call: str,
        keys: list[Key],
        unobliged: Sequence[Key] = (),
        *,
        asks: bool = False,
        blocks: bool = False,
        origin: Key | None = None,
        answers: Key | None = None,
    ) -> Iterator[None]:
        """Around a call that sends: errors that every sender has to expect are counted, and end it."""
        self._history.sending(
            [*keys, *unobliged], Sent(self._scheduler.now, asks, blocks, origin=origin, answers=answers)
        )
        self._note(self.node, call, *keys)
        with self.in_call(call):
            try:
                yield
            except DriverSendError as error:
                self._history.refused += 1
                self._note(self.node, "refused", str(error))
            else:
                self._history.accepted(keys, self._scheduler.now)
