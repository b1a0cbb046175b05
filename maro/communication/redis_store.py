"""The group's store in Redis. The only module that uses `redis`; which is imported with the first Proxy.

    {group}:{type}         hash    name -> JSON: socket type -> endpoint, and "incarnation"
    {group}:lease:{name}   string  incarnation; expires
    {group}:names:{type}   hash    name -> JSON: last incarnation, unclean ends, whether it left; outlives the record
    {group}:events         channel JSON notices
    job:{JOB_ID}:…         what the agent reads

Every write to a name's entries sets or deletes its lease key in the same transaction, so watching that one key is
enough for compare-and-set, and components that join at the same time do not get in each other's way. WATCH / MULTI
rather than scripts, because the embedded server runs none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeGuard, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.communication.registration import (
    GroupStore,
    History,
    JobDetails,
    Registration,
    Renewal,
    StoreRefusedError,
    StoreUnavailableError,
    judge_renewal,
    succeed,
)
from maro.communication.settings import NAME_LIMIT, RedisAddress
from maro.utils.exception.communication_exception import RejoinBudgetError

HISTORY_LEASES = 24
"""The history of a name outlives the last component that renews it by so many lease times: a container that takes its
time to come back still finds its restarts counted."""
_ATTEMPTS = 50
"""A transaction fails only when another start of the same name got in between; more often than this is a fault."""


class RedisStore(GroupStore):
    """The store of one group in a Redis server.

    Args:
        address: of the server.
        group: the group's name.
        lease_s: seconds that a registration holds without being renewed.
        kept_types: the types whose histories this component keeps alive, its own and those that it expects.
    """

    def __init__(self, address: RedisAddress, group: str, lease_s: float, kept_types: Iterable[str]) -> None:
        self._address = address
        self._group = group
        self._lease_ms = max(1, int(lease_s * 1000))
        self._history_ms = self._lease_ms * HISTORY_LEASES
        self._kept_types = tuple(kept_types)
        self._patience_s = patience_s = max(1.0, lease_s / 3)
        with _errors_of(address):
            self._client: Any = redis.Redis(
                **address.client_options(),
                protocol=2,
                socket_timeout=patience_s,
                socket_connect_timeout=patience_s,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
                encoding_errors="replace",  # an entry that is no text must not hide the others
            )
        self._pubsub: Any = None

    def outward_host(self) -> str:
        """The address of this machine on the way to Redis."""
        with _errors_of(self._address):
            connection = self._client.connection_pool.get_connection()
            try:
                host = connection._sock.getsockname()[0]
            finally:
                self._client.connection_pool.release(connection)
        return str(host)

    def register(self, registration: Registration) -> PeerRecord:
        """Take the name for a new incarnation, and tell the group; RejoinBudgetError where it is given up."""
        name, component_type = registration.name, registration.component_type

        def attempt(pipe: Any) -> PeerRecord:
            seconds, micros = pipe.time()
            old = _load_record(name, component_type, pipe.hget(self._table(component_type), name))
            history = _load_history(pipe.hget(self._names(component_type), name))
            last = old.incarnation if old else 0
            try:
                new = succeed(name, history, last, seconds * 1_000_000 + micros, registration.max_rejoin_times)
            except RejoinBudgetError:
                given_up = PeerRecord(name, component_type, max(last, history.incarnation), {})
                pipe.multi()
                self._publish(pipe, Notice(NoticeKind.GIVEN_UP, given_up))
                pipe.execute()
                raise
            record = PeerRecord(name, component_type, new.incarnation, registration.addresses)
            pipe.multi()
            self._store(pipe, record, new, registration.job)
            kind = NoticeKind.REJOIN if history.incarnation or old else NoticeKind.JOIN
            self._publish(pipe, Notice(kind, record))
            pipe.execute()
            return record

        return cast(PeerRecord, self._compare_and_set(name, attempt))

    def renew(self, registration: Registration, record: PeerRecord) -> Renewal:
        """Keep the registration for another term; SupersededError where a newer incarnation has the name."""
        name, component_type = record.name, record.component_type

        def attempt(pipe: Any) -> Renewal:
            lease = pipe.get(self._lease(name))
            stored = _load_record(name, component_type, pipe.hget(self._table(component_type), name))
            history = _load_history(pipe.hget(self._names(component_type), name))
            renewal = judge_renewal(
                record.incarnation, _load_lease(lease), stored.incarnation if stored else None, history.incarnation
            )
            pipe.multi()
            kept = History(record.incarnation, history.unclean_ends, left=False)
            self._store(pipe, record, kept, registration.job)
            if renewal is Renewal.RESTORED:
                self._publish(pipe, Notice(NoticeKind.REJOIN, record))
            pipe.execute()
            return renewal

        return cast(Renewal, self._compare_and_set(name, attempt))

    def deregister(self, record: PeerRecord, kind: NoticeKind) -> None:
        """End a registration, if it is still this incarnation's, and tell the group how it ended."""
        name, component_type = record.name, record.component_type

        def attempt(pipe: Any) -> None:
            lease = _load_lease(pipe.get(self._lease(name)))
            stored = _load_record(name, component_type, pipe.hget(self._table(component_type), name))
            history = _load_history(pipe.hget(self._names(component_type), name))
            newest = max(lease or 0, stored.incarnation if stored else 0, history.incarnation)
            if newest > record.incarnation:
                pipe.unwatch()
                return
            pipe.multi()
            pipe.hdel(self._table(component_type), name)
            pipe.delete(self._lease(name))
            ended = History(record.incarnation, history.unclean_ends, left=kind is NoticeKind.LEFT)
            pipe.hset(self._names(component_type), name, _dump_history(ended))
            pipe.pexpire(self._names(component_type), self._history_ms)
            self._publish(pipe, Notice(kind, record))
            pipe.execute()

        self._compare_and_set(name, attempt)

    def announce(self, notice: Notice) -> None:
        """Tell the group."""
        with _errors_of(self._address):
            self._publish(self._client, notice)

    def records(self, component_type: str) -> list[PeerRecord]:
        """The records of all components of a type, leases or not; entries that are none are passed over."""
        with _errors_of(self._address):
            table = self._client.hgetall(self._table(component_type))
        loaded = (_load_record(name, component_type, text) for name, text in table.items())
        return [record for record in loaded if record is not None]

    def leases(self, names: Iterable[str]) -> dict[str, int | None]:
        """Which incarnation holds the lease of each name."""
        asked = list(names)
        if not asked:
            return {}
        with _errors_of(self._address):
            values = self._client.mget([self._lease(name) for name in asked])
        return {name: _load_lease(value) for name, value in zip(asked, values, strict=True)}

    def remove_stale(self, record: PeerRecord) -> None:
        """Remove a record that has no lease, unless either has changed."""

        def attempt(pipe: Any) -> None:
            stored = _load_record(
                record.name, record.component_type, pipe.hget(self._table(record.component_type), record.name)
            )
            lease = pipe.get(self._lease(record.name))
            pipe.multi()
            if lease is None and stored == record:
                pipe.hdel(self._table(record.component_type), record.name)
                pipe.delete(self._lease(record.name))
            pipe.execute()

        self._compare_and_set(record.name, attempt)

    def subscribe(self) -> None:
        """From now on keep the group's notices until they are asked for."""
        with _errors_of(self._address):
            if self._pubsub is not None:
                self._pubsub.close()
            self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(self._channel())
            # Before it is confirmed it does not hold, and the table would be read too early.
            confirmation = self._pubsub.parse_response(block=False, timeout=self._patience_s)
            if confirmation is None:
                raise redis.TimeoutError("the subscription was not confirmed")
            self._pubsub.handle_message(confirmation)

    def notices(self) -> list[Notice]:
        """The notices that came since the last call; what is none is passed over."""
        found = []
        with _errors_of(self._address):
            # A confirmation counts as nothing received, so the socket is asked, not the answer.
            while self._pubsub.connection.can_read(timeout=0):
                message = self._pubsub.get_message(timeout=0)
                notice = _load_notice(message["data"]) if message else None
                if notice is not None:
                    found.append(notice)
        return found

    def notice_fd(self) -> int | None:
        """The subscription's socket; None while there is none."""
        connection = getattr(self._pubsub, "connection", None)
        sock = getattr(connection, "_sock", None)
        return None if sock is None else int(sock.fileno())

    def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(redis.RedisError, OSError):
            if self._pubsub is not None:
                self._pubsub.close()
            self._client.close()

    # Keys and transactions.

    def _table(self, component_type: str) -> str:
        return f"{self._group}:{component_type}"

    def _names(self, component_type: str) -> str:
        return f"{self._group}:names:{component_type}"

    def _lease(self, name: str) -> str:
        return f"{self._group}:lease:{name}"

    def _channel(self) -> str:
        return f"{self._group}:events"

    def _compare_and_set(self, name: str, attempt: Callable[[Any], Any]) -> Any:
        with _errors_of(self._address), self._client.pipeline() as pipe:
            for _ in range(_ATTEMPTS):
                try:
                    pipe.watch(self._lease(name))
                    return attempt(pipe)
                except redis.WatchError:
                    continue
                finally:
                    pipe.reset()
        raise StoreUnavailableError(f"the registration of {name!r} changed {_ATTEMPTS} times while it was written")

    def _store(self, pipe: Any, record: PeerRecord, history: History, job: JobDetails | None) -> None:
        table = self._table(record.component_type)
        pipe.set(self._lease(record.name), record.incarnation, px=self._lease_ms)
        pipe.hset(table, record.name, _dump_record(record))
        pipe.pexpire(table, self._lease_ms)
        pipe.hset(self._names(record.component_type), record.name, _dump_history(history))
        for component_type in self._kept_types:
            pipe.pexpire(self._names(component_type), self._history_ms)
        if job is not None:
            self._store_job(pipe, record.name, job)

    def _store_job(self, pipe: Any, name: str, job: JobDetails) -> None:
        settings = {
            "rejoin:enable": int(job.enable_rejoin),
            "rejoin:max_restart_times": job.max_rejoin_times,
            "is_remove_failed_container": int(job.is_remove_failed_container),
        }
        details = f"job:{job.job_id}:runtime_details"
        containers = f"job:{job.job_id}:rejoin_component_name_to_container_name"
        for key, value in settings.items():
            pipe.hset(details, f"{name}:{key}", value)
            pipe.hsetnx(details, key, value)
        pipe.hset(containers, name, job.container_name)
        for key in (details, containers):
            pipe.pexpire(key, self._history_ms)

    def _publish(self, pipe: Any, notice: Notice) -> None:
        record = notice.record
        text = {
            "kind": notice.kind.value,
            "type": record.component_type,
            "name": record.name,
            "incarnation": record.incarnation,
            "addresses": dict(record.addresses),
        }
        pipe.publish(self._channel(), json.dumps(text))


