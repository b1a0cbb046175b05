"""What the engine's own description of a container says: to the agent, and to the making of another one like it.

Labels of a container that the agent understands:

    maro.job                          the job that it belongs to; everything else is left alone
    maro.role                         `agent` for an agent's own container
    maro.component-type               what kind of component it holds; without it, `COMPONENT_TYPE` of its environment
    maro.rejoin.enable                1: start the component again when it crashes
    maro.rejoin.max-restart-times     how often, by name
    maro.is-remove-failed-container   1: replace the failed container rather than start it again

The last three hold until the component has published its own settings.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from maro.agent.facts import Container, RejoinSettings, Status

JOB_LABEL = "maro.job"
ROLE_LABEL = "maro.role"
AGENT_ROLE = "agent"
TYPE_LABEL = "maro.component-type"
ENABLE_LABEL = "maro.rejoin.enable"
RESTARTS_LABEL = "maro.rejoin.max-restart-times"
REMOVE_LABEL = "maro.is-remove-failed-container"
REPLACES_LABEL = "maro.replaces"
"""Of a container that an agent made: the id of the one that had failed."""

DEFAULT_MAX_RESTARTS = 5
"""As that of a Proxy."""
_DEFAULT_STOP_SIGNAL = "SIGTERM"
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_RUNNING = ("running", "paused", "restarting")

Description = Mapping[str, Any]
"""What the engine's `inspect` returns."""


def container_of(described: Description) -> Container | None:
    """The container that is described; None for one that is being removed."""
    state, config = described["State"], described["Config"]
    if state["Status"] in ("removing", "dead"):
        return None
    labels, environment = config.get("Labels") or {}, environment_of(described)
    component_type = labels.get(TYPE_LABEL) or environment.get("COMPONENT_TYPE", "")
    hostname = config.get("Hostname") or described["Id"][:12]
    is_agent = labels.get(ROLE_LABEL) == AGENT_ROLE
    component = environment.get("COMPONENT_NAME") or f"{component_type}_proxy_{hostname}"
    policy = (described["HostConfig"].get("RestartPolicy") or {}).get("Name")
    return Container(
        id=described["Id"],
        name=described["Name"].lstrip("/"),
        component=component if component_type and not is_agent else None,
        component_type=component_type,
        group=environment.get("MARO_GROUP") or None,
        status=_status(state["Status"]),
        exit_code=state["ExitCode"],
        out_of_memory=bool(state.get("OOMKilled")),
        started_at_s=seconds_of(state["StartedAt"]),
        finished_at_s=seconds_of(state["FinishedAt"]),
        stop_signal=signal_number(config.get("StopSignal") or _DEFAULT_STOP_SIGNAL),
        restarts_itself=policy not in (None, "", "no"),
        is_agent=is_agent,
        replaces=labels.get(REPLACES_LABEL),
        labelled=_labelled_settings(labels),
        told_name=environment.get("CONTAINER_NAME") or hostname,
    )


def environment_of(described: Description) -> dict[str, str]:
    """The variables that a container is started with."""
    return dict(item.partition("=")[::2] for item in described["Config"].get("Env") or [])


def seconds_of(timestamp: str) -> float:
    """Seconds of the epoch of a time as the engine writes it, with nanoseconds; 0 for one that never was.

    Containers' times are in UTC, the engine's own is in its time zone.

    Raises:
        ValueError: it is no time.
    """
    parts = _TIMESTAMP.fullmatch(timestamp)
    if parts is None:
        raise ValueError(f"{timestamp!r} is no time as the engine writes it")
    whole, fraction, zone = parts.groups()
    if whole.startswith("0001"):
        return 0.0
    return datetime.fromisoformat(f"{whole}{zone.replace('Z', '+00:00')}").timestamp() + float(f"0.{fraction or 0}")


def signal_number(signal_name: str) -> str:
    """The number, as text, of a signal that is written as a number or by its name, `SIG` in front or not."""
    if signal_name.isdecimal():
        return signal_name
    name = signal_name.upper()
    try:
        return str(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value)
    except KeyError:
        return signal_name


