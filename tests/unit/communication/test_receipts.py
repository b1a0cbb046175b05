"""Which messages conditional events hold, and when these are finished: by handlers, by hand, or when cleared."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from maro.communication import registry_table
from maro.communication.message import Message
from maro.communication.receipts import Receipt
from maro.communication.registry_table import ConditionalEvent, RegisterTable
from tests.support.naive_events import Group
from tests.support.receipts import Hand, RecordedReceipt, is_finished

GROUP: Group = {"actor": ["actor_0", "actor_1"], "learner": []}


@pytest.fixture
def hand() -> Hand:
    """What the application has received."""
    return Hand()


def arrive(hand: Hand, tag: str = "a") -> Message:
    """The next message, which finishes those before it that nobody holds."""
    message = Message(tag, "actor_0", "learner_0")
    hand.receive(message)
    return message


def table_of(handlers: dict[Any, Callable[..., Any]]) -> RegisterTable:
    table = RegisterTable(GROUP)
    for event, handler in handlers.items():
        table.register_event_handler(event, handler)
    return table


def fail(messages: list[Message]) -> None:
    raise OSError("no space")


def do_nothing(messages: list[Message]) -> None:
    pass


def test_the_recorded_receipt_is_a_receipt() -> None:
    """What these tests use has every method that the library may call."""
    assert {name for name in vars(Receipt) if not name.startswith("_")} <= set(vars(RecordedReceipt))


# Handlers that are called


def test_a_message_that_waits_is_not_finished_by_receiving_on(hand: Hand) -> None:
    """The first of a pair waits in its event while the second is received; both are finished with the handler."""
    # Given an event for two messages
    seen: list[list[bool]] = []
    table = table_of({"actor:a:2": lambda messages: seen.append([is_finished(message) for message in messages])})
    # When the first has come, and the application receives on
    first = arrive(hand)
    table.push(first)
    second = arrive(hand)
    # Then it is not finished
    assert not is_finished(first)
    # When the second makes the event satisfied
    table.push(second)
    # Then the handler saw both unfinished, and afterwards they are finished, before anything else is received
    assert seen == [[False, False]]
    assert is_finished(first)
    assert is_finished(second)


def test_a_message_in_two_events_is_finished_when_both_handlers_have_returned(hand: Hand) -> None:
    """Not when the first of them has."""
    seen: list[bool] = []
    table = table_of(
        {event: lambda messages: seen.append(is_finished(messages[0])) for event in ("actor:a:1", "*:*:1")}
    )
    message = arrive(hand)
    table.push(message)
    assert seen == [False, False]
    assert is_finished(message)


def test_a_message_that_counts_in_two_leaves_of_one_event_is_held_once(hand: Hand) -> None:
    """It leaves them all with the handler that takes it."""
    table = table_of({("actor:a:1", "*:*:1", "AND"): do_nothing})
    message = arrive(hand)
    table.push(message)
    assert is_finished(message)


def test_a_message_that_also_waits_in_another_event_is_not_finished(hand: Hand) -> None:
    """One handler has returned; the other event still holds the message."""
    table = table_of({"actor:a:1": do_nothing, "actor:*:2": do_nothing})
    message = arrive(hand)
    table.push(message)
    assert not is_finished(message)
    table.push(arrive(hand, "b"))
    assert is_finished(message)


def test_messages_of_a_handler_that_raises_stay_unfinished(hand: Hand) -> None:
    """For good: whatever else is done with them, and however much is received afterwards."""
    # Given a message for two events, of which the first one's handler raises
    table = table_of({"actor:a:1": fail, "*:*:1": do_nothing})
    message = arrive(hand)
    with pytest.raises(OSError, match="no space"):
        table.push(message)
    # When the other one has its turn, and the application goes on
    table.trigger()
    table.clear()
    hand.receive()
    # Then it is not finished
    assert not is_finished(message)


def test_what_other_events_are_owed_when_a_handler_raises_stays_held(hand: Hand) -> None:
    """The messages of an event that is satisfied as well wait on, and are finished when they are handled."""
    table = table_of({"actor:a:1": fail, "actor:b:1": do_nothing})
    failing = arrive(hand)
    table.push(failing, auto_trigger=False)
    other = arrive(hand, "b")
    table.push(other, auto_trigger=False)
    with pytest.raises(OSError, match="no space"):
        table.trigger()
    hand.receive()
    assert not is_finished(other)
    table.trigger()
    assert is_finished(other)
    assert not is_finished(failing)


def test_a_handler_may_do_with_its_messages_what_it_likes(hand: Hand) -> None:
    """It may empty the list, and turn messages into their replies: what was received is finished all the same."""

    def handle(messages: list[Message]) -> None:
        messages.pop().reply(payload=1).receipt = None
        messages.clear()

    table = table_of({"actor:a:5": handle})
    receipts = []
    for _ in range(5):
        message = arrive(hand)
        receipts.append(message.receipt)
        table.push(message)
    assert all(isinstance(receipt, RecordedReceipt) and receipt.is_finished for receipt in receipts)


def test_arguments_come_before_the_messages(hand: Hand) -> None:
    """`trigger` passes on what it was given."""
    calls: list[tuple[Any, ...]] = []
    table = table_of({"actor:a:1": lambda *arguments: calls.append(arguments)})
    message = arrive(hand)
    table.push(message, auto_trigger=False)
    table.trigger("instance", "proxy")
    assert calls == [("instance", "proxy", [message])]


# Taken by hand


def test_what_get_returns_is_finished_by_the_next_receive(hand: Hand) -> None:
    """And not before: the caller is about to handle it."""
    table = table_of({"actor:a:2": do_nothing})
    messages = [arrive(hand)]
    table.push(messages[0], auto_trigger=False)
    messages.append(arrive(hand))
    table.push(messages[1], auto_trigger=False)
    assert table.get() == [(do_nothing, messages)]
    assert not any(map(is_finished, messages))
    hand.receive()
    assert all(map(is_finished, messages))


def test_get_of_two_events_with_the_same_message(hand: Hand) -> None:
    """Both have it before it is finished, by the next receive."""
    table = table_of({"actor:a:1": do_nothing, "*:*:1": fail})
    message = arrive(hand)
    table.push(message, auto_trigger=False)
    assert table.get() == [(do_nothing, [message]), (fail, [message])]
    assert not is_finished(message)
    hand.receive()
    assert is_finished(message)


def test_get_leaves_what_another_event_holds(hand: Hand) -> None:
    """The next receive does not finish it; the one after the other event has let go of it does."""
    table = table_of({"actor:a:1": do_nothing, "actor:*:2": fail})
    first = arrive(hand)
    table.push(first, auto_trigger=False)
    assert table.get() == [(do_nothing, [first])]
    second = arrive(hand, "b")
    assert not is_finished(first)
    table.push(second, auto_trigger=False)
    assert table.get() == [(fail, [first, second])]
    assert not is_finished(first)
    hand.receive()
    assert is_finished(first)
    assert is_finished(second)


def test_clearing_does_not_finish_what_get_has_just_returned(hand: Hand) -> None:
    """The caller, who has not handled it yet, lets the table forget it: it is finished by the next receive."""
    table = table_of({"actor:a:1": do_nothing, "actor:*:2": do_nothing})
    message = arrive(hand)
    table.push(message, auto_trigger=False)
    assert table.get() == [(do_nothing, [message])]
    table.clear()
    assert not is_finished(message)
    hand.receive()
    assert is_finished(message)


# Not wanted, or not any more


def test_a_message_that_matches_no_event_is_finished_at_once(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    """Each of them, with one warning for their tag."""
    table = table_of({"actor:a:1": do_nothing})
    with caplog.at_level(logging.WARNING, registry_table.__name__):
        for _ in range(2):
            message = arrive(hand, "unwanted")
            table.push(message)
            assert is_finished(message)
    assert len(caplog.records) == 1


def test_clear_finishes_what_waits(hand: Hand) -> None:
    """In however many events, and leaves of them, it waited."""
    table = table_of({"actor:a:3": do_nothing, ("actor:*:2", "*:a:4", "AND"): do_nothing})
    messages = [arrive(hand)]
    table.push(messages[0])
    messages.append(arrive(hand))
    table.push(messages[1])
    assert not any(map(is_finished, messages))
    table.clear()
    assert all(map(is_finished, messages))


def test_clear_inside_a_handler_does_not_finish_its_messages(hand: Hand) -> None:
    """They are finished when it has returned."""
    seen: list[bool] = []

    def handle(messages: list[Message]) -> None:
        table.clear()
        seen.append(is_finished(messages[0]))

    table = table_of({"actor:a:1": handle, "actor:*:2": do_nothing})
    message = arrive(hand)
    table.push(message)
    assert seen == [False]
    assert is_finished(message)


# One event by itself


def test_an_event_by_itself_holds_what_waits(hand: Hand) -> None:
    """As a table does of which one takes by hand: receiving on finishes what was taken, not what waits."""
    event = ConditionalEvent("actor:a:2", GROUP)
    messages = [arrive(hand)]
    event.push_message(messages[0])
    messages.append(arrive(hand))
    event.push_message(messages[1])
    assert event.get_qualified_message() == messages
    assert not any(map(is_finished, messages))
    waiting = arrive(hand)
    assert all(map(is_finished, messages))
    event.push_message(waiting)
    hand.receive()
    assert not is_finished(waiting)
    event.clear()
    assert is_finished(waiting)


def test_an_event_by_itself_leaves_what_it_does_not_match(hand: Hand) -> None:
    """It may be meant for the next one: the message stays in hand, and receiving on finishes it."""
    events = [ConditionalEvent(f"actor:{tag}:1", GROUP) for tag in "ab"]
    message = arrive(hand, "b")
    for event in events:
        event.push_message(message)
    assert [event.get_qualified_message() for event in events] == [[], [message]]
    unwanted = arrive(hand, "c")
    for event in events:
        event.push_message(unwanted)
    assert not is_finished(unwanted)
    hand.receive()
    assert is_finished(unwanted)
