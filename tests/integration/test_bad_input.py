"""What users and networks get wrong: a clear exception each, and the group goes on working."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maro.communication import Proxy, RegisterTable, SessionMessage, SessionType, dist
from maro.communication.packets import WireLimits
from maro.testbed.redis_server import RedisServer, real_server
from maro.utils.exception.communication_exception import (
    ConditionalEventSyntaxError,
    DriverSendError,
    DriverTypeError,
    PeersMissError,
    ProxyThreadError,
    RedisConnectionError,
)
from tests.support.components import Group, request
from tests.support.waiting import eventually


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server_that_says(answer: bytes) -> Iterator[int]:
    """A port where every connection gets this, once it has sent something, and nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                if answer:
                    connection.recv(1)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            connection.close()


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def join_alone(address: Any, **options: Any) -> Proxy:
    return Proxy("group", "learner", {"actor": 1}, redis_address=address, lease_s=1.0, **{"max_retries": 1, **options})


def still_works(learner: Proxy) -> None:
    """The peer called actor.1, which serves, replies."""
    replies = learner.send(request(learner, "actor.1", "and now?"), timeout=20_000)
    assert replies is not None
    assert [reply.payload["to"] for reply in replies] == ["and now?"]


# Redis.


def test_redis_at_a_wrong_address() -> None:
    """Nobody listens there: the error says where was asked, how often, and what to check."""
    # Given a port where nobody listens
    port = unused_port()
    # When a component wants to join there, Then the error names it
    with pytest.raises(RedisConnectionError, match=rf"127\.0\.0\.1:{port} does not answer.*Check that Redis runs"):
        join_alone(("127.0.0.1", port))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x00", b"-ERR nonsense\r\n"])
def test_something_else_at_the_address_of_redis(answer: bytes) -> None:
    """Another kind of server there is an error that names the address, too."""
    # Given a server that speaks something else, When a component wants to join there, Then the error names it
    with server_that_says(answer) as port, pytest.raises(RedisConnectionError, match=f"127.0.0.1:{port}"):
        join_alone(f"127.0.0.1:{port}")


def test_a_redis_that_never_answers() -> None:
    """A server that accepts and is silent does not hold the constructor for ever."""
    # Given such a server, When a component wants to join there, Then the error names it
    with server_that_says(b"") as port, pytest.raises(RedisConnectionError, match=f"127.0.0.1:{port}"):
        join_alone(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["", "nonsense://localhost", ("localhost",), ("localhost", "x"), 6379, None])
def test_what_is_no_address(address: Any) -> None:
    """What can't be an address is refused before anything is asked."""
    # Given something else, When it is passed, Then the error says what it should be
    with pytest.raises(ValueError, match="is no address of a Redis server: give"):
        join_alone(address)


def test_a_wrong_password_is_refused_without_retries_and_not_shown() -> None:
    """The error says that Redis refuses, and shows neither the wrong password nor the right one."""
    if real_server() is None:
        pytest.skip("the embedded Redis takes any password: apt-get install redis-server")
    # Given a Redis with a password
    with RedisServer(embedded=False, password="right-one") as server:
        # When a component comes with another one, or with none, Then it is told to check it
        for url in (f"redis://:wrong-one@127.0.0.1:{server.port}", f"127.0.0.1:{server.port}"):
            with pytest.raises(RedisConnectionError, match=r"refuses.*Check user, password") as caught:
                join_alone(url, max_retries=50, retry_interval_base_value=1.0)
            assert "wrong-one" not in str(caught.value) and "right-one" not in str(caught.value)


def test_the_right_password(group: Group) -> None:
    """A URL with the password works, for the library and the entry point."""
    if real_server() is None:
        pytest.skip("the embedded Redis takes any password: apt-get install redis-server")
    # Given a Redis with a password that a URL has to quote
    with RedisServer(embedded=False, password="p@ss:word/1") as server:
        # When components come with it
        group.redis = server
        learner, actor = group.pair()
        actor.start("serve")
        # Then they work
        still_works(learner)
        learner.close()
        actor.kill()


def test_a_constructor_that_raises_leaves_nothing_behind() -> None:
    """No descriptor and no thread of a Proxy that could not join."""
    # Given an address where nobody listens, asked once so that everything is loaded
    port = unused_port()
    with pytest.raises(RedisConnectionError):
        join_alone(("127.0.0.1", port), max_retries=0)
    descriptors, threads = len(open_descriptors()), threading.active_count()
    # When joining fails again and again
    for _ in range(5):
        with pytest.raises(RedisConnectionError):
            join_alone(("127.0.0.1", port), max_retries=0)
    # Then nothing piles up
    assert threading.active_count() == threads
    assert len(open_descriptors()) <= descriptors


# Arguments.


