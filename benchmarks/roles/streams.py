"""Small messages between two processes: there and back again, or one way as many as go through."""

from __future__ import annotations

import pickle
import statistics
import time
from collections.abc import Callable

from benchmarks.roles.nodes import (
    SMALL_BYTES,
    SMALL_DICT,
    RawNode,
    actor,
    learner,
    portions_to_send,
    portions_to_take,
)
from benchmarks.worker import Link


def raw_ping(link: Link) -> None:
    """Bytes there and back."""
    with RawNode(link) as node:
        send, receive = node.push.send, node.pull.recv

        def once() -> None:
            send(SMALL_BYTES)
            receive()

        link.say(_median_us(once, link))
        send(b"")
        link.hear()


def raw_echo(link: Link) -> None:
    """Sends back what comes, up to an empty message."""
    with RawNode(link) as node:
        send, receive = node.push.send, node.pull.recv
        while frame := receive():
            send(frame)
        link.hear()


def maro_ping(link: Link) -> None:
    """`send`, which returns with the reply."""
    from maro.communication import SessionMessage

    with learner(link) as (proxy, (peer,)):

        def once() -> None:
            proxy.send(SessionMessage("ping", proxy.name, peer, SMALL_DICT))

        link.say(_median_us(once, link))
        proxy.isend(SessionMessage("end", proxy.name, peer))
        link.hear()


def maro_echo(link: Link) -> None:
    """Replies with the payload that came, up to a message that says end."""
    with actor(link) as proxy:
        for message in proxy.receive():
            if message.tag == "end":
                break
            proxy.reply(message)
        link.hear()


def raw_source(link: Link) -> None:
    """Bytes one way."""
    with RawNode(link) as node:
        send, frame = node.push.send, SMALL_BYTES
        for count in portions_to_send(link):
            for _ in range(count):
                send(frame)


def raw_sink(link: Link) -> None:
    """Takes bytes."""
    with RawNode(link) as node:
        receive = node.pull.recv
        for count in portions_to_take(link):
            for _ in range(count):
                receive()


def pickled_source(link: Link) -> None:
    """The least that a message with a payload can be: a flat tuple, pickled."""
    with RawNode(link) as node:
        send, dumps, payload = node.push.send, pickle.dumps, SMALL_DICT
        for count in portions_to_send(link):
            for _ in range(count):
                send(dumps(("step", "session-1", "message-1", "learner.0", payload), 5))


def pickled_sink(link: Link) -> None:
    """Takes such tuples."""
    with RawNode(link) as node:
        receive, loads = node.pull.recv, pickle.loads
        for count in portions_to_take(link):
            for _ in range(count):
                loads(receive())


def maro_source(link: Link) -> None:
    """`isend`, again and again."""
    from maro.communication import SessionMessage

    with learner(link) as (proxy, (peer,)):
        isend, name = proxy.isend, proxy.name
        for count in portions_to_send(link):
            for _ in range(count):
                isend(SessionMessage("step", name, peer, SMALL_DICT))


def maro_sink(link: Link) -> None:
    """Iterates over `receive`."""
    with actor(link) as proxy:
        messages = proxy.receive()
        for count in portions_to_take(link):
            for number, _ in enumerate(messages, start=1):
                if number == count:
                    break


def _median_us(once: Callable[[], object], link: Link) -> float:
    """The median duration of a call in microseconds, after some that do not count."""
    link.hear()
    for _ in range(link.arguments["warm_up"]):
        once()
    durations = []
    clock = time.perf_counter
    for _ in range(link.arguments["count"]):
        start = clock()
        once()
        durations.append(clock() - start)
    return statistics.median(durations) * 1e6
