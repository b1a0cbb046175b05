"""Connections as peers come and go, over the driver in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maro.communication.connections import Connections
from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from maro.communication.membership import ChangeKind, Membership, Peer, PeerState
from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.utils.exception.communication_exception import PendingToSend
from tests.support.waiting import eventually

LEASE_S = 0.01


class World:
    """A learner with a connection to one actor."""

    def __init__(self) -> None:
        network = MemoryNetwork()
        self.driver = MemoryDriver("learner", network)
        self.actor = MemoryDriver("actor", network)
        self.membership = Membership("learner_0", {"actor": 1}, True, LEASE_S)
        self.connections = Connections(PeerRecord("learner_0", "learner", 1, {}), self.driver, self.membership, LEASE_S)

    def join(self, incarnation: int, addresses: dict[str, str] | None = None) -> Peer:
        """The actor registers."""
        own = {str(kind): address for kind, address in self.actor.address.items()}
        record = PeerRecord("actor_0", "actor", incarnation, own if addresses is None else addresses)
        [change] = self.membership.observe(Notice(NoticeKind.JOIN, record))
        assert change.kind in (ChangeKind.JOINED, ChangeKind.REJOINED)
        self.connections.open(change.peer)
        return change.peer

    def is_connected(self) -> bool:
        """Whether the driver has a connection to the actor."""
        try:
            self.driver.send_frames("actor_0", [b"x"])
        except PendingToSend:
            return False
        return True


@pytest.fixture
def world() -> Iterator[World]:
    """A learner and an actor that can reach each other."""
    world = World()
    yield world
    world.driver.close()
    world.actor.close()


def test_a_route_names_the_incarnation_that_is_connected(world: World) -> None:
    """Given a peer that rejoined, packets to it are for its new incarnation."""
    world.join(5)
    assert world.connections.routes["actor_0"].destination_incarnation == 5
    world.join(6)
    assert world.connections.routes["actor_0"].destination_incarnation == 6
    assert world.connections.routes["actor_0"].source_incarnation == 1


def test_a_peer_that_may_still_be_there_stays_connected_for_a_while(world: World) -> None:
    """Given a lost lease, the connection is kept, closed after ten lease times, and made anew on return."""
    peer = world.join(5)
    world.connections.lost(peer, process_ended=False)
    assert "actor_0" in world.connections
    assert world.is_connected()

    def is_closed() -> bool:
        world.connections.close_long_absent()
        return "actor_0" not in world.connections

    eventually(is_closed, what="the connection to be given up")
    assert not world.is_connected()

    world.connections.returned(peer)
    assert world.is_connected()


def test_the_connection_to_an_ended_process_is_closed_at_once(world: World) -> None:
    """Given a process that ended, nothing is sent to its address, which may be somebody else's soon."""
    peer = world.join(5)
    world.connections.lost(peer, process_ended=True)
    assert not world.is_connected()
    world.connections.lost(peer, process_ended=True)  # told twice, it is closed once
    assert "actor_0" not in world.connections


def test_a_return_in_time_goes_on_with_the_connection(world: World) -> None:
    """Given a peer that is back before its connection was given up, the connection is not closed later."""
    peer = world.join(5)
    world.connections.lost(peer, process_ended=False)
    world.connections.returned(peer)
    assert not world.connections._absent_since
    assert world.is_connected()


@pytest.mark.parametrize("addresses", [{}, {"7": "nowhere"}, {"99": "memory://1"}])
def test_a_peer_that_can_not_be_connected_to_is_away(world: World, addresses: dict[str, str]) -> None:
    """Given garbage in the registration, the peer is away for a reason, and nothing is raised."""
    peer = world.join(5, addresses)
    assert peer.state is PeerState.AWAY
    assert "can't be connected" in peer.reason
    assert "actor_0" not in world.connections
