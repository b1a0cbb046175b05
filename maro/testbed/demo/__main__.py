"""The demo's command line, its exit codes, and what an interruption does."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from maro.testbed.demo.cluster import Cluster, DemoError
from maro.testbed.demo.picture import summary
from maro.testbed.demo.show import show

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--docker", is_flag=True, help="Run them in containers, a Redis among them, rather than as processes.")
@click.option("--actors", type=click.IntRange(1), default=4, show_default=True, help="How many actors play.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random.")
@click.option("--kill/--no-kill", default=True, show_default=True, help="Kill an actor half way.")
@click.option(
    "--redis",
    type=click.Choice(["embedded", "server", "any"]),
    default=None,
    show_default="embedded",
    help="Which Redis to start: the embedded one, a redis-server from PATH, or whichever there is. Not with --docker.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder for the components' logs; by default a temporary one, kept where something fails.",
)
def main(docker: bool, actors: int, seed: int, kill: bool, redis: str | None, logs: Path | None) -> None:
    """Train a CartPole policy with a learner and its actors, and kill one of them half way.

    Ends with 0 if training went well and the killed actor came back, with 130 if it was interrupted, else with 1.
    """
    if docker and redis is not None:
        raise click.UsageError("--redis does not go with --docker, where Redis runs in a container of its own.")
    console = Console()
    for number in _INTERRUPTIONS:
        # What `nohup` has set stays; that a shell's background jobs ignore Ctrl-C does not.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        with _LogFolder(logs) as folder:
            _run(console, _cluster(docker, actors, seed, redis, folder.path), kill, folder)
    except KeyboardInterrupt:
        console.print(f"Interrupted; all {'containers are removed' if docker else 'processes are stopped'}.")
        sys.exit(130)


class _LogFolder:
    """Where logs go: a given folder, or a temporary one that goes away unless it is to be kept."""

    def __init__(self, given: Path | None) -> None:
        self.keep = given is not None
        if given is not None:
            given.mkdir(parents=True, exist_ok=True)
        self.path = given or Path(tempfile.mkdtemp(prefix="maro-demo-"))

    def __enter__(self) -> _LogFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


def _cluster(docker: bool, actors: int, seed: int, redis: str | None, logs: Path) -> AbstractContextManager[Cluster]:
    if docker:
        from maro.testbed.demo.containers import as_containers

        return as_containers(actors, seed, logs)
    from maro.testbed.demo.processes import as_processes

    embedded = {None: True, "embedded": True, "server": False, "any": None}[redis]
    return as_processes(actors, seed, embedded, logs)


def _run(console: Console, made: AbstractContextManager[Cluster], kill: bool, folder: _LogFolder) -> None:
    """Show the demo and its summary; a failure ends the process."""
    try:
        with made as cluster:
            story = show(console, cluster, kill)
            result = summary(story, cluster)
    except DemoError as error:
        folder.keep = folder.keep or any(folder.path.iterdir())
        console.print(f"[bold red]The demo failed:[/] {escape(str(error))}", soft_wrap=True)
        if any(folder.path.iterdir()):
            console.print(f"The logs are in {folder.path}", soft_wrap=True)
        sys.exit(1)
    console.print(result)


def _interrupt(*_: object) -> None:
    """The first interruption ends the demo; more of them must not keep it from clearing up."""
    for number in _INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
