"""What the commands about a job have in common: which job, and where its Redis is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maro.communication.settings import RedisAddress


def _parsed(_context: click.Context, _parameter: click.Parameter, address: str) -> RedisAddress:
    from maro.communication.settings import RedisAddress  # here: a command that only shows its help needs none of it

    try:
        return RedisAddress.parse(address)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `--job` and `--redis`, as the arguments `job` and `redis_address`."""
    job = click.option(
        "--job", envvar="JOB_ID", required=True, help="The job's id, the value of its containers' label maro.job."
    )
    redis = click.option(
        "--redis",
        "redis_address",
        envvar="MARO_REDIS",
        default="localhost:6379",
        show_default=True,
        callback=_parsed,
        help="host:port or URL of the Redis that the job's components meet in.",
    )
    return job(redis(command))
