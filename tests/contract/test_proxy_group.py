"""What a Proxy knows of its group, and what it refuses: peers that come and go, strangers, misuse, failed starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from maro.communication import DriverType, Message, SessionMessage, SessionType
from maro.communication.driver.memory_driver import MemoryDriver
from maro.communication.driver.zmq_driver import ZmqDriver
from maro.communication.lifetime import open_proxies
from maro.communication.proxy import Proxy
from maro.utils.exception.communication_exception import (
    DriverReceiveError,
    DriverSendError,
    DriverTypeError,
    InformationUncompletedError,
    PeersMissError,
    ProxyClosedError,
    ProxyThreadError,
    RedisConnectionError,
)
from tests.contract.groups import WITHIN_MS, Group, doubled, one, serving
from tests.support.waiting import eventually


def test_who_one_is(group: Group) -> None:
    """Name, type and group are what was asked for; a name that nobody chose tells the type."""
    learner, _ = group.learner_and("actor_0")
    assert (learner.name, learner.component_type, learner.group_name) == ("learner_0", "learner", group.name)
    named = group.join("actor_1", {"learner": 1}, component_name=None)
    assert named.name.startswith("actor_proxy_")
    assert learner.get_peer_type(named.name) == "actor"
    assert "learner_0" in repr(learner)


def test_the_name_of_the_environment_counts_where_none_is_given(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument beats it."""
    group.join("actor_0", {"learner": 0})
    monkeypatch.setenv("COMPONENT_NAME", "chosen")
    assert group.join("learner_0", {"actor": 1}, component_name=None).name == "chosen"
    assert group.join("learner_1", {"actor": 1}).name == "learner_1"


def test_without_rejoin_the_first_by_name_are_the_peers(group: Group) -> None:
    """However many there are; they stay when one leaves."""
    actors = [group.join(f"actor_{number}", {"learner": 0}) for number in (2, 1, 3)]
    learner = group.join("learner_0", {"actor": 2})
    assert dict(learner.peers_name) == {"actor": ["actor_1", "actor_2"]}
    actors[1].close()
    assert list(learner.receive(timeout=100)) == []
    assert learner.peers_name["actor"] == ["actor_1", "actor_2"]


def test_with_rejoin_peers_come_and_go(group: Group) -> None:
    """The keys stay; each look-up is a list of its own; a receive is woken where it asks for it."""
    learner, _ = group.learner_and("actor_0", enable_rejoin=True)
    held = learner.peers_name
    first = held["actor"]
    for number in (1, 2):
        group.join(f"actor_{number}", {"learner": 1}, enable_rejoin=True)

    def names() -> list[str]:
        list(learner.receive(timeout=10))
        return held["actor"]

    eventually(lambda: names() == ["actor_0", "actor_1", "actor_2"])
    assert first == ["actor_0"]
    waking = learner.receive(timeout=WITHIN_MS, wake_on_peer_change=True)
    leaving = group._made[-1]
    leaving.close()
    assert next(waking) is None
    assert held["actor"] == ["actor_0", "actor_1"]
    for name in held["actor"]:
        learner.isend(Message("t", "learner_0", name))
    assert list(held) == ["actor"]
    with pytest.raises(KeyError):
        held["critic"]


def test_one_that_joins_while_running_is_used(group: Group) -> None:
    """Addressed by name before its notice was looked at, it still gets the broadcasts."""
    learner, _ = group.learner_and("actor_0", enable_rejoin=True)
    late = group.join("actor_1", {"learner": 1}, enable_rejoin=True)
    assert late.isend(Message("hello", "actor_1", "learner_0"))
    hello = one(learner)
    assert learner.reply(hello)
    assert one(late).tag == "hello"
    eventually(lambda: list(learner.receive(timeout=10)) == [] and "actor_1" in learner.peers_name["actor"])
    assert len(learner.ibroadcast("actor", "all", SessionType.NOTIFICATION)) == 2
    assert one(late).tag == "all"


