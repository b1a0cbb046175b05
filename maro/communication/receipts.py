"""What a received message carries with it until its sender may forget it: who is not done with it yet.

A message is finished once, for good, and only then does its sender drop it from its cache. Until that it is in hand
(the application got it, and has not received since), or it has holders: one for each conditional event in which it
waits, and for each handler that it was given to and that has not returned. Who takes a message out of an event decides
how it is let go: `release` says that the work is done, `hand_out` that it begins now.
"""

from __future__ import annotations

from typing import Protocol


class Receipt(Protocol):
    """Of one message that came with a sequence number. For one thread at a time.

    Calls for a message that is finished change nothing. There are as many calls of `release` and `hand_out` together
    as there were of `hold`, or fewer: a message whose holder never lets go of it, because a handler raised, stays
    unfinished, and is sent again to the next incarnation of this component.
    """

    def hold(self) -> None:
        """One holder more: receiving again does not finish the message any more."""

    def take_up(self) -> None:
        """A handler begins with the message: it holds it until `release`, or until the component leaves."""

    def put_down(self) -> None:
        """The handler raised: it goes on holding the message, also when the component leaves."""

    def release(self) -> None:
        """One holder fewer. With the last one the message is finished.

        Only one that was handed out since the application received last is finished no earlier than it receives again.
        """

    def hand_out(self) -> None:
        """One holder fewer. With the last one the message is in hand: finished when the application receives again."""

    def finish(self) -> None:
        """The message is finished now, unless somebody holds it."""
