"""Deliberate breakages of acknowledged delivery, each of them a simpler way to do it that loses, repeats or hangs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from maro.communication import memory_store
from maro.communication.admission import Admission
from maro.communication.delivery import Delivery
from maro.communication.membership import Membership
from maro.communication.outbound import Outbound
from maro.communication.registration import History
from maro.communication.streams import ReceiveStream, SendStream

Mutant = Callable[[pytest.MonkeyPatch], None]


def acknowledge_early(patch: pytest.MonkeyPatch) -> None:
    """A message is finished when it is taken from the driver, not when the application is done with it."""
    receipt = Delivery.receipt

    def finished(self: Any, number: int) -> Any:
        made = receipt(self, number)
        made.finish()
        return made

    patch.setattr(Delivery, "receipt", finished)


def rejoin_before_the_inbox(patch: pytest.MonkeyPatch) -> None:
    """The news of a successor are taken in before what its predecessor sent is read."""
    patch.setattr(Membership, "supersedes", lambda *_: False)


def count_incarnations(patch: pytest.MonkeyPatch) -> None:
    """An incarnation is a counter in the store, which begins again when the store has lost everything."""

    def succeed(name: str, history: History, record_incarnation: int, *_: Any) -> History:
        return History(max(history.incarnation, record_incarnation) + 1, history.unclean_ends, left=False)

    patch.setattr(memory_store, "succeed", succeed)


def floor_only(patch: pytest.MonkeyPatch) -> None:
    """What is finished is told as one number, up to which everything is."""

    def finish(self: Any, number: int) -> None:
        self.floor = max(self.floor, number)
        self.note()

    patch.setattr(ReceiveStream, "finish", finish)


def accept_any_address(patch: pytest.MonkeyPatch) -> None:
    """Whoever got an address gets what was meant for its former owner."""

    def admits(self: Any, envelope: Any) -> bool:
        meant = envelope._replace(destination=self._name, destination_incarnation=self._incarnation)
        return bool(true_admits(self, meant))

    true_admits = Admission.admits
    patch.setattr(Admission, "admits", admits)


def send_again_on_a_timer(patch: pytest.MonkeyPatch) -> None:
    """A peer that is silent for a moment gets everything again that it did not say to have received."""

    def ask_silent(self: Any, now: float) -> None:
        for name, stream in list(self._delivery.unsettled.items()):
            stream.rewind(stream.received)
            self.send_again(name)
        self._delivery.ask_at = now + 0.01

    patch.setattr(Outbound, "ask_silent", ask_silent)


def evict_when_full(patch: pytest.MonkeyPatch) -> None:
    """A full cache forgets its oldest message."""
    accept = SendStream.accept

    def evicting(self: Any, entry: Any) -> None:
        if len(self.entries) >= self.bound:
            oldest = next((number for number in self.entries if number <= self.sent), None)
            if oldest is not None:
                del self.entries[oldest]
        accept(self, entry)

    def first_left(self: Any) -> Any:
        while self.sent < self.last and self.sent + 1 not in self.entries:
            self.sent += 1
        return first_unsent(self)

    first_unsent = SendStream.first_unsent
    patch.setattr(SendStream, "first_unsent", first_left)
    patch.setattr(SendStream, "accept", evicting)
    patch.setattr(SendStream, "is_full", property(lambda _: False))


def nothing_for_the_successor(patch: pytest.MonkeyPatch) -> None:
    """A new incarnation gets what is sent after its start."""
    restart = SendStream.restart

    def forgetful(self: Any, incarnation: int) -> None:
        if self.incarnation:
            self.entries = {}
        restart(self, incarnation)

    patch.setattr(SendStream, "restart", forgetful)


def never_ask(patch: pytest.MonkeyPatch) -> None:
    """ZeroMQ is trusted to deliver what it has taken."""
    patch.setattr(Delivery, "_ask_again", lambda *_: None)
    patch.setattr(Delivery, "silent", lambda self, now: setattr(self, "ask_at", now + 1e9) or [])


def take_repeats(patch: pytest.MonkeyPatch) -> None:
    """What comes a second time is handed out a second time."""
    arrived = Delivery.arrived

    def again(self: Any, envelope: Any) -> int | None:
        known = arrived(self, envelope)
        return 0 if known is None and envelope.sequence <= self._arrived_in.received else known

    patch.setattr(Delivery, "arrived", again)


def forget_the_fence(patch: pytest.MonkeyPatch) -> None:
    """Who has a successor is listened to as before."""
    hear = Membership.hear
    patch.setattr(Membership, "hear", lambda *arguments: hear(*arguments) or True)
    begin = Delivery.begin

    def remembering(self: Any, peer: str, incarnation: int) -> Any:
        older = dict(self._older.get(peer, {}))
        stream = begin(self, peer, incarnation)
        if older:
            self._older[peer] = older
        return stream

    patch.setattr(Delivery, "begin", remembering)


def trust_leases_always(patch: pytest.MonkeyPatch) -> None:
    """A lease that is not there counts, though the store may have lost it, or could not be asked to renew it."""
    sight = Membership._sight
    patch.setattr(Membership, "_sight", lambda self, sighting: sight(self, replace(sighting, absence_counts=True)))


def tell_out_of_order(patch: pytest.MonkeyPatch) -> None:
    """What is finished counts as soon as it is told, though the reply that it stands for may be missing."""
    acknowledged = Delivery._acknowledged
    patch.setattr(Delivery, "_acknowledged", lambda self, envelope, in_order: acknowledged(self, envelope, True))


MUTANTS: tuple[Mutant, ...] = (
    acknowledge_early,
    rejoin_before_the_inbox,
    count_incarnations,
    floor_only,
    accept_any_address,
    send_again_on_a_timer,
    evict_when_full,
    nothing_for_the_successor,
    never_ask,
    take_repeats,
    forget_the_fence,
    trust_leases_always,
    tell_out_of_order,
)