def test_types_of_peers(group: Group) -> None:
    """By joining, by having been heard, or by the name; else an error."""
    learner, _ = group.learner_and("actor_0")
    assert learner.get_peer_type("actor_0") == "actor"
    assert learner.get_peer_type("actor_proxy_not_yet_there") == "actor"
    for unknown in ("critic_proxy_1", "my_actor_proxy_1", "somebody", ""):
        with pytest.raises(PeersMissError, match="not known"):
            learner.get_peer_type(unknown)


def test_a_registered_stranger_is_answered(group: Group) -> None:
    """It is outside the peers' names, and gets no broadcast."""
    # Given one that nobody expects, but that expects the learner
    learner, _ = group.learner_and("actor_0")
    critic = group.join("critic_0", {"learner": 1})
    actor = group.join("actor_9", {"learner": 1})
    # When it asks, then it gets its reply
    with serving(learner, by=doubled):
        for stranger in (critic, actor):
            replies = stranger.send(SessionMessage("q", stranger.name, "learner_0", 4), timeout=WITHIN_MS)
            assert [reply.payload for reply in replies or []] == [8]
    assert learner.get_peer_type("critic_0") == "critic"
    assert dict(learner.peers_name) == {"actor": ["actor_0"]}
    assert len(learner.ibroadcast("actor", "t", SessionType.NOTIFICATION)) == 1


def test_an_unknown_destination_is_an_error(group: Group) -> None:
    """Of any call that sends; of a scatter nothing goes out then."""
    learner, actor = group.learner_and("actor_0")
    stranger = Message("t", "learner_0", "actor_proxy_nobody")
    calls: list[Callable[[], Any]] = [
        lambda: learner.isend(stranger),
        lambda: learner.send(stranger),
        lambda: learner.isend(Message("t", "learner_0", "learner_0")),
        lambda: learner.iscatter("t", SessionType.TASK, [("actor_0", 1), ("nobody", 2)]),
        lambda: learner.scatter("t", SessionType.TASK, [("nobody", 2)]),
        lambda: learner.forward(stranger, "nobody"),
        lambda: learner.ibroadcast("critic", "t", SessionType.TASK),
        lambda: learner.broadcast("critic", "t", SessionType.TASK),
    ]
    for call in calls:
        with pytest.raises(PeersMissError, match="'learner_0'"):
            call()
    learner.isend(Message("end", "learner_0", "actor_0"))
    assert one(actor).tag == "end"


def test_a_peer_that_left_is_an_error_without_rejoin(group: Group) -> None:
    """To send to, and to wait for; what had come is in the error."""
    learner, first, second = group.learner_and("actor_0", "actor_1")
    ids = learner.iscatter("t", SessionType.TASK, [("actor_0", 1), ("actor_1", 2)])
    first.reply(one(first), payload="in time")
    second.close()
    with pytest.raises(DriverReceiveError, match="'actor_1'") as caught:
        learner.receive_by_id(ids, timeout=WITHIN_MS)
    assert [reply.payload for reply in caught.value.replies] == ["in time"]
    with pytest.raises(DriverSendError, match="'actor_1'"):
        learner.isend(Message("t", "learner_0", "actor_1"))


def test_a_closed_proxy_says_so(group: Group) -> None:
    """Closing again does nothing; a running iterator ends; looking things up still works."""
    learner, actor = group.learner_and("actor_0")
    learner.isend(Message("t", "learner_0", "actor_0"))
    running = actor.receive(timeout=WITHIN_MS)
    got = next(running)
    assert got is not None
    actor.close()
    actor.close()
    assert list(running) == []
    calls: list[Callable[[], Any]] = [
        lambda: actor.isend(got),
        lambda: actor.send(got),
        lambda: actor.reply(got),
        lambda: actor.forward(got, "learner_0"),
        lambda: actor.iscatter("t", SessionType.TASK, []),
        lambda: actor.broadcast("learner", "t", SessionType.TASK),
        actor.receive,
        lambda: actor.receive_by_id(["x"]),
    ]
    for call in calls:
        with pytest.raises(ProxyClosedError, match="'actor_0'"):
            call()
    assert "closed" in repr(actor)
    assert actor not in open_proxies()


