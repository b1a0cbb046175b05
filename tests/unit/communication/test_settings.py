"""Settings are checked once, and say which argument is wrong."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.communication.settings import (
    Environment,
    ProbeSettings,
    ProxySettings,
    RedisAddress,
    default_name,
    group_from_environment,
)
from maro.utils.exception.communication_exception import PeersMissError

GOOD = ProxySettings(
    group_name="group",
    component_type="learner",
    expected_peers={"actor": 2},
    name="learner_0",
    redis_address=RedisAddress("localhost"),
    max_retries=10,
    retry_interval_s=0.1,
    enable_rejoin=False,
    minimal_peers={"actor": 1},
    peers_catch_lifetime_s=10,
    enable_message_cache=False,
    max_length_for_message_cache=1024,
    timeout_for_minimal_peers_s=300,
    is_remove_failed_container=False,
    max_rejoin_times=5,
    lease_s=5.0,
    linger_ms=1000,
    job_id=None,
    container_name=None,
    advertise_host=None,
)


def changed(**fields: Any) -> ProxySettings:
    return dataclasses.replace(GOOD, **fields)


def test_good_settings_pass() -> None:
    """And validate to themselves."""
    assert GOOD.validate() is GOOD
    assert changed(max_retries=0, minimal_peers={}, linger_ms=0, retry_interval_s=0).validate()


@pytest.mark.parametrize("expected", [{}, None])
def test_no_expected_peers_is_an_error_of_its_own(expected: Any) -> None:
    """A component without peers has nobody to talk to."""
    with pytest.raises(PeersMissError, match="expected_peers"):
        changed(expected_peers=expected).validate()


def test_minimal_peers_are_of_expected_types() -> None:
    """The text names both."""
    with pytest.raises(PeersMissError, match=r"'critic'.*actor"):
        changed(minimal_peers={"critic": 1}).validate()


@pytest.mark.parametrize(
    ("field", "argument"),
    [("group_name", "group_name"), ("component_type", "component_type"), ("name", "component_name")],
)
@pytest.mark.parametrize("value", ["", "a:b", "a*", "a,b", "(a", "a)", "x" * 256, "ä" * 128, None, 3, b"a"])
def test_a_bad_name_is_refused(field: str, argument: str, value: Any) -> None:
    """Marks of events and keys, too long in UTF-8, or no text."""
    with pytest.raises(ValueError, match=argument):
        changed(**{field: value}).validate()


@pytest.mark.parametrize("count", [-1, 1.0, "1", True, None])
def test_a_bad_number_of_peers_is_refused(count: Any) -> None:
    """By the type that it is of."""
    with pytest.raises(ValueError, match=r"expected_peers\['actor'\]"):
        changed(expected_peers={"actor": count}).validate()
    with pytest.raises(ValueError, match=r"minimal_peers\['actor'\]"):
        changed(minimal_peers={"actor": count}).validate()


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("max_retries", "max_retries"),
        ("max_rejoin_times", "max_rejoin_times"),
        ("linger_ms", "linger_ms"),
        ("max_length_for_message_cache", "max_length_for_message_cache"),
    ],
)
@pytest.mark.parametrize("value", [-1, 2.5, math.inf, math.nan, "3", True, None])
def test_a_bad_count_is_refused(field: str, argument: str, value: Any) -> None:
    """Counts and milliseconds are whole."""
    with pytest.raises(ValueError, match=argument):
        changed(**{field: value}).validate()


@pytest.mark.parametrize(
    ("field", "argument", "zero"),
    [
        ("retry_interval_s", "retry_interval_base_value", True),
        ("timeout_for_minimal_peers_s", "timeout_for_minimal_peer_number", True),
        ("lease_s", "lease_s", False),
        ("peers_catch_lifetime_s", "peers_catch_lifetime", False),
    ],
)
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, "3", True, None])
def test_a_bad_duration_is_refused(field: str, argument: str, zero: bool, value: Any) -> None:
    """A number of seconds that ends; zero only where it means something."""
    with pytest.raises(ValueError, match=argument):
        changed(**{field: value}).validate()
    if zero:
        changed(**{field: 0}).validate()
    else:
        with pytest.raises(ValueError, match=argument):
            changed(**{field: 0}).validate()


def test_a_cache_of_none_is_refused() -> None:
    """One that is off is switched off otherwise."""
    with pytest.raises(ValueError, match="max_length_for_message_cache is 0"):
        changed(max_length_for_message_cache=0).validate()


hosts = st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z0-9]", fullmatch=True)
ports = st.integers(1, 65535)


@given(hosts, ports)
def test_an_address_can_be_written_in_three_ways(host: str, port: int) -> None:
    """They mean the same."""
    wanted = RedisAddress(host, port)
    for address in ((host, port), [host, str(port)], f"{host}:{port}", f"redis://{host}:{port}", wanted):
        assert RedisAddress.parse(address) == wanted
    assert RedisAddress.parse(host) == RedisAddress(host, 6379)
    assert str(wanted) == f"{host}:{port}"


def test_a_url_has_user_password_and_database() -> None:
    """Percent signs protect what has a meaning in URLs; the password is shown nowhere."""
    address = RedisAddress.parse("rediss://me:p%40ss%3A@example.org:7000/3")
    assert address == RedisAddress("example.org", 7000, "me", "p@ss:", 3, True)
    assert address.client_options() == {
        "host": "example.org",
        "port": 7000,
        "username": "me",
        "password": "p@ss:",
        "db": 3,
        "ssl": True,
    }
    assert "p@ss" not in f"{address}{address!r}"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://localhost",
        "localhost:port",
        "localhost:70000",
        "redis://",
        "redis://:secret@:1",
        "redis://u:secret@localhost:1/db",
        ("localhost",),
        ("localhost", 0),
        ("localhost", 70000),
        ("", 1),
        (1, 2),
        ("localhost", None),
        None,
        7,
    ],
)
def test_a_bad_address_is_refused(address: Any) -> None:
    """The text says what it may be, and keeps the password."""
    with pytest.raises(ValueError, match="host:port") as caught:
        RedisAddress.parse(address)
    assert "secret" not in str(caught.value)


def test_names_nobody_chose_are_unique_and_tell_the_type() -> None:
    """And are names themselves."""
    names = {default_name("actor") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("actor_proxy_") for name in names)
    changed(name=names.pop()).validate()


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is none."""
    assert Environment.read() == Environment(None, None, None, None, None)
    monkeypatch.setenv("COMPONENT_NAME", "a")
    monkeypatch.setenv("JOB_ID", "")
    monkeypatch.setenv("MARO_ADVERTISE_HOST", "10.0.0.1")
    assert Environment.read() == Environment("a", None, None, "10.0.0.1", None)
    monkeypatch.setenv("MARO_JOURNAL", "journals")
    monkeypatch.setenv("MARO_FAIL_POINT_FILE", "")
    assert Environment.read().probe == ProbeSettings("journals", "", None)
    monkeypatch.setenv("MARO_JOURNAL", "")
    monkeypatch.setenv("MARO_FAIL_POINTS", "after-join=kill")
    assert Environment.read().probe == ProbeSettings(None, "after-join=kill", None)


