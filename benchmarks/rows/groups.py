"""Rows with many processes: joining, broadcasts, scattered payloads; and the collecting of replies."""

from __future__ import annotations

import functools
import time

from benchmarks.harness import Lab, Worker, await_ready
from benchmarks.row import Row

_ACTORS = 16
_LEAVES = 8
_BROADCASTS = {"count": 60, "warm_up": 5, "size_bytes": 1024 * 1024}
_SCATTERS = {"count": 400, "warm_up": 20}
_REPLIES = 5_000


def _joining(role: str, lab: Lab) -> float:
    """Seconds from the release of all until the last has joined."""
    with lab.crew() as crew:

        def member(kind: str, number: int, peers: dict[str, int]) -> Worker:
            return crew.start(f"joining:{role}", kind=kind, name=f"{kind}.{number}", peers=peers)

        members = [member("learner", 0, {"actor": _ACTORS})]
        members += [member("actor", number, {"learner": 1}) for number in range(_ACTORS)]
        await_ready(members)
        released = time.monotonic()
        for worker in members:
            worker.say("go")
        joined = max(worker.hear() for worker in members)
        for worker in members:
            worker.say("end")
        return float(joined - released)


def _rounds(root: str, leaf: str, arguments: dict[str, int], lab: Lab) -> float:
    """Rounds a second."""
    with lab.star(f"fan_out:{root}", leaf, _LEAVES, **arguments) as (centre, _):
        centre.say("go")
        return float(centre.hear())


def _collecting(lab: Lab) -> float:
    """Microseconds a reply."""
    with lab.star("fan_out:collector", "fan_out:late_replier", count=_REPLIES) as (collector, (replier,)):
        collector.say("ask")
        replier.hear()
        collector.say("collect")
        return float(collector.hear())


JOINING = Row(
    "joining",
    f"joining, 1 + {_ACTORS}",
    "s",
    {
        "raw, Redis and a greeting": functools.partial(_joining, "raw"),
        "Proxy()": functools.partial(_joining, "maro"),
    },
    reference="raw, Redis and a greeting",
)
BROADCAST = Row(
    "broadcast",
    f"broadcast of 1 MiB to {_LEAVES}, all answer",
    "rounds/s",
    {
        "raw PUSH to each, shared frames": functools.partial(
            _rounds, "raw_broadcaster", "fan_out:raw_listener", _BROADCASTS
        ),
        "Proxy.broadcast": functools.partial(_rounds, "maro_broadcaster", "fan_out:maro_listener", _BROADCASTS),
    },
    reference="raw PUSH to each, shared frames",
)
SCATTER = Row(
    "scatter",
    f"scatter to {_LEAVES} and gather",
    "rounds/s",
    {
        "raw bytes": functools.partial(_rounds, "raw_scatterer", "streams:raw_echo", _SCATTERS),
        "Proxy.scatter": functools.partial(_rounds, "maro_scatterer", "streams:maro_echo", _SCATTERS),
    },
    reference="raw bytes",
)
COLLECTING = Row(
    "collecting",
    f"collecting {_REPLIES:,} replies in reverse order",
    "us/reply",
    {"Proxy.receive_by_id": _collecting},
)
