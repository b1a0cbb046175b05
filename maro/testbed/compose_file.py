"""A compose file as a topology: its services, which of them are components, and where they meet. Needs no Docker.

    file = read_compose_file(Path("compose/rollout.yaml"), variables={"ACTORS": "8"})
    file.services["actor"].replicas            # 8
    [service.name for service in file.components]

A service is a component if its environment has COMPONENT_TYPE, or it has the label `maro.component-type`, or the block
`x-maro` says so; the first of these counts. The Redis is the service that the block names, or the one called `redis`,
or the only one whose image is Redis or Valkey.

    x-maro:
      redis: directory             # the service that is the group's Redis
      components: {worker: actor}  # service -> component type

What is read is what a program needs that starts the services by itself. `extends`, `include` and the tags `!reset` and
`!override` are refused; networks, configs, secrets and health checks are passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maro.testbed.compose_service import TYPE_LABEL, TYPE_VARIABLE, Service, ServiceReader
from maro.testbed.compose_yaml import ComposeYamlError, Tree, merge_files, read_yaml, text_of
from maro.testbed.env_file import EnvFileError, read_env_file
from maro.testbed.interpolation import InterpolationError, interpolate_tree
from maro.testbed.topology import BLOCK, TopologyError, shipped_topologies

PROJECT_VARIABLE = "COMPOSE_PROJECT_NAME"
_REDIS_SERVICE = "redis"
_REDIS_IMAGE = re.compile(r"(?:.*/)?(?:redis|valkey|redis-stack-server)(?:[:@].*)?")


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file and its overlays, read as one."""

    name: str
    """Of the topology: that of the first file, without its ending."""
    project: str
    files: tuple[Path, ...]
    variables: Mapping[str, str]
    """What was given besides the environment."""
    services: Mapping[str, Service]
    """Without those of profiles that are not switched on."""
    redis: str | None
    """The service that is the group's Redis."""
    block: Mapping[str, Any]
    """`x-maro`; empty where there is none."""

    @property
    def components(self) -> list[Service]:
        """The services that are components, in the order of the file; at least one."""
        return [service for service in self.services.values() if service.component_type]

    @property
    def folder(self) -> Path:
        """What relative paths in it start from."""
        return self.files[0].parent


def find_topology(topology: str | Path) -> Path:
    """The compose file of a shipped topology, by its name, or the file of that path.

    Raises:
        TopologyError: there is neither.
    """
    if isinstance(topology, Path) or os.sep in topology or topology.endswith((".yaml", ".yml")):
        file = Path(topology).resolve()
        if not file.is_file():
            raise TopologyError(f"there is no compose file {file}")
        return file
    shipped = {each.name: each.file for each in shipped_topologies()}
    if topology not in shipped:
        raise TopologyError(
            f"there is no topology {topology!r}. There are: {', '.join(shipped)}; or name a compose file by its path"
        )
    return shipped[topology]


