"""The journal of a component: which events it has, and what each of them says.

A component that finds the name of a folder in `MARO_JOURNAL` writes a file there for each of its incarnations,
`{name}@{incarnation}.jsonl`, its name percent-encoded. Each line is a JSON object, and one write to the operating
system: what was written is there, whenever the process is killed. The fields of every line:

    e   the event
    t   when it was written, in nanoseconds of the epoch by the clock of its machine
    m   a message, by its `message_id`
    p   the name of a peer
    i   the incarnation of that peer

The order of lines is the order of what happened in the process. A kill may fall between an act and its line, so what
claims that something is about to happen is written before it, and what claims that it has happened after it: a line
that is missing then says less than is true, and never makes a broken promise of a kept one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

VERSION = 1
SUFFIX = ".jsonl"
VARIABLE = "MARO_JOURNAL"

LIVE, REJOIN, CACHE = "live", "rejoin", "cache"
LEVELS = (LIVE, REJOIN, CACHE)
"""What is promised of the messages that a component sends: rejoin off, on, and on with the message cache."""

_COMMON: Mapping[str, type] = {"t": int}
_MESSAGE = {"m": str, "p": str}
FIELDS: Mapping[str, Mapping[str, type]] = {
    # The first line: a component has registered.
    "start": {"v": int, "name": str, "type": str, "group": str, "incarnation": int, "level": str, "host": str},
    # Its constructor is about to return.
    "joined": {},
    # An incarnation of a peer is connected from now on; it is away, for the reason `why`.
    "peer": {"p": str, "i": int},
    "lost": {"p": str, "i": int, "why": str},
    # A message is about to be taken for a peer; it was taken, and the promise holds; it was not.
    "offered": _MESSAGE,
    "accepted": _MESSAGE,
    "dropped": {**_MESSAGE, "why": str},
    # It is handed to the application, by an iterator (`by` is "receive") or as an awaited reply ("collect"). `known`,
    # if it is there, is the youngest incarnation of the peer that was known when the message was let in.
    "received": {**_MESSAGE, "i": int, "by": str},
    # The component is done with it, and may tell so from now on; `why`, if it was not handed out before.
    "finished": _MESSAGE,
    # Its sender was told that it is finished.
    "acked": _MESSAGE,
    # Its sender keeps it no more, though nobody has finished it: the peer left for good, or the sender itself does.
    "undeliverable": {**_MESSAGE, "why": str},
    # A call that waits for replies began, by its running number; it returned; it raised.
    "call": {"c": int, "k": str},
    "return": {"c": int, "got": int},
    "raised": {"c": int, "why": str},
    # A fail point was passed that does something.
    "failpoint": {"name": str},
    # The last line: the component left its group; it ended without that.
    "close": {},
    "end": {"why": str},
}
"""The fields that each event has beside `e` and `t`, and their types; there may be more."""


class JournalError(Exception):
    """A journal can't be read; the text names the file and the line."""


class Event(NamedTuple):
    """One line."""

    kind: str
    at_ns: int
    message: str
    """Empty where the event is about none."""
    peer: str
    incarnation: int
    """Of the peer; 0 where it is not told."""
    fields: Mapping[str, Any]
    """All of the line."""


def event_of(fields: Any) -> Event:
    """The event that a line's JSON describes.

    Raises:
        ValueError: it is none; the text says why.
    """
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    kind = fields.get("e")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ValueError(f"it has the event {kind!r}, which is none of {', '.join(FIELDS)}")
    if type(fields.get("t")) is not int:
        raise ValueError(f"`t` of {kind} has to be a whole number of nanoseconds, not {fields.get('t')!r}")
    for name, kind_of_field in FIELDS[kind].items():
        if type(fields.get(name)) is not kind_of_field:
            raise ValueError(f"`{name}` of {kind} has to be of type {kind_of_field.__name__}, not {fields.get(name)!r}")
    return Event(kind, fields["t"], fields.get("m", ""), fields.get("p", ""), fields.get("i", 0), fields)
