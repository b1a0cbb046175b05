"""The settings of a Proxy, checked once, and the one place where the environment is read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from maro.communication.message import new_id
from maro.utils.exception.communication_exception import PeersMissError

NAME_LIMIT = 255
_RESERVED = set(":*,()")
"""Marks of conditional events and of Redis keys, so no part of a name."""


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is."""

    host: str
    port: int = 6379
    username: str | None = None
    password: str | None = None
    database: int = 0
    encrypted: bool = False
    """Over TLS (`rediss://`)."""

    @classmethod
    def parse(cls, address: Any) -> RedisAddress:
        """From `(host, port)`, `"host:port"`, or a URL `redis[s]://[user[:password]@]host[:port][/database]`.

        Raises:
            ValueError: it is none of these.
        """
        hint = "give (host, port), 'host:port' or 'redis://[user:password@]host:port[/database]'"
        try:
            if isinstance(address, RedisAddress):
                return address
            if isinstance(address, str):
                parts = urlsplit(address if "://" in address else f"redis://{address}")
                if parts.scheme not in ("redis", "rediss") or not parts.hostname:
                    raise ValueError(address)
                database = parts.path.strip("/")
                return cls(
                    parts.hostname,
                    parts.port or 6379,
                    unquote(parts.username) if parts.username else None,
                    unquote(parts.password) if parts.password else None,
                    int(database) if database else 0,
                    parts.scheme == "rediss",
                )
            host, port = address
            if not isinstance(host, str) or not host or not 0 < int(port) < 65536:
                raise ValueError(address)
            return cls(host, int(port))
        except (TypeError, ValueError) as error:
            shown = address.rpartition("@")[2] if isinstance(address, str) else address
            raise ValueError(f"{shown!r} is no address of a Redis server: {hint}") from error

    def client_options(self) -> dict[str, Any]:
        """As keyword arguments of a Redis client."""
        return {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "db": self.database,
            "ssl": self.encrypted,
        }

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"RedisAddress({self})"  # without the password


@dataclass(frozen=True)
class ProbeSettings:
    """What a testbed wants to see of a component, and to do to it."""

    journal_folder: str | None
    """Where to keep a journal."""
    fail_points: str
    fail_point_file: str | None
    """See `maro.communication.fail_points`."""


@dataclass(frozen=True)
class ProxySettings:
    """What a Proxy was told, in one dialect: seconds where the name says `_s`, milliseconds where it says `_ms`."""

    group_name: str
    component_type: str
    expected_peers: Mapping[str, int]
    name: str
    redis_address: RedisAddress
    max_retries: int
    """Waits for Redis and for the peers; each twice as long as the one before."""
    retry_interval_s: float
    """The first of these waits."""
    enable_rejoin: bool
    """Peers may come and go. Off, the first ones stay, and their death is an error."""
    minimal_peers: Mapping[str, int]
    """With fewer of a type present, sending waits; more of them means fewer decisions on too little data."""
    peers_catch_lifetime_s: float
    """Between two readings of the whole table; shorter finds missed changes sooner and asks Redis more."""
    enable_message_cache: bool
    """Keep what is sent to a peer that is away."""
    max_length_for_message_cache: int
    """Messages kept for each such peer; more of them takes memory, fewer makes senders wait sooner."""
    timeout_for_minimal_peers_s: float
    is_remove_failed_container: bool
    """For the agent: replace the container of a failed component, rather than start it again."""
    max_rejoin_times: int
    lease_s: float
    """A component that died without a word is noticed after at most this long, and a paused one forgotten;
    shorter is quicker, and more traffic to Redis."""
    linger_ms: int
    """How long closing waits for what is not sent yet."""
    job_id: str | None
    container_name: str | None
    advertise_host: str | None
    """The host that peers connect to; by default the address of the interface that reaches Redis."""
    probe: ProbeSettings | None = None
    """None where nobody watches."""

    def validate(self) -> ProxySettings:
        """Check every field.

        Raises:
            PeersMissError: no expected peers, or minimal peers of a type that is not expected.
            ValueError: anything else; the text names the argument and what it may be.
        """
        _check_name("group_name", self.group_name)
        _check_name("component_type", self.component_type)
        _check_name("component_name", self.name)
        if not self.expected_peers:
            raise PeersMissError(
                f"{self.name!r} expects no peers: give expected_peers the types and numbers, such as {{'actor': 4}}"
            )
        for kind, count in self.expected_peers.items():
            _check_name("a type in expected_peers", kind)
            _check_count(f"expected_peers[{kind!r}]", count)
        for kind, count in self.minimal_peers.items():
            if kind not in self.expected_peers:
                raise PeersMissError(
                    f"minimal_peers names the type {kind!r}; expected_peers has {', '.join(self.expected_peers)}"
                )
            _check_count(f"minimal_peers[{kind!r}]", count)
        _check_count("max_retries", self.max_retries)
        _check_count("max_rejoin_times", self.max_rejoin_times)
        _check_count("max_length_for_message_cache", self.max_length_for_message_cache, 1)
        _check_count("linger_ms", self.linger_ms)
        for argument, seconds in (
            ("retry_interval_base_value", self.retry_interval_s),
            ("timeout_for_minimal_peer_number", self.timeout_for_minimal_peers_s),
        ):
            if not _is_number(seconds) or seconds < 0:
                raise ValueError(f"{argument} is {seconds!r}; it is a number of seconds from 0 on")
        for argument, seconds in (("lease_s", self.lease_s), ("peers_catch_lifetime", self.peers_catch_lifetime_s)):
            if not _is_number(seconds) or seconds <= 0:
                raise ValueError(f"{argument} is {seconds!r}; it is a number of seconds above 0")
        return self


