"""Sending that may have to wait: for room, for a peer that is away, for the address of its next incarnation."""

from __future__ import annotations

import itertools
from enum import Enum
from typing import TYPE_CHECKING

from maro.communication.deadline import Deadline
from maro.communication.delivery import BLOCKED
from maro.communication.membership import Peer, PeerState
from maro.communication.outbound import Outbound
from maro.communication.packets import Encoded
from maro.communication.settings import ProxySettings
from maro.communication.streams import Entry
from maro.utils.exception.communication_exception import DriverSendError

if TYPE_CHECKING:
    from maro.communication.exchange import Exchange

_FIRST_NOTICE_S = 0.1
_LAST_NOTICE_S = 5.0
"""A component that waits because too much is unfinished tells the peer so after this long, then after pauses that
double up to the second."""


_TOKEN_BITS = 12
"""For a running number; incarnations are microseconds, which take 51 bits in this century."""
_CIRCLE = 0


class Posted(Enum):
    """What became of a message."""

    SENT = "sent"
    KEPT = "kept"
    """The peer is away; it gets the message when it is back."""
    DROPPED = "dropped"
    """The peer is away, and nothing is kept for it."""


class Posting:
    """The waiting half of sending, for one component.

    Args:
        exchange: asked for news, and to wait.
        outbound: what sends.
        settings: of the Proxy.
        incarnation: of the component, for tokens that nobody else makes.
    """

    def __init__(self, exchange: Exchange, outbound: Outbound, settings: ProxySettings, incarnation: int) -> None:
        self._exchange = exchange
        self._outbound = outbound
        self._settings = settings
        self._delivery = exchange.delivery
        self._waits_for: str | None = None
        """The peer that has too much unfinished for this component to go on."""
        self._is_circle = False
        """That peer, or the last of those that it waits for, waits for this component for the same reason."""
        self._tokens = itertools.count(incarnation << _TOKEN_BITS)
        """No other component makes these."""
        self._own: set[int] = set()
        """The tokens of the present wait: one that comes back from an earlier wait means nothing."""
        self._passed_on: set[int] = set()
        """The tokens of others, once each: who waits for a circle is not in it, and its token would go round for ever.
        """

    def post(self, peer: Peer, entry: Entry[Encoded], deadline: Deadline) -> Posted:
        """Send a message, wait for room until the deadline, or keep it for a peer that is away.

        Raises:
            DriverSendError: no room in time; the peer is gone, and does not come back; the peer waits for this
                component in the same way.
        """
        exchange = self._exchange
        address_due = Deadline.in_s(self._settings.lease_s)
        return_due: Deadline | None = None
        notice_due, pause_s = Deadline.in_s(_FIRST_NOTICE_S), _FIRST_NOTICE_S
        has_looked = False
        try:
            while True:
                exchange.pump()
                is_expected = peer.superseded and not address_due.passed()  # its next incarnation was heard
                if peer.state is PeerState.LEFT and not is_expected:
                    return self._refuse_departed(peer)
                is_away = peer.state is PeerState.AWAY and (self._settings.enable_message_cache or not is_expected)
                if is_away or (peer.superseded and not is_expected):
                    posted = self._post_to_absent(peer, entry)
                    if posted is not None:
                        return posted
                    if return_due is None:
                        return_due = Deadline.in_s(self._settings.timeout_for_minimal_peers_s)
                        deadline = deadline.earlier(return_due)
                elif peer.state is PeerState.PRESENT and self._post_to_present(peer, entry):
                    return Posted.SENT
                # Once at least it looks for acknowledgements: who never waits would never see any.
                if has_looked and deadline.passed():
                    raise DriverSendError(self._why_blocked(peer))
                has_looked = True
                limit = deadline.earlier(address_due) if is_expected else deadline
                if self._is_full(peer.name):
                    self._waits_for = peer.name
                    self._delivery.ask_when_silent(peer.name)
                    if self._is_circle:
                        self._tell_blocked(_CIRCLE)
                        raise DriverSendError(self._why_circle(peer))
                    if notice_due.passed():
                        self._own.add(token := next(self._tokens))
                        self._tell_blocked(token)
                        pause_s = min(2 * pause_s, _LAST_NOTICE_S)
                        notice_due = Deadline.in_s(pause_s)
                    limit = limit.earlier(notice_due)
                # Else it is acknowledgements, or an address, that are waited for.
                waits_for_room = not peer.superseded and not self._is_full(peer.name)
                exchange.sleep(limit, (peer.name,) if waits_for_room else ())
        finally:
            self._waits_for, self._is_circle = None, False
            self._own.clear()
            self._passed_on.clear()

    def peer_is_blocked(self, name: str, told: int, token: int) -> None:
        """A peer says that it waits for this component, how many of its messages it knows to be finished, and who asks.

        Where this component waits as well, nothing that would help is on its way: what is in hand here stays there. So
        it passes the question on to the peer that it waits for itself; the answer is the question that comes back
        (edge chasing, after Chandy, Misra and Haas, 1983).
        """
        receiving = self._delivery.receiving.get(name)
        if self._waits_for is None or receiving is None or receiving.finished != told:
            return
        if token == _CIRCLE or token in self._own:
            self._is_circle = True
        elif token not in self._passed_on:
            self._passed_on.add(token)
            self._tell_blocked(token)

    def _post_to_present(self, peer: Peer, entry: Entry[Encoded]) -> bool:
        """Send a message; or keep it, until there is room, or the address of the incarnation that was heard."""
        outbound, name = self._outbound, peer.name
        if not peer.superseded and outbound.flush(name):
            return outbound.at_once(name, entry.session_id, entry.content, awaited=entry.awaited, answers=entry.answers)
        return self._delivery.bound is not None and outbound.keep(name, entry)

    def _post_to_absent(self, peer: Peer, entry: Entry[Encoded]) -> Posted | None:
        """Keep or drop a message to a peer that is away; None where it can't be kept now."""
        if not self._settings.enable_rejoin:
            raise DriverSendError(f"{peer.name!r} is gone: {peer.reason}. With enable_rejoin=True it could come back")
        if not self._settings.enable_message_cache:
            if entry.answers is not None:
                entry.answers.finish()
            return Posted.DROPPED
        entry.is_reported = False
        if self._outbound.keep(peer.name, entry):
            return Posted.KEPT
        entry.is_reported = True
        return None

    def _refuse_departed(self, peer: Peer) -> Posted:
        lost = self._delivery.take_drops(peer.name)
        if self._settings.enable_rejoin and not self._settings.enable_message_cache:
            return Posted.DROPPED
        kept = f"; {lost} messages that were kept for it are dropped" if lost else ""
        raise DriverSendError(f"{peer.name!r} can't be sent to: {peer.reason}, and does not come back{kept}")

    def _is_full(self, name: str) -> bool:
        stream = self._delivery.sending.get(name)
        return stream is not None and stream.is_full

    def _tell_blocked(self, token: int) -> None:
        name = self._waits_for
        if name is not None and (stream := self._delivery.sending.get(name)) is not None:
            self._outbound.control(name, BLOCKED, stream.finished, token)

    def _why_blocked(self, peer: Peer) -> str:
        if self._is_full(peer.name):
            stream = self._delivery.sending[peer.name]
            state = f"away ({peer.reason})" if peer.state is PeerState.AWAY else "present, and has not finished them"
            return (
                f"no more messages can be kept for {peer.name!r}, which is {state}: {len(stream)} are kept, "
                f"and max_length_for_message_cache is {stream.bound}. Raise it, send less, or wait longer "
                "(send_timeout)"
            )
        return (
            f"{peer.name!r} took no message in time: its queue is full because it receives more slowly than this "
            "component sends. Send less, or wait longer (send_timeout)"
        )

    def _why_circle(self, peer: Peer) -> str:
        bound = self._delivery.sending[peer.name].bound
        return (
            f"{self._settings.name!r} and {peer.name!r} wait for each other, maybe with others between them: each has "
            f"as many messages ({bound}, max_length_for_message_cache) that the next one has not finished as it may "
            "keep, and all of them are sending. Receive between sends, or raise it"
        )
