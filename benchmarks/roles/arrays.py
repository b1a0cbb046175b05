"""Large arrays one way. Both ends use the same array again and again, and the receiver reads a float of every page."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.roles.nodes import RawNode, actor, learner, portions_to_send, portions_to_take
from benchmarks.worker import Link

HIGH_WATER_MARK = 4
"""So many arrays may wait at either end: enough to keep the connection busy, and memory bounded."""
_PAGE_BYTES = 4096


def make_array(size_bytes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An array of ones, so that reading it has a known result."""
    return np.ones(size_bytes // 4, dtype=np.float32)


def read(array: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """Touch every page of an array: the number of pages, if it holds what it should."""
    return float(array[:: _PAGE_BYTES // array.itemsize].sum())


def raw_source(link: Link) -> None:
    """A header and the array's own memory, without a copy."""
    array = make_array(link.arguments["size_bytes"])
    with RawNode(link, HIGH_WATER_MARK) as node:
        for count in portions_to_send(link):
            for _ in range(count):
                node.push.send_multipart([b"header", array.data], copy=False)


def raw_sink(link: Link) -> None:
    """Takes frames without a copy, and looks at them as an array."""
    pages = 0.0
    with RawNode(link, HIGH_WATER_MARK) as node:
        for count in portions_to_take(link):
            for _ in range(count):
                frames = node.pull.recv_multipart(copy=False)
                pages += read(np.frombuffer(frames[1].buffer, dtype=np.float32))
        _check(pages, link)


def maro_source(link: Link) -> None:
    """`isend` of a writable array; `zero_copy` is what the harness says."""
    from maro.communication import SessionMessage

    array = make_array(link.arguments["size_bytes"])
    parameters = {"high_water_mark": HIGH_WATER_MARK, "zero_copy": link.arguments["zero_copy"]}
    with learner(link, **parameters) as (proxy, (peer,)):
        for count in portions_to_send(link):
            for _ in range(count):
                proxy.isend(SessionMessage("array", proxy.name, peer, array))


def maro_sink(link: Link) -> None:
    """Takes messages."""
    pages = 0.0
    with actor(link, high_water_mark=HIGH_WATER_MARK) as proxy:
        messages = proxy.receive()
        for count in portions_to_take(link):
            for number, message in enumerate(messages, start=1):
                pages += read(message.payload)
                if number == count:
                    break
        _check(pages, link)


def _check(pages: float, link: Link) -> None:
    expected = (link.arguments["warm_up"] + link.arguments["count"]) * link.arguments["size_bytes"] / _PAGE_BYTES
    if pages != expected:
        raise RuntimeError(f"{pages} pages of ones were read; {expected} were sent")
