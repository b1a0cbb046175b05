"""`dist`: a local class becomes a component whose handlers are called with what its proxy receives."""

from __future__ import annotations

import copy
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from maro.communication.dist_decorator import dist
from maro.communication.message import Message
from maro.utils.exception.communication_exception import ConditionalEventSyntaxError, PeersMissError
from tests.support.naive_events import Group, LivePeers
from tests.support.receipts import Hand, is_finished

Arrival = Message | Callable[[], object]


class ScriptedProxy:
    """Receives what a script says: messages, and changes of the group, after which it yields `None` as a proxy does."""

    def __init__(self, *script: Arrival) -> None:
        self.group: Group = {"actor": [f"actor_proxy_{number}" for number in range(4)], "learner": []}
        self.peers_name = LivePeers(self.group, dict.fromkeys(self.group["actor"], "actor"))
        self.script = list(script)
        self.hand = Hand()
        self.closed = False

    def receive(
        self, is_continuous: bool = True, timeout: int | None = None, *, wake_on_peer_change: bool = False
    ) -> Iterator[Message | None]:
        assert is_continuous
        assert timeout == -1, "a component that hears nothing for a while goes on"
        for arrival in self.script:
            if self.closed:
                return
            if isinstance(arrival, Message):
                self.hand.receive(arrival)
                yield arrival
            else:
                arrival()
                if wake_on_peer_change:
                    yield None

    def close(self) -> None:
        self.closed = True


def rollout(number: int) -> Message:
    return Message("rollout", f"actor_proxy_{number}", "learner_proxy_0", number)


class Learner:
    """Learns."""

    kind = "plain"

    def __init__(self, start: int = 0, *, name: str = "one") -> None:
        self.seen: list[list[int]] = []
        self.start = start
        self.name = name

    def learn(self, messages: list[Message]) -> None:
        self.seen.append([message.payload for message in messages])


def learn(learner: Learner, proxy: ScriptedProxy, messages: list[Message]) -> None:
    assert isinstance(proxy, ScriptedProxy)
    learner.learn(messages)


def distributed(proxy: Any, handlers: dict[Any, Callable[..., Any]], cls: type[Any] = Learner) -> type[Any]:
    return dist(proxy, handlers)(cls)


def test_launch_calls_the_handlers() -> None:
    """Each satisfied event calls its handler with the instance, the proxy and the messages; launch ends with them."""
    # Given a component with two events
    calls: list[tuple[str, Any, Any, list[int]]] = []

    def recorder(name: str) -> Callable[..., None]:
        return lambda *args: calls.append((name, args[0], args[1], [message.payload for message in args[2]]))

    proxy = ScriptedProxy(*map(rollout, range(4)))
    handlers = {"actor:rollout:1": recorder("each"), ("actor:rollout:2", "*:update:1", "OR"): recorder("pair")}
    learner = distributed(proxy, handlers)()
    # When it is launched
    learner.launch()
    # Then its handlers were called, in order
    assert [(name, payloads) for name, _, _, payloads in calls] == [
        *(("each", [0]), ("each", [1]), ("pair", [0, 1])),
        *(("each", [2]), ("each", [3]), ("pair", [2, 3])),
    ]
    assert all(instance is learner and given is proxy for _, instance, given, _ in calls)


def test_launch_judges_percentages_when_peers_change() -> None:
    """Three of four have answered and the fourth is lost: the handler is called without a further message."""
    proxy = ScriptedProxy(*map(rollout, range(3)))
    proxy.script.append(proxy.group["actor"].pop)
    learner = distributed(proxy, {"actor:rollout:100%": learn})()
    learner.launch()
    assert learner.seen == [[0, 1, 2]]


def test_launch_returns_when_a_handler_closes_the_proxy() -> None:
    """A handler ends the component by closing its proxy; what would have come after is not handled."""

    def stop(learner: Learner, proxy: ScriptedProxy, messages: list[Message]) -> None:
        learner.learn(messages)
        proxy.close()

    learner = distributed(ScriptedProxy(*map(rollout, range(4))), {"actor:rollout:2": stop})()
    learner.launch()
    assert learner.seen == [[0, 1]]


