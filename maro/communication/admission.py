"""Which packets are let in: asked for every envelope, before its body is unpickled."""

from __future__ import annotations

from collections.abc import Callable

from maro.communication.driver.drops import Drops
from maro.communication.membership import Membership
from maro.communication.observations import PeerRecord
from maro.communication.packets import Envelope


class Admission:
    """Lets in what is for this incarnation, from incarnations that have no successor.

    Args:
        record: the component's own registration.
        membership: who is known, and told of who was heard.
        on_superseded: called with the name of a peer of which a newer incarnation was heard than is known.
    """

    def __init__(self, record: PeerRecord, membership: Membership, on_superseded: Callable[[str], None]) -> None:
        self.refused = Drops(record.name)
        self._record = record
        self._name, self._incarnation = record.name, record.incarnation
        self._membership = membership
        self._incarnations = membership.incarnations
        self._heard = membership.heard
        self._on_superseded = on_superseded

    def admits(self, envelope: Envelope) -> bool:
        """Whether a packet is let in; if not it is counted."""
        meant = envelope.destination_incarnation
        is_other = envelope.destination != self._name or (meant and meant != self._incarnation)
        # A broadcast of a driver without a Proxy names a type and no incarnation.
        if is_other and (meant or envelope.destination != self._record.component_type):
            self.refused.add("misaddressed", f"it is for {envelope.destination!r}, incarnation {meant}")
            return False
        source, incarnation = envelope.source, envelope.source_incarnation
        if self._incarnations.get(source) == incarnation:
            self._heard.add(source)
            return True
        if not self._membership.hear(source, envelope.source_type, incarnation):
            self.refused.add("fenced", f"{source!r} sent it as incarnation {incarnation}, which has a successor")
            return False
        if self._membership.superseded:
            peer = self._membership.peers.get(source)
            if peer is not None and peer.superseded:
                self._on_superseded(source)
        return True
