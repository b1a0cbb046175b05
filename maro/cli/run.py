"""`maro run`: a scenario, with its progress and its verdict."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import click

from maro.testbed.signals import signals_set

EXIT_FAILED, EXIT_IMPOSSIBLE, EXIT_INTERRUPTED = 1, 2, 130


@click.command()
@click.argument("name", metavar="SCENARIO", required=False)
@click.option("--runner", help="What runs it: processes, compose. By default the first of these that can.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Gets journals, logs, schedule and verdict; a new folder below .maro-runs by default.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play this schedule instead of the scenario's own: the schedule.json of an earlier run.",
)
@click.option("--list", "only_list", is_flag=True, help="List the scenarios that come with maro.")
def run(name: str | None, runner: str | None, folder: Path | None, replay: Path | None, only_list: bool) -> None:
    """Run SCENARIO, one that comes with maro or a file, and pass judgement on every message.

    The topology is started, its members are killed, paused and so on as the scenario's schedule says, everything is
    healed, and the journals of all components are judged.

    \b
    The exit code is 0 if every promise was kept, 1 if one was broken or the
    run did not come to its end, 2 if it can't be run, and 130 after Ctrl-C.
    """
    try:
        from maro.testbed import scenario_run as runs
        from maro.testbed.scenario import ScenarioError, find_scenario, read_scenario, shipped_scenarios
        from maro.testbed.schedule import read_schedule
    except ImportError as error:
        raise click.UsageError(f"This needs the extra `testbed`: pip install 'maro[testbed]' ({error}).") from error
    if only_list:
        for file in shipped_scenarios().values():
            scenario = read_scenario(file)
            runners = ", ".join(scenario.runners) or "any"
            click.echo(f"{scenario.name:<21} {scenario.topology.name:<17} {runners:<8} {scenario.shows}")
        return
    if name is None:
        raise click.UsageError("Name a scenario: a file, or one that `maro run --list` shows.")
    stop = threading.Event()
    began_s = time.monotonic()
    try:
        scenario = find_scenario(name)
        schedule = None if replay is None else read_schedule(replay)
        folder = folder or Path(".maro-runs") / f"{scenario.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        click.echo(scenario.shows)
        with signals_set(stop):
            result = runs.run(
                scenario,
                folder=folder,
                runner=runner or (scenario.runners or ("processes",))[0],
                schedule=schedule,
                stop=stop,
                tell=lambda text: click.echo(f"{time.monotonic() - began_s:7.1f} s  {text}"),
            )
    except (ScenarioError, runs.RunnerError, runs.ScheduleError, runs.TopologyError) as error:
        click.echo(f"maro: {error}", err=True)
        sys.exit(EXIT_IMPOSSIBLE)
    click.echo(result.report())
    click.echo(f"{result.seconds:.1f} s; everything is in {result.folder}")
    sys.exit(EXIT_INTERRUPTED if stop.is_set() else 0 if result.has_passed else EXIT_FAILED)