def successor_request(described: Description, component: str) -> dict[str, Any]:
    """What the engine has to be asked for to get another container like one that failed.

    All of its own configuration is kept: labels, so that Compose knows it for its own; hostname; volumes, those without
    a name as well; limits; secrets and configs that are mounted. The component's name is set outright.
    """
    config = {key: value for key, value in described["Config"].items() if value is not None}
    host = dict(described["HostConfig"])
    mode = str(host.get("NetworkMode") or "default")
    if mode.startswith("container:"):
        config.pop("Hostname", None)  # it has that of the other container
    environment = environment_of(described)
    environment["COMPONENT_NAME"] = component
    environment.setdefault("CONTAINER_NAME", config.get("Hostname", described["Id"][:12]))
    config["Env"] = [f"{name}={value}" for name, value in environment.items()]
    config["Labels"] = {**(config.get("Labels") or {}), REPLACES_LABEL: described["Id"]}
    host.update(_keep_nameless_volumes(described))
    first = {name: asked for name, asked in endpoints(described).items() if name == _main_network(described)}
    return {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": first}}


def endpoints(described: Description) -> dict[str, dict[str, Any]]:
    """By network, how a container like this one is connected to it; addresses that the engine chose are left out."""
    found = {}
    for name, endpoint in (described["NetworkSettings"].get("Networks") or {}).items():
        kept = {key: endpoint[key] for key in ("IPAMConfig", "Links", "DriverOpts") if endpoint.get(key)}
        aliases = [alias for alias in endpoint.get("Aliases") or [] if alias != described["Id"][:12]]
        if aliases:
            kept["Aliases"] = aliases
        found[name] = kept
    return found


def other_networks(described: Description) -> dict[str, dict[str, Any]]:
    """Those that a container is connected to besides the one that it is created in."""
    main = _main_network(described)
    return {name: asked for name, asked in endpoints(described).items() if name != main}


def failed_name(name: str, container_id: str) -> str:
    """What a failed container is called while another one takes its name."""
    return f"{original_name(name, container_id)}{_failed_suffix(container_id)}"


def original_name(name: str, container_id: str) -> str:
    """What it was called before."""
    return name.removesuffix(_failed_suffix(container_id))


def _failed_suffix(container_id: str) -> str:
    return f"-failed-{container_id[:12]}"


def _main_network(described: Description) -> str | None:
    """The name of the network that a container is created in; its mode may be that network's id."""
    networks = described["NetworkSettings"].get("Networks") or {}
    mode = str(described["HostConfig"].get("NetworkMode") or "default")
    mode = "bridge" if mode == "default" else mode
    for name, endpoint in networks.items():
        if mode in (name, endpoint.get("NetworkID")):
            return str(name)
    return next(iter(networks), None)


def _keep_nameless_volumes(described: Description) -> dict[str, Any]:
    """The part of a request that mounts volumes which nobody named: the engine would make new, empty ones instead."""
    host = described["HostConfig"]
    volumes = {mount["Destination"]: mount for mount in described.get("Mounts") or [] if mount.get("Type") == "volume"}
    mounts = []
    for mount in host.get("Mounts") or []:
        volume = volumes.get(mount.get("Target"))
        is_nameless = mount.get("Type") == "volume" and not mount.get("Source")
        mounts.append({**mount, "Source": volume["Name"]} if is_nameless and volume is not None else mount)
    binds = list(host.get("Binds") or [])
    asked_for = {bind.split(":")[1] for bind in binds if ":" in bind} | {mount.get("Target") for mount in mounts}
    binds += [
        f"{volume['Name']}:{destination}:{'rw' if volume.get('RW', True) else 'ro'}"
        for destination, volume in volumes.items()
        if destination not in asked_for
    ]
    return {"Binds": binds, "Mounts": mounts}


def _status(status: str) -> Status:
    if status in _RUNNING:
        return Status.RUNNING
    return Status.CREATED if status == "created" else Status.ENDED


def _labelled_settings(labels: Mapping[str, str]) -> RejoinSettings | None:
    if ENABLE_LABEL not in labels:
        return None
    restarts = labels.get(RESTARTS_LABEL, "")
    return RejoinSettings(
        _is_on(labels[ENABLE_LABEL]),
        int(restarts) if restarts.isdecimal() else DEFAULT_MAX_RESTARTS,
        _is_on(labels.get(REMOVE_LABEL, "")),
    )


def _is_on(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on")