def read_compose_file(
    file: Path,
    *overlays: Path,
    variables: Mapping[str, str] | None = None,
    project: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> ComposeFile:
    """Read a compose file as `docker compose` would.

    Args:
        file: of the topology.
        overlays: more files, each of which changes what those before it say.
        variables: what the files' variables are set to, besides the environment and the `.env` beside the file.
        project: its name; else what COMPOSE_PROJECT_NAME or the files say.
        environment: used in place of this process's own.

    Raises:
        TopologyError: it can't be read, says what is refused here, or has no component.
    """
    files = tuple(Path.cwd() / path for path in (file, *overlays))
    given = dict(variables or {})
    try:
        return _read(files, given, project, {**(os.environ if environment is None else environment), **given})
    except (ComposeYamlError, InterpolationError, EnvFileError) as error:
        text = str(error)
        raise TopologyError(text if str(files[0]) in text else f"{files[0]}: {text}") from error


def _read(
    files: tuple[Path, ...], given: Mapping[str, str], project: str | None, environment: dict[str, str]
) -> ComposeFile:
    trees = [read_yaml(file) for file in files]
    dot_env = files[0].parent / ".env"
    known = {**(read_env_file(dot_env, environment) if dot_env.is_file() else {}), **environment}
    name = project or known.get(PROJECT_VARIABLE) or _project_name(trees, known, files[0].parent)
    known[PROJECT_VARIABLE] = name
    for tree, file in zip(trees, files, strict=True):
        if "include" in tree:
            raise ComposeYamlError(f"{file} says `include`, which is not read here; give the files one by one")
    parts = ("services", BLOCK)
    filled = [interpolate_tree({part: tree[part] for part in parts if part in tree}, known) for tree in trees]
    merged = filled[0]
    for tree in filled[1:]:
        merged = merge_files(merged, tree)
    block = merged.get(BLOCK) or {}
    types = _types_of(block, merged["services"])
    profiles = set(filter(None, known.get("COMPOSE_PROFILES", "").split(",")))
    reader = ServiceReader(files[0].parent, known, types)
    services = {
        service: reader.read(service, content or {})
        for service, content in merged["services"].items()
        if _is_on(content or {}, profiles)
    }
    found = ComposeFile(files[0].stem, name, files, given, services, _redis_of(block, services), block)
    _check(found)
    return found


def _project_name(trees: Sequence[Tree], known: Mapping[str, str], folder: Path) -> str:
    named = [str(interpolate_tree(tree["name"], known, "name")) for tree in trees if tree.get("name")]
    return named[-1] if named else re.sub(r"[^a-z0-9_-]", "", folder.name.lower()).lstrip("_-")


def _is_on(content: Any, profiles: set[str]) -> bool:
    """Whether a service is started: it has no profiles, or one that is switched on."""
    wanted = (content.get("profiles") if isinstance(content, dict) else None) or ()
    return not wanted or "*" in profiles or not profiles.isdisjoint(wanted)


def _types_of(block: Any, services: Tree) -> Mapping[str, str]:
    """What the `x-maro` block says of component types."""
    types = block.get("components", {}) if isinstance(block, dict) else None
    if not isinstance(types, dict):
        raise ComposeYamlError(f"{BLOCK} has to be a mapping, and its `components` one of service -> component type")
    unknown = [name for name in types if name not in services]
    if unknown:
        raise ComposeYamlError(
            f"{BLOCK} names the service {unknown[0]!r}; the file's services are {', '.join(services)}"
        )
    return {name: text_of(kind) for name, kind in types.items()}


def _redis_of(block: Mapping[str, Any], services: Mapping[str, Service]) -> str | None:
    named = block.get("redis")
    if named is not None:
        if named not in services:
            raise ComposeYamlError(f"{BLOCK} says `redis: {named}`, but the services are {', '.join(services)}")
        return str(named)
    if _REDIS_SERVICE in services:
        return _REDIS_SERVICE
    found = [service.name for service in services.values() if _REDIS_IMAGE.fullmatch(service.image)]
    if len(found) > 1:
        raise ComposeYamlError(f"{', '.join(found)} are all a Redis; name the group's as `redis` in the {BLOCK} block")
    return found[0] if found else None


def _check(file: ComposeFile) -> None:
    """Raise unless the services fit each other."""
    if not file.components:
        raise ComposeYamlError(
            f"no service is a component; give one {TYPE_VARIABLE} in its environment, or the label {TYPE_LABEL}, or "
            f"list it under `components` in the {BLOCK} block"
        )
    for service in file.services.values():
        missing = [name for name in service.depends_on if name not in file.services]
        if missing:
            raise ComposeYamlError(f"services.{service.name} depends on {missing[0]!r}, which is no service")
    if file.redis and file.services[file.redis].replicas != 1:
        raise ComposeYamlError(f"services.{file.redis} is the group's Redis, so it has to have exactly one replica")
