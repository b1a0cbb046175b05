"""What one process does by itself: dispatching messages, or nothing at all."""

from __future__ import annotations

import time

from benchmarks.worker import Link


def dispatch(link: Link) -> None:
    """Pushes messages into a RegisterTable of so many events, of which one matches; says microseconds a message."""
    from maro.communication import RegisterTable, SessionMessage

    events, count = link.arguments["events"], link.arguments["count"]
    table = RegisterTable({"actor": ["actor.0"]})
    for number in range(events):
        table.register_event_handler(f"actor:tag-{number}:1", print)
    # The last one registered: where the table were searched, it would be found last.
    message = SessionMessage(f"tag-{events - 1}", "actor.0", "learner.0")
    satisfied = 0
    for timed in (False, True):
        start = time.perf_counter()
        for _ in range(count):
            table.push(message, auto_trigger=False)
            satisfied += len(table.get())
        if timed:
            link.say((time.perf_counter() - start) / count * 1e6)
    if satisfied != 2 * count:
        raise RuntimeError(f"{satisfied} events were satisfied by {2 * count} messages")


def idle_learner(link: Link) -> None:
    """A component that has joined, and does nothing."""
    from benchmarks.roles.nodes import learner

    with learner(link):
        link.hear()


def idle_actor(link: Link) -> None:
    """Its peer."""
    from benchmarks.roles.nodes import actor

    with actor(link):
        link.hear()


def idle_process(link: Link) -> None:
    """A process that has imported nothing of the library."""
    link.say("ready")
    link.hear()
