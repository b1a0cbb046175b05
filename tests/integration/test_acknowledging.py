"""What finishes a message, seen from its sender's cache: over real sockets and a real Redis."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from maro.communication import Message, Proxy, RegisterTable
from maro.communication.flusher import Pace
from maro.utils.exception.communication_exception import DriverSendError, DriverTypeError
from tests.contract.test_plain_driver import PlainDriver
from tests.support.components import WITHIN_S, Group, nothing_waits, request, take
from tests.support.waiting import eventually

CACHE: dict[str, Any] = {"enable_rejoin": True, "enable_message_cache_for_rejoin": True}
WITHIN_MS = int(WITHIN_S * 1000)


def pair(group: Group, **options: Any) -> tuple[Proxy, Proxy]:
    """A learner and an actor, both of this thread."""
    learner, actor = group.together(
        lambda: group.proxy("learner", {"actor": 1}, **{**CACHE, **options}),
        lambda: group.proxy("actor", {"learner": 1}, **{**CACHE, **options}),
    )
    return learner, actor


def send(sender: Proxy, receiver: Proxy, *payloads: Any, tag: str = "data") -> None:
    for payload in payloads:
        assert sender.isend(request(sender, receiver.name, payload, tag)) is not None


def kept(sender: Proxy, receiver: Proxy) -> list[Any]:
    """The payloads that the sender keeps for the receiver, once it has read what came."""
    assert nothing_waits(sender)
    stream = sender._exchange.delivery.sending[receiver.name]
    return [pickle.loads(entry.content.body)[-1] for entry in stream.entries.values()]


def keeps_in_the_end(sender: Proxy, receiver: Proxy, *payloads: Any) -> None:
    """The sender comes to keep these; what it should not forget is told by what comes after in the same test."""
    eventually(
        lambda: kept(sender, receiver) == list(payloads),
        WITHIN_S,
        lambda: f"{sender!r} keeps {kept(sender, receiver)}, not {list(payloads)}",
    )


def take_unfinished(proxy: Proxy, count: int) -> list[Message]:
    """Receive without finishing."""
    messages = proxy.receive(timeout=WITHIN_MS, auto_ack=False)
    return [next(messages) for _ in range(count)]


@contextmanager
def receiving(proxy: Proxy, reply: bool = False) -> Iterator[list[Message]]:
    """Receive in a thread, and perhaps reply; ends when the block does."""
    got: list[Message] = []
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            for message in proxy.receive(timeout=20):
                got.append(message)
                if reply:
                    proxy.reply(message)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield got
        finally:
            stopping.set()
        running.result()


def test_acknowledging_by_hand_in_any_order(group: Group) -> None:
    """With `auto_ack=False` only `ack` and `reply` finish, each just its own message."""
    # Given four messages that were received
    learner, actor = pair(group)
    send(learner, actor, 0, 1, 2, 3)
    messages = take_unfinished(actor, 4)
    # When they are acknowledged out of order, some of them twice, then just these are forgotten
    actor.ack(messages[2])
    keeps_in_the_end(learner, actor, 0, 1, 3)
    actor.ack(messages[0])
    actor.ack(messages[2])
    keeps_in_the_end(learner, actor, 1, 3)
    # And receiving again finishes none of the others, but a reply does
    assert next(actor.receive(timeout=0, auto_ack=False), None) is None
    actor.reply(messages[3], payload="done")
    assert [message.payload for message in take(learner, 1)] == ["done"]
    assert kept(learner, actor) == [1]
    actor.ack(messages[1])
    keeps_in_the_end(learner, actor)


def test_asking_for_the_next_finishes_the_one_before(group: Group) -> None:
    """And closing the iterator finishes nothing; the next call that receives does."""
    learner, actor = pair(group)
    send(learner, actor, 0, 1)
    messages = actor.receive(timeout=WITHIN_MS)
    assert next(messages).payload == 0
    assert next(messages).payload == 1
    keeps_in_the_end(learner, actor, 1)
    # When the iterator is closed, then the last one is still kept, whatever else the sender hears
    messages.close()  # type: ignore[attr-defined]
    send(learner, actor, 2)
    send(actor, learner, "news")
    assert take(learner, 1)[0].payload == "news"
    assert kept(learner, actor) == [1, 2]
    # But not when the next call receives
    (message,) = take_unfinished(actor, 1)
    keeps_in_the_end(learner, actor, 2)
    actor.ack(message)
    keeps_in_the_end(learner, actor)


def test_a_reply_that_only_acknowledges_finishes_nothing(group: Group) -> None:
    """The result that follows does."""
    learner, actor = pair(group)
    send(learner, actor, "task", "other")
    task, other = take_unfinished(actor, 2)
    actor.reply(task, payload="accepted", ack_reply=True)
    actor.ack(other)
    assert take(learner, 1)[0].payload == "accepted"
    keeps_in_the_end(learner, actor, "task")
    actor.reply(task, payload="done")
    assert take(learner, 1)[0].payload == "done"
    keeps_in_the_end(learner, actor)


def test_a_forwarded_message_is_finished_when_the_next_hop_has_received_it(group: Group) -> None:
    """Until then a crash of the one in the middle must not lose it."""
    # Given three in a row, and a message that the second has passed on
    learner, broker, actor = group.together(
        lambda: group.proxy("learner", {"broker": 1}, **CACHE),
        lambda: group.proxy("broker", {"learner": 1, "actor": 1}, **CACHE),
        lambda: group.proxy("actor", {"broker": 1}, **CACHE),
    )
    send(learner, broker, "passed on", "not passed on")
    first, second = take_unfinished(broker, 2)
    broker.forward(first, "actor")
    broker.ack(second)
    # When the third has not looked, then the first keeps it
    keeps_in_the_end(learner, broker, "passed on")
    # And when it has, the second keeps it alone
    (message,) = take_unfinished(actor, 1)
    keeps_in_the_end(broker, actor, "passed on")
    eventually(lambda: nothing_waits(broker) and kept(learner, broker) == [], WITHIN_S, "the first forgets it")
    actor.ack(message)
    keeps_in_the_end(broker, actor)


def test_replies_that_a_blocking_call_returns_are_finished_and_what_is_in_hand_is_not(group: Group) -> None:
    """`receive_by_id` is no sign that the application is done with what it received before."""
    # Given a message in the learner's hand, and a reply to its request
    learner, actor = pair(group)
    send(actor, learner, "in hand")
    assert next(learner.receive(is_continuous=False, timeout=WITHIN_MS)).payload == "in hand"
    ids = learner.isend(request(learner, "actor", "request"))
    actor.reply(take_unfinished(actor, 1)[0], payload="reply")
    # When the reply is collected
    replies = learner.receive_by_id(ids, timeout=WITHIN_MS)
    assert replies is not None and [reply.payload for reply in replies] == ["reply"]
    # Then just that is finished; the other one when the learner receives again
    keeps_in_the_end(actor, learner, "in hand")
    assert nothing_waits(learner)
    keeps_in_the_end(actor, learner)


def test_a_parked_message_does_not_hold_up_those_behind_it(group: Group) -> None:
    """It stays with its sender until its event's handler has returned, however often the receiver receives."""
    # Given an event for two messages, of which one has come, and a cache of four
    learner, actor = pair(group, max_length_for_message_cache=4, driver_parameters={"send_timeout": WITHIN_MS})
    table = RegisterTable(actor.peers_name)
    during: list[list[Any]] = []
    table.register_event_handler("learner:parked:2", lambda messages: during.append([m.payload for m in messages]))
    send(learner, actor, "parked 1", tag="parked")
    for number in range(20):
        # When others come, that no event wants, then they are finished
        send(learner, actor, number, tag="other")
        for message in actor.receive(is_continuous=False, timeout=WITHIN_MS):
            table.push(message)
        if number == 0:
            for message in actor.receive(is_continuous=False, timeout=WITHIN_MS):
                table.push(message)
    keeps_in_the_end(learner, actor, "parked 1")
    # And with the second one both are
    send(learner, actor, "parked 2", tag="parked")
    for message in actor.receive(is_continuous=False, timeout=WITHIN_MS):
        table.push(message)
    assert during == [["parked 1", "parked 2"]]
    keeps_in_the_end(learner, actor)


