"""What a component receives: messages, acknowledgements, and questions of silent peers, as they come.

Nothing here waits. What is taken in while something else is wanted stays in the inbox.
"""

from __future__ import annotations

from collections.abc import Callable

from maro.communication.admission import Admission
from maro.communication.delivery import BLOCKED, Delivery
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.message import Message
from maro.communication.packets import Encoded, Envelope
from maro.communication.sessions import Inbox, Requests


class Inbound:
    """The receiving half of an exchange.

    Args:
        driver: with the sockets; calls back for every packet.
        delivery: what is received and finished, and what others say of that.
        requests: which replies were seen.
        admission: whose packets are let in.
    """

    def __init__(
        self, driver: AbsDriver, delivery: Delivery[Encoded], requests: Requests, admission: Admission
    ) -> None:
        self.inbox = Inbox()
        """What was taken in, and nobody has had."""
        self.is_collecting = False
        """Whether a call waits for replies."""
        self.on_missing: Callable[[str], None] = _ignore
        """Called with the name of a peer to which something is to be sent again."""
        self.on_blocked: Callable[[str, int, int], None] = _ignore
        """Called for a peer that waits for this component; see `Posting.peer_is_blocked`."""
        self._driver = driver
        self._delivery = delivery
        self._requests = requests
        self._admission = admission
        driver.admit = self._admit
        driver.on_control = self._heard
        driver.on_undecodable = self._undecodable

    def take(self) -> Message | None:
        """The next message that arrived, without repeated replies."""
        while True:
            message = self._driver.take()
            if message is None:
                return None
            number = self._driver.sequence
            if number:
                message.receipt = self._delivery.receipt(number)
            if message.request_id is None or not self._requests.is_repeated(message):
                return message
            if message.receipt is not None:
                message.receipt.finish()

    def read(self) -> None:
        """Take in what has arrived: a component that only sends has to see the acknowledgements."""
        while (message := self.take()) is not None:
            self.inbox.push(message)

    # Called by the driver.

    def _admit(self, envelope: Envelope) -> int | None:
        if not self._admission.admits(envelope):
            return None
        if not (envelope.sequence or envelope.received):
            return 0
        return self._delivery.arrived(envelope)

    def _heard(self, envelope: Envelope, flags: int, number: int, token: int) -> None:
        """A control packet arrived."""
        if not self._admission.admits(envelope):
            return
        if self._delivery.heard(envelope, flags):
            self.on_missing(envelope.source)
        if flags & BLOCKED:
            self.on_blocked(envelope.source, number, token)
            if self.is_collecting:
                self._let_go_of_replies(envelope.source)

    def _undecodable(self, envelope: Envelope, number: int) -> None:
        """A numbered message is lost to the application: it must not come again, nor hold up others."""
        self._delivery.receipt(number).finish()

    def _let_go_of_replies(self, name: str) -> None:
        """A peer can't go on because its earlier replies were not collected, and its next one may be waited for.

        The earlier ones are here, and of use to this incarnation only: they need not come again.
        """
        for message in self.inbox:
            if message.receipt is not None and message.source == name and message.request_id is not None:
                message.receipt.finish()


def _ignore(*_: object) -> None:
    pass
