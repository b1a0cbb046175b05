"""The `maro` command."""

from __future__ import annotations

import sys

import click

from maro import __version__
from maro.cli.agent import agent
from maro.cli.meta import meta
from maro.cli.ps import ps
from maro.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="maro")
@click.option("--debug", is_flag=True, help="Show what the command does, and whole tracebacks.")
@click.pass_context
def command(ctx: click.Context, debug: bool) -> None:
    """Message passing for learner/actor systems that survives crashes.

    `maro COMMAND --help` tells more about a command.
    """
    from maro.utils.logger import set_cli_debug

    set_cli_debug(debug)
    ctx.obj = debug


@command.command(
    "component",
    # Everything behind the target belongs to the program, options and `--` included.
    context_settings={"allow_interspersed_args": False},
    options_metavar="",
)
@click.argument("target", metavar="SCRIPT|MODULE")
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.pass_context
def component(ctx: click.Context, target: str, args: tuple[str, ...]) -> None:
    """Run one component's program.

    SIGTERM and SIGINT make the component leave its group and end with 0. Otherwise the exit code tells what restarts
    the component what to do: 0 nothing, 64 do not restart it, 65 end the whole job, anything else is a crash.
    """
    from maro.cli.component import UnusableTarget, run_component
    from maro.utils.logger import CliLogger

    debug: bool = ctx.obj
    log = CliLogger("component")
    if debug:  # asked here, for the log would open a file, and a component that nobody debugs needs none
        log.debug(f"running {target!r} with the arguments {list(args)}")
    try:
        exit_code = run_component(target, args, debug)
    except UnusableTarget as error:
        raise click.UsageError(f"{error}.", ctx) from error
    if debug:
        log.debug(f"{target!r} has ended; the exit code is {exit_code}")
    sys.exit(exit_code)


command.add_command(agent)
command.add_command(meta)
command.add_command(ps)
command.add_command(run)


def main() -> None:
    """Run the command with this process' arguments, and exit."""
    command(prog_name="maro")
