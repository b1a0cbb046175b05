"""`maro ps`: the components of a job, and how they are."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from maro.cli.job_options import job_options

if TYPE_CHECKING:
    from maro.communication.settings import RedisAddress

_TITLES = ("COMPONENT", "INCARNATION", "CONTAINER", "STATE", "RESTARTS LEFT", "SINCE")


@click.command()
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
def ps(job: str, redis_address: RedisAddress, as_json: bool) -> None:
    """List the components of a job: incarnation, container, state, restarts left, and since when.

    Where Redis does not answer, only what the container engine knows is shown, and stderr says so. The exit code is 1
    if there is no engine.
    """
    from maro.agent.engine import EngineError
    from maro.agent.overview import overview_of_job

    try:
        rows, complaint = overview_of_job(job, redis_address)
    except ImportError as error:
        _fail(f"this needs the extra `agent` of maro: pip install 'maro[agent]' ({error})")
    except EngineError as error:
        _fail(str(error))
    if complaint:
        click.echo(f"maro: {complaint}; this is what the engine knows", err=True)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    cells = [
        (row.component, str(row.incarnation or "-"), row.container, row.state, str(row.restarts_left), row.since or "-")
        for row in rows
    ]
    click.echo(_table([_TITLES, *cells]))


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _fail(text: str) -> NoReturn:
    click.echo(f"maro: {text}", err=True)
    sys.exit(1)
