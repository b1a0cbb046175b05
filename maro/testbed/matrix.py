"""The matrix: every topology under every fault, with the message cache and without, with an agent and without.

Each cell is a scenario, which is run in containers, and judged.

`python -m maro.testbed.matrix`, or `scripts/matrix`, which sets up what it needs.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import click
from rich.console import Console

from maro.testbed.cell import FAULTS, NEVER, RESTART, Cell, Outcome, Verdict, run_cell
from maro.testbed.compose_project import NoEngineError, connect_to_engine
from maro.testbed.junit import Case, Result, write_junit
from maro.testbed.matrix_view import View
from maro.testbed.signals import signals_set
from maro.testbed.topology import Topology, TopologyError, read_topology, shipped_topologies

SIZES = (3,)
RESTARTS = ("on-failure:10",)
DISTURBANCES = tuple(fault for fault in FAULTS if fault != "none")
SWITCHES = {"off": False, "on": True}

EXIT_FAILED = 1
EXIT_NO_ENGINE = 3
EXIT_INTERRUPTED = 130

_LOOK_EVERY_S = 0.2


class Matrix:
    """Runs cells, and keeps what became of them.

    Args:
        cells: to run, in this order.
        logs: folder that gets a folder for each cell that does not pass.
        timeout_s: how long a cell may take.
        junit: file that is written anew whenever a cell has ended.
        view: shows how it goes.
    """

    def __init__(self, cells: Sequence[Cell], logs: Path, timeout_s: float, junit: Path, view: View) -> None:
        self.cells = list(cells)
        self.stop = threading.Event()
        """Once it is set, no cell is begun any more, and those that run are ended."""
        self._logs = logs
        self._timeout_s = timeout_s
        self._junit = junit
        self._view = view
        self._outcomes: dict[Cell, Outcome] = {}

    @property
    def outcomes(self) -> list[Outcome]:
        """What has become of each cell so far."""
        return [self._outcomes.get(cell, Outcome(cell, Verdict.NOT_RUN)) for cell in self.cells]

    def run(self, jobs: int) -> None:
        """Run the cells, so many at once."""
        with ThreadPoolExecutor(jobs) as pool:
            pending = {pool.submit(self._run_cell, cell) for cell in self.cells}
            try:
                while pending:
                    done, pending = concurrent.futures.wait(pending, _LOOK_EVERY_S, concurrent.futures.FIRST_COMPLETED)
                    self._take(done)
                    if self.stop.is_set():
                        self._view.stopping()
            except BaseException:
                self.stop.set()  # the pool waits for what it has begun
                raise

    def _run_cell(self, cell: Cell) -> Outcome:
        """In a thread of the pool."""
        if self.stop.is_set():
            return Outcome(cell, Verdict.NOT_RUN)
        return run_cell(cell, self._logs, self._timeout_s, self.stop, lambda doing: self._view.tell(cell, doing))

    def _take(self, done: set[Future[Outcome]]) -> None:
        for outcome in sorted((future.result() for future in done), key=lambda outcome: self.cells.index(outcome.cell)):
            self._outcomes[outcome.cell] = outcome
            self._view.take(outcome)
        if done:
            self.write()

    def write(self) -> None:
        """Write what has become of the cells so far.

        Raises:
            OSError: the file can't be written.
        """
        write_junit(self._junit, "maro.matrix", [junit_case(outcome) for outcome in self.outcomes])


def cells_of(
    topologies: Sequence[Topology],
    faults: Sequence[str] = DISTURBANCES,
    restarts: Sequence[str] = RESTARTS,
    sizes: Sequence[int] = SIZES,
    caches: Sequence[bool] = (False, True),
    agents: Sequence[bool] = (False, True),
    removals: Sequence[bool] = (False, True),
) -> list[Cell]:
    """All combinations that differ, each once.

    Sizes that are too small for a topology become the smallest that is not; without an agent nobody removes anything.
    """
    combinations = itertools.product(topologies, faults, restarts, sizes, caches, agents, removals)
    return list(
        dict.fromkeys(
            Cell(topology, fault, restart, max(size, topology.least_size), cache, agent, agent and removal)
            for topology, fault, restart, size, cache, agent, removal in combinations
        )
    )


def junit_case(outcome: Outcome) -> Case:
    """A cell as a test case: one that was interrupted, or not run, was skipped."""
    conditions = list(outcome.cell.dimensions.items())[1:]
    result = {Verdict.PASSED: Result.PASSED, Verdict.FAILED: Result.FAILED}.get(outcome.verdict, Result.SKIPPED)
    lines = [f"{outcome.messages} messages"] if outcome.messages else []
    lines += [f"back in {outcome.back}"] if outcome.back else []
    if outcome.logs is not None:
        lines.append(f"logs: {outcome.logs}")
    return Case(
        group=f"maro.matrix.{outcome.cell.topology.name}",
        name=", ".join(f"{name} {value}" for name, value in conditions),
        seconds=outcome.seconds,
        result=result,
        message=outcome.reason or ("" if result is Result.PASSED else outcome.verdict.value),
        output="\n".join(lines),
    )


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """What the process ends with."""
    verdicts = {outcome.verdict for outcome in outcomes}
    if verdicts & {Verdict.INTERRUPTED, Verdict.NOT_RUN}:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if Verdict.FAILED in verdicts else 0


def _chosen(names: Sequence[str], files: Sequence[Path]) -> list[Topology]:
    """The topologies that are asked for; without any wish all that are shipped.

    Raises:
        click.UsageError: one does not exist, or two have the same name.
    """
    try:
        shipped = {topology.name: topology for topology in shipped_topologies()} if names or not files else {}
        unknown = [name for name in names if name not in shipped]
        if unknown:
            raise click.UsageError(f"There is no topology {unknown[0]!r}. There are: {', '.join(shipped)}.")
        chosen = [shipped[name] for name in dict.fromkeys(names)] if names or files else list(shipped.values())
        chosen += [read_topology(file) for file in dict.fromkeys(file.resolve() for file in files)]
    except TopologyError as error:
        raise click.UsageError(f"{error}.") from error
    for first, second in itertools.combinations(chosen, 2):
        if first.name == second.name:
            raise click.UsageError(f"Two topologies are called {first.name!r}: {first.file} and {second.file}.")
    return chosen


def _check_restarts(_context: click.Context, _parameter: click.Parameter, restarts: tuple[str, ...]) -> tuple[str, ...]:
    for restart in restarts:
        if not RESTART.fullmatch(restart):
            raise click.BadParameter(
                f"{restart!r} is none of: {NEVER}, on-failure, on-failure:N. With others, Docker starts again what has "
                "ended well, so that no topology would ever end."
            )
    return restarts


@click.command()
@click.option("--topology", "names", multiple=True, metavar="NAME", help="Run this one, not all; may be repeated.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run a compose file of your own, which has an x-maro block; may be repeated.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice(list(FAULTS)),
    default=DISTURBANCES,
    show_default=True,
    help="What is done to one container, or to Redis; may be repeated.",
)
@click.option(
    "--restart",
    "restarts",
    multiple=True,
    metavar="POLICY",
    default=RESTARTS,
    show_default=True,
    callback=_check_restarts,
    help="Restart policy of all containers: no, on-failure or on-failure:N; may be repeated. With `no` and without an "
    "agent, who was killed is started again once the fault is over.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    default=SIZES,
    show_default=True,
    metavar="N",
    help="Containers of the service whose containers may crash; a mesh has at least 3; may be repeated.",
)
@click.option(
    "--cache",
    "caches",
    multiple=True,
    type=click.Choice(list(SWITCHES)),
    default=tuple(SWITCHES),
    show_default=True,
    help="Whether components keep messages until they are finished; may be repeated.",
)
@click.option(
    "--agent",
    "agents",
    multiple=True,
    type=click.Choice(list(SWITCHES)),
    default=tuple(SWITCHES),
    show_default=True,
    help="Whether an agent starts crashed containers again, whatever their policy is; may be repeated.",
)
@click.option(
    "--removal",
    "removals",
    multiple=True,
    type=click.Choice(list(SWITCHES)),
    default=tuple(SWITCHES),
    show_default=True,
    help="Whether the agent replaces them by new ones; may be repeated.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="How many cells run at once.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds that a cell may take.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".test-logs/matrix.xml"),
    show_default=True,
    help="The results as JUnit's XML.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".test-logs/matrix"),
    show_default=True,
    help="Gets a folder with journals, logs, schedule and verdict for each cell that does not pass.",
)
@click.option("--list", "only_list", is_flag=True, help="Print the cells, and run nothing.")
def main(
    names: tuple[str, ...],
    files: tuple[Path, ...],
    faults: tuple[str, ...],
    restarts: tuple[str, ...],
    sizes: tuple[int, ...],
    caches: tuple[str, ...],
    agents: tuple[str, ...],
    removals: tuple[str, ...],
    jobs: int,
    timeout_s: float,
    junit: Path,
    logs: Path,
    only_list: bool,
) -> None:
    """Run topologies in containers under faults, with the message cache and without, with an agent and without.

    While the work is going on, something is done to one container, or to Redis. Who was killed has to come back under
    its name, in its container or (with an agent and removal) in a new one; the verified end has to be reached all the
    same, and every message is judged.

    Variables of the compose files that the matrix does not set, such as SEED, come from the environment.

    \b
    The exit code is 0 if all cells passed, 1 if one did not, 2 for a wrong
    command line, 3 without a container engine, and 130 after an interruption.
    """
    cells = cells_of(
        _chosen(names, files),
        faults,
        restarts,
        sizes,
        [SWITCHES[word] for word in caches],
        [SWITCHES[word] for word in agents],
        [SWITCHES[word] for word in removals],
    )
    if only_list:
        for cell in cells:
            click.echo(str(cell))
        return
    try:
        connect_to_engine().close()
    except NoEngineError as error:
        click.echo(f"The matrix needs containers, but {error}", err=True)
        sys.exit(EXIT_NO_ENGINE)
    started = time.monotonic()
    view = View(Console(width=None if sys.stdout.isatty() else 120), len(cells))
    matrix = Matrix(cells, logs, timeout_s, junit, view)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        matrix.write()
    except OSError as error:
        raise click.UsageError(f"The results can't be written: {error}.") from error
    with signals_set(matrix.stop):
        with view:
            matrix.run(jobs)
        view.summarise(matrix.outcomes, time.monotonic() - started, junit)
    sys.exit(exit_code(matrix.outcomes))


if __name__ == "__main__":
    main()
