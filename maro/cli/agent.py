"""`maro agent`: watches the containers of a job until it is asked to end, or the job has been ended."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

from maro.cli.job_options import job_options

if TYPE_CHECKING:
    from maro.communication.settings import RedisAddress


@click.command()
@job_options
@click.option(
    "--take-over", is_flag=True, help="Take the restart policies of components away; otherwise those are left alone."
)
@click.pass_obj
def agent(debug: bool, job: str, redis_address: RedisAddress, take_over: bool) -> None:
    """Start failed components of a job again, and tell their groups of the dead.

    Follows the events of the container engine (DOCKER_HOST, by default its local socket) for the containers with the
    label maro.job=JOB. What was asked to end stays down, what crashed is started again as its rejoin settings say, and
    code 65 of any component ends the whole job, and this command.

    SIGTERM and Ctrl-C end it with 0, and leave the containers as they are; 1 means that there is no engine.
    """
    # Here: a command that only shows its help needs none of it.
    from maro.agent.agent import Agent
    from maro.agent.engine import EngineError

    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s | %(levelname)s | %(message)s", force=True
    )
    logging.getLogger("maro.agent").setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        watcher = Agent(job, redis_address, takes_over=take_over)
    except ImportError as error:
        _fail(debug, f"the agent needs the extra `agent` of maro: pip install 'maro[agent]' ({error})")
    except EngineError as error:
        _fail(debug, str(error))
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, frame: watcher.stop())
    watcher.run()


def _fail(debug: bool, text: str) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(f"maro: {text}", err=True)
    sys.exit(1)
