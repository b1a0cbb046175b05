"""A component that sends, takes, answers or passes on numbered messages, and keeps a journal of it.

Run by `tests.support.trials`, with the commands below beside those of `component_program`. Those that take messages go
on until the component is killed or told to leave; so a new start with the same command takes the work up again.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maro.communication import Message, Proxy, SessionMessage, SessionType
from maro.utils.exception.communication_exception import DriverSendError
from tests.support.component_program import Commands, main
from tests.support.journals import (
    ACCEPTED,
    ANSWERED,
    FINISHED,
    HOW_MANY,
    OFFERED,
    POSTPONED,
    RECEIVED,
    REFUSED,
    TOLD,
    Journal,
    Numbered,
)

BEGAN_NS = time.monotonic_ns()
"""Before this process joined; its incarnation in the journals."""

NUMBERED, NOTE = "numbered", "note"
_CALL_WITHIN_MS = 60_000
_LISTENS_EVERY = 16
"""A component that streams looks for messages after so many."""
_SHORTEST_PAUSE_S = 0.001
_BURST_S = 0.1
"""A component that was blocked catches up with what it would have sent in this time, and goes on at its rate then: a
trial that waits for progress, to kill somebody half way, is not overtaken by the end."""


class Pace:
    """Lets messages go out at a rate, in messages a second."""

    def __init__(self, rate: float) -> None:
        self._each_s = 1 / rate
        self._next_s = time.monotonic()

    def wait(self) -> None:
        """Until the next message is due."""
        now_s = time.monotonic()
        early_s = self._next_s - now_s
        if early_s > _SHORTEST_PAUSE_S:
            time.sleep(early_s)  # the pace of an application; nothing in a test waits by it
        self._next_s = max(self._next_s, now_s - _BURST_S) + self._each_s


class NumberedCommands(Commands):
    """What may be asked; each method is one command."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._journal = Journal(Path.cwd(), proxy.name, BEGAN_NS)
        self._made = 0

    # Sending.

    def stream(
        self, to: Sequence[str], count: int, rate: float, size: int = 0, listens: bool = True, loses: bool = False
    ) -> None:
        """Send numbered messages to these in turn.

        Args:
            to: names.
            count: of all messages.
            rate: messages in a second.
            size: of the payload in bytes. Every other one is an array, which is overwritten when it was sent.
            listens: take in notes on the way; else it does nothing but send.
            loses: a peer that can't be sent to any more is left out from then on; else that ends the component.
        """
        to = list(to)
        array = np.empty(size, np.uint8)
        pace = Pace(rate)
        for made in range(count):
            pace.wait()
            message, peer = self._new(), to[made % len(to)]
            self._journal.write(OFFERED, message, peer=peer)
            body: Any = pattern(message.number, size)
            if made % 2:
                array[:] = np.frombuffer(body, np.uint8)
                body = array
            try:
                self.proxy.isend(SessionMessage(NUMBERED, self.proxy.name, peer, self._payload(message, body)))
            except DriverSendError as error:
                if not loses:
                    raise
                self._journal.write(REFUSED, message, peer=peer, why=str(error))
                to.remove(peer)
                continue
            array[:] = 0
            self._journal.write(ACCEPTED, message, peer=peer)
            if listens and made % _LISTENS_EVERY == 0:
                self.listen(timeout=0)

    def listen(self, timeout: int = -1) -> None:
        """Take in notes, and nothing else, until none comes in time."""
        for note in self.proxy.receive(timeout=timeout):
            assert note.tag == NOTE, note
            for message in note.payload:
                self._journal.write(TOLD, Numbered(*message), peer=note.source)

    def announce(self, to: str, names: Sequence[str], rounds: int, rate: float) -> None:
        """Send a broadcast each round to all components of a type, which have these names; so many rounds a second."""
        pace = Pace(rate)
        for _ in range(rounds):
            pace.wait()
            message = self._new()
            self._write_all(OFFERED, message, names)
            self.proxy.ibroadcast(to, NUMBERED, SessionType.NOTIFICATION, self._payload(message))
            self._write_all(ACCEPTED, message, names)

    # Asking.

    def ask_each(self, to: Sequence[str], count: int, rate: float = math.inf) -> None:
        """Send numbered requests to these in turn, each when the one before was answered; at most so many a second."""
        pace = Pace(rate)
        for made in range(count):
            pace.wait()
            message, peer = self._new(), to[made % len(to)]
            self._journal.write(OFFERED, message, peer=peer)
            request = SessionMessage(NUMBERED, self.proxy.name, peer, self._payload(message))
            replies = self.proxy.send(request, timeout=_CALL_WITHIN_MS)
            self._journal.write(ACCEPTED, message, peer=peer)
            self._answered(message, [peer], replies or [])

    def ask_together(self, to: Sequence[str], rounds: int) -> None:
        """Each round, send each of these a numbered request of its own, and wait for all replies."""
        for _ in range(rounds):
            messages = {peer: self._new() for peer in to}
            for peer, message in messages.items():
                self._journal.write(OFFERED, message, peer=peer)
            payloads = [(peer, self._payload(message)) for peer, message in messages.items()]
            replies = self.proxy.scatter(NUMBERED, SessionType.TASK, payloads, timeout=_CALL_WITHIN_MS)
            for peer, message in messages.items():
                self._journal.write(ACCEPTED, message, peer=peer)
                self._answered(message, [peer], [reply for reply in replies if reply.source == peer])

    def ask_all(self, to: str, names: Sequence[str], rounds: int) -> None:
        """Each round, ask all components of a type, which have these names, the same, and wait for all replies."""
        for _ in range(rounds):
            message = self._new()
            self._write_all(OFFERED, message, names)
            replies = self.proxy.broadcast(
                to, NUMBERED, SessionType.TASK, self._payload(message), timeout=_CALL_WITHIN_MS
            )
            self._write_all(ACCEPTED, message, names)
            self._answered(message, names, replies)

    # Taking.

    def consume(self, tell_every: int = 0, die_with: int | None = None) -> None:
        """Take messages, and finish each by asking for the next.

        Args:
            tell_every: send the origin a note after so many messages, which says what has been finished so far.
            die_with: be killed with this number in hand.
        """
        in_hand: Numbered | None = None
        done: list[Numbered] = []
        for message, numbered in self._messages():
            if in_hand is not None:
                done.append(in_hand)
            if tell_every and len(done) >= tell_every:
                self.proxy.isend(SessionMessage(NOTE, self.proxy.name, message.source, done))
                done = []
            if numbered.number == die_with:
                die()
            self._journal.write(FINISHED, numbered)
            in_hand = numbered

    def acknowledge(self, batch: int, keep: int) -> None:
        """Take messages, acknowledge all but every `keep`-th of each batch, last ones first, and tell the origin so."""
        taken: list[tuple[Message, Numbered]] = []
        for received in self._messages(auto_ack=False):
            taken.append(received)
            if len(taken) < batch:
                continue
            acknowledged = [pair for number, pair in enumerate(taken) if number % keep]
            for message, numbered in reversed(acknowledged):
                self._journal.write(FINISHED, numbered)
                self.proxy.ack(message)
            note = [numbered for _, numbered in acknowledged]
            self.proxy.isend(SessionMessage(NOTE, self.proxy.name, taken[0][0].source, note))
            taken = []

    def answer(self, die_before: int | None = None, die_after: int | None = None) -> None:
        """Reply to every message, or be killed right before or after the reply to one of these numbers."""
        for message, numbered in self._messages():
            if numbered.number == die_before:
                die()
            self._journal.write(FINISHED, numbered)
            self.proxy.reply(message, payload=numbered)
            if numbered.number == die_after:
                die()

    def pass_on(self, to: str, die_before: int | None = None, die_after: int | None = None) -> None:
        """Forward every message, or be killed right before or after one of these numbers."""
        for message, numbered in self._messages():
            if numbered.number == die_before:
                die()
            self._journal.write(OFFERED, numbered, peer=to)
            self.proxy.forward(message, to, payload={**message.payload, "sent_by": BEGAN_NS})
            if numbered.number == die_after:
                die()

    def count(self) -> None:
        """Count messages, without a journal, and reply to those that ask how many there were."""
        counted = 0
        for message in self.proxy.receive(timeout=-1):
            if message.tag == HOW_MANY:
                self.proxy.reply(message, payload=counted)
            else:
                counted += 1

    # Inside.

    def _new(self) -> Numbered:
        self._made += 1
        return Numbered(self.proxy.name, self._made - 1)

    def _payload(self, message: Numbered, body: Any = b"") -> dict[str, Any]:
        return {"message": message, "sent_by": BEGAN_NS, "body": body}

    def _messages(self, auto_ack: bool = True) -> Iterator[tuple[Message, Numbered]]:
        """The numbered messages as they come."""
        # Without the argument where it makes no difference, so that it is the default that is seen working.
        options: dict[str, Any] = {} if auto_ack else {"auto_ack": False}
        for message in self.proxy.receive(timeout=-1, **options):
            payload = message.payload
            numbered = Numbered(*payload["message"])
            self._journal.write(
                RECEIVED,
                numbered,
                peer=message.source,
                peer_incarnation=payload["sent_by"],
                intact=bytes(payload["body"]) == pattern(numbered.number, len(payload["body"])),
            )
            yield message, numbered

    def _answered(self, message: Numbered, peers: Sequence[str], replies: Sequence[Message]) -> None:
        """What a blocking call returned to this message; it may return replies to earlier ones too."""
        for reply in replies:
            self._journal.write(ANSWERED, Numbered(*reply.payload), peer=reply.source)
        have_replied = {reply.source for reply in replies if Numbered(*reply.payload) == message}
        self._write_all(POSTPONED, message, [peer for peer in peers if peer not in have_replied])

    def _write_all(self, kind: str, message: Numbered, peers: Sequence[str]) -> None:
        for peer in peers:
            self._journal.write(kind, message, peer=peer)


def pattern(number: int, size: int) -> bytes:
    """Bytes that belong to a number."""
    return (number.to_bytes(8, "big") * (size // 8 + 1))[:size]


def die() -> None:
    """End this process as a kill from outside does, at this very point."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(NumberedCommands)