def test_a_topology_sets_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """As arguments of a Proxy."""
    monkeypatch.setenv("MARO_GROUP", "g")
    monkeypatch.setenv("COMPONENT_TYPE", "learner")
    monkeypatch.setenv("MARO_PEERS", "actor=4, evaluator = 1,")
    assert group_from_environment() == {
        "group_name": "g",
        "component_type": "learner",
        "expected_peers": {"actor": 4, "evaluator": 1},
        "redis_address": RedisAddress("localhost", 6379),
    }
    monkeypatch.setenv("MARO_REDIS", "redis://:pw@r:1")
    assert group_from_environment()["redis_address"] == RedisAddress("r", 1, None, "pw")


@pytest.mark.parametrize("missing", ["MARO_GROUP", "COMPONENT_TYPE"])
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The topology forgot it."""
    for variable in {"MARO_GROUP", "COMPONENT_TYPE"} - {missing}:
        monkeypatch.setenv(variable, "x")
    with pytest.raises(ValueError, match=missing):
        group_from_environment()


@pytest.mark.parametrize("text", ["actor", "actor=", "=3", "actor=-1", "actor=x", "actor=1=2", "actor=1.5"])
def test_peers_that_can_not_be_read_are_quoted(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """With an example of what it should be."""
    monkeypatch.setenv("MARO_GROUP", "g")
    monkeypatch.setenv("COMPONENT_TYPE", "x")
    monkeypatch.setenv("MARO_PEERS", f"critic=1,{text}")
    with pytest.raises(ValueError, match="MARO_PEERS has") as caught:
        group_from_environment()
    assert repr(text) in str(caught.value)