def test_a_handler_that_fails_leaves_its_messages_unfinished(group: Group) -> None:
    """They come again to the component's next incarnation."""
    learner, actor = pair(group)
    table = RegisterTable(actor.peers_name)

    def fail(messages: list[Message]) -> None:
        raise KeyError(messages[0].payload)

    table.register_event_handler("learner:bad:1", fail)
    send(learner, actor, "bad", tag="bad")
    send(learner, actor, "good", tag="good")
    bad, good = take_unfinished(actor, 2)
    with pytest.raises(KeyError):
        table.push(bad)
    table.push(good)
    keeps_in_the_end(learner, actor, "bad")


def test_what_is_finished_outside_of_any_call_is_told_though_no_call_follows(group: Group) -> None:
    """However long ago the last call was: nothing else waits to be told any more."""
    learner, actor = pair(group)
    table = RegisterTable(actor.peers_name)
    send(learner, actor, "late")
    (late,) = take_unfinished(actor, 1)
    exchange = actor._exchange
    eventually(lambda: not exchange.delivery.due and exchange.flusher.pace is Pace.IDLE, WITHIN_S)
    assert kept(learner, actor) == ["late"]
    table.push(late)
    keeps_in_the_end(learner, actor)


@pytest.mark.parametrize("send_timeout", [-1, WITHIN_MS])
def test_two_that_block_on_each_others_full_caches_both_get_an_error(group: Group, send_timeout: int) -> None:
    """Neither can receive while it sends, so neither would ever go on."""
    options = {"max_length_for_message_cache": 3, "driver_parameters": {"send_timeout": send_timeout}}
    both = pair(group, **options)

    def flood(sender: Proxy, receiver: Proxy) -> str:
        try:
            for number in range(100):
                sender.isend(request(sender, receiver.name, number))
        except DriverSendError as error:
            return str(error)
        return "no error"

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(flood, both, both[::-1]))
    assert all("wait for each other" in text for text in told), told
    # And once both have received, both can go on
    for receiver in both:
        assert [message.payload for message in take(receiver, 3)] == [0, 1, 2]
        assert nothing_waits(receiver)
    for sender, receiver in (both, both[::-1]):
        keeps_in_the_end(sender, receiver)


