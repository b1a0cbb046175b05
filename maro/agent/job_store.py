"""What the agent reads and writes in Redis: a job's keys, and the registrations of dead components.

    job:{JOB_ID}:runtime_details   hash    read: rejoin settings, the job's and, with `{name}:` in front, a component's
    job:{JOB_ID}:rejoin_component_name_to_container_name
                                   hash    read: name -> what its container is called by those inside
    job:{JOB_ID}:restarts          hash    name -> restarts by the agent
    job:{JOB_ID}:agent             hash    `{name}:counted`, the run that was counted last; `{name}:closed`, the run
                                           after which it stays down; `{name}:given_up`, whether that is why
    job:{JOB_ID}:agent_in_charge   string  an agent that took the components' restart policies away; expires
    job:{JOB_ID}:kill_all          string  why the whole job is to end
    job:{JOB_ID}:lock:{name}       string  which agent is restarting the component; expires

Registrations are ended by the group's own store, which compares and sets. Everything expires; the agent renews it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from maro.agent.description import DEFAULT_MAX_RESTARTS
from maro.agent.facts import Known, RejoinSettings
from maro.communication.observations import NoticeKind, PeerRecord
from maro.communication.redis_store import RedisStore
from maro.communication.registration import StoreUnavailableError
from maro.communication.settings import RedisAddress

KEPT_S = 600
"""How long the job's keys outlive the last agent."""
LOCK_S = 1.0
"""A lock that is not asked for again is free after that: its agent is no more. One that stalls for longer may find that
another agent has done the same work, which does no harm."""
_CONTAINERS = "rejoin_component_name_to_container_name"
_IN_CHARGE = "agent_in_charge"
_PATIENCE_S = 1.0
_LEASE_S = 5.0
"""Of the components; for the expiry of what a deregistration writes."""
_ATTEMPTS = 20


