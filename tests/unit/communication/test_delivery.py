"""The outbox against a model: order, the bound, and each session id told once."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maro.communication.delivery import Delivered, Kept, Outbox

BOUND = 3
PEERS = st.sampled_from(["a", "b"])


class OutboxMachine(RuleBasedStateMachine):
    """The same steps taken by an outbox and by plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: Outbox[int] = Outbox(BOUND)
        self.waiting: dict[str, list[Kept[int]]] = {"a": [], "b": []}
        self.delivered: dict[str, list[Delivered]] = {"a": [], "b": []}
        self.untold: dict[str, int] = {"a": 0, "b": 0}
        self.dropped = 0
        self.number = 0

    @rule(peer=PEERS, reported=st.booleans(), awaited=st.booleans())
    def keep(self, peer: str, reported: bool, awaited: bool) -> None:
        self.number += 1
        kept = Kept(f"s{self.number}", self.number, reported, awaited)
        taken = self.outbox.keep(peer, kept)
        assert taken == (len(self.waiting[peer]) < BOUND)
        if taken:
            self.waiting[peer].append(kept)

    @rule(peer=PEERS)
    def send(self, peer: str) -> None:
        if self.waiting[peer]:
            first = self.waiting[peer].pop(0)
            assert self.outbox.first(peer) is first
            self.outbox.sent(peer)
            if not first.reported:
                told = self.delivered[peer]
                told.append(Delivered(first.session_id, first.awaited))

    @rule(peer=PEERS)
    def take_delivered(self, peer: str) -> None:
        assert self.outbox.take_delivered(peer) == self.delivered[peer]
        self.delivered[peer] = []

    @rule(peer=PEERS)
    def drop(self, peer: str) -> None:
        count = len(self.waiting[peer])
        assert self.outbox.drop(peer) == count
        self.waiting[peer], self.delivered[peer] = [], []
        self.untold[peer] += count
        self.dropped += count

    @precondition(lambda self: any(self.untold.values()))
    @rule(peer=PEERS)
    def take_drops(self, peer: str) -> None:
        assert self.outbox.take_drops(peer) == self.untold[peer]
        self.untold[peer] = 0

    @invariant()
    def same(self) -> None:
        assert len(self.outbox) == sum(map(len, self.waiting.values()))
        assert set(self.outbox.peers()) == {peer for peer, kept in self.waiting.items() if kept}
        assert self.outbox.dropped == self.dropped
        assert bool(self.outbox.delivered) == any(self.delivered.values())
        for peer, kept in self.waiting.items():
            assert self.outbox.length(peer) == len(kept) <= BOUND
            assert self.outbox.waits_for(peer) == bool(kept)


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=60, stateful_step_count=40)


def kept(number: int, reported: bool = False) -> Kept[int]:
    return Kept(f"s{number}", number, reported, False)


def test_a_full_outbox_refuses_and_keeps_what_it_has() -> None:
    """Never a silent eviction."""
    outbox: Outbox[int] = Outbox(2)
    assert [outbox.keep("a", kept(number)) for number in range(3)] == [True, True, False]
    assert outbox.first("a").content == 0
    assert outbox.keep("b", kept(9)), "the bound is for each peer"


def test_room_comes_back_with_what_goes_out() -> None:
    """Order stays, over the time when it was full."""
    outbox: Outbox[int] = Outbox(1)
    assert outbox.keep("a", kept(1))
    assert not outbox.keep("a", kept(2))
    outbox.sent("a")
    assert outbox.keep("a", kept(2))
    assert outbox.first("a").content == 2


def test_peers_may_be_sent_to_while_they_are_gone_through() -> None:
    """Emptying a queue does not disturb the iteration that does it."""
    outbox: Outbox[int] = Outbox(2)
    for peer in ("a", "b", "c"):
        outbox.keep(peer, kept(1))
    for peer in outbox.peers():
        outbox.sent(peer)
    assert not outbox
    assert not list(outbox.peers())


def test_repr_counts_by_peer() -> None:
    """A log line says for whom how much waits."""
    outbox: Outbox[int] = Outbox(2)
    outbox.keep("actor_0", kept(1))
    assert "'actor_0': 1" in repr(outbox)


def test_nothing_waits_for_a_stranger() -> None:
    """Asking makes nobody known."""
    outbox: Outbox[int] = Outbox(2)
    assert (outbox.length("x"), outbox.drop("x"), outbox.take_drops("x"), outbox.take_delivered("x")) == (0, 0, 0, [])
    with pytest.raises(KeyError):
        outbox.first("x")
