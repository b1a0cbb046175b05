"""The command: `python -m benchmarks`, or `scripts/bench`, which sets up what it needs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import click

from benchmarks.figures import Line

QUICK_REPETITIONS = 5
REPETITIONS = 15
_PLAIN_WIDTH = 180
_NEEDED = ("rich", "numpy", "psutil")
ROW_NAMES = (
    "round-trip",
    "one-way",
    "round-trip-kept",
    "one-way-kept",
    "arrays",
    "joining",
    "dispatch",
    "import",
    "memory",
    "broadcast",
    "scatter",
    "collecting",
)
"""As in `benchmarks.rows`, which needs the extras; `--help` does not."""


@click.command()
@click.option("--quick", is_flag=True, help=f"{QUICK_REPETITIONS} repetitions of each row: one to three minutes.")
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=f"N repetitions; {REPETITIONS} by default, several times as long.",
)
@click.option(
    "--only",
    type=click.Choice(ROW_NAMES),
    multiple=True,
    metavar="NAME",
    help=f"This row only; may be given several times. One of: {', '.join(ROW_NAMES)}.",
)
@click.option("--seeds", is_flag=True, help="Train the example with ten seeds instead; fails if one learns too little.")
@click.option("--json", "report_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all values here.")
@click.option("--strict", is_flag=True, help="Fail if a goal is missed.")
def main(
    quick: bool, repeat: int | None, only: tuple[str, ...], seeds: bool, report_path: Path | None, strict: bool
) -> None:
    """Measure the library against raw ZeroMQ: contenders take turns, and what counts is their ratio."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{', '.join(missing)} not installed: pip install 'maro[testbed,examples,embedded]'")
    if seeds and (quick or repeat or only or strict):
        raise click.UsageError("--seeds is a run of its own: of the other options, only --json goes with it")
    if quick and repeat:
        raise click.UsageError("--quick and --repeat both say how often: give one of them")
    if report_path is not None and not report_path.parent.is_dir():
        raise click.UsageError(f"--json: there is no folder {report_path.parent}")
    from maro.testbed.redis_server import RedisMissingError

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if seeds:
            sys.exit(_run_seeds(report_path))
        repetitions = repeat or (QUICK_REPETITIONS if quick else REPETITIONS)
        sys.exit(_run_rows(only or ROW_NAMES, repetitions, report_path, strict))
    except RedisMissingError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted; all processes are ended.", err=True)
        sys.exit(130)


def _run_rows(names: Iterable[str], repetitions: int, report_path: Path | None, strict: bool) -> int:
    """Measure and print; the exit code."""
    import zmq

    from benchmarks.harness import Lab, MeasurementError
    from benchmarks.rows import ROWS
    from benchmarks.table import Machine, Results, machine_lines, make_report, make_table
    from maro.testbed.redis_server import RedisServer

    console = _console()
    results: Results = {}
    failed: dict[str, str] = {}
    with RedisServer() as redis:
        machine = Machine(os.cpu_count() or 1, os.getloadavg()[0], redis.kind, zmq.__version__)
        for line in machine_lines(machine):
            console.print(line, style="yellow" if line.startswith("warning") else None, highlight=False)
        lab = Lab(redis)
        try:
            for row in (ROWS[name] for name in dict.fromkeys(names)):
                with console.status(row.title) as status:

                    def show_progress(done: int, title: str = row.title, shown: Any = status) -> None:
                        shown.update(f"{title}: {done} of {repetitions}")

                    try:
                        results[row.name] = (row, row.measure(lab, repetitions, show_progress))
                        if not console.is_terminal:  # where the status line is not seen
                            console.print(f"{row.name} is measured", highlight=False)
                    except MeasurementError as error:
                        failed[row.name] = str(error)
                        console.print(f"{row.name} failed: {error}", style="red", markup=False, highlight=False)
        finally:  # what was measured before an interruption is worth seeing, too
            if results:
                console.print(make_table(results, repetitions))
            if report_path is not None:
                _write(report_path, make_report(machine, results, failed, repetitions))
    return exit_code((line for _, lines in results.values() for line in lines), bool(failed), strict)


def exit_code(lines: Iterable[Line], failed: bool, strict: bool) -> int:
    """0, unless a row could not be measured, or, where that counts, a goal is missed."""
    return int(failed or (strict and any(line.met is False for line in lines)))


def _run_seeds(report_path: Path | None) -> int:
    """Train and print; the exit code."""
    from benchmarks.goals import SEEDS
    from benchmarks.harness import MeasurementError
    from benchmarks.seeds import Training, make_seed_report, make_seed_table, train_all
    from maro.testbed.redis_server import RedisServer

    console = _console()
    trainings: list[Training] = []

    def done(training: Training) -> None:
        trainings.append(training)
        console.print(
            f"seed {training.seed}: {training.seconds:.1f} s, {training.updates} updates, evaluation "
            f"{training.evaluation}, {'pass' if training.passed else 'fail'}",
            highlight=False,
        )

    failed = False
    try:
        with RedisServer() as redis, console.status("training"):
            train_all(SEEDS, redis, done)
    except MeasurementError as error:
        failed = True
        console.print(str(error), style="red", markup=False, highlight=False)
    finally:
        if trainings:
            console.print(make_seed_table(trainings))
        if report_path is not None:
            _write(report_path, {"seeds": make_seed_report(trainings)})
    return 1 if failed or not all(training.passed for training in trainings) else 0


def _console() -> Any:
    from rich.console import Console

    console = Console()
    # A pipe or a log has no width of its own, and a folded table can't be compared with another.
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH)


def _write(path: Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=2) + "\n")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
