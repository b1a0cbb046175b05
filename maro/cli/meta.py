"""`maro meta`: the topologies and image files that come with the package, and their copy in `~/.maro`."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from maro.utils.exception.cli_exception import DeploymentError

_FIRST_TOPOLOGY = "rollout.yaml"
_OVERLAY = "agent.yaml"
"""Needs a topology to be laid over."""


@click.group()
def meta() -> None:
    """Put topologies and image files into ~/.maro."""


@meta.command()
@click.option("--force", is_flag=True, help="Copy the files also where they are up to date.")
@click.pass_obj
def deploy(debug: bool, force: bool) -> None:
    """Copy the topologies and image files to ~/.maro.

    The copy can be used without a checkout: it holds all that `docker compose` needs to build the image and to start
    a topology. An older copy is replaced as a whole, with what you changed in it; your own files are left alone.
    """
    from maro.utils.deployment import Deployment

    with _failures_told(debug):
        deployment = Deployment.here()
        if force or deployment.is_needed():
            names = ", ".join(place.name for place in deployment.run())
            click.echo(f"{deployment.target} now has version {deployment.version}: {names}.")
        else:
            click.echo(f"{deployment.target} is up to date: version {deployment.version}.")
    command = compose_command(deployment.target)
    if command:
        click.echo(f"\nTo start a topology, type:\n\n    {command}")


@meta.command()
@click.pass_obj
def status(debug: bool) -> None:
    """Tell whether ~/.maro is up to date.

    The exit code is 0 if it is, and 1 if it is not, or if that can't be told.
    """
    from maro.utils.deployment import Deployment

    with _failures_told(debug):
        deployment = Deployment.here()
        if not deployment.is_needed():
            click.echo(f"{deployment.target} is up to date: version {deployment.version}.")
            return
    deployed = deployment.deployed_version()
    if deployed is None:
        click.echo(f"Nothing is deployed to {deployment.target}.")
    elif deployed == deployment.version:
        click.echo(f"{deployment.target} has version {deployed}, but some of its files are missing or others.")
    else:
        click.echo(f"{deployment.target} has version {deployed}; the package is of version {deployment.version}.")
    click.echo("To put that right, type:\n\n    maro meta deploy")
    sys.exit(1)


def compose_command(target: Path) -> str | None:
    """What to type to start a topology that is deployed to `target`; `None` where there is none."""
    topologies = sorted(file for file in (target / "compose").glob("*.yaml") if file.name != _OVERLAY)
    if not topologies:
        return None
    first = next((path for path in topologies if path.name == _FIRST_TOPOLOGY), topologies[0])
    return f"docker compose -f {shlex.quote(str(first))} up --build"


@contextmanager
def _failures_told(debug: bool) -> Iterator[None]:
    """Turn a failed deployment into one sentence and exit code 1, with `--debug` after its traceback."""
    try:
        yield
    except DeploymentError as error:
        if debug:
            traceback.print_exc()
        raise click.ClickException(error.get_message()) from error