@contextlib.contextmanager
def _errors_of(address: RedisAddress) -> Iterator[None]:
    """Map what `redis` raises, in one place."""
    try:
        yield
    except redis.WatchError:
        raise
    except redis.BusyLoadingError as error:
        raise StoreUnavailableError(f"Redis at {address} is still loading: {error}") from error
    except (redis.AuthenticationError, redis.ResponseError) as error:
        raise StoreRefusedError(f"Redis at {address} refuses: {error}") from error
    except (redis.RedisError, OSError, ValueError, AttributeError) as error:
        # A connection that another thread's outage closed shows as ValueError or AttributeError.
        raise StoreUnavailableError(f"Redis at {address} does not answer: {error}") from error


def _dump_record(record: PeerRecord) -> str:
    return json.dumps({**record.addresses, "incarnation": record.incarnation})


def _load_record(name: str, component_type: str, text: str | None) -> PeerRecord | None:
    fields = _load_json(text)
    incarnation = fields.get("incarnation")
    if not _is_incarnation(incarnation) or not _is_name(name):
        return None
    addresses = {key: value for key, value in fields.items() if key.isdecimal() and isinstance(value, str)}
    return PeerRecord(name, component_type, incarnation, addresses)


def _dump_history(history: History) -> str:
    return json.dumps({"incarnation": history.incarnation, "unclean_ends": history.unclean_ends, "left": history.left})


