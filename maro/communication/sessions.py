"""Matching replies to requests. Pure.

`Inbox` holds what arrived and nobody asked for yet, by order and by session. `Requests` remembers who was asked, so
that a wait for a reply ends when only the dead owe one, and drops a reply that came before. `Collection` is one such
wait.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol, TypeVar

from maro.communication.message import Message, NotificationSessionStage, TaskSessionStage

_REQUESTS_KEPT = 32_768
"""Sessions and replies that are remembered, at least; the oldest are forgotten first. Only a wait for the reply to an
older request, whose peer dies meanwhile, would miss them: it then ends by its timeout."""

Key = TypeVar("Key")
Value = TypeVar("Value")

_LAST_STAGES = (TaskSessionStage.COMPLETE, NotificationSessionStage.RECEIVE)


class Asked(Protocol):
    """Whom a message went to: the route that it took will do."""

    @property
    def destination(self) -> str:
        """The peer's name."""

    @property
    def destination_incarnation(self) -> int:
        """The peer's incarnation."""


class Inbox:
    """Messages in the order in which they came; any session's can be taken out of the middle at the same cost."""

    def __init__(self) -> None:
        self.messages: OrderedDict[int, Message] = OrderedDict()
        """By number; only this class changes it. Others ask whether it is empty, on the message path."""
        self._sessions: dict[str, deque[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages.values())

    def push(self, message: Message) -> None:
        """Add the message that came last."""
        number = self._next
        self._next += 1
        self.messages[number] = message
        self._sessions.setdefault(message.session_id, deque()).append(number)

    def pop(self) -> Message | None:
        """Take the message that came first."""
        if not self.messages:
            return None
        _, message = self.messages.popitem(last=False)
        numbers = self._sessions[message.session_id]
        numbers.popleft()  # the first of all is the first of its session
        if not numbers:
            del self._sessions[message.session_id]
        return message

    def take(self, session_id: str) -> Message | None:
        """Take the session's message that came first."""
        numbers = self._sessions.get(session_id)
        if not numbers:
            return None
        number = numbers.popleft()
        if not numbers:
            del self._sessions[session_id]
        return self.messages.pop(number)


class Requests:
    """Whom this component asked, in which session, and which replies it has seen."""

    def __init__(self) -> None:
        # Nearly all that is noted here is never looked up, so noting must cost next to nothing: two appends, and no new
        # object that the garbage collector would look through. What is looked up is put in order then.
        self._new_sessions: deque[str] = deque(maxlen=2 * _REQUESTS_KEPT)
        self._new_peers: deque[Asked] = deque(maxlen=2 * _REQUESTS_KEPT)
        self._asked: dict[str, dict[int, Asked]] = {}
        self._done: dict[tuple[str, str], None] = {}
        self._seen: dict[tuple[str, str | None, str], None] = {}

    def asked(self, session_id: str, whom: Asked) -> None:
        """A message of the session went to this incarnation of a peer."""
        self._new_sessions.append(session_id)
        self._new_peers.append(whom)

    def is_repeated(self, reply: Message) -> bool:
        """Whether a reply to the same message, of the same stage, by the same peer came before; notes that it came."""
        stage = getattr(reply, "session_stage", None)
        key = (reply.request_id or "", None if stage is None else stage._value_, reply.source)
        if key in self._seen:
            return True
        if len(self._seen) >= 2 * _REQUESTS_KEPT:
            _forget_oldest(self._seen)
        self._seen[key] = None
        if stage in _LAST_STAGES:
            if len(self._done) >= 2 * _REQUESTS_KEPT:
                _forget_oldest(self._done)
            self._done[reply.session_id, reply.source] = None
        return False

    def peers_of(self, session_id: str) -> dict[str, int]:
        """The peers that were asked in the session, and in which incarnation."""
        while self._new_sessions:
            whom = self._new_peers.popleft()
            # By identity: a session may go on for ever, but has only so many routes.
            self._asked.setdefault(self._new_sessions.popleft(), {})[id(whom)] = whom
            if len(self._asked) >= 2 * _REQUESTS_KEPT:
                _forget_oldest(self._asked)
        return {whom.destination: whom.destination_incarnation for whom in self._asked.get(session_id, {}).values()}

    def is_done(self, session_id: str, peer: str) -> bool:
        """Whether the peer's last reply of the session has come: it owes nothing more."""
        return (session_id, peer) in self._done


class Collection:
    """A wait for replies.

    Args:
        targets: session ids, each as often as a reply is waited for.
        requests: who was asked.
        welcome: sessions whose replies are taken too if they come meanwhile, and are not waited for.
    """

    def __init__(self, targets: Iterable[str], requests: Requests, welcome: Iterable[str] = ()) -> None:
        self.replies: list[Message] = []
        """What has come, in order."""
        self._requests = requests
        self._wanted = Counter(targets)
        self._open = self._wanted.total()
        self._missing = dict(self._wanted)
        self._welcome = Counter(welcome)
        self._replied: Counter[tuple[str, str]] = Counter()

    @property
    def complete(self) -> bool:
        """Whether everything has come."""
        return self._open == 0

    def wants(self, session_id: str) -> bool:
        """Whether a reply of this session is to be taken."""
        return session_id in self._missing or session_id in self._welcome

    def sessions(self) -> Iterator[str]:
        """The sessions of which a reply is to be taken."""
        return chain(self._missing, self._welcome)

    def asked_for(self) -> Iterable[str]:
        """The sessions whose replies are waited for, whether they have come or not."""
        return self._wanted

    def add(self, reply: Message) -> None:
        """One of the wanted replies."""
        session_id = reply.session_id
        self.replies.append(reply)
        if session_id not in self._missing:
            _count_down(self._welcome, session_id)
            return
        self._open -= 1
        self._replied[session_id, reply.source] += 1
        _count_down(self._missing, session_id)

    def owed_by_the_dead(self, is_alive: Callable[[str, int], bool]) -> list[str]:
        """Who will not send what is still missing, where nobody else will: the wait is over for all they owe.

        Args:
            is_alive: whether an incarnation of a peer can still reply.

        Returns:
            The names of the dead, if all that is missing is owed by them; else nothing, and the wait goes on.
        """
        dead: set[str] = set()
        for session_id in self._missing:
            peers = self._requests.peers_of(session_id)
            gone = {peer for peer, incarnation in peers.items() if not is_alive(peer, incarnation)}
            if not gone or self._owed_by_the_living(session_id, peers.keys() - gone, len(peers)):
                return []
            dead |= gone
        return sorted(dead)

    def _owed_by_the_living(self, session_id: str, living: Iterable[str], asked: int) -> bool:
        """Each peer that was asked owes its share of the replies waited for, until its last one has come."""
        share = -(-self._wanted[session_id] // asked)
        return any(
            self._replied[session_id, peer] < share and not self._requests.is_done(session_id, peer) for peer in living
        )


def _count_down(counts: dict[str, int], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _forget_oldest(table: dict[Key, Value]) -> None:
    """Keep the newer half: rarely, rather than one entry each time, which would search the front of the table."""
    newest = list(table.items())[len(table) // 2 :]
    table.clear()
    table.update(newest)
