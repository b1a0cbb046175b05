"""Garbage on every port of a running group, and in its Redis: counted, dropped, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import zmq

from maro.communication import Proxy, SessionMessage, SessionType
from maro.communication.codec import encode
from maro.communication.packets import Route, WireLimits
from tests.support.components import SHORT_LEASE, Group, await_peers, nothing_waits, receive_until, request

REJOIN: dict[str, Any] = {"enable_rejoin": True, "peers_catch_lifetime": 1, **SHORT_LEASE}
PULL, SUB = "7", "2"


def client_of(group: Group) -> redis.Redis:
    return redis.Redis(port=group.redis.port, decode_responses=True)


def record_of(group: Group, component_type: str, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(str(client_of(group).hget(f"{group.name}:{component_type}", name)))
    return loaded


def all_reply(learner: Proxy, actors: int = 2) -> None:
    """Broadcast and unicast work."""
    replies = learner.broadcast("actor", "status", SessionType.TASK, 1, timeout=20_000)
    names = [f"actor.{number}" for number in range(1, actors + 1)]
    assert sorted(reply.source for reply in replies) == names
    for name in names:
        assert learner.send(request(learner, name, 2), timeout=20_000)


def packets(name: str, incarnation: int, peer: str) -> list[list[bytes]]:
    """Packets that no component should take, from noise to nearly right."""
    randomness = random.Random(7)
    message = request_from_a_stranger()
    good = Route("stranger", "actor", 1, name, incarnation)
    encoded = encode(message, "stranger", WireLimits())
    whole = b"".join(bytes(frame) for frame in good.packet(encoded))
    envelope = good.envelope(0)
    return [
        [b""],
        [b"", b""],
        [b"\0"],
        [randomness.randbytes(10_000)],
        *([randomness.randbytes(randomness.randrange(100))] for _ in range(100)),
        [b"x"] * 600,
        [b"x" * 2_000_000],
        [envelope],  # no body
        [envelope[:-1]],  # names cut off
        [whole[:-3]],  # pickle cut off
        [envelope + b"\x80\x05garbage"],  # no pickle
        [envelope + b"\x80\x05K\x01."],  # a pickle of something else
        [b"mr\x09\x01" + whole[4:]],  # another version
        [b"mr\x01\x09" + whole[4:]],  # another kind
        [whole[:4] + struct.pack("<H", 65_535) + whole[6:]],  # too many frames announced
        [whole[:4] + struct.pack("<H", 3) + whole[6:], b"one"],  # fewer frames than announced
        [b"noise", whole],  # a good packet that is not at the beginning
        [bytes(frame) for frame in Route("stranger", "actor", 1, "someone else", 0).packet(encoded)],
        [bytes(frame) for frame in Route("stranger", "actor", 1, name, incarnation + 1).packet(encoded)],
        [bytes(frame) for frame in Route(peer, "any", 1, name, incarnation).packet(encoded)],  # long fenced
    ]


def request_from_a_stranger() -> Any:
    return SessionMessage("garbage", "stranger", "anyone", "garbage")


def throw_packets(address: str, kind: int, garbage: list[list[bytes]], topic: bytes = b"") -> None:
    """Send packets through ZeroMQ, all of them."""
    with zmq.Context() as context, context.socket(kind) as sock:
        sock.setsockopt(zmq.SNDHWM, 0)
        sock.setsockopt(zmq.LINGER, 10_000)
        sock.setsockopt(zmq.RCVTIMEO, 20_000)
        sock.connect(address)
        if kind == zmq.XPUB:
            # The receiver says that it listens, once for its topic and once for itself.
            sock.recv()
            sock.recv()
        for frames in garbage:
            sock.send_multipart([topic, *frames] if kind == zmq.XPUB else frames)


def throw_bytes(address: str) -> None:
    """Send what speaks no ZeroMQ, or stops speaking it half way."""
    host, port = address.removeprefix("tcp://").split(":")
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + b"\0" * 48
    for text in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4096),
        greeting,
        greeting + os.urandom(500),
        greeting + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff" + b"x" * 1000,  # a command of 16 exabytes
        greeting + b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x04PUSH" + b"\x02" + b"\x7f" * 8 + b"x" * 1000,
    ):
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection((host, int(port)), timeout=10) as connection,
        ):
            connection.sendall(text)


def test_garbage_on_every_port(group: Group) -> None:
    """Bytes and packets that are none of ours are dropped, counted, and disturb nobody."""
    # Given a running group
    learner, actors = group.team(2, **REJOIN)
    for actor in actors:
        actor.start("serve")
    all_reply(learner)

    def throw_everything() -> None:
        for component_type, name in (("learner", "learner"), ("actor", "actor.1"), ("actor", "actor.2")):
            record = record_of(group, component_type, name)
            garbage = packets(name, record["incarnation"], "actor.1" if name == "learner" else "learner")
            for kind in (PULL, SUB):
                throw_bytes(record[kind])
            throw_packets(record[PULL], zmq.PUSH, garbage)
            throw_packets(record[SUB], zmq.XPUB, garbage, component_type.encode() + b"\0")

    # When garbage of all sorts is thrown at every port of every component, while the learner receives
    with ThreadPoolExecutor() as executor:
        thrown = executor.submit(throw_everything)
        assert receive_until(learner, thrown.done, "the end of the garbage") == []
        thrown.result()
    # Then the group works, nothing of it was handed out, and it was counted
    all_reply(learner)
    receive_until(learner, lambda: learner.dropped["foreign"] >= 100, "the garbage was counted")
    assert {"foreign", "version", "undecodable", "too_many_frames", "misaddressed"} <= set(learner.dropped)
    assert nothing_waits(learner)
    all_reply(learner)
    assert learner.peers_name["actor"] == ["actor.1", "actor.2"]


def test_a_frame_over_the_limit_ends_its_own_connection_only(group: Group) -> None:
    """Nobody can make a component hold more than it may, and its peers do not notice."""
    # Given a component that takes 1 MB
    actor = group.actor(1)
    learner = group.proxy("learner", {"actor": 1}, driver_parameters={"limits": WireLimits(max_bytes=1_000_000)})
    actor.joined().start("serve")
    # When somebody else, and its own peer, send more
    throw_packets(record_of(group, "learner", "learner")[PULL], zmq.PUSH, [[b"x" * 900_000], [b"y" * 900_000] * 3])
    # Then its peer still reaches it
    all_reply(learner, actors=1)
    assert nothing_waits(learner)


ADDRESSES = {PULL: "tcp://127.0.0.1:1", SUB: "tcp://127.0.0.1:1"}
RECORDS = {
    "not JSON": "{{{",
    "no mapping": "[1, 2]",
    "empty": "",
    "without incarnation": json.dumps(ADDRESSES),
    "incarnation as text": json.dumps({**ADDRESSES, "incarnation": "soon"}),
    "a list as incarnation": json.dumps({**ADDRESSES, "incarnation": [1]}),
    "negative incarnation": json.dumps({**ADDRESSES, "incarnation": -5}),
    "huge incarnation": json.dumps({**ADDRESSES, "incarnation": 10**40}),
    "no addresses": json.dumps({"incarnation": 5}),
    "unknown socket type": json.dumps({"99": "tcp://127.0.0.1:1", "incarnation": 5}),
    "addresses that are none": json.dumps({PULL: "nonsense", SUB: "tcp://:::", "incarnation": 5}),
    "addresses of other types": json.dumps({PULL: 5, SUB: None, "incarnation": 5}),
    "no protocol that we speak": json.dumps({PULL: "udp://127.0.0.1:1", SUB: "inproc://x", "incarnation": 5}),
    "a host that does not exist": json.dumps({PULL: "tcp://no.such.host.invalid:1", "incarnation": 5}),
    "a name that is no name\x00:*": json.dumps({**ADDRESSES, "incarnation": 5}),
    "n" * 300: json.dumps({**ADDRESSES, "incarnation": 5}),
    "learner": json.dumps({**ADDRESSES, "incarnation": 5}),
}
NOTICES = [
    "",
    "nonsense",
    "[]",
    '"join"',
    "{}",
    '{"kind": "join"}',
    '{"kind": "unheard of", "type": "actor", "name": "a", "incarnation": 1, "addresses": {}}',
    '{"kind": "join", "type": "actor", "name": "b", "incarnation": "x", "addresses": {}}',
    '{"kind": "join", "type": "actor", "name": "c", "incarnation": 5, "addresses": []}',
    '{"kind": "join", "type": "actor", "name": "d", "incarnation": 5, "addresses": {"7": "nonsense"}}',
    '{"kind": "left", "type": "actor", "name": "nobody", "incarnation": 5, "addresses": {}}',
    '{"kind": "gone", "type": "actor", "name": "actor.1", "incarnation": 5, "addresses": {}}',
    '{"kind": "left", "type": "actor", "name": "actor.1", "incarnation": 5, "addresses": {}}',
    '{"kind": "gone", "type": "learner", "name": "learner", "incarnation": 5, "addresses": {}}',
    '{"kind": "join", "type": 5, "name": null, "incarnation": true, "addresses": {"x": {}}}',
]


def test_garbage_in_redis(group: Group) -> None:
    """Entries and notices that make no sense are passed over, by those who are there and by those who join."""
    # Given a running group
    learner, actors = group.team(2, **REJOIN, minimal_peers=0)
    for actor in actors:
        actor.start("serve")
    client = client_of(group)
    # When its table, its leases and its channel are filled with garbage
    for number, (name, record) in enumerate(RECORDS.items()):
        client.hset(f"{group.name}:actor", name, record)
        client.set(
            f"{group.name}:lease:{name}", ("5", "not a number", "-5", "")[number % 4] if name != "learner" else "5"
        )
        if name == "learner":
            client.delete(f"{group.name}:lease:learner")
        client.hset(f"{group.name}:names:actor", name, ("x", "{}", '{"incarnation": "x"}', "[]")[number % 4])
    for notice in NOTICES:
        client.publish(f"{group.name}:events", notice)
    client.publish(f"{group.name}:events", b"\xff\xfe")
    # Then the group goes on, a new actor can join it
    third = group.actor(3, **REJOIN).joined()
    third.start("serve")
    receive_until(learner, lambda: "actor.3" in learner.peers_name["actor"], "the third actor was seen")
    for name in ("actor.1", "actor.2", "actor.3"):
        assert learner.send(request(learner, name, 1), timeout=20_000)
    # And a broadcast reaches the real ones, however many false ones it is addressed to
    ids = learner.ibroadcast("actor", "status", SessionType.TASK, 2)
    replies = learner.receive_by_id(ids[:1] * 3, timeout=20_000)
    assert replies is not None
    assert sorted(reply.source for reply in replies) == ["actor.1", "actor.2", "actor.3"]


@pytest.mark.parametrize("value", ["record", "lease", "names"])
def test_one_own_entries_are_mended(group: Group, value: str) -> None:
    """A component whose own entries are overwritten with garbage writes them again."""
    # Given a running group
    learner, actors = group.team(2, **REJOIN)
    for actor in actors:
        actor.start("serve")
    incarnation = record_of(group, "actor", "actor.1")["incarnation"]
    client = client_of(group)
    # When the entries of an actor are overwritten
    if value == "record":
        client.hset(f"{group.name}:actor", "actor.1", "garbage")
    elif value == "lease":
        client.set(f"{group.name}:lease:actor.1", "garbage")
    else:
        client.hset(f"{group.name}:names:actor", "actor.1", "garbage")

    def mended() -> bool:
        text = client.hget(f"{group.name}:actor", "actor.1")
        lease = client.get(f"{group.name}:lease:actor.1")
        history = client.hget(f"{group.name}:names:actor", "actor.1")
        return "garbage" not in (text, lease, history) and str(incarnation) == lease

    # Then it writes them again, as the same incarnation
    receive_until(learner, mended, "the entries are mended")
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    all_reply(learner)


def test_keys_of_another_kind(group: Group) -> None:
    """Somebody else's data under a key of the group is like an outage, that ends with it."""
    # Given a running group
    learner, actors = group.team(2, **REJOIN)
    for actor in actors:
        actor.start("serve")
    client = client_of(group)
    incarnation = record_of(group, "actor", "actor.1")["incarnation"]
    # When a text lies where the table of actors was, for a while
    client.set(f"{group.name}:actor", "somebody else's")
    lease = f"{group.name}:lease:actor.1"
    receive_until(learner, lambda: not client.exists(lease), "leases ran out, for nobody could renew them")
    all_reply(learner)
    client.delete(f"{group.name}:actor")
    # Then all are registered again, and work
    receive_until(learner, lambda: client.hlen(f"{group.name}:actor") == 2, "the actors are registered again")
    assert record_of(group, "actor", "actor.1")["incarnation"] == incarnation
    await_peers(learner, "actor", ["actor.1", "actor.2"])
    all_reply(learner)
