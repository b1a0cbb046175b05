"""What can go wrong between components: 1001 to 1017."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from maro.utils.exception.base_exception import MAROException


class RedisConnectionError(MAROException):
    """Redis was not reached within the proxy's retries."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1001, msg)


class PeersMissError(MAROException):
    """A component without expected peers, or a component or component type that is not known."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1002, msg)


class InformationUncompletedError(MAROException):
    """Expected peers had not registered when the proxy's retries were used up."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1003, msg)


class PeersConnectionError(MAROException):
    """The driver can't connect to the address that it was given for a peer."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1004, msg)


class DriverSendError(MAROException):
    """A message was not sent: unpicklable, too large, to a stranger, to a peer that is gone, or not within the time."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1005, msg)


class DriverReceiveError(MAROException):
    """Receiving failed, or replies that were waited for can no longer come.

    Args:
        msg: what went wrong and what to do.
        replies: the replies that had arrived before it was known that the others will not.
    """

    replies: list[Any]
    """What arrived of the awaited replies; empty where none were waited for."""

    def __init__(self, msg: str | None = None, *, replies: Iterable[Any] = ()) -> None:
        super().__init__(1006, msg)
        self.replies = list(replies)


class MessageSessionTypeError(MAROException):
    """A message was given an unknown session type, or a stage that belongs to another type."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1007, msg)


class ConditionalEventSyntaxError(MAROException):
    """A conditional event can't be parsed; the text quotes the part that is at fault."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1008, msg)


class DriverTypeError(MAROException):
    """The proxy was asked for a driver that it does not know."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1009, msg)


class SocketTypeError(MAROException):
    """The driver was given an address for a socket type that it does not use."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1010, msg)


class PeersDisconnectionError(MAROException):
    """The driver was asked to disconnect a peer that it is not connected to."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1011, msg)


class PendingToSend(MAROException):
    """A message is for a peer that was disconnected and may come back."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1012, msg)


class PeersRejoinTimeout(MAROException):
    """Fewer peers than the minimum were alive for longer than the proxy was told to wait."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1013, msg)


class RejoinBudgetError(PeersRejoinTimeout):
    """A component joined under a name that has used up its restarts."""

    def __init__(self, msg: str | None = None) -> None:
        # Past the parent's constructor, which takes no code: the text must be this class's own.
        MAROException.__init__(self, 1014, msg)


class ComponentFencedError(MAROException):
    """A newer incarnation has taken over this component's name; this process must stop."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1015, msg)


class ProxyClosedError(MAROException):
    """A proxy was used after it was closed."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1016, msg)


class ProxyThreadError(MAROException):
    """A second thread entered a proxy or driver while another was inside."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(1017, msg)
