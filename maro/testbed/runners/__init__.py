"""Runners: the same compose file as local processes, or in containers.

    with make_runner("processes", "rollout", folder=Path("run"), variables={"ACTORS": "8"}) as runner:
        runner.start()

Another kind is one more entry: `register_runner("swarm", make)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a component that imports its workload has no use for them, nor for what they import
    from maro.testbed.compose_file import ComposeFile
    from maro.testbed.runners.runner import Runner

    MakeRunner = Callable[..., Runner]


def _processes(file: ComposeFile, folder: Path, **options: Any) -> Runner:
    from maro.testbed.runners.processes import ProcessRunner

    return ProcessRunner(file, folder, **options)


def _compose(file: ComposeFile, folder: Path, **options: Any) -> Runner:
    from maro.testbed.runners.compose import ComposeRunner

    return ComposeRunner(file, folder, **options)


_KINDS: dict[str, MakeRunner] = {"processes": _processes, "compose": _compose}


def runner_kinds() -> tuple[str, ...]:
    """The kinds of runners that there are."""
    return tuple(_KINDS)


def register_runner(kind: str, make: MakeRunner) -> None:
    """Add a kind of runner, or put another one in its place.

    Args:
        kind: what it is asked for by.
        make: called with the `ComposeFile`, the folder, and the options of `make_runner`; among them may be `run_id`.
    """
    _KINDS[kind] = make


def make_runner(
    kind: str,
    topology: str | Path | ComposeFile,
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    overlays: Sequence[Path] = (),
    **options: Any,
) -> Runner:
    """A runner of a topology, which has started nothing yet.

    Args:
        kind: `processes`, `compose`, or what was registered.
        topology: the name of a shipped one, the path of a compose file, or one that has been read.
        folder: for logs and journals; two runs need two.
        variables: what the compose file's variables are set to; not for one that has been read.
        overlays: more compose files, which change what the first one says; not for one that has been read.
        options: of the runner, such as `run_id`, or `embedded` of processes.

    Raises:
        TopologyError: there is no such topology, or it can't be read.
        RunnerError: there is no such kind, or it can't run this topology here.
    """
    from maro.testbed.compose_file import ComposeFile, find_topology, read_compose_file
    from maro.testbed.runners.runner import RunnerError

    if kind not in _KINDS:
        raise RunnerError(f"there is no runner {kind!r}. There are: {', '.join(_KINDS)}")
    if isinstance(topology, ComposeFile):
        if variables or overlays:
            raise RunnerError("a compose file that has been read takes no variables and overlays; read it with them")
        return _KINDS[kind](topology, folder, **options)
    file = read_compose_file(find_topology(topology), *overlays, variables=variables)
    return _KINDS[kind](file, folder, **options)
