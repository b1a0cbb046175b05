"""What the sending calls of a Proxy come down to: encode, post to one or many, and collect the replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from maro.communication.deadline import Deadline
from maro.communication.exchange import Exchange
from maro.communication.membership import Peer, PeerState
from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    Tag,
    TaskSessionStage,
)
from maro.communication.packets import CodecError, Encoded
from maro.communication.posting import Posted
from maro.communication.sessions import Collection
from maro.communication.settings import ProxySettings
from maro.communication.streams import Entry, StreamReceipt
from maro.utils.exception.communication_exception import DriverReceiveError, DriverSendError, PeersMissError


class Sent(NamedTuple):
    """The session ids of messages that went out."""

    required: list[str]
    """Whose replies a blocking call waits for."""
    welcome: list[str]
    """Of messages that were kept for a peer and have gone out since, and whose senders waited for no reply."""


class Requester:
    """Sends for one Proxy.

    Args:
        exchange: what carries the messages.
        settings: of the Proxy.
    """

    def __init__(self, exchange: Exchange, settings: ProxySettings) -> None:
        self._exchange = exchange
        self._settings = settings
        self._name = settings.name
        self._unreported_drops = exchange.delivery.unreported_drops
        self._encoder = exchange.encoder_class(settings.name, exchange.driver.limits, exchange.driver.zero_copy)

    def send_at_once(self, message: Message, answers: StreamReceipt | None) -> bool:
        """Send one message if nothing else is to be done first; False means: `send`."""
        try:
            encoded = self._encoder.encode(message)
        except CodecError as error:
            raise self._unsendable(message, error) from error
        if message.destination in self._unreported_drops:
            return False
        return self._exchange.post_at_once(message.destination, message.session_id, encoded, soon=True, answers=answers)

    def send(
        self, message: Message, deadline: Deadline, *, awaited: bool, answers: StreamReceipt | None = None
    ) -> Sent | None:
        """Send one message; None where it did not go out because its peer is away.

        Args:
            message: to be sent.
            deadline: for sending it.
            awaited: the caller waits for the reply.
            answers: the receipt of the message that this one replies to or passes on.
        """
        exchange = self._exchange
        destination, session_id = message.destination, message.session_id
        encoded = self._encode(message)
        exchange.prepare()
        self._report_drops([destination])
        if not exchange.post_at_once(destination, session_id, encoded, awaited=awaited, answers=answers):
            peer = exchange.peer(destination)
            if not self._post(peer, Entry(session_id, encoded, awaited, answers), deadline):
                return None
        sent = self._delivered([destination], awaited)
        sent.required.append(session_id)
        return sent

    def scatter(
        self,
        tag: Tag,
        session_type: SessionType,
        destination_payload_list: Sequence[tuple[str, Any]],
        deadline: Deadline,
        *,
        awaited: bool,
    ) -> Sent:
        """Send each destination its payload, once all of them are known and encoded."""
        exchange = self._exchange
        exchange.prepare()
        self._report_drops([destination for destination, _ in destination_payload_list])
        prepared: list[tuple[Peer, Entry[Encoded]]] = []
        for destination, payload in destination_payload_list:
            peer = exchange.peer(destination)
            message = SessionMessage(tag, self._name, destination, payload, session_type)
            prepared.append((peer, Entry(message.session_id, self._encode(message), awaited)))
        try:
            gone_out = [entry.session_id for peer, entry in prepared if self._post(peer, entry, deadline)]
        except BaseException:
            exchange.delivery.end_wait(entry.session_id for _, entry in prepared)
            raise
        sent = self._delivered(dict.fromkeys(peer.name for peer, _ in prepared), awaited)
        sent.required.extend(gone_out)
        return sent

    def broadcast(
        self,
        component_type: str,
        tag: Tag,
        session_type: SessionType,
        payload: Any,
        deadline: Deadline,
        *,
        awaited: bool,
    ) -> list[str]:
        """Send one encoding to all peers of a type; the session id for each that it went out to."""
        exchange = self._exchange
        exchange.prepare()
        if component_type not in self._settings.expected_peers:
            raise PeersMissError(
                f"{self._name!r} has no peers of type {component_type!r}; expected are "
                f"{', '.join(self._settings.expected_peers)}"
            )
        message = SessionMessage(tag, self._name, component_type, payload, session_type)
        encoded, session_id = self._encode(message), message.session_id
        addressed = 0
        waiting = []
        for peer in exchange.membership.expected_peers(component_type):
            if exchange.post_at_once(peer.name, session_id, encoded, awaited=awaited):
                addressed += 1
            elif peer.state is not PeerState.LEFT or not self._settings.enable_rejoin:
                waiting.append(peer)
        failures = []
        for peer in waiting:  # after the others: a slow one does not keep the message from them
            try:
                addressed += self._post(peer, Entry(session_id, encoded, awaited), deadline)
            except DriverSendError as error:
                failures.append(str(error))
        if failures:
            exchange.delivery.end_wait([session_id])
            raise DriverSendError(f"the broadcast reached {addressed} peers, but not all: {'; '.join(failures)}")
        return [session_id] * addressed

    def collect(self, targets: Iterable[str], deadline: Deadline, welcome: Iterable[str] = ()) -> list[Message]:
        """Wait for replies, in the order in which they come.

        Raises:
            DriverReceiveError: those that are missing are owed by the dead (rejoin off).
        """
        collection = Collection(targets, self._exchange.requests, welcome)
        try:
            dead = self._exchange.collect(collection, deadline)
        finally:
            self._exchange.delivery.end_wait(collection.asked_for())
        if dead and not self._settings.enable_rejoin:
            raise DriverReceiveError(
                f"{self._name!r} waits for replies that do not come: gone is {', '.join(map(repr, dead))}. "
                f"{len(collection.replies)} replies came (see .replies); with enable_rejoin=True the wait would end "
                "with these",
                replies=collection.replies,
            )
        return collection.replies

    def answer(self, message: Message, tag: Tag | None, payload: Any, ack_reply: bool) -> Message:
        """The reply to a message, which stays as it is."""
        reply = self.copy(message, message.source, tag, payload)
        reply.request_id = message.message_id
        if isinstance(reply, SessionMessage):
            if reply.session_type is SessionType.NOTIFICATION:
                reply.session_stage = NotificationSessionStage.RECEIVE
            else:
                reply.session_stage = TaskSessionStage.RECEIVE if ack_reply else TaskSessionStage.COMPLETE
        return reply

    def copy(self, message: Message, destination: str, tag: Tag | None, payload: Any) -> Message:
        """A message of the same session and stage from this component to another."""
        tag = message.tag if tag is None else tag
        payload = message.payload if payload is None else payload
        session_id = message.session_id
        if isinstance(message, SessionMessage):
            kind, stage = message.session_type, message.session_stage
            copy: Message = SessionMessage(tag, self._name, destination, payload, kind, stage, session_id=session_id)
        else:
            copy = Message(tag, self._name, destination, payload, session_id=session_id)
        copy.request_id = message.request_id
        return copy

    def _encode(self, message: Message) -> Encoded:
        try:
            return self._encoder.encode(message)
        except CodecError as error:
            raise self._unsendable(message, error) from error

    def _unsendable(self, message: Message, error: CodecError) -> DriverSendError:
        return DriverSendError(
            f"{self._name!r} can't send a message with tag {message.tag!r} to {message.destination!r}: {error}"
        )

    def _post(self, peer: Peer, entry: Entry[Encoded], deadline: Deadline) -> bool:
        """Whether it went out now; what is kept for later is not waited for."""
        if self._exchange.posting.post(peer, entry, deadline) is Posted.SENT:
            return True
        self._exchange.delivery.replied(entry.session_id, peer.name)
        return False

    def _report_drops(self, names: Iterable[str]) -> None:
        """Where a peer has left for good and is back, say what was dropped meanwhile: nobody else would.

        A broadcast is for whoever is there, and reports nothing.

        Raises:
            DriverSendError: something was; each is reported once.
        """
        drops = self._unreported_drops
        back = (
            [name for name in names if name in drops and self._exchange.peer(name).state is not PeerState.LEFT]
            if drops
            else []
        )
        told = [f"{drops.pop(name)} that were kept for {name!r}" for name in dict.fromkeys(back)]
        if told:
            raise DriverSendError(
                f"messages were dropped when their peers left for good: {', '.join(told)}. These are back, and nothing "
                "was sent now: send it again"
            )

    def _delivered(self, names: Iterable[str], awaited: bool) -> Sent:
        """The session ids of what was kept for these peers and has gone out since."""
        sent = Sent([], [])
        delivery = self._exchange.delivery
        for name in names:
            for entry in delivery.take_delivered(name):
                (sent.required if entry.was_awaited else sent.welcome).append(entry.session_id)
                if entry.was_awaited and awaited:
                    delivery.await_reply(entry, name)
        return sent
