"""The iterator behind `Proxy.receive`: what an application is given, and when it is done with that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from maro.communication.deadline import Deadline
from maro.communication.exchange import Exchange
from maro.communication.message import Message
from maro.communication.streams import StreamReceipt
from maro.utils.exception.communication_exception import ProxyClosedError


def received(
    exchange: Exchange, limit_ms: int, *, is_continuous: bool, wake_on_peer_change: bool, auto_ack: bool
) -> Iterator[Message | None]:
    """Messages as they come, until none has come for `limit_ms`, or the exchange is closed; -1 has no end.

    The other arguments are those of `Proxy.receive`. One thread at a time is inside, and none between two messages.
    """
    guard, hand = exchange.guard, exchange.delivery.hand
    at_work = hand.at_work
    seen = exchange.membership.version if wake_on_peer_change else None
    while not guard.closed:
        if not guard.acquire(False):
            guard.refuse_or_wait()
        try:
            if hand.until_next:
                hand.received_again()
            message = exchange.next_at_once() or exchange.next_message(Deadline(limit_ms), until_change_of=seen)
        except ProxyClosedError:  # another thread asked for it
            return
        finally:
            guard.release()
        if message is None:
            if seen is None or seen == exchange.membership.version:
                return
            seen = exchange.membership.version
        elif auto_ack and (receipt := receipt_of(message)) is not None:
            at_work[receipt] = 0
            try:
                yield message
            except GeneratorExit:
                receipt.put_in_hand()
                raise
            finally:
                at_work.pop(receipt, None)
            receipt.finish()
            if not is_continuous:
                return
            continue
        yield message
        if not is_continuous:
            return


def receipt_of(message: Message) -> StreamReceipt | None:
    """Of a message that a stream brought; no other kind is made."""
    return cast("StreamReceipt | None", message.receipt)
