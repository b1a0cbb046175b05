"""The connections to the peers, and the routes over them: opened, replaced and closed as peers come and go."""

from __future__ import annotations

import logging

from maro.communication import clock
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.membership import Membership, Peer
from maro.communication.observations import PeerRecord
from maro.communication.packets import Route
from maro.utils.exception.communication_exception import PeersConnectionError, SocketTypeError

logger = logging.getLogger(__name__)

_KEPT_LEASES = 10
"""The connection to a peer that is away is kept for so many lease times; one that is back later gets a new one."""


class Connections:
    """What one component is connected to.

    Args:
        record: the component's own registration.
        driver: has the sockets.
        membership: told of peers that can't be connected to.
        lease_s: of the group.
    """

    def __init__(self, record: PeerRecord, driver: AbsDriver, membership: Membership, lease_s: float) -> None:
        self.routes: dict[str, Route] = {}
        """By name, to the incarnation that was connected last."""
        self._record = record
        self._driver = driver
        self._membership = membership
        self._kept_s = _KEPT_LEASES * lease_s
        self._open: set[str] = set()
        self._absent_since: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._open

    def open(self, peer: Peer) -> None:
        """Connect, in place of an older connection; a peer that can't be connected to is away."""
        own = self._record
        self._absent_since.pop(peer.name, None)
        try:
            self._driver.connect({peer.name: peer.record.addresses})
        except (PeersConnectionError, SocketTypeError) as error:
            logger.warning("%s can't connect to %s: %s", own.name, peer.name, error)
            self._open.discard(peer.name)
            self._membership.unreachable(peer, f"what it registered can't be connected to ({error})")
            return
        self._open.add(peer.name)
        self.routes[peer.name] = Route(
            own.name, own.component_type, own.incarnation, peer.name, peer.record.incarnation
        )

    def returned(self, peer: Peer) -> None:
        """The same incarnation is back: its connection goes on, if there still is one."""
        self._absent_since.pop(peer.name, None)
        if peer.name not in self._open:
            self.open(peer)

    def lost(self, peer: Peer, process_ended: bool) -> None:
        """The peer is away: nothing can come of its connection where its process ended; else it may be back."""
        if process_ended:
            self._close(peer)
        elif peer.name in self._open:
            self._absent_since[peer.name] = clock.monotonic()

    def close_long_absent(self) -> bool:
        """Components that crash and come back under other names must not add up to sockets that dial the dead.

        Returns:
            Whether any connection was closed.
        """
        if not self._absent_since:
            return False
        now = clock.monotonic()
        long_absent = [name for name, since in self._absent_since.items() if now - since > self._kept_s]
        for name in long_absent:
            self._close(self._membership.peers[name])
        return bool(long_absent)

    def _close(self, peer: Peer) -> None:
        self._absent_since.pop(peer.name, None)
        if peer.name in self._open:
            self._open.remove(peer.name)
            self._driver.disconnect({peer.name: peer.record.addresses})
