"""How a service of a compose file is started as a local process; refuses what a process can't be or have.

Pure, but for looking whether programs and modules are there.

The image's own entry point is taken to be `maro component`, as in this project's image, for components that name none.
The programs `maro` and `python` become those of the interpreter that runs this. A process runs in the folder that its
image would be built from, else in that of the compose file; networks, limits and rights of the container do not apply.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from maro.testbed.compose_file import ComposeFile
from maro.testbed.compose_service import TYPE_VARIABLE, Service
from maro.testbed.runners.runner import RunnerError

NAME_VARIABLE = "COMPONENT_NAME"
REDIS_VARIABLE = "MARO_REDIS"
_COMPONENT = ("maro", "component")
_PYTHON = re.compile(r"python(3(\.[0-9]+)?)?")
_UNMET_CONDITION = "service_completed_successfully"
_KEPT = ("MARO_DATA",)
_DROPPED = (TYPE_VARIABLE, NAME_VARIABLE, "CONTAINER_NAME", "JOB_ID")
_THREADS = {
    # The matrices of the workloads are small: more threads a process only get into each other's way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class PlannedProcess:
    """One process that is to be started."""

    service: Service
    number: int
    """From 1, within its service."""
    component: str
    """Its name in the group; empty where it is no component."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it, but for what the runner adds."""
    folder: Path

    @property
    def label(self) -> str:
        """As Compose calls the container: `actor-2`."""
        return f"{self.service.name}-{self.number}"


def plan(file: ComposeFile, redis: str | None, host: Mapping[str, str]) -> list[PlannedProcess]:
    """The processes of all services but Redis, each after those that it depends on.

    Args:
        file: of the topology.
        redis: `host:port` of the Redis that takes the place of the file's, if it has one.
        host: environment of this process, which they get where it does not speak of components.

    Raises:
        RunnerError: something can't be a process; the text says which service, and what to do.
    """
    names: dict[str, str] = {}
    numbers: dict[str, int] = {}
    planned = []
    for service in in_order(file):
        folder = service.build if service.build is not None and service.build.is_dir() else file.folder
        command = _command(service, folder, _redis_words(file, service, redis))
        for number in range(1, service.replicas + 1):
            kind = service.component_type
            numbers[kind] = numbers.get(kind, 0) + 1
            component = (service.environment.get(NAME_VARIABLE) or f"{kind}.{numbers[kind]}") if kind else ""
            environment = _environment(file, service, component, redis, host)
            process = PlannedProcess(service, number, component, command, environment, folder)
            if component and names.setdefault(component, process.label) != process.label:
                raise RunnerError(
                    f"{names[component]} and {process.label} are both called {component!r}; leave {NAME_VARIABLE} out, "
                    "and each gets a name of its own"
                )
            planned.append(process)
    return planned


def in_order(file: ComposeFile) -> list[Service]:
    """All services but Redis, each after those that it depends on, else as they stand in the file.

    Raises:
        RunnerError: some depend on each other in a circle, or on what a runner of processes can't wait for.
    """
    ordered: dict[str, Service] = {}
    waiting = [service for service in file.services.values() if service.name != file.redis]
    for service in waiting:
        unmet = [name for name, condition in service.depends_on.items() if condition == _UNMET_CONDITION]
        if unmet:
            raise RunnerError(
                f"services.{service.name} waits for the end of {unmet[0]}, which only the compose runner does"
            )
    while waiting:
        ready = [each for each in waiting if all(name in ordered or name == file.redis for name in each.depends_on)]
        if not ready:
            circle = ", ".join(each.name for each in waiting)
            raise RunnerError(f"the services {circle} depend on each other in a circle")
        ordered[ready[0].name] = ready[0]
        waiting.remove(ready[0])
    return list(ordered.values())


def _command(service: Service, folder: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    """The command of a service's processes, with programs of this machine.

    Args:
        service: to be started.
        folder: where it runs.
        words: entry point and command.
    """
    place = f"services.{service.name}"
    for mount in service.mounts:
        if mount.kind != "tmpfs":
            what = f"{mount.source} at {mount.target}" if mount.source else f"a volume at {mount.target}"
            raise RunnerError(f"{place} mounts {what}, which a process can't have; use the compose runner")
    if service.entrypoint is None:
        if not service.component_type:
            image = f"the image {service.image}" if service.image else "an image of its own"
            raise RunnerError(
                f"{place} is no component and runs {image}, which a process can't have; use the compose runner, or "
                "give it an `entrypoint` that is a program of this machine"
            )
        words = (*_COMPONENT, *words)
    if not words:
        raise RunnerError(f"{place} has neither an entrypoint nor a command; say what it runs")
    if words == _COMPONENT:
        raise RunnerError(f"{place} has no command; say which module or script it runs, and its arguments")
    if words[:2] == _COMPONENT:
        _check_target(place, words[2], folder)
    return (*_program(place, words[0], folder), *words[1:])


def _program(place: str, name: str, folder: Path) -> tuple[str, ...]:
    """What a program is called on this machine."""
    if name == "maro":
        return (sys.executable, "-m", "maro")
    if _PYTHON.fullmatch(name):
        return (sys.executable,)
    found = shutil.which(str(folder / name) if os.sep in name else name)
    if found is None:
        raise RunnerError(f"{place} runs {name!r}, which is no program of this machine; install it or mend the command")
    return (found,)


def _check_target(place: str, target: str, folder: Path) -> None:
    """Raise unless `maro component` is going to find what it is to run."""
    is_path = target.endswith(".py") or os.sep in target
    if (folder / target).exists() or (not is_path and _has_module(target, [str(folder), *sys.path])):
        return
    raise RunnerError(
        f"{place} runs {target!r}, which is no file in {folder} and no module that Python finds from there; mend the "
        "command, or run Python where its package is installed"
    )


def _has_module(name: str, places: list[str]) -> bool:
    """Whether there is a module of that name, without importing the packages around it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), places)
        if spec is None:
            return False
        places = list(spec.submodule_search_locations or ())
    return True


def _redis_words(file: ComposeFile, service: Service, redis: str | None) -> tuple[str, ...]:
    """Entry point and command of a service, with the Redis of this machine in place of the file's."""
    return tuple(_with_redis(word, file, redis) for word in ((service.entrypoint or ()) + (service.command or ())))


def _with_redis(text: str, file: ComposeFile, redis: str | None) -> str:
    """The text, with the address of the Redis where it has that of the file's service."""
    if file.redis is None or redis is None:
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(file.redis)}:[0-9]+(?![\w.-])", redis, text)


def _environment(
    file: ComposeFile, service: Service, component: str, redis: str | None, host: Mapping[str, str]
) -> dict[str, str]:
    """All of a process's environment, but for what the runner adds."""
    environment = {**_of_host(host), **_THREADS}
    if component:
        environment.update({TYPE_VARIABLE: service.component_type, NAME_VARIABLE: component})
        if redis is not None:
            environment[REDIS_VARIABLE] = redis
    for name, value in service.environment.items():
        if value is not None:
            environment[name] = _with_redis(value, file, redis)
        elif name in host:
            environment[name] = host[name]
    return environment


def _of_host(host: Mapping[str, str]) -> dict[str, str]:
    """The part of this process's environment that says nothing of a component: it might be one itself."""
    return {
        name: value
        for name, value in host.items()
        if name in _KEPT or (name not in _DROPPED and not name.startswith("MARO_"))
    }