def _load_history(text: str | None) -> History:
    fields = _load_json(text)
    incarnation, unclean_ends = fields.get("incarnation"), fields.get("unclean_ends")
    if not _is_incarnation(incarnation) or not isinstance(unclean_ends, int):
        return History()
    return History(incarnation, unclean_ends, bool(fields.get("left")))


def _load_notice(text: str) -> Notice | None:
    fields = _load_json(text)
    try:
        addresses = {str(key): str(value) for key, value in fields["addresses"].items()}
        record = PeerRecord(str(fields["name"]), str(fields["type"]), fields["incarnation"], addresses)
        known = _is_incarnation(record.incarnation) and _is_name(record.name) and _is_name(record.component_type)
        return Notice(NoticeKind(fields["kind"]), record) if known else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _load_json(text: str | None) -> dict[str, Any]:
    try:
        fields = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _load_lease(text: str | None) -> int | None:
    try:
        number = 0 if text is None else int(text)
    except ValueError:
        return None
    return number if _is_incarnation(number) else None


def _is_incarnation(value: Any) -> TypeGuard[int]:
    """Whether it can be one: envelopes have 64 bits for it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63


def _is_name(name: str) -> bool:
    """Whether it fits into an envelope."""
    return 0 < len(name.encode(errors="replace")) <= NAME_LIMIT
