"""Decorated classes as components of a real group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from maro.communication import Message, Proxy, dist
from tests.support.components import WITHIN_S, Group, request


class Counter:
    """A local class; `total` is its own."""

    def __init__(self, start: int) -> None:
        self.total = start
        self.batches: list[list[str]] = []


def launched(instance: Any) -> Callable[[], None]:
    """Launch an instance in a thread; the returned function waits for the launch to end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            instance.launch()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def ended() -> None:
        thread.join(WITHIN_S)
        assert not thread.is_alive(), "launch did not end"
        assert not errors, errors

    return ended


def add(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
    counter.total += sum(message.payload for message in messages)
    counter.batches.append(sorted(message.source for message in messages))


def finish(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
    proxy.reply(messages[0], payload=counter.total)
    proxy.close()


def test_launch_serves_until_the_proxy_is_closed(group: Group) -> None:
    """A handler may close the proxy; then launch returns, and the peers know that the component left."""
    # Given a decorated class with an event for two messages and one for the end
    learner, actor = group.pair()
    launch_ended = launched(dist(learner, {"actor:add:2": add, "actor:finish:1": finish})(Counter)(start=100))
    # When the actor sends five numbers, and asks for the end
    for number in range(5):
        actor.ask("isend", to="learner", payload=number, tag="add")
    replies = actor.ask("send", to="learner", tag="finish")
    # Then two pairs were handled, and launch has returned
    assert [reply["payload"] for reply in replies] == [100 + 0 + 1 + 2 + 3]
    launch_ended()
    assert "closed" in repr(learner)


def test_a_percentage_fires_when_the_last_missing_peer_is_killed(group: Group) -> None:
    """Three of four actors reported, and the fourth is killed: now three are all, and no message has to come."""
    # Given a launched learner that waits for all of four actors
    learner, actors = group.team(4, enable_rejoin=True)
    handled = threading.Event()

    def handle(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
        add(counter, proxy, messages)
        handled.set()
        proxy.close()

    counter = dist(learner, {"actor:done:100%": handle})(Counter)(start=0)
    launch_ended = launched(counter)
    # When three of them report, and the fourth is killed
    for actor in actors[:3]:
        actor.ask("isend", to="learner", payload=1, tag="done")
    group.kill_and_deregister(actors[3])
    # Then the event is satisfied by the three
    assert handled.wait(WITHIN_S)
    launch_ended()
    assert counter.batches == [["actor.1", "actor.2", "actor.3"]]


def test_a_percentage_waits_for_a_peer_that_came_back(group: Group) -> None:
    """The view of a launched class follows rejoins: all of two is two again."""
    # Given a launched learner with two actors, one of which was killed and came back
    learner, (first, second) = group.team(2, enable_rejoin=True)
    second.kill()
    second = group.actor(2, enable_rejoin=True).joined()

    def handle(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
        add(counter, proxy, messages)
        proxy.close()

    counter = dist(learner, {"actor:done:100%": handle})(Counter)(start=0)
    launch_ended = launched(counter)
    # When one reports, then the other
    for actor in (first, second):
        actor.ask("isend", to="learner", payload=1, tag="done")
    # Then the event is satisfied by both together
    launch_ended()
    assert counter.batches == [["actor.1", "actor.2"]]


def test_events_by_name_and_of_any_source(group: Group) -> None:
    """A component's name and `*` are sources too, across processes."""
    # Given a launched learner with events for one actor by name, and for anybody
    learner, (first, second) = group.team(2)

    def handle(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
        add(counter, proxy, messages)
        if len(counter.batches) == 2:
            proxy.close()

    counter = dist(learner, {"actor.2:done:1": handle, "*:any:2": handle})(Counter)(start=0)
    launch_ended = launched(counter)
    # When both send both
    first.ask("isend", to="learner", payload=1, tag="done")
    for actor in (first, second):
        actor.ask("isend", to="learner", payload=1, tag="any")
    second.ask("isend", to="learner", payload=1, tag="done")
    # Then each event has got what it matches
    launch_ended()
    assert sorted(counter.batches) == [["actor.1", "actor.2"], ["actor.2"]]


def test_a_launched_class_may_send_while_it_handles(group: Group) -> None:
    """A handler uses the proxy that it is given, also for calls that wait for replies."""
    # Given an actor that serves, and a learner whose handler asks it
    learner, (asking, serving) = group.team(2)
    serving.start("serve")

    def handle(counter: Counter, proxy: Proxy, messages: list[Message]) -> None:
        answers = proxy.send(request(proxy, "actor.2", messages[0].payload), timeout=20_000)
        assert answers is not None
        proxy.reply(messages[0], payload=answers[0].payload)
        proxy.close()

    launch_ended = launched(dist(learner, {"actor.1:ask:1": handle})(Counter)(start=0))
    # When the other actor asks
    replies = asking.ask("send", to="learner", payload="who?", tag="ask")
    # Then it has the answer of the second, by way of the learner
    assert [reply["payload"] for reply in replies] == [{"by": "actor.2", "to": "who?"}]
    launch_ended()