def test_a_handlers_exception_leaves_launch() -> None:
    """It reaches the caller as it was raised."""

    def fail(learner: Learner, proxy: ScriptedProxy, messages: list[Message]) -> None:
        raise OSError("no space")

    learner = distributed(ScriptedProxy(rollout(0)), {"actor:rollout:1": fail})()
    with pytest.raises(OSError, match="no space"):
        learner.launch()


def test_messages_are_finished_when_their_handlers_have_returned() -> None:
    """Not while they wait, nor while they are handled, and not only when the next message is received."""
    # Given a component that handles messages in pairs, and each by itself
    messages = [rollout(number) for number in range(4)]
    seen: list[tuple[str, list[bool]]] = []

    def recorder(name: str) -> Callable[..., None]:
        return lambda *_: seen.append((name, [is_finished(message) for message in messages if message.receipt]))

    proxy = ScriptedProxy(*messages, lambda: seen.append(("end", list(map(is_finished, messages)))))
    # When it is launched
    distributed(proxy, {"actor:rollout:1": recorder("each"), "actor:*:2": recorder("pair")})().launch()
    # Then each message was unfinished until both had returned, and finished then, before the proxy was asked for more
    assert seen == [
        ("each", [False]),
        ("each", [False, False]),
        ("pair", [False, False]),
        ("each", [True, True, False]),
        ("each", [True, True, False, False]),
        ("pair", [True, True, False, False]),
        ("end", [True, True, True, True]),
    ]


def test_nothing_is_finished_after_a_handlers_exception() -> None:
    """Neither its own messages nor those that wait, nor those of another event that is satisfied by the same one."""
    # Given a message that waits, and two that satisfy two events at once, of which the first one's handler raises
    messages = [Message("wait", "actor_proxy_0", "learner_proxy_0"), *map(rollout, range(2))]
    handled: list[Message] = []

    def fail(*_: object) -> None:
        raise OSError("no space")

    handlers: dict[Any, Callable[..., Any]] = {
        ("actor:wait:2", "actor:other:1", "OR"): learn,
        ("actor:rollout:2", "AND"): fail,
        "*:rollout:2": lambda local, proxy, messages: handled.extend(messages),
    }
    proxy = ScriptedProxy(*messages)
    # When a handler's exception leaves launch, and the application receives on
    with pytest.raises(OSError, match="no space"):
        distributed(proxy, handlers)().launch()
    proxy.hand.receive()
    # Then the next incarnation gets them all
    assert not handled
    assert not any(map(is_finished, messages))


def test_launches_share_nothing_that_waits() -> None:
    """What waited at the end of one launch does not count in another, of the same instance or of another."""
    proxy = ScriptedProxy(*map(rollout, range(3)))
    component = distributed(proxy, {"actor:rollout:2": learn})
    first, second = component(), component()
    first.launch()
    second.launch()
    first.launch()
    assert first.seen == [[0, 1], [0, 1]]
    assert second.seen == [[0, 1]]


def test_the_class_stays_itself() -> None:
    """Constructor, attributes, name, documentation and ancestry are the class's own; only launch is added."""
    # Given a decorated class
    proxy = ScriptedProxy()
    component = distributed(proxy, {"actor:rollout:1": learn})
    # When an instance is made with its constructor
    learner = component(7, name="two")
    # Then everything is as without the decorator
    assert isinstance(learner, Learner)
    assert issubclass(component, Learner)
    assert (learner.start, learner.name, learner.kind) == (7, "two", "plain")
    assert vars(learner) == vars(Learner(7, name="two"))
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(component, attribute) == getattr(Learner, attribute)
    assert set(dir(component)) - set(dir(Learner)) <= {"launch", "__slots__"}
    # And the local class has not changed
    assert not hasattr(Learner, "launch")