class JobStore:
    """The keys of one job in a Redis server. Every method may raise StoreUnavailableError.

    Args:
        address: of the server.
        job: its id.
        agent: a name for this agent that no other has.
    """

    def __init__(self, address: RedisAddress, job: str, agent: str) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._address = address
        self._prefix = f"job:{job}"
        self._agent = agent
        self._client: Any = redis.Redis(
            **address.client_options(),
            protocol=2,
            socket_timeout=_PATIENCE_S,
            socket_connect_timeout=_PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="replace",
        )
        self._groups: dict[str, RedisStore] = {}

    def __repr__(self) -> str:
        return f"JobStore({self._prefix!r}, {self._address})"

    def known(self, component: str, container_name: str = "") -> Known:
        """What there is on a component.

        Args:
            component: its name.
            container_name: what its container is called by those inside. What one of them has published under a name
                that only its code knows counts where nothing was published under this one.
        """
        with self._mapped(), self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key("runtime_details"))
            pipe.hget(self._key("restarts"), component)
            pipe.hmget(self._key("agent"), [f"{component}:{field}" for field in ("counted", "closed", "given_up")])
            pipe.hgetall(self._key(_CONTAINERS))
            details, restarts, (counted, closed, given_up), containers = pipe.execute()
        names = tuple(name for name in _names_in(containers, container_name) if name != component)
        published = (_settings(details, name) for name in (component, *names))
        settings = next((found for found in published if found is not None), None)
        return Known(_number(restarts, 0), settings, counted, closed, given_up == "1", names)

    def count_restart(self, component: str, run: str, restarts: int) -> None:
        """Keep the number of restarts, unless a greater one is there; two agents that count the same run count once."""
        import redis

        key = self._key("restarts")
        with self._mapped(), self._client.pipeline() as pipe:
            for _ in range(_ATTEMPTS):
                try:
                    pipe.watch(key)
                    stored = _number(pipe.hget(key, component), 0)
                    pipe.multi()
                    pipe.hset(key, component, max(stored, restarts))
                    pipe.hset(self._key("agent"), f"{component}:counted", run)
                    self._renew(pipe)
                    pipe.execute()
                    return
                except redis.WatchError:
                    continue
        raise StoreUnavailableError(f"the restarts of {component!r} changed {_ATTEMPTS} times while they were counted")

    def close_component(self, component: str, run: str, given_up: bool) -> None:
        """Keep that a component is to stay down after this run."""
        with self._mapped(), self._client.pipeline() as pipe:
            pipe.hset(self._key("agent"), mapping={f"{component}:closed": run, f"{component}:given_up": int(given_up)})
            self._renew(pipe)
            pipe.execute()

    def kill_all(self) -> str | None:
        """Why the whole job is to end; None if it is not."""
        with self._mapped():
            return cast("str | None", self._client.get(self._key("kill_all")))

    def set_kill_all(self, reason: str) -> None:
        """Keep that the whole job is to end."""
        with self._mapped():
            self._client.set(self._key("kill_all"), reason, ex=KEPT_S)

    def clear_kill_all(self) -> None:
        """Forget it: it has been done."""
        with self._mapped():
            self._client.delete(self._key("kill_all"))

    def lock(self, component: str) -> float:
        """Have it known that this agent restarts a component, for `LOCK_S` more.

        Returns:
            0 if it may; else the seconds after which the lock of the agent that does is free, unless that keeps it.
        """
        key, lasts_ms = self._key(f"lock:{component}"), int(LOCK_S * 1000)
        with self._mapped():
            if self._client.set(key, self._agent, nx=True, px=lasts_ms):
                return 0.0
            if self._change_lock(component, lambda pipe: pipe.pexpire(key, lasts_ms)):
                return 0.0
            left_ms = int(self._client.pttl(key))
        return max(left_ms, 1) / 1000

    def unlock(self, component: str) -> None:
        """Let others restart it the next time."""
        key = self._key(f"lock:{component}")
        with self._mapped():
            self._change_lock(component, lambda pipe: pipe.delete(key))

    def _change_lock(self, component: str, change: Callable[[Any], object]) -> bool:
        """Change a lock if it is this agent's; whether it was."""
        import redis

        key = self._key(f"lock:{component}")
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(key)
                if pipe.get(key) != self._agent:
                    return False
                pipe.multi()
                change(pipe)
                pipe.execute()
            except redis.WatchError:
                return False
        return True

    def renew(self, *, takes_over: bool = False) -> None:
        """Keep what there is for another term.

        Args:
            takes_over: have components know that it is an agent that restarts them.
        """
        with self._mapped(), self._client.pipeline(transaction=False) as pipe:
            self._renew(pipe)
            if takes_over:
                pipe.set(self._key(_IN_CHARGE), self._agent, ex=KEPT_S)
            pipe.execute()

    def has_agent_in_charge(self) -> bool:
        """Whether an agent has said that it restarts the job's components, instead of restart policies."""
        with self._mapped():
            return bool(self._client.exists(self._key(_IN_CHARGE)))

    # Registrations.

    def registration(self, group: str, component_type: str, component: str) -> tuple[PeerRecord | None, bool]:
        """What a group holds of a component: its record, and whether its history says that it has left.

        Where there is no record any more, one without addresses that has the last incarnation stands for it.
        """
        record = next((found for found in self._group(group).records(component_type) if found.name == component), None)
        with self._mapped():
            text = self._client.hget(f"{group}:names:{component_type}", component)
        try:
            history = json.loads(text) if text else {}
            incarnation, has_left = int(history.get("incarnation", 0)), bool(history.get("left"))
        except (ValueError, TypeError, AttributeError):
            incarnation, has_left = 0, False
        if record is None and incarnation > 0:
            return PeerRecord(component, component_type, incarnation, {}), has_left
        return record, False

    def names_in(self, container_name: str) -> list[str]:
        """The names under which components have registered from a container that they say is called so."""
        with self._mapped():
            return _names_in(self._client.hgetall(self._key(_CONTAINERS)), container_name)

    def incarnation(self, group: str, component: str) -> int | None:
        """The incarnation that holds the lease of a component's name."""
        return self._group(group).leases([component])[component]

    def deregister(self, group: str, record: PeerRecord, kind: NoticeKind) -> None:
        """End a registration, if no younger incarnation has the name, and tell the group."""
        self._group(group).deregister(record, kind)

    def close(self) -> None:
        """Close the connections."""
        for store in self._groups.values():
            store.close()
        self._client.close()

    def _group(self, group: str) -> RedisStore:
        if group not in self._groups:
            self._groups[group] = RedisStore(self._address, group, _LEASE_S, ())
        return self._groups[group]

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    def _renew(self, pipe: Any) -> None:
        for name in ("runtime_details", "restarts", "agent", "kill_all", _CONTAINERS):
            pipe.expire(self._key(name), KEPT_S)

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        import redis

        try:
            yield
        except redis.WatchError:
            raise
        except (redis.RedisError, OSError, ValueError, AttributeError) as error:
            raise StoreUnavailableError(f"Redis at {self._address} does not answer: {error}") from error


def agent_is_in_charge(job: str, redis_address: str) -> bool:
    """Whether an agent has said that it restarts a job's components; no where there is no answer within a second.

    Args:
        job: its id.
        redis_address: host:port or URL.
    """
    try:
        store = JobStore(RedisAddress.parse(redis_address), job, "")
    except ValueError:
        return False
    try:
        return store.has_agent_in_charge()
    except StoreUnavailableError:
        return False
    finally:
        store.close()


def _settings(details: dict[str, str], component: str) -> RejoinSettings | None:
    """What a component has published of itself; None if nothing."""
    enable = details.get(f"{component}:rejoin:enable")
    if enable is None:
        return None
    return RejoinSettings(
        enable == "1",
        _number(details.get(f"{component}:rejoin:max_restart_times"), DEFAULT_MAX_RESTARTS),
        details.get(f"{component}:is_remove_failed_container") == "1",
    )


def _names_in(containers: dict[str, str], container_name: str) -> list[str]:
    return sorted(name for name, told in containers.items() if container_name and told == container_name)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default
