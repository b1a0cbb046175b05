"""What a testbed sees of a component, and does to it: its journal, and its fail points.

There is one only where the environment asks for it. `maro.communication.probed` calls it.
"""

from __future__ import annotations

import socket

from maro.communication import fail_points
from maro.communication.fail_points import FailPoints
from maro.communication.journal import Journal
from maro.communication.observations import PeerRecord
from maro.communication.settings import ProbeSettings, ProxySettings

LIVE, REJOIN, CACHE = "live", "rejoin", "cache"


class Probe:
    """Of one component.

    Args:
        wanted: what it is to do.
        settings: of the component's Proxy.

    Raises:
        ValueError: a fail point is not written as it should be.
    """

    def __init__(self, wanted: ProbeSettings, settings: ProxySettings) -> None:
        self._folder = wanted.journal_folder
        self._settings = settings
        self._journal: Journal | None = None
        self._points = FailPoints(wanted.fail_points, wanted.fail_point_file, self._hit)
        self._calls = 0
        self._newest: dict[str, int] = {}
        """The youngest incarnation of each peer that was written of."""

    def __repr__(self) -> str:
        return f"Probe({self._journal}, {self._points})"

    # Joining and leaving.

    def is_about_to_register(self) -> None:
        """Nobody knows of the component yet."""
        self._points.passed(fail_points.BEFORE_REGISTER)

    def registered(self, record: PeerRecord) -> None:
        """It has its incarnation: the journal begins.

        Raises:
            OSError: it can't be written.
        """
        settings = self._settings
        if self._folder is not None:
            self._journal = Journal(self._folder, record.name, record.incarnation)
        level = CACHE if settings.enable_message_cache else REJOIN if settings.enable_rejoin else LIVE
        self._write(
            "start",
            v=1,
            name=record.name,
            type=record.component_type,
            group=settings.group_name,
            incarnation=record.incarnation,
            level=level,
            host=socket.gethostname(),
        )
        self._points.passed(fail_points.AFTER_REGISTER)

    def joined(self) -> None:
        """The constructor is about to return."""
        self._write("joined")
        self._points.passed(fail_points.AFTER_JOIN)

    def is_about_to_close(self) -> None:
        """The component leaves its group."""
        self._points.passed(fail_points.BEFORE_CLOSE)

    def ended(self, why: str | None) -> None:
        """The last word: it has left, or (a reason) ended without."""
        if why is None:
            self._write("close")
        else:
            self._write("end", why=why)
        if self._journal is not None:
            self._journal.close()

    # Peers.

    def peer_is_there(self, name: str, incarnation: int) -> None:
        """An incarnation of a peer is connected."""
        self._newest[name] = max(incarnation, self._newest.get(name, 0))
        self._write("peer", p=name, i=incarnation)

    def peer_is_lost(self, name: str, incarnation: int, why: str) -> None:
        """It is away."""
        self._write("lost", p=name, i=incarnation, why=why)

    def newest(self, name: str) -> int:
        """The youngest incarnation of a peer that the component knows of; 0 for a stranger."""
        return self._newest.get(name, 0)

    # Messages.

    def is_about_to_send(self, message_id: str, peer: str, *, answers: bool) -> None:
        """A message is to be taken for a peer."""
        self._write("offered", m=message_id, p=peer)
        self._points.passed(fail_points.BEFORE_SEND)
        if answers:
            self._points.passed(fail_points.BEFORE_REPLY)

    def sent(self, message_id: str, peer: str) -> None:
        """It was taken, to be sent or kept."""
        self._write("accepted", m=message_id, p=peer)
        self._points.passed(fail_points.AFTER_SEND)

    def not_sent(self, message_id: str, peer: str, why: str) -> None:
        """It was not."""
        self._write("dropped", m=message_id, p=peer, why=why)

    def acknowledged(self, message_id: str, peer: str) -> None:
        """Its receiver has said that it is finished."""
        self._write("acked", m=message_id, p=peer)

    def given_up(self, message_id: str, peer: str, why: str) -> None:
        """It is kept no more, though nobody has said that it is finished."""
        self._write("undeliverable", m=message_id, p=peer, why=why)

    def handed_out(self, message_id: str, peer: str, incarnation: int, known: int, by: str) -> None:
        """The application gets a message.

        Args:
            message_id: of it.
            peer: its sender.
            incarnation: of that.
            known: the youngest incarnation of the sender that was known when the message was let in.
            by: how: "receive" or "collect".
        """
        self._write("received", m=message_id, p=peer, i=incarnation, known=known, by=by)
        self._points.passed(fail_points.AFTER_RECEIVE)

    def is_about_to_finish(self, message_id: str, peer: str, was_handed_out: bool) -> None:
        """Its sender may be told that the component is done with it."""
        if was_handed_out:
            self._write("finished", m=message_id, p=peer)
        else:
            self._write("finished", m=message_id, p=peer, why="not handed out")
        self._points.passed(fail_points.BEFORE_FINISH)

    def finished(self) -> None:
        """From now on it is."""
        self._points.passed(fail_points.AFTER_FINISH)

    # Calls that wait for replies.

    def call_begins(self, kind: str) -> int:
        """Its running number."""
        self._calls += 1
        self._write("call", c=self._calls, k=kind)
        return self._calls

    def call_returns(self, number: int, replies: int) -> None:
        """With so many."""
        self._write("return", c=number, got=replies)

    def call_raises(self, number: int, why: str) -> None:
        """Without a result."""
        self._write("raised", c=number, why=why)

    # Inside.

    def _write(self, event: str, **fields: object) -> None:
        if self._journal is not None:
            self._journal.write(event, **fields)

    def _hit(self, name: str) -> None:
        self._write("failpoint", name=name)


def probe_of(settings: ProxySettings) -> Probe | None:
    """The probe that the environment asked for, if it did.

    Raises:
        ValueError: a fail point is not written as it should be.
    """
    return None if settings.probe is None else Probe(settings.probe, settings)