def test_a_class_attribute_keeps_its_meaning_in_the_subclass() -> None:
    """Properties, class methods, super() and instance attributes named proxy all work as in the local class."""

    class Base:
        def __init__(self) -> None:
            self.proxy = "mine"

    proxy: Any = ScriptedProxy(rollout(1))

    @dist(proxy, {"actor:rollout:1": lambda local, proxy, messages: setattr(local, "got", proxy)})
    class Local(Base):
        def __init__(self) -> None:
            super().__init__()
            self.got: Any = None

        @property
        def double(self) -> str:
            return self.proxy * 2

        @classmethod
        def make(cls) -> Local:
            return cls()

    local: Any = Local.make()
    local.launch()
    assert (local.proxy, local.double) == ("mine", "minemine")
    assert local.got is proxy


def test_slots_dataclasses_and_abstract_classes() -> None:
    """A class without a `__dict__` gets none, a dataclass still compares, an abstract class stays abstract."""

    class Slotted:
        __slots__ = ("value",)

    @dataclass
    class Point:
        x: int

    class Abstract(ABC):
        @abstractmethod
        def act(self) -> None: ...

    proxy = ScriptedProxy()
    assert not hasattr(distributed(proxy, {}, Slotted)(), "__dict__")
    point = distributed(proxy, {}, Point)
    assert point(1) == point(1) != point(2)
    with pytest.raises(TypeError, match="abstract"):
        distributed(proxy, {}, Abstract)()


idle: Any = ScriptedProxy()


@dist(idle, {})
class Picklable:
    def __init__(self, value: int) -> None:
        self.value = value


def test_instances_can_be_pickled_and_copied() -> None:
    """A decorated class is found under its name, so its instances travel like those of any class."""
    original: Any = Picklable(3)
    for twin in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert type(twin) is Picklable
        assert twin.value == 3


def test_a_decorated_class_can_be_decorated_again() -> None:
    """The handlers of the outer decorator are the ones that its launch calls."""
    inner = distributed(ScriptedProxy(rollout(1)), {"actor:rollout:1": learn})
    outer = distributed(ScriptedProxy(rollout(2)), {"actor:rollout:1": learn}, inner)()
    outer.launch()
    assert outer.seen == [[2]]


@pytest.mark.parametrize(
    ("handlers", "error", "quoted"),
    [
        ({"actor:rollout:none": learn}, ConditionalEventSyntaxError, "'none'"),
        ({("actor:rollout:1", "NOT"): learn}, ConditionalEventSyntaxError, "'NOT'"),
        ({"driver:rollout:1": learn}, PeersMissError, "'driver'"),
        ({"actor:rollout:1": "learn"}, TypeError, "'learn'"),
    ],
)
def test_a_wrong_handler_dict_fails_at_the_decorator(handlers: Any, error: type[Exception], quoted: str) -> None:
    """What is wrong is told before a class is decorated, not when it is launched."""
    with pytest.raises(error, match=quoted):
        dist(idle, handlers)


def test_what_is_no_class_can_not_be_decorated() -> None:
    """Decorating a function is refused with what was decorated."""
    with pytest.raises(TypeError, match="decorates a class, not <function rollout"):
        distributed(idle, {}, rollout)  # type: ignore[arg-type]


def test_the_handlers_are_those_at_the_time_of_decoration() -> None:
    """Changing the dict afterwards changes nothing."""
    handlers: dict[Any, Callable[..., Any]] = {"actor:rollout:1": learn}
    learner = distributed(ScriptedProxy(rollout(1)), handlers)()
    handlers.clear()
    learner.launch()
    assert learner.seen == [[1]]


def test_a_named_component_may_be_away_at_launch() -> None:
    """A peer that an event names and that left before the launch is waited for like any other."""
    # Given an event for a component by its own name
    proxy = ScriptedProxy()
    proxy.peers_name = LivePeers({"actor": ["bob"]}, {"bob": "actor"})
    learner = distributed(proxy, {"bob:rollout:1": learn})()
    # When it is away at launch and sends later
    proxy.peers_name = LivePeers({"actor": []}, {})
    proxy.script.append(Message("rollout", "bob", "learner_proxy_0", 5))
    learner.launch()
    # Then its message is handled
    assert learner.seen == [[5]]
