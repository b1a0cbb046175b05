"""One process and many: broadcasts, scattered payloads, and a heap of replies to collect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.roles.arrays import make_array
from benchmarks.roles.nodes import SMALL_BYTES, SMALL_DICT, RawNode, actor, learner
from benchmarks.worker import Link

MANY = 10_000
"""A high-water mark that no measurement here reaches."""


def raw_broadcaster(link: Link) -> None:
    """The same frames, not copied, to each leaf; a round ends when all have answered."""
    array = make_array(link.arguments["size_bytes"])
    with RawNode(link) as node:

        def once() -> None:
            for push in node.pushes:
                push.send_multipart([b"header", array.data], copy=False)
            for _ in node.pushes:
                node.pull.recv()

        link.say(_rounds_per_s(once, link))
        for push in node.pushes:
            push.send(b"")
        link.hear()


def raw_listener(link: Link) -> None:
    """Answers every broadcast with a word, up to one without an array."""
    with RawNode(link) as node:
        while len(node.pull.recv_multipart(copy=False)) > 1:
            node.push.send(b"done")
        link.hear()


def maro_broadcaster(link: Link) -> None:
    """`broadcast`, which returns with all replies."""
    from maro.communication import SessionType

    array = make_array(link.arguments["size_bytes"])
    with learner(link) as (proxy, actors):

        def once() -> None:
            _expect(proxy.broadcast("actor", "weights", SessionType.TASK, array), len(actors))

        link.say(_rounds_per_s(once, link))
        proxy.ibroadcast("actor", "end", SessionType.NOTIFICATION)
        link.hear()


def maro_listener(link: Link) -> None:
    """Replies to every message with a word, up to one that says end."""
    with actor(link) as proxy:
        for message in proxy.receive():
            if message.tag == "end":
                break
            proxy.reply(message, payload="done")
        link.hear()


def raw_scatterer(link: Link) -> None:
    """Bytes to each leaf; a round ends when all have sent them back."""
    with RawNode(link) as node:

        def once() -> None:
            for push in node.pushes:
                push.send(SMALL_BYTES)
            for _ in node.pushes:
                node.pull.recv()

        link.say(_rounds_per_s(once, link))
        for push in node.pushes:
            push.send(b"")
        link.hear()


def maro_scatterer(link: Link) -> None:
    """`scatter`, which returns with all replies; the leaves send the payloads back."""
    from maro.communication import SessionType

    with learner(link) as (proxy, actors):

        def once() -> None:
            pairs = [(name, SMALL_DICT) for name in actors]
            _expect(proxy.scatter("work", SessionType.TASK, pairs), len(actors))

        link.say(_rounds_per_s(once, link))
        proxy.ibroadcast("actor", "end", SessionType.NOTIFICATION)
        link.hear()


def collector(link: Link) -> None:
    """Asks many times, and collects the replies when all of them have been sent; says microseconds a reply."""
    from maro.communication import SessionMessage

    count = link.arguments["count"]
    with learner(link, high_water_mark=MANY) as (proxy, (peer,)):
        link.hear()
        asked: list[str] = []
        for _ in range(count):
            asked += proxy.isend(SessionMessage("work", proxy.name, peer, SMALL_DICT)) or []
        link.hear()
        start = time.perf_counter()
        replies = proxy.receive_by_id(asked) or []
        link.say((time.perf_counter() - start) / count * 1e6)
        if [reply.session_id for reply in replies] != asked[::-1]:
            raise RuntimeError("the replies did not come in the reverse order of the requests")
        link.hear()


def late_replier(link: Link) -> None:
    """Takes all requests, then replies to the last one first."""
    count = link.arguments["count"]
    with actor(link, high_water_mark=MANY) as proxy:
        requests = []
        for message in proxy.receive():
            requests.append(message)
            if len(requests) == count:
                break
        for message in reversed(requests):
            proxy.reply(message)
        link.say("replied")
        link.hear()


def _rounds_per_s(once: Callable[[], None], link: Link) -> float:
    """The rate of a call, after some that do not count."""
    link.hear()
    for _ in range(link.arguments["warm_up"]):
        once()
    start = time.perf_counter()
    for _ in range(link.arguments["count"]):
        once()
    return float(link.arguments["count"] / (time.perf_counter() - start))


def _expect(replies: Sequence[object], count: int) -> None:
    if len(replies) != count:
        raise RuntimeError(f"{len(replies)} of {count} replies came")
