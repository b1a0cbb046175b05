"""Joining a group: all processes have started and imported what they need, and are released together."""

from __future__ import annotations

import time
from typing import cast

import redis
import zmq

from benchmarks.worker import Link
from maro.communication.settings import RedisAddress

POLL_EVERY_S = 0.002


def raw(link: Link) -> None:
    """The least that finds its peers: an address in Redis, a look for those of the others, and a greeting to each."""
    group, kind, name = (link.arguments[key] for key in ("group", "kind", "name"))
    ((peer_kind, expected),) = link.arguments["peers"].items()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link.say("ready")
    link.hear()
    pull = context.socket(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    address = RedisAddress.parse(link.arguments["redis"])
    # The handshake of version 3 costs milliseconds; the library does without it, too.
    store = redis.Redis(address.host, address.port, protocol=2, decode_responses=True)
    store.hset(f"{group}:{kind}", name, pull.getsockopt_string(zmq.LAST_ENDPOINT))
    while len(peers := cast(dict[str, str], store.hgetall(f"{group}:{peer_kind}"))) < expected:
        time.sleep(POLL_EVERY_S)
    for endpoint in peers.values():
        push = context.socket(zmq.PUSH)
        push.connect(endpoint)
        push.send(name.encode())
    greeted_by = {pull.recv().decode() for _ in peers}
    link.say(time.monotonic())
    if greeted_by != set(peers):
        raise RuntimeError(f"{name} was greeted by {greeted_by}; registered are {set(peers)}")
    link.hear()
    store.close()
    context.destroy(linger=0)


def maro(link: Link) -> None:
    """The constructor of a Proxy."""
    import maro.communication.driver.zmq_driver
    import maro.communication.redis_store  # noqa: F401 - as for the raw ones, imports are no part of joining
    from maro.communication import Proxy

    group, kind, name = (link.arguments[key] for key in ("group", "kind", "name"))
    link.say("ready")
    link.hear()
    proxy = Proxy(
        group,
        kind,
        link.arguments["peers"],
        redis_address=link.arguments["redis"],
        log_enable=False,
        component_name=name,
    )
    link.say(time.monotonic())
    link.hear()
    proxy.close()