def test_two_threads_at_once_are_refused(group: Group) -> None:
    """The one inside goes on; handing the Proxy over between calls is fine."""
    learner, actor = group.learner_and("actor_0")
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(actor.receive(is_continuous=False)))
    thread.start()

    def refused() -> bool:
        try:
            actor.isend(Message("t", "actor_0", "learner_0"))
        except ProxyThreadError:
            return True
        return False

    eventually(refused, what="the other thread in its call")
    with pytest.raises(ProxyThreadError, match="'actor_0'"):
        actor.close()
    learner.isend(Message("go on", "learner_0", "actor_0"))
    thread.join(WITHIN_MS / 1000)
    assert [message.tag for message in got] == ["go on"]
    assert actor.isend(Message("t", "actor_0", "learner_0"))


def test_leaving_a_with_leaves_the_group(group: Group) -> None:
    """And `__del__` called by hand closes, while the class has none for the collector to call."""
    with group.join("actor_0", {"learner": 0}) as actor:
        learner = group.join("learner_0", {"actor": 1}, enable_rejoin=True)
        assert learner.peers_name["actor"] == ["actor_0"]
    with pytest.raises(ProxyClosedError):
        actor.isend(Message("t", "actor_0", "learner_0"))
    eventually(lambda: list(learner.receive(timeout=10)) == [] and learner.peers_name["actor"] == [])
    assert not hasattr(Proxy, "__del__")
    learner.__getattr__("__del__")()
    assert learner not in open_proxies()


def directory_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("maro-directory")]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"expected_peers": {}}, PeersMissError, "expected_peers"),
        ({"minimal_peers": {"critic": 1}}, PeersMissError, "critic"),
        ({"driver_type": "zmq"}, DriverTypeError, "'zmq'"),
        ({"driver_type": object}, DriverTypeError, "AbsDriver"),
        ({"driver_parameters": {"nonsense": 1}}, TypeError, "nonsense"),
        ({"max_retries": 1, "retry_interval_base_value": 0.01}, InformationUncompletedError, "1 of 1 learner"),
        ({"component_name": "a:b"}, ValueError, "component_name"),
        ({"redis_address": "nonsense:port"}, ValueError, "host:port"),
        ({"lease_s": 0}, ValueError, "lease_s"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_constructor_that_raises_leaves_nothing_behind(
    group: Group, changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    """No thread, no registration, no open Proxy; the name can be used at once."""
    before = open_proxies()
    with pytest.raises(error, match=text):
        group.join("actor_0", **{"expects": {"learner": 1}, **changes})
    assert open_proxies() == before
    assert directory_threads() == []
    watcher = group.join("learner_0", {"actor": 0}, enable_rejoin=True)
    assert watcher.peers_name["actor"] == []
    assert group.join("actor_0", {"learner": 1}).peers_name["learner"] == ["learner_0"]


def test_no_redis_is_an_error_after_the_retries(group_name: str) -> None:
    """The text names the address; nothing is left."""
    with pytest.raises(RedisConnectionError, match=r"127\.0\.0\.1:1\b") as caught:
        Proxy(
            group_name,
            "actor",
            {"learner": 1},
            redis_address=("127.0.0.1", 1),
            max_retries=2,
            retry_interval_base_value=0.01,
            log_enable=False,
        )
    assert "3 times" in str(caught.value)
    assert directory_threads() == []


@pytest.mark.parametrize("kind", ["enum", "class"])
def test_a_driver_may_be_named_or_given(group: Group, kind: str) -> None:
    """By DriverType, or a subclass of AbsDriver, with its parameters."""

    class Mine(ZmqDriver):
        """A driver of one's own."""

    driver_type: Any = DriverType.ZMQ if kind == "enum" else Mine
    options: dict[str, Any] = {"driver_type": driver_type, "driver_parameters": {"protocol": "ipc", "zero_copy": True}}
    if group._address is None:
        driver_type = type("Mine", (MemoryDriver,), {})
        options = {"driver_type": driver_type, "driver_parameters": {"network": group.network, "high_water_mark": 5}}
    learner, actor = group.learner_and("actor_0", **options)
    learner.isend(Message("t", "learner_0", "actor_0", bytes(200_000)))
    assert one(actor).payload == bytes(200_000)
