"""A component's view into the group's store: keeps its lease, and says what changes.

A watch (one small thread, as a rule) talks to the store, so that a component which computes for minutes keeps its
lease. What it learns waits in a mailbox until the caller's next operation; a descriptor that becomes readable wakes a
caller that polls.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

from maro.communication import clock as clocks
from maro.communication.observations import Fenced, Introduced, Notice, NoticeKind, Observation, PeerRecord, Sighting
from maro.communication.registration import (
    GroupStore,
    Registration,
    Renewal,
    StoreUnavailableError,
    SupersededError,
    Watch,
)
from maro.communication.watching import WatchThread

logger = logging.getLogger(__name__)

_NOTICES_KEPT = 10_000
"""Beyond, the oldest are dropped and the table is read again, which says the same."""
_NAMES_KEPT = 10_000
_POLL_S = 0.01
"""How often a store that can't be waited on is asked for notices."""
_FORGET_LEASES = 10
"""A name without record and lease is no longer asked for after so many lease times."""
_SLOW_SHARE = 4
"""A call that takes more than this part of a lease time is an outage: together with the third of a lease that may lie
before it, leases of the living (two thirds of one, at least) may have run out meanwhile."""


class Trust:
    """Whether a missing lease means that its holder is gone: pure.

    It does when the store has answered without a break, and one's own lease was held, for a whole lease time: after an
    outage all leases may be missing, and everybody needs a while to renew them.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._since: float | None = None
        self._last: float | None = None

    def answered(self, now: float, lease_held: bool) -> None:
        """The store answered a renewal."""
        if not lease_held or self._last is None or now - self._last > self._lease_s:
            self._since = now
        self._last = now

    def failed(self) -> None:
        """The store did not answer."""
        self._since = self._last = None

    def absence_counts(self, now: float) -> bool:
        """Whether an absence seen now means anything."""
        return self._since is not None and now - self._since >= self._lease_s


class Mailbox:
    """What was learnt and not yet asked for; of readings of the table only the newest matters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.items: deque[Observation] = deque()
        """Looked at on the message path, so it stays the same object; only this class changes it."""
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.overflowed = False

    def fileno(self) -> int:
        """Readable while something waits."""
        return self._receiver.fileno()

    def put(self, item: Observation) -> None:
        """Leave something for the caller, and wake it."""
        with self._lock:
            if isinstance(item, Sighting):
                kept = [old for old in self.items if not (isinstance(old, Sighting) and _covers(item, old))]
                if len(kept) < len(self.items):
                    self.items.clear()
                    self.items.extend(kept)
            elif len(self.items) >= _NOTICES_KEPT:
                self.items.popleft()
                self.overflowed = True
            self.items.append(item)
            self.wake()

    def wake(self) -> None:
        """Wake a caller that polls, without leaving anything."""
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody polls any more
            self._sender.send(b"\0")

    def take_all(self) -> list[Observation]:
        """Everything that waits, oldest first."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                while len(self._receiver.recv(4096)) == 4096:
                    pass
            items = list(self.items)
            self.items.clear()
            return items

    def wait(self, timeout_s: float) -> None:
        """Return when something waits, or time is up."""
        select.select([self._receiver], [], [], timeout_s)

    def close(self) -> None:
        """Close the descriptors."""
        self._receiver.close()
        self._sender.close()


def _covers(newer: Sighting, older: Sighting) -> bool:
    """Whether nothing is lost where only the newer is looked at."""
    if older.records and not newer.records:
        return False
    return older.leases.keys() <= newer.leases.keys()


class Directory:
    """Registers a component, keeps it registered, and watches the types that it is told to.

    Args:
        store: of the group.
        lease_s: seconds that a registration holds; it is renewed every third of it.
        reread_s: seconds between two readings of the table.
        clock: seconds; by default those that all of the package goes by.
    """

    def __init__(
        self, store: GroupStore, lease_s: float, reread_s: float, clock: Callable[[], float] | None = None
    ) -> None:
        self.mailbox = Mailbox()
        self._store = store
        self._lease_s = lease_s
        self._reread_s = reread_s
        self._clock = clock or clocks.monotonic
        self._trust = Trust(lease_s)
        self._registration: Registration | None = None
        self._record: PeerRecord | None = None
        self._types: set[str] = set()
        self._guests: dict[str, set[str]] = {}
        """By type, the components that are watched though their type is not."""
        self._wanted: dict[str, str] = {}
        """By name, the type of each component that was asked for."""
        self._asked_at: dict[str, float] = {}
        self._absent_since: dict[str, float | None] = {}
        """The names that are asked for, and since when each has had no lease."""
        self._subscribed = False
        self._next_renewal = 0.0
        self._next_reading = 0.0
        self._failures = 0
        self._fenced = False
        self._watch: Watch | None = None

    def __repr__(self) -> str:
        return f"Directory({self._record}, watching={sorted(self._types)})"

    # Called by the component's thread.

    def outward_host(self) -> str:
        """The address of this machine on the way to the store."""
        return self._store.outward_host()

    def register(self, registration: Registration) -> PeerRecord:
        """Take the name for a new incarnation.

        Raises:
            StoreUnavailableError: the store does not answer, or (StoreRefusedError) refuses.
            RejoinBudgetError: the name is given up.
        """
        self._registration = registration
        self._record = self._store.register(registration)
        now = self._clock()
        self._trust.answered(now, lease_held=False)
        self._next_renewal = now + self._lease_s / 3
        return self._record

    def start(self, types: Iterable[str]) -> None:
        """Watch the components of these types, beside the caller."""
        self._types.update(types)
        self._watch = self._store.watch(self._due) or WatchThread(
            f"maro-directory-{self._name()}", self._due_or_to_be_asked, self._notice_fd, self._resubscribe
        )

    def watch(self, record: PeerRecord) -> None:
        """Watch one more component, of whatever type."""
        self._guests.setdefault(record.component_type, set()).add(record.name)
        self._absent_since.setdefault(record.name, None)

    def find(self, component_type: str, name: str) -> PeerRecord | None:
        """The record of a component that holds a lease, asked for now.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        for record in self._store.records(component_type):
            if record.name == name:
                return record if self._store.leases([name])[name] == record.incarnation else None
        return None

    def look_up(self, component_type: str, name: str) -> None:
        """Find a component's record, and leave an `Introduced` if it holds a lease. At most once in a lease time."""
        now = self._clock()
        if now - self._asked_at.get(name, float("-inf")) >= self._lease_s:
            if len(self._asked_at) >= _NAMES_KEPT:
                self._asked_at.clear()
            self._asked_at[name] = now
            self._wanted[name] = component_type
            if self._watch is not None:
                self._watch.poke()

    def refresh(self) -> None:
        """Read the table now rather than when it is due."""
        self._next_reading = 0.0
        if self._watch is not None:
            self._watch.poke()

    def announce(self, kind: NoticeKind) -> None:
        """Tell the group something about oneself; that nobody can be told is logged."""
        if self._record is not None:
            try:
                self._store.announce(Notice(kind, self._record))
            except StoreUnavailableError as error:
                logger.warning("%s could not announce that it is %s: %s", self._name(), kind.value, error)

    def stop(self, kind: NoticeKind | None, *, mailbox_is_in_use: bool = False) -> None:
        """Stop renewing, and end the registration as `kind`; None leaves it to whoever took the name.

        A mailbox that another thread waits on stays open; its process ends.
        """
        if self._watch is not None:
            self._watch.stop()
        if kind is not None and self._record is not None:
            try:
                self._store.deregister(self._record, kind)
            except StoreUnavailableError as error:
                logger.warning("%s could not deregister; its lease runs out instead: %s", self._name(), error)
        self._store.close()
        if not mailbox_is_in_use:
            self.mailbox.close()

    # Called by the watch.

    def step(self, now: float) -> float:
        """Do what is due; returns the seconds until something is due again."""
        try:
            if not self._subscribed:
                self._store.subscribe()
                self._subscribed = True
                self._next_reading = now
            renewed = now >= self._next_renewal
            if renewed:
                self._renew(now)
            for notice in self._store.notices():
                self._note(notice)
            self._find_wanted()
            if self.mailbox.overflowed:
                self.mailbox.overflowed = False
                self._next_reading = now
            if now >= self._next_reading:
                self._next_reading = now + self._reread_s
                self._read_tables(now)
            elif renewed:
                self._read_leases(now)
            if self._failures:
                logger.info("%s reaches the group's store again", self._name())
                self._failures = 0
        except SupersededError as error:
            self._fenced = True
            self.mailbox.put(Fenced(error.newer))
        except StoreUnavailableError as error:
            return self._failed(error)
        return max(0.0, min(self._next_renewal, self._next_reading) - now)

    def _due(self) -> float | None:
        wait_s = self.step(self._clock())
        return None if self._fenced else wait_s

    def _due_or_to_be_asked(self) -> float | None:
        """As `_due`, for a thread that nothing wakes where the store has no descriptor."""
        wait_s = self._due()
        if wait_s is not None and self._subscribed and self._store.notice_fd() is None:
            return min(wait_s, _POLL_S)
        return wait_s

    def _notice_fd(self) -> int | None:
        return self._store.notice_fd() if self._subscribed else None

    def _resubscribe(self) -> None:
        self._subscribed = False

    def _name(self) -> str:
        return self._registration.name if self._registration else "a component"

    def _failed(self, error: StoreUnavailableError) -> float:
        self._subscribed = False
        self._trust.failed()
        if not self._failures:
            logger.warning("%s lost the group's store, and goes on with the peers it has: %s", self._name(), error)
        self._failures += 1
        return min(0.05 * 2.0 ** min(self._failures, 5), self._lease_s / 5)

    def _renew(self, now: float) -> None:
        if self._registration is None or self._record is None:
            return
        renewal = self._store.renew(self._registration, self._record)
        if renewal is Renewal.RESTORED:
            logger.info("%s had lost its registration, and is registered again", self._name())
        self._trust.answered(self._clock(), lease_held=renewal is Renewal.HELD and not self._was_slow(now))
        self._next_renewal = now + self._lease_s / 3

    def _note(self, notice: Notice) -> None:
        record = notice.record
        if self._record is not None and record.name == self._record.name:
            if record.incarnation > self._record.incarnation:
                self._next_renewal = 0.0  # which finds out whether the name is really taken
            return
        if record.component_type in self._types or record.name in self._absent_since:
            self._absent_since.setdefault(record.name, None)
            self.mailbox.put(notice)

    def _find_wanted(self) -> None:
        for name, component_type in list(self._wanted.items()):
            record = self.find(component_type, name)
            self._wanted.pop(name, None)
            if record is not None:
                self.watch(record)
                self.mailbox.put(Introduced(record))

    def _read_tables(self, now: float) -> None:
        records = [record for component_type in self._types for record in self._store.records(component_type)]
        for component_type, names in list(self._guests.items()):
            records += [record for record in self._store.records(component_type) if record.name in names]
        for record in records:
            if record.name != self._name():
                self._absent_since.setdefault(record.name, None)
        leases = self._leases(now)
        counts = self._trust.absence_counts(now)
        self.mailbox.put(Sighting(now, counts, tuple(records), leases))
        for record in records:
            since = self._absent_since.get(record.name)
            if since is not None and now - since > 2 * self._lease_s and counts:
                self._store.remove_stale(record)

    def _read_leases(self, now: float) -> None:
        leases = self._leases(now)
        if leases:
            self.mailbox.put(Sighting(now, self._trust.absence_counts(now), (), leases))

    def _was_slow(self, start: float) -> bool:
        return self._clock() - start > self._lease_s / _SLOW_SHARE

    def _leases(self, now: float) -> dict[str, int | None]:
        leases = self._store.leases(list(self._absent_since))
        if self._was_slow(now):
            self._trust.failed()
        for name, incarnation in leases.items():
            since = self._absent_since[name]
            if incarnation is not None:
                self._absent_since[name] = None
            elif since is None:
                self._absent_since[name] = now
            elif now - since > _FORGET_LEASES * self._lease_s and self._trust.absence_counts(now):
                del self._absent_since[name]
        return leases