@pytest.mark.parametrize(
    ("options", "exit_code", "text"),
    [
        ({"expected_peers": {}}, 64, "PeersMissError.*expects no peers"),
        ({"driver_type": "carrier pigeon"}, 64, "DriverTypeError.*'carrier pigeon' is no driver type"),
        ({"minimal_peers": {"walrus": 1}}, 64, "PeersMissError.*'walrus'"),
        ({"group_name": ""}, 1, "ValueError.*group_name"),
        ({"lease_s": 0}, 1, "ValueError.*lease_s"),
        ({"driver_parameters": {"protocol": "smoke"}}, 1, "PeersConnectionError.*'smoke'"),
    ],
    ids=["no peers", "unknown driver", "unknown type in minimal_peers", "no group", "no lease", "unknown protocol"],
)
def test_arguments_that_can_not_work(group: Group, options: dict[str, Any], exit_code: int, text: str) -> None:
    """The component ends with the documented code, and says what to mend."""
    # Given a component with such an argument
    component = group.component("actor", {"learner": 1}, **options)
    # When it starts, Then it says so, and ends with the code that tells whether to try again
    with pytest.raises(AssertionError, match=f"(?s){text}"):
        component.joined()
    assert component.exit_code() == exit_code


def test_an_unknown_driver_type() -> None:
    """Neither a DriverType nor a subclass of AbsDriver."""
    # Given such a thing, When it is passed, Then the error says what may be
    for driver_type in ("zmq", 3, dict, object()):
        with pytest.raises(DriverTypeError, match="AbsDriver"):
            join_alone(("127.0.0.1", 1), driver_type=driver_type)


@pytest.mark.parametrize("event", ["actor:done", "actor:done:0", "actor:done:x%", ("actor:done:1", "XOR"), (), 7])
def test_wrong_conditional_events(group: Group, event: Any) -> None:
    """The error quotes the part that is at fault, and the proxy works on."""
    # Given a running group
    learner, actor = group.pair()
    actor.start("serve")
    # When an event is no event
    # Then table and decorator say so
    table = RegisterTable(learner.peers_name)
    with pytest.raises(ConditionalEventSyntaxError):
        table.register_event_handler(event, lambda messages: None)
    with pytest.raises((ConditionalEventSyntaxError, TypeError)):
        dist(learner, {event: lambda *_: None})
    with pytest.raises(PeersMissError, match="walrus"):
        table.register_event_handler("walrus:done:1", lambda messages: None)
    still_works(learner)


# Messages.


def test_messages_that_can_not_be_sent(group: Group) -> None:
    """To a stranger, unpicklable, over the limit: one clear error each, and the connection is as before."""
    # Given a group with a limit of 100 kB
    actor = group.actor(1)
    learner = group.proxy("learner", {"actor": 1}, driver_parameters={"limits": WireLimits(max_bytes=100_000)})
    actor.joined().start("serve")
    # When something is sent that can't be, Then the reason is said
    lock = threading.Lock()
    for payload, text in ((lock, "can't be pickled.*lock"), (b"x" * 200_000, "200,.*limit is 100,000")):
        with pytest.raises(DriverSendError, match=text):
            learner.isend(request(learner, "actor.1", payload))
        with pytest.raises(DriverSendError, match=text):
            learner.iscatter("tag", SessionType.TASK, [("actor.1", 1), ("actor.1", payload)])
        with pytest.raises(DriverSendError, match=text):
            learner.ibroadcast("actor", "tag", SessionType.TASK, payload)
    with pytest.raises(PeersMissError, match=r"'stranger' is no peer of 'learner'.*actor\.1"):
        learner.isend(request(learner, "stranger"))
    with pytest.raises(PeersMissError, match="walrus"):
        learner.ibroadcast("walrus", "tag", SessionType.TASK)
    with pytest.raises(PeersMissError, match="stranger"):
        learner.scatter("tag", SessionType.TASK, [("actor.1", 1), ("stranger", 2)], timeout=1000)
    with pytest.raises(PeersMissError, match="stranger"):
        learner.forward(SessionMessage("tag", "actor.1", "learner"), "stranger")
    # And nothing of it went out: the next request is the first that the actor gets
    still_works(learner)
    learner.isend(request(learner, "actor.1", tag="stop"))


def test_nothing_is_scattered_where_something_can_not_be(group: Group) -> None:
    """A scatter with one bad destination sends nothing to the good ones."""
    # Given a group
    learner, actor = group.pair()
    # When one of the destinations is not known
    with pytest.raises(PeersMissError):
        learner.iscatter("tag", SessionType.TASK, [("actor.1", "first"), ("stranger", 2)])
    learner.isend(request(learner, "actor.1", "second"))
    # Then only what was sent afterwards arrives
    assert [message["payload"] for message in actor.ask("receive")] == ["second"]


def test_two_threads_at_once(group: Group) -> None:
    """The second one is refused, and the first is not disturbed."""
    # Given a thread that waits for a message
    learner, actor = group.pair()
    received: list[Any] = []
    thread = threading.Thread(target=lambda: received.extend(learner.receive(is_continuous=False, timeout=30_000)))
    thread.start()

    def refused() -> bool:
        try:
            learner.receive_by_id(["none"], timeout=0)
        except ProxyThreadError as error:
            assert "in use by another call" in str(error)
            return True
        return False

    # When another one uses the same proxy, Then it is refused
    eventually(refused, 10, "the refusal")
    # And the first gets its message
    actor.ask("isend", to="learner", payload="for the first")
    thread.join(30)
    assert [message.payload for message in received] == ["for the first"]
    # And the proxy may be handed over between calls
    actor.start("serve")
    still_works(learner)
