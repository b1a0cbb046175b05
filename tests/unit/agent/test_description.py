"""What an engine's description says to the agent, and what it asks for to get another container like it."""

from __future__ import annotations

from typing import Any

import pytest

from maro.agent import description
from maro.agent.facts import RejoinSettings, Status

ID = "0123456789abcdef" * 4
EMPTY = "0001-01-01T00:00:00Z"


def described(**config: Any) -> dict[str, Any]:
    """A container as Compose makes them, in short."""
    return {
        "Id": ID,
        "Name": "/job-actor-1",
        "Image": "sha256:1",
        "State": {
            "Status": "exited",
            "ExitCode": 137,
            "OOMKilled": True,
            "StartedAt": "2026-01-02T03:04:05.123456789Z",
            "FinishedAt": "2026-01-02T03:05:05Z",
        },
        "Config": {
            "Hostname": "there",
            "Env": ["COMPONENT_TYPE=actor", "MARO_GROUP=rollout", "EQUATION=a=b"],
            "Labels": {"maro.job": "job", "com.docker.compose.service": "actor"},
            "Image": "maro:latest",
            "Volumes": None,
            **config,
        },
        "HostConfig": {
            "NetworkMode": "job_default",
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "Binds": ["/host:/inside:ro"],
            "Mounts": [{"Type": "volume", "Target": "/asked"}],
            "Memory": 1 << 20,
        },
        "Mounts": [
            {"Type": "bind", "Source": "/host", "Destination": "/inside", "RW": False},
            {"Type": "volume", "Name": "one", "Destination": "/asked", "RW": True},
            {"Type": "volume", "Name": "two", "Destination": "/of-the-image", "RW": True},
        ],
        "NetworkSettings": {
            "Networks": {
                "job_default": {"Aliases": ["actor", ID[:12]], "NetworkID": "n1", "IPAddress": "10.0.0.2"},
                "other": {"Aliases": None, "NetworkID": "n2", "IPAMConfig": {"IPv4Address": "10.1.0.9"}},
            }
        },
    }


def test_a_description_is_read() -> None:
    """All that decisions are made from."""
    found = description.container_of(described())
    assert found is not None
    assert (found.name, found.component, found.component_type, found.group) == (
        "job-actor-1",
        "actor_proxy_there",
        "actor",
        "rollout",
    )
    assert (found.status, found.exit_code, found.out_of_memory) == (Status.ENDED, 137, True)
    assert found.finished_at_s - found.started_at_s == pytest.approx(59.876543211)
    assert (found.stop_signal, found.restarts_itself, found.labelled) == ("15", False, None)


def test_a_component_is_called_as_its_environment_says() -> None:
    """Else as the entry point would call it."""
    found = description.container_of(described(Env=["COMPONENT_TYPE=actor", "COMPONENT_NAME=mine"]))
    assert found is not None
    assert found.component == "mine"


def test_what_has_no_type_is_no_component_and_neither_is_an_agent() -> None:
    """Redis, and the agent in an image whose environment has a type."""
    for config in ({"Env": []}, {"Labels": {"maro.role": "agent"}}):
        found = description.container_of(described(**config))
        assert found is not None
        assert found.component is None


def test_labels_tell_how_to_restart() -> None:
    """Those that a topology sets for the time before the join."""
    labels = {"maro.rejoin.enable": "1", "maro.rejoin.max-restart-times": "7", "maro.is-remove-failed-container": "1"}
    found = description.container_of(described(Labels=labels))
    assert found is not None
    assert found.labelled == RejoinSettings(True, 7, True)


@pytest.mark.parametrize("status", ["removing", "dead"])
def test_a_container_that_is_being_removed_is_not_there(status: str) -> None:
    """Nothing can be done with it."""
    half = described()
    half["State"]["Status"] = status
    assert description.container_of(half) is None


@pytest.mark.parametrize(
    ("name", "number"), [("SIGTERM", "15"), ("int", "2"), ("9", "9"), ("SIGRTMIN+3", "SIGRTMIN+3")]
)
def test_signals_are_compared_by_number(name: str, number: str) -> None:
    """Images write them by name, with or without SIG, and events by number."""
    assert description.signal_number(name) == number


def test_a_time_that_never_was_is_zero() -> None:
    """A container that has not run."""
    assert description.seconds_of(EMPTY) == 0.0


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.250000000Z", 60.25),
        ("1970-01-01T02:01:00.25+02:00", 60.25),
        ("1969-12-31T19:31:00-04:30", 60.0),
    ],
)
def test_times_are_read_in_any_time_zone(timestamp: str, seconds: float) -> None:
    """The engine writes its own time in that of its machine."""
    assert description.seconds_of(timestamp) == pytest.approx(seconds)


def test_a_successor_is_asked_for_with_all_that_its_predecessor_had() -> None:
    """Labels, hostname, limits, volumes, the network with its aliases; and the name of the component outright."""
    # When one is asked for
    request = description.successor_request(described(), "actor_proxy_there")
    # Then it has what the failed one had
    assert request["Hostname"] == "there"
    assert request["Labels"] == {"maro.job": "job", "com.docker.compose.service": "actor", "maro.replaces": ID}
    assert dict(item.split("=", 1) for item in request["Env"]) == {
        "COMPONENT_TYPE": "actor",
        "MARO_GROUP": "rollout",
        "EQUATION": "a=b",
        "COMPONENT_NAME": "actor_proxy_there",
        "CONTAINER_NAME": "there",
    }
    assert request["HostConfig"]["Memory"] == 1 << 20
    # And its volumes, also those without a name
    assert request["HostConfig"]["Binds"] == ["/host:/inside:ro", "two:/of-the-image:rw"]
    assert request["HostConfig"]["Mounts"] == [{"Type": "volume", "Target": "/asked", "Source": "one"}]
    # And its networks, without what the engine had chosen
    assert request["NetworkingConfig"] == {"EndpointsConfig": {"job_default": {"Aliases": ["actor"]}}}
    assert description.other_networks(described()) == {"other": {"IPAMConfig": {"IPv4Address": "10.1.0.9"}}}


def test_a_successor_that_shares_a_containers_network_has_no_hostname_of_its_own() -> None:
    """The engine refuses both together."""
    shared = described()
    shared["HostConfig"]["NetworkMode"] = "container:abc"
    shared["NetworkSettings"]["Networks"] = {}
    assert "Hostname" not in description.successor_request(shared, "x")


def test_a_failed_container_gives_its_name_away_and_it_can_be_told() -> None:
    """An agent that comes later knows what the name was."""
    aside = description.failed_name("job-actor-1", ID)
    assert aside != "job-actor-1"
    assert description.failed_name(aside, ID) == aside
    assert description.original_name(aside, ID) == "job-actor-1"
