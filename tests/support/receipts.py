"""Receipts of messages that nobody sent: they write down when their message is finished, and refuse wrong use."""

from __future__ import annotations

from maro.communication.message import Message


class Hand:
    """An application's hand: `receive` yields messages into it, and finishes those that were in it before."""

    def __init__(self) -> None:
        self.holding: list[RecordedReceipt] = []

    def receive(self, *messages: Message) -> None:
        """The application asks for more, and gets these."""
        let_go, self.holding = self.holding, []
        for receipt in let_go:
            receipt.was_handed_out = False
            receipt.finish()
        for message in messages:
            message.receipt = RecordedReceipt(self)
            self.holding.append(message.receipt)


class RecordedReceipt:
    """See `maro.communication.receipts`."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.holders = 0
        self.was_handed_out = False
        self.is_finished = False

    def hold(self) -> None:
        assert not self.is_finished, "somebody holds a message that its sender has forgotten"
        self.holders += 1

    def take_up(self) -> None:
        assert self.holders, "a handler begins with a message that nobody holds"

    def put_down(self) -> None:
        assert self.holders, "a handler raised over a message that nobody holds"

    def release(self) -> None:
        self._let_go()
        if not self.was_handed_out:
            self.finish()

    def hand_out(self) -> None:
        self._let_go()
        self.was_handed_out = True
        self.hand.holding.append(self)

    def finish(self) -> None:
        if not self.holders:
            self.is_finished = True

    def _let_go(self) -> None:
        assert self.holders, "somebody lets go of a message that nobody holds"
        self.holders -= 1

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else "unfinished"
        return f"RecordedReceipt({state}, holders={self.holders}, was_handed_out={self.was_handed_out})"


def is_finished(message: Message) -> bool:
    """Whether the sender of a received message may forget it."""
    assert isinstance(message.receipt, RecordedReceipt)
    return message.receipt.is_finished
