"""The public face of the library: a component's way to its peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, overload

from maro.communication.deadline import Deadline
from maro.communication.driver.driver_type import DriverType
from maro.communication.joining import join
from maro.communication.lifetime import LeaveGroup, ProcessBound
from maro.communication.message import Message, SessionType, Tag
from maro.communication.observations import NoticeKind
from maro.communication.peers_name import PeersName
from maro.communication.receiving import receipt_of, received
from maro.communication.registration import GroupStore
from maro.communication.requesting import Requester
from maro.communication.settings import Environment, ProxySettings, RedisAddress, default_name
from maro.communication.streams import StreamReceipt
from maro.utils.exception.communication_exception import PeersMissError, ProxyThreadError
from maro.utils.logger import DummyLogger, InternalLogger


class Proxy:
    """A component of a group: it finds its peers through Redis, and exchanges messages with them.

    The constructor returns when all expected peers are registered and the connections to them are started. Use it as a
    context manager, or call `close`; one thread at a time. A process that ends without either removes its
    registration and counts as failed.

    Args:
        group_name: the same for all components of a group.
        component_type: such as `learner` or `actor`.
        expected_peers: how many components of each type to wait for.
        driver_type: a DriverType, or a subclass of AbsDriver.
        driver_parameters: more arguments of the driver.
        redis_address: `(host, port)`, `"host:port"`, or a URL with user and password.
        max_retries: how often to ask again for Redis, and for the peers.
        retry_interval_base_value: seconds before the first of these; each wait is twice the one before.
        log_enable: write what happens to peers to `~/.maro/log`.
        enable_rejoin: peers may die, come back under their names, and more may join. Off, a peer's death is an error.
        minimal_peers: with fewer peers of a type present, sending waits for them; a number for all types, or for each.
        peers_catch_lifetime: seconds between two readings of the whole table of peers.
        enable_message_cache_for_rejoin: keep messages to a peer that is away, and deliver them when it is back.
        max_length_for_message_cache: how many for each peer; when it is full, sending waits, then fails.
        timeout_for_minimal_peer_number: seconds to wait for enough peers.
        is_remove_failed_container: for the agent: replace a failed component's container.
        max_rejoin_times: how often a name may come back after an end without a clean leave.
        component_name: the name in the group; else COMPONENT_NAME in the environment, else a unique one.
        lease_s: seconds after which a component that died without a word is noticed.
        linger_ms: how long closing waits for what is not sent yet.
        store: where the group is kept in place of Redis.

    Raises:
        PeersMissError: no expected peers.
        DriverTypeError: an unknown driver type.
        RedisConnectionError: Redis does not answer, or refuses.
        InformationUncompletedError: not all expected peers came.
        RejoinBudgetError: the name was restarted too often.
        ValueError: an argument is not what it should be; the text names it.
    """

    def __init__(
        self,
        group_name: str,
        component_type: str,
        expected_peers: dict[str, int],
        driver_type: Any = DriverType.ZMQ,
        driver_parameters: dict[str, Any] | None = None,
        redis_address: Any = ("localhost", 6379),
        max_retries: int = 10,
        retry_interval_base_value: float = 0.1,
        log_enable: bool = True,
        enable_rejoin: bool = False,
        minimal_peers: int | dict[str, int] = 1,
        peers_catch_lifetime: int = 10,
        enable_message_cache_for_rejoin: bool = False,
        max_length_for_message_cache: int = 1024,
        timeout_for_minimal_peer_number: int = 300,
        is_remove_failed_container: bool = False,
        max_rejoin_times: int = 5,
        *,
        component_name: str | None = None,
        lease_s: float = 5.0,
        linger_ms: int = 1000,
        store: GroupStore | None = None,
    ) -> None:
        environment = Environment.read()
        expected_peers = dict(expected_peers or {})
        least = minimal_peers if isinstance(minimal_peers, dict) else dict.fromkeys(expected_peers, minimal_peers)
        settings = ProxySettings(
            group_name=group_name,
            component_type=component_type,
            expected_peers=expected_peers,
            name=component_name or environment.component_name or default_name(component_type),
            redis_address=RedisAddress.parse(redis_address),
            max_retries=max_retries,
            retry_interval_s=retry_interval_base_value,
            enable_rejoin=enable_rejoin,
            minimal_peers=least,
            peers_catch_lifetime_s=peers_catch_lifetime,
            enable_message_cache=enable_rejoin and enable_message_cache_for_rejoin,
            max_length_for_message_cache=max_length_for_message_cache,
            timeout_for_minimal_peers_s=timeout_for_minimal_peer_number,
            is_remove_failed_container=is_remove_failed_container,
            max_rejoin_times=max_rejoin_times,
            lease_s=lease_s,
            linger_ms=linger_ms,
            job_id=environment.job_id,
            container_name=environment.container_name,
            advertise_host=environment.advertise_host,
            probe=environment.probe,
        ).validate()
        self._settings = settings
        self._name = settings.name
        self._log = InternalLogger(self._name) if log_enable else DummyLogger()
        self._exchange = join(settings, driver_type, driver_parameters, store, self._log)
        self._guard = self._exchange.guard
        self._driver = self._exchange.driver
        self._requester = Requester(self._exchange, settings)
        self._peers_name = PeersName(self._exchange.membership, message_bound=self._exchange.delivery.bound)
        self._lifetime = ProcessBound(self, self._end_without_leaving)
        self._log.info("joined group %s with peers %s", group_name, dict(self._peers_name))

    # Who.

    @property
    def group_name(self) -> str:
        """The group that this component belongs to."""
        return self._settings.group_name

    @property
    def component_type(self) -> str:
        """This component's type."""
        return self._settings.component_type

    @property
    def name(self) -> str:
        """This component's name, unique in the group."""
        return self._name

    @property
    def peers_name(self) -> PeersName:
        """The peers that are in the group now, as a live mapping from type to names."""
        return self._peers_name

    @property
    def dropped(self) -> Counter[str]:
        """How many packets were refused on arrival, by reason."""
        return self._driver.dropped + self._exchange.admission.refused.counts

    def get_peer_type(self, peer_name: str) -> str:
        """The type of a peer.

        Raises:
            PeersMissError: neither did it join, nor does its name begin with the type of an expected peer.
        """
        component_type = self._exchange.membership.type_of(peer_name)
        if component_type is None:
            raise PeersMissError(
                f"the type of {peer_name!r} is not known; expected are {', '.join(self._settings.expected_peers)}"
            )
        return component_type

    def __repr__(self) -> str:
        state = "closed" if self._guard.closed else f"peers={self._peers_name!r}"
        return f"Proxy({self._name!r}, group={self.group_name!r}, {state})"

    # Sending.

    def isend(self, message: Message) -> list[str] | None:
        """Send a message, and do not wait for a reply.

        Returns:
            Its session id, after those of messages that were kept for the peer and have gone out since. None where
            the peer is away (rejoin on): the message is kept if the cache is on, else dropped.

        Raises:
            PeersMissError: the destination is not in the group.
            DriverSendError: the payload can't be sent; no room within the driver's `send_timeout`; the peer is gone.
            PeersRejoinTimeout: too few peers are present, and did not come in time.
        """
        return self._isend(message, None)

    def send(self, message: Message, timeout: int | None = None) -> list[Message] | None:
        """Send a message and wait for the reply.

        Args:
            message: to be sent.
            timeout: milliseconds for sending and waiting; None is the driver's `receive_timeout`, -1 has no end.

        Returns:
            The reply, with those to messages that were kept for the peer and have gone out since; at the deadline
            what has come. None where the peer is away (rejoin on), as with `isend`.

        Raises:
            DriverReceiveError: the peer died (rejoin off).
            As `isend`.
        """
        with self._guard:
            deadline = self._deadline(timeout)
            sent = self._requester.send(message, self._send_deadline(deadline), awaited=True)
            return None if sent is None else self._collect(sent.required, deadline, sent.welcome)

    def iscatter(
        self, tag: Tag, session_type: SessionType, destination_payload_list: Sequence[tuple[str, Any]]
    ) -> list[str]:
        """Send each destination a payload of its own, and do not wait for replies.

        Nothing is sent unless everything can be: all destinations are known and all payloads can be encoded.

        Returns:
            The session id of each payload, but for peers that are away; after those of messages that were kept for
            these peers and have gone out since.
        """
        with self._guard:
            deadline = Deadline(self._driver.send_timeout)
            sent = self._requester.scatter(tag, session_type, destination_payload_list, deadline, awaited=False)
            return sent.welcome + sent.required

    def scatter(
        self,
        tag: Tag,
        session_type: SessionType,
        destination_payload_list: Sequence[tuple[str, Any]],
        timeout: int = -1,
    ) -> list[Message]:
        """Send each destination a payload of its own, and wait for the replies.

        Args:
            tag: of all messages.
            session_type: of all messages.
            destination_payload_list: pairs of a destination and a payload.
            timeout: milliseconds for sending and waiting; None is the driver's `receive_timeout`, -1 has no end.

        Returns:
            The replies in the order in which they came; peers that are away are not waited for.
        """
        with self._guard:
            deadline = self._deadline(timeout)
            sent = self._requester.scatter(
                tag, session_type, destination_payload_list, self._send_deadline(deadline), awaited=True
            )
            return self._collect(sent.required, deadline, sent.welcome)

    def ibroadcast(self, component_type: str, tag: Tag, session_type: SessionType, payload: Any = None) -> list[str]:
        """Send the same message to all peers of a type, and do not wait for replies.

        Returns:
            The session id, once for each peer that it was sent to.

        Raises:
            PeersMissError: no peers of that type are expected.
            DriverSendError: some peers could not be sent to; the others were.
        """
        with self._guard:
            deadline = Deadline(self._driver.send_timeout)
            targets = self._requester.broadcast(component_type, tag, session_type, payload, deadline, awaited=False)
            self._exchange.leave_call()
            return targets

    def broadcast(
        self, component_type: str, tag: Tag, session_type: SessionType, payload: Any = None, timeout: int | None = None
    ) -> list[Message]:
        """Send the same message to all peers of a type, and wait for their replies.

        Args:
            component_type: the type of the peers.
            tag: of the message.
            session_type: of the message.
            payload: of the message.
            timeout: milliseconds for sending and waiting; None is the driver's `receive_timeout`, -1 has no end.

        Returns:
            The replies in the order in which they came; peers that are away are not waited for.
        """
        with self._guard:
            deadline = self._deadline(timeout)
            sending = self._send_deadline(deadline)
            targets = self._requester.broadcast(component_type, tag, session_type, payload, sending, awaited=True)
            return self._collect(targets, deadline)

    def reply(
        self, message: Message, tag: Tag | None = None, payload: Any = None, ack_reply: bool = False
    ) -> list[str] | None:
        """Reply to a message that was received; the message itself stays as it is.

        Args:
            message: to reply to; the reply goes to its source, in its session.
            tag, payload: None keeps the message's.
            ack_reply: the reply only acknowledges: another one with the result follows.

        Returns:
            As `isend`.
        """
        answer = self._requester.answer(message, tag, payload, ack_reply)
        return self._isend(answer, None if ack_reply else receipt_of(message))

    def forward(
        self, message: Message, destination: str, tag: Tag | None = None, payload: Any = None
    ) -> list[str] | None:
        """Pass a message that was received on, in its session and stage; the message itself stays as it is.

        Args:
            message: to pass on.
            destination: the next receiver, who sees this component as the source.
            tag, payload: None keeps the message's.

        Returns:
            As `isend`.
        """
        return self._isend(self._requester.copy(message, destination, tag, payload), receipt_of(message))

    # Receiving.

    @overload
    def receive(
        self,
        is_continuous: bool = True,
        timeout: int | None = None,
        *,
        wake_on_peer_change: Literal[False] = False,
        auto_ack: bool = True,
    ) -> Iterator[Message]: ...

    @overload
    def receive(
        self,
        is_continuous: bool = True,
        timeout: int | None = None,
        *,
        wake_on_peer_change: bool,
        auto_ack: bool = True,
    ) -> Iterator[Message | None]: ...

    def receive(
        self,
        is_continuous: bool = True,
        timeout: int | None = None,
        *,
        wake_on_peer_change: bool = False,
        auto_ack: bool = True,
    ) -> Iterator[Message] | Iterator[Message | None]:
        """Iterate over messages as they come.

        Args:
            is_continuous: go on after the first.
            timeout: milliseconds to wait for each message, after which the iteration ends; None is the driver's
                `receive_timeout`, -1 has no end.
            wake_on_peer_change: also yield None whenever `peers_name` has changed.
            auto_ack: asking for the next message finishes the one before: its sender need not keep it any more, and
                it does not come again should this component crash. Off, only `ack`, `reply` and `forward` do.

        The iteration also ends when the Proxy is closed.
        """
        with self._guard:
            return received(
                self._exchange,
                self._driver.receive_timeout if timeout is None else timeout,
                is_continuous=is_continuous,
                wake_on_peer_change=wake_on_peer_change,
                auto_ack=auto_ack,
            )

    def ack(self, message: Message) -> None:
        """Finish a message that was received: its sender need not keep it any more.

        In any order; a second time does nothing. What a conditional event holds is finished when that lets go of it.
        """
        with self._guard:
            if message.receipt is not None:
                message.receipt.finish()
                self._exchange.leave_call()

    def receive_by_id(self, targets: Sequence[str] | str | None, timeout: int | None = None) -> list[Message] | None:
        """Wait for the messages of some sessions; others are kept for `receive`.

        Args:
            targets: session ids, each as often as a message of it is waited for; a string is one id.
            timeout: milliseconds for all of them; None is the driver's `receive_timeout`, -1 has no end.

        Returns:
            The messages in the order in which they came; at the deadline what has come. None for None.

        Raises:
            DriverReceiveError: all that is missing is owed by peers that died (rejoin off); its `replies` are what
                came.
        """
        if targets is None:
            return None
        with self._guard:
            wanted = [targets] if isinstance(targets, str) else targets
            return self._collect(wanted, self._deadline(timeout))

    # Leaving.

    def close(self) -> None:
        """Leave the group: send what is queued, at most for the linger time, and close. A second call does nothing."""
        self._end(NoticeKind.LEFT)

    def leave(self, timeout_s: float = 5.0) -> None:
        """Close, from any thread.

        A call that is under way in another thread ends with ProxyClosedError, an iteration over `receive` just ends.

        Raises:
            ProxyThreadError: that call did not end in time.
        """
        if self._guard.closed or self._lifetime.is_elsewhere:
            return
        self._exchange.interrupt()
        self._guard.wait(timeout_s)
        self.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, LeaveGroup):
            self.close()
        else:
            self._end(NoticeKind.GONE)

    def __getattr__(self, name: str) -> Any:
        # Served on the instance only, so that the garbage collector, which asks the class, does not close anything.
        if name == "__del__":
            return self.close
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Inside.

    def _end(self, kind: NoticeKind) -> None:
        if self._guard.closed or self._lifetime.is_elsewhere:
            return
        with self._guard:
            self._guard.closed = True
            try:
                if kind is NoticeKind.LEFT:
                    self._exchange.delivery.hand.empty()
                self._exchange.close(kind)
            finally:
                self._lifetime.release()
                self._log.info("left group %s (%s)", self.group_name, kind.value)
                self._log.close()

    def _end_without_leaving(self) -> None:
        try:
            self._end(NoticeKind.GONE)
        except ProxyThreadError:
            self._exchange.deregister(NoticeKind.GONE)

    def _deadline(self, timeout: int | None) -> Deadline:
        return Deadline(self._driver.receive_timeout if timeout is None else timeout)

    def _send_deadline(self, deadline: Deadline) -> Deadline:
        return Deadline(self._driver.send_timeout).earlier(deadline)

    def _isend(self, message: Message, answers: StreamReceipt | None) -> list[str] | None:
        guard = self._guard
        if guard.closed or not guard.acquire(False):
            guard.refuse_or_wait()
        try:
            if self._requester.send_at_once(message, answers):
                return [message.session_id]
            deadline = Deadline(self._driver.send_timeout)
            sent = self._requester.send(message, deadline, awaited=False, answers=answers)
            self._exchange.leave_call()
            return None if sent is None else sent.welcome + sent.required
        finally:
            guard.release()

    def _collect(self, targets: Iterable[str], deadline: Deadline, welcome: Iterable[str] = ()) -> list[Message]:
        replies = self._requester.collect(targets, deadline, welcome)
        self._exchange.leave_call()
        return replies