@dataclass(frozen=True)
class Environment:
    """What the environment says about this component; anything may be unset."""

    component_name: str | None
    job_id: str | None
    container_name: str | None
    advertise_host: str | None
    probe: ProbeSettings | None

    @classmethod
    def read(cls) -> Environment:
        """As it is now."""
        return cls(
            os.environ.get("COMPONENT_NAME") or None,
            os.environ.get("JOB_ID") or None,
            os.environ.get("CONTAINER_NAME") or None,
            os.environ.get("MARO_ADVERTISE_HOST") or None,
            _probe_settings(),
        )


def _probe_settings() -> ProbeSettings | None:
    journal, points, file = (
        os.environ.get(name) or None for name in ("MARO_JOURNAL", "MARO_FAIL_POINTS", "MARO_FAIL_POINT_FILE")
    )
    return ProbeSettings(journal, points or "", file) if journal or points or file else None


def group_from_environment() -> dict[str, Any]:
    """The arguments of a Proxy that a topology sets for its components.

    `COMPONENT_TYPE`; `MARO_GROUP`; `MARO_REDIS` (host:port or a URL, by default localhost:6379); `MARO_PEERS`
    (`actor=4,evaluator=1`).

    Returns:
        `group_name`, `component_type`, `expected_peers` and `redis_address`, for `Proxy(**group_from_environment())`.

    Raises:
        ValueError: a variable is missing, or is not of the form above; the text names it.
    """
    arguments = {}
    for argument, variable in (("group_name", "MARO_GROUP"), ("component_type", "COMPONENT_TYPE")):
        if not os.environ.get(variable):
            raise ValueError(f"{variable} is not set in the environment; the topology sets it for each component")
        arguments[argument] = os.environ[variable]
    return {
        **arguments,
        "expected_peers": _parse_peers(os.environ.get("MARO_PEERS", "")),
        "redis_address": RedisAddress.parse(os.environ.get("MARO_REDIS") or "localhost:6379"),
    }


def default_name(component_type: str) -> str:
    """A name that nobody else has."""
    return f"{component_type}_proxy_{new_id()}"


def _parse_peers(text: str) -> dict[str, int]:
    peers = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, count = part.partition("=")
        if not kind.strip() or not count.strip().isdecimal():
            raise ValueError(f"MARO_PEERS has {part!r}; it is a list such as 'actor=4,evaluator=1'")
        peers[kind.strip()] = int(count)
    return peers


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not name or len(name.encode()) > NAME_LIMIT or _RESERVED & set(name):
        raise ValueError(
            f"{what} is {name!r}; it is a text of 1 to {NAME_LIMIT} bytes without {' '.join(sorted(_RESERVED))}"
        )


def _check_count(what: str, count: Any, least: int = 0) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < least:
        raise ValueError(f"{what} is {count!r}; it is a whole number from {least} on")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