def test_a_learner_that_only_ever_collects_replies(group: Group) -> None:
    """Replies that were handed out are finished without any `receive`, so nobody's cache fills."""
    learner, actor = pair(group, max_length_for_message_cache=4, driver_parameters={"send_timeout": WITHIN_MS})
    with receiving(actor, reply=True):
        for number in range(100):
            replies = learner.receive_by_id(learner.isend(request(learner, "actor", number)), timeout=WITHIN_MS)
            assert replies is not None and [reply.payload for reply in replies] == [number]


@pytest.mark.parametrize("send_timeout", [0, WITHIN_MS])
def test_a_component_that_only_ever_sends_does_not_stall(group: Group, send_timeout: int) -> None:
    """It sees the acknowledgements though it never receives, also where it is not willing to wait for any."""
    parameters = {"send_timeout": send_timeout}
    learner, actor = pair(group, max_length_for_message_cache=8, driver_parameters=parameters)

    def accepted(number: int) -> bool:
        try:
            return learner.isend(request(learner, "actor", number)) is not None
        except DriverSendError:
            assert send_timeout == 0
            return False

    with receiving(actor) as got:
        for number in range(200):
            eventually(functools.partial(accepted, number), WITHIN_S, f"room for number {number}")
        eventually(lambda: len(got) == 200, WITHIN_S, lambda: f"200 messages, not {len(got)}")
    assert [message.payload for message in got] == list(range(200))


def test_a_receiver_without_a_cache_acknowledges_too(group: Group) -> None:
    """What it keeps itself is another matter."""
    learner, actor = group.together(
        lambda: group.proxy("learner", {"actor": 1}, max_length_for_message_cache=4, **CACHE),
        lambda: group.proxy("actor", {"learner": 1}, enable_rejoin=True),
    )
    send(learner, actor, 0, 1)
    first, second = take_unfinished(actor, 2)
    actor.ack(second)
    keeps_in_the_end(learner, actor, 0)
    actor.reply(first)
    assert len(take(learner, 1)) == 1
    keeps_in_the_end(learner, actor)
    assert not actor._exchange.delivery.sending


def test_a_stranger_is_acknowledged(group: Group) -> None:
    """Whoever keeps messages for this component is told, whether it is expected or not."""
    # Given a component that the actor does not expect
    _, actor = pair(group)
    stranger = group.proxy("stranger", {"actor": 1}, **CACHE)
    send(stranger, actor, 0, 1)
    # When its messages are received, then it learns what became of them
    first, second = take_unfinished(actor, 2)
    actor.ack(second)

    def acknowledged(*payloads: int) -> bool:
        assert nothing_waits(actor)  # it has to look up who that is
        return kept(stranger, actor) == list(payloads)

    eventually(lambda: acknowledged(0), WITHIN_S, "the stranger hears of the second")
    actor.ack(first)
    eventually(acknowledged, WITHIN_S, "the stranger hears of the first")
    assert "stranger" not in actor.peers_name


def test_a_driver_that_can_not_number_messages_is_refused(group: Group) -> None:
    """The promise would be an empty one; it is said what would help, and nothing stays behind."""
    with pytest.raises(DriverTypeError, match="can't number messages"):
        group.proxy("learner", {"actor": 1}, driver_type=PlainDriver, **CACHE)
    assert group.store("learner").records("learner") == []
