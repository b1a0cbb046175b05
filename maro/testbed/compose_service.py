"""What a compose file says of one service, as far as a program needs it that starts the service by itself."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maro.testbed.compose_yaml import ComposeYamlError, Tree, dependencies, strings_by_name, text_of
from maro.testbed.env_file import read_env_file

TYPE_VARIABLE = "COMPONENT_TYPE"
TYPE_LABEL = "maro.component-type"
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Mount:
    """Something of the host, or a volume, that a service finds in its files."""

    kind: str
    """`bind`, `volume` or `tmpfs`."""
    source: str
    """A path of the host, the name of a volume, or empty."""
    target: str


@dataclass(frozen=True, slots=True)
class Service:
    """What a compose file says of one service, its variables filled in."""

    name: str
    image: str
    """Empty where it is built, and the image gets no name."""
    build: Path | None
    """The folder that its image is built from."""
    entrypoint: tuple[str, ...] | None
    """None where the image's own is used."""
    command: tuple[str, ...] | None
    """None where the image's own is used."""
    environment: Mapping[str, str | None]
    """None for what is handed on from the environment of whoever starts it."""
    labels: Mapping[str, str]
    restart: str
    """`no`, `on-failure`, `on-failure:N`, `always` or `unless-stopped`."""
    replicas: int
    depends_on: Mapping[str, str]
    """Service -> the condition that it has to fulfil first, such as `service_started`."""
    init: bool
    mounts: tuple[Mount, ...]
    ports: tuple[int, ...]
    """Of the host, that are forwarded to it."""
    component_type: str
    """Empty where it is no component."""


class ServiceReader:
    """Makes services of what the file says.

    Args:
        folder: what relative paths start from.
        variables: of the environment.
        types: component types by service, where the block names them.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], types: Mapping[str, str]) -> None:
        self._folder = folder
        self._variables = variables
        self._types = types

    def read(self, name: str, content: Any) -> Service:
        """One service."""
        place = f"services.{name}"
        if not isinstance(content, dict):
            raise ComposeYamlError(f"{place} has to be a mapping, not {content!r}")
        if "extends" in content:
            raise ComposeYamlError(f"{place} says `extends`, which is not read here; use a YAML anchor and `<<`")
        environment = {
            **self._from_files(content),
            **strings_by_name(content.get("environment"), f"{place}.environment", None),
        }
        labels = {key: item or "" for key, item in strings_by_name(content.get("labels"), f"{place}.labels").items()}
        needs = dependencies(content.get("depends_on") or [], f"{place}.depends_on")
        return Service(
            name=name,
            image=text_of(content.get("image")),
            build=self._build(content.get("build")),
            entrypoint=_words(content.get("entrypoint"), f"{place}.entrypoint"),
            command=_words(content.get("command"), f"{place}.command"),
            environment=environment,
            labels=labels,
            restart=_restart(content.get("restart"), place),
            replicas=_replicas(content, place),
            depends_on={key: text_of(item.get("condition", "service_started")) for key, item in needs.items()},
            init=text_of(content.get("init")) == "true",
            mounts=self._mounts(content, place),
            ports=_ports(content.get("ports") or [], place),
            component_type=environment.get(TYPE_VARIABLE) or labels.get(TYPE_LABEL) or self._types.get(name, ""),
        )

    def _from_files(self, content: Tree) -> dict[str, str]:
        """What the service's `env_file` holds."""
        named = content.get("env_file") or []
        found: dict[str, str] = {}
        for entry in named if isinstance(named, list) else [named]:
            path = text_of(entry.get("path") if isinstance(entry, dict) else entry)
            required = not isinstance(entry, dict) or entry.get("required", True)
            if required or (self._folder / path).is_file():
                found.update(read_env_file(self._folder / path, {**found, **self._variables}))
        return found

    def _build(self, build: Any) -> Path | None:
        if build is None:
            return None
        context = build.get("context", ".") if isinstance(build, dict) else build
        return Path(os.path.normpath(self._folder / text_of(context)))

    def _mounts(self, content: Tree, place: str) -> tuple[Mount, ...]:
        """Its volumes, the last one of each place."""
        mounts = [self._mount(entry, f"{place}.volumes") for entry in content.get("volumes") or ()]
        return tuple({mount.target: mount for mount in mounts}.values())

    def _mount(self, entry: Any, place: str) -> Mount:
        if isinstance(entry, dict):
            kind, source = text_of(entry.get("type")), text_of(entry.get("source"))
            target = text_of(entry.get("target"))
        elif isinstance(entry, str) and entry:
            source, _, rest = entry.partition(":")
            target = rest.partition(":")[0] or source
            source = source if rest else ""
            kind = "bind" if source.startswith((".", "/", "~")) else "volume"
        else:
            raise ComposeYamlError(f"{place} holds {entry!r}, which is no volume")
        if kind == "bind":
            source = os.path.normpath(self._folder / Path(source).expanduser())
        return Mount(kind, source, target)


def _words(value: Any, place: str) -> tuple[str, ...] | None:
    """A command, as a string that a shell would split, or a list."""
    if value is None:
        return None
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return tuple(map(text_of, value))
    if not isinstance(value, str):
        raise ComposeYamlError(f"{place} has to be a string or a list of strings, not {value!r}")
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ComposeYamlError(f"{place} is {value!r}, which has an error: {error}") from error


def _restart(value: Any, place: str) -> str:
    policy = text_of(value) or "no"
    if not _RESTART.fullmatch(policy):
        raise ComposeYamlError(
            f"{place}.restart is {policy!r}; it can be no, on-failure, on-failure:N, always or unless-stopped"
        )
    return policy


def _replicas(content: Tree, place: str) -> int:
    deploy = content.get("deploy") or {}
    written = text_of(content.get("scale", deploy.get("replicas", 1)))
    if not re.fullmatch(r"[0-9]{1,5}", written):
        raise ComposeYamlError(f"{place} is to have {written!r} replicas, which is no number of them")
    return int(written)


def _ports(entries: Sequence[Any], place: str) -> tuple[int, ...]:
    """The ports of the host; a range or none is left to whoever starts it."""
    found = []
    for entry in entries:
        if isinstance(entry, dict):
            published = text_of(entry.get("published"))
        else:
            parts = text_of(entry).partition("/")[0].rsplit(":", 2)
            published = parts[-2] if len(parts) > 1 else ""
        if published and not re.fullmatch(r"[0-9]+(-[0-9]+)?", published):
            raise ComposeYamlError(f"{place}.ports holds {entry!r}, which names no port of this machine")
        found += [int(published)] if published.isdigit() else []
    return tuple(found)
