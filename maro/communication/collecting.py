"""Waiting for replies, as long as somebody can still send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maro.communication.deadline import Deadline
from maro.communication.inbound import Inbound
from maro.communication.membership import PeerState
from maro.communication.message import Message
from maro.communication.sessions import Collection

if TYPE_CHECKING:
    from maro.communication.exchange import Exchange

_LAST_WORDS_MS = 250
"""How long replies of a peer that is gone are still waited for: the news of its end, which come by another way, may
be faster than what it sent before."""


class Collecting:
    """The calls of one component that wait for replies.

    Args:
        exchange: asked for news, and to wait.
        inbound: what arrives.
    """

    def __init__(self, exchange: Exchange, inbound: Inbound) -> None:
        self._exchange = exchange
        self._inbound = inbound

    def collect(self, collection: Collection, deadline: Deadline) -> list[str]:
        """Receive until the collection is complete, or time is up; other messages stay in the inbox.

        Returns:
            The peers that owe all that is missing and are dead, where that ended the wait.
        """
        self._inbound.is_collecting = True
        try:
            return self._collect(collection, deadline)
        finally:
            self._inbound.is_collecting = False

    def _collect(self, collection: Collection, deadline: Deadline) -> list[str]:
        exchange, inbound = self._exchange, self._inbound
        given_up: Deadline | None = None
        self._take_from_inbox(collection)
        while not collection.complete:
            if exchange.keep_up():
                self._take_from_inbox(collection)
            message = inbound.take()
            if message is not None:
                if collection.wants(message.session_id):
                    self._add(collection, message)
                else:
                    inbound.inbox.push(message)
                continue
            # Only now that everything which arrived is read can it be said that the dead owe the rest.
            if exchange.losses and not collection.complete:
                dead = collection.owed_by_the_dead(self._can_reply)
                if dead and given_up is None:
                    given_up = Deadline(_LAST_WORDS_MS).earlier(deadline)
                if dead and given_up is not None:
                    if given_up.passed():
                        return dead
                    exchange.wait(given_up)
                    continue
            if deadline.passed():
                break
            exchange.wait(deadline)
        return []

    def _take_from_inbox(self, collection: Collection) -> None:
        inbox = self._inbound.inbox
        if inbox:
            for session_id in list(collection.sessions()):
                while collection.wants(session_id) and (message := inbox.take(session_id)) is not None:
                    self._add(collection, message)

    def _add(self, collection: Collection, reply: Message) -> None:
        collection.add(reply)
        self._exchange.delivery.replied(reply.session_id, reply.source)
        if reply.receipt is not None:
            # Not only when the call returns: a peer that owes it more than its cache holds could not go on.
            reply.receipt.finish()

    def _can_reply(self, name: str, incarnation: int) -> bool:
        """Whether this incarnation of a peer, which was asked last, can still reply.

        With the message cache on, one that has followed it got the message as well, and so was asked last, unless the
        message was finished: then nobody has it any more.
        """
        peer = self._exchange.membership.peers.get(name)
        if peer is None or peer.incarnation != incarnation:
            return False
        if self._exchange.delivery.bound is not None:
            return peer.state is not PeerState.LEFT
        return peer.state is PeerState.PRESENT or (peer.state is PeerState.AWAY and peer.leaving)
