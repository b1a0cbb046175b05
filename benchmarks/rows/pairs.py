"""Rows with two processes: the round trip, small messages one way, and large arrays one way."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks.harness import Lab
from benchmarks.row import Row

_ROUND_TRIPS = {"count": 2_000, "warm_up": 200}
_SMALL_MESSAGES = {"raw": 500_000, "pickled": 200_000, "maro": 100_000}
"""So many each that all take about as long: in a short time a single pause of the machine decides."""
_WARM_UP = 2_000
_ARRAYS, _ARRAYS_WARM_UP, _ARRAY_BYTES = 32, 4, 16 * 1024 * 1024


def _round_trip(source: str, lab: Lab, **arguments: Any) -> float:
    """Microseconds."""
    roles = f"streams:{source}_ping", f"streams:{source}_echo"
    with lab.star(*roles, **_ROUND_TRIPS, **arguments) as (ping, _):
        ping.say("go")
        return float(ping.hear())


def _seconds_one_way(lab: Lab, source: str, sink: str, /, **arguments: Any) -> float:
    """From the first message that is sent until the receiver has all, once the connection has proved itself."""
    with lab.star(source, sink, **arguments) as (sender, (receiver,)):
        for _ in ("warm-up", "measured"):
            sender.say("go")
            start, end = sender.hear(), receiver.hear()
        return float(end - start)


def _small_messages(source: str, lab: Lab, **arguments: Any) -> float:
    """Messages a second."""
    count, roles = _SMALL_MESSAGES[source], (f"streams:{source}_source", f"streams:{source}_sink")
    return count / _seconds_one_way(lab, *roles, count=count, warm_up=_WARM_UP, **arguments)


def _arrays(source: str, zero_copy: bool, lab: Lab) -> float:
    """10^9 bytes a second."""
    roles = f"arrays:{source}_source", f"arrays:{source}_sink"
    size = {"count": _ARRAYS, "warm_up": _ARRAYS_WARM_UP, "size_bytes": _ARRAY_BYTES}
    return _ARRAYS * _ARRAY_BYTES / _seconds_one_way(lab, *roles, zero_copy=zero_copy, **size) / 1e9


ROUND_TRIP = Row(
    "round-trip",
    "round trip of about 100 bytes, median",
    "us",
    {
        "raw PUSH/PULL pair": functools.partial(_round_trip, "raw"),
        "Proxy.send / reply": functools.partial(_round_trip, "maro"),
    },
    reference="raw PUSH/PULL pair",
)
ONE_WAY = Row(
    "one-way",
    "small messages one way",
    "messages/s",
    {
        "raw bytes": functools.partial(_small_messages, "raw"),
        "raw, pickled flat tuple": functools.partial(_small_messages, "pickled"),
        "Proxy.isend / receive": functools.partial(_small_messages, "maro"),
    },
    reference="raw bytes",
)
ROUND_TRIP_KEPT = Row(
    "round-trip-kept",
    "the round trip with the message cache",
    "us",
    {
        "cache off": functools.partial(_round_trip, "maro", cache=False),
        "cache on": functools.partial(_round_trip, "maro", cache=True),
    },
    reference="cache off",
)
ONE_WAY_KEPT = Row(
    "one-way-kept",
    "small messages one way with the message cache",
    "messages/s",
    {
        "cache off": functools.partial(_small_messages, "maro", cache=False),
        "cache on": functools.partial(_small_messages, "maro", cache=True),
    },
    reference="cache off",
)
ARRAYS = Row(
    "arrays",
    "arrays of 16 MiB one way",
    "GB/s",
    {
        "raw multipart, zero copy": functools.partial(_arrays, "raw", True),
        "Proxy, zero_copy": functools.partial(_arrays, "maro", True),
        "Proxy, writable arrays": functools.partial(_arrays, "maro", False),
    },
    reference="raw multipart, zero copy",
)
