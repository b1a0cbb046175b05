"""The benchmarks, but for the durations themselves: arithmetic, turns, printing, and the ends of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rich", reason="the benchmarks need the extra `testbed`: pip install 'maro[testbed]'")
pytest.importorskip("numpy", reason="the benchmarks need the extra `examples`: pip install 'maro[examples]'")
pytest.importorskip("psutil", reason="the benchmarks need the extra `testbed`: pip install 'maro[testbed]'")

import psutil
from rich.console import Console

from benchmarks.__main__ import ROW_NAMES, exit_code
from benchmarks.figures import (
    Bound,
    Goal,
    Line,
    Of,
    Spread,
    differences,
    make_lines,
    ratios,
    running_order,
)
from benchmarks.goals import ACTORS, GOALS, SEEDS, goals_of
from benchmarks.harness import Crew, Lab, MeasurementError, introduce
from benchmarks.row import Row
from benchmarks.rows import ROWS
from benchmarks.seeds import Training, make_seed_table, make_training
from benchmarks.table import (
    Machine,
    Results,
    describe,
    machine_lines,
    make_report,
    make_table,
    show,
    show_spread,
    verdict,
)
from maro.testbed.redis_server import RedisMissingError, RedisServer
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
AT_MOST_TWICE = Goal(Of.RATIO, Bound.AT_MOST, 2.0)
MACHINE = Machine(cores=2, load_average=0.5, redis="redis-server", pyzmq="27.0", python="3.11.1")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis for the measurements."""
    try:
        server = RedisServer()
    except RedisMissingError as error:
        pytest.skip(str(error))
    with server:
        yield server


def printed(*things: object) -> str:
    """What a wide console without colours prints."""
    console = Console(width=200, color_system=None, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(*things)
    console.file.close()
    return console.export_text()


def rows_of(text: str) -> list[list[str]]:
    """The cells of a printed table, line by line."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


# Arithmetic.


@pytest.mark.parametrize(
    ("values", "spread"),
    [([3.0], Spread(3, 3, 3)), ([5, 1, 3], Spread(3, 1, 5)), ([4, 1, 2, 100], Spread(3, 1, 100))],
)
def test_a_spread_is_median_least_and_most(values: list[float], spread: Spread) -> None:
    """One outlier moves the most, never the median."""
    # Given values in any order, When they are summed up, Then so
    assert Spread.of(values) == spread


def test_no_values_have_no_spread() -> None:
    """A row without repetitions is a mistake of the caller, and said to be one."""
    # Given nothing measured, When it is summed up, Then that is refused
    with pytest.raises(ValueError, match="measure at least once"):
        Spread.of([])


def test_ratios_pair_values_of_the_same_repetition() -> None:
    """Drift of the machine cancels out: pairs are divided, not medians."""
    # Given a machine that became ten times slower half way
    reference, ours = [10.0, 10.0, 100.0], [15.0, 15.0, 150.0]
    # When the ratio is taken, Then it is that of each pair
    assert ratios(ours, reference) == [1.5, 1.5, 1.5]
    assert differences(ours, reference) == [5.0, 5.0, 50.0]


def test_the_ratio_shown_is_the_median_of_ratios() -> None:
    """It differs from the ratio of the medians, and only the former is right."""
    # Given samples where the two differ
    samples = {"raw": [1.0, 2.0, 30.0], "ours": [3.0, 2.0, 30.0]}
    # When lines are made
    raw, ours = make_lines(samples, "raw", {"ours": AT_MOST_TWICE})
    # Then the reference has none, and the other's is of pairs
    assert raw.ratio is None
    assert raw.met is None
    assert ours.ratio == Spread(1.0, 1.0, 3.0)
    assert ours.value == Spread(3.0, 2.0, 30.0)
    assert ours.met is True


def test_unpaired_values_are_refused() -> None:
    """A contender that was measured less often can't be compared."""
    # Given fewer values than references, When ratios are asked for, Then that is an error
    with pytest.raises(ValueError, match="measure both as often"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("bound", "median", "met"),
    [
        (Bound.AT_MOST, 2.0, True),
        (Bound.AT_MOST, 2.01, False),
        (Bound.AT_LEAST, 2.0, True),
        (Bound.AT_LEAST, 1.99, False),
        (Bound.BELOW, 1.99, True),
        (Bound.BELOW, 2.0, False),
    ],
)
def test_goals_have_sides(bound: Bound, median: float, met: bool) -> None:
    """The limit itself is within `at most` and `at least`, but not `below`."""
    # Given a goal of 2, When a median is judged, Then by its side
    assert Goal(Of.VALUE, bound, 2.0).is_met(median) is met


def test_a_goal_of_a_value_looks_at_the_value() -> None:
    """The ratio may be what it wants."""
    # Given a value below its limit, with a ratio above that
    samples = {"bare": [0.01], "import": [0.1]}
    # When it is judged
    line = make_lines(samples, "bare", {"import": Goal(Of.VALUE, Bound.BELOW, 0.2)})[1]
    # Then the value decided
    assert line.ratio == Spread(10.0, 10.0, 10.0)
    assert line.met is True


def test_a_goal_of_a_ratio_needs_a_reference() -> None:
    """Otherwise nobody could say whether it is met."""
    # Given a goal of a ratio where nothing is compared
    (line,) = make_lines({"ours": [1.0]}, None, {"ours": AT_MOST_TWICE})
    # When it is judged, Then that is an error which says so
    with pytest.raises(ValueError, match="no reference"):
        _ = line.met


# Turns.


def test_contenders_take_turns_in_alternating_order() -> None:
    """Each value has its neighbour in time, and nobody is always first."""
    # Given two contenders that write down when they are called
    calls: list[str] = []

    def contender(name: str) -> Callable[[Lab], float]:
        def measure(lab: Lab) -> float:
            calls.append(name)
            return float(len(calls))

        return measure

    row = Row("some", "some work", "s", {"raw": contender("raw"), "ours": contender("ours")}, reference="raw")
    progress: list[int] = []
    # When the row is measured
    raw, ours = row.measure(None, 3, progress.append)  # type: ignore[arg-type] - the contenders above start nothing
    # Then in turns, and every value is with its contender
    assert calls == ["raw", "ours", "ours", "raw", "raw", "ours"]
    assert (raw.values, ours.values) == ((1.0, 4.0, 5.0), (2.0, 3.0, 6.0))
    assert progress == [1, 2, 3]
    assert running_order("abc", 1) == ["c", "b", "a"]


def test_unmeasured_rounds_do_not_count() -> None:
    """What compiles modules or fills caches is thrown away, and differences are of what is left."""
    # Given contenders that get cheaper after their first call
    bare, whole = iter([9.0, 1.0, 2.0]), iter([99.0, 4.0, 6.0])
    row = Row(
        "some",
        "some work",
        "s",
        {"bare": lambda lab: next(bare), "whole": lambda lab: next(whole)},
        reference="bare",
        less_reference={"the rest": "whole"},
        unmeasured_rounds=1,
    )
    # When it is measured twice
    lines = row.measure(None, 2, lambda done: None)  # type: ignore[arg-type] - as above
    # Then the first round is not among the values
    assert [(line.contender, line.values) for line in lines] == [
        ("bare", (1.0, 2.0)),
        ("whole", (4.0, 6.0)),
        ("the rest", (3.0, 4.0)),
    ]
    assert lines[2].ratio is None


def test_a_row_names_contenders_that_it_has() -> None:
    """A mistyped reference is found when the row is made, not after minutes of measuring."""
    # Given a row whose reference is none of its contenders, When it is made, Then that is refused
    with pytest.raises(ValueError, match="rwa"):
        Row("some", "some work", "s", {"raw": lambda lab: 1.0}, reference="rwa")


# The tables of rows and goals.


def test_every_row_can_be_asked_for() -> None:
    """`--only` knows the rows that there are, without importing what they need."""
    # Given both lists, Then they are the same, in the same order
    assert tuple(ROWS) == ROW_NAMES


def test_every_goal_can_be_judged() -> None:
    """A goal of a contender that is not measured would never be missed."""
    for (name, contender), goal in GOALS.items():
        # Given a goal, When its row is looked up
        row = ROWS[name]
        # Then it has that contender, and something to divide by where that is needed
        assert contender in row.contenders
        assert goal.of is Of.VALUE or row.reference not in (None, contender)
        assert goals_of(name)[contender] is goal


# Printing.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0756, "0.076"),
        (0.8555, "0.856"),
        (1.804, "1.80"),
        (38.04, "38.0"),
        (113.4, "113"),
        (999.4, "999"),
        (1_095_470.2, "1,095,470"),
        (-12.34, "-12.3"),
    ],
)
def test_figures_have_the_digits_that_count(value: float, text: str) -> None:
    """Three of them, or all before the point."""
    # Given a value, When it is shown, Then so
    assert show(value) == text


def test_the_table_shows_values_ratios_and_verdicts() -> None:
    """One line a contender; the row's title stands at its first line."""
    # Given a row with a goal that is met, one that is missed, and none
    row = Row("some", "some work", "us", {name: lambda lab: 0.0 for name in ("raw", "good", "bad", "other")}, "raw")
    samples = {"raw": [10.0, 20.0], "good": [15.0, 30.0], "bad": [25.0, 60.0], "other": [10.0, 20.0]}
    lines = make_lines(samples, "raw", {"good": AT_MOST_TWICE, "bad": AT_MOST_TWICE})
    # When it is printed
    text = printed(make_table({"some": (row, lines)}, repetitions=2))
    # Then every cell is where it belongs
    assert "Medians of 2 interleaved repetitions" in text
    assert rows_of(text) == [
        ["some work [some]", "raw", "15.0 (10.0 .. 20.0)", "us", "1", ""],
        ["", "good", "22.5 (15.0 .. 30.0)", "us", "1.50 (1.50 .. 1.50)", "<= 2x: met"],
        ["", "bad", "42.5 (25.0 .. 60.0)", "us", "2.75 (2.50 .. 3.00)", "<= 2x: missed"],
        ["", "other", "15.0 (10.0 .. 20.0)", "us", "1.00 (1.00 .. 1.00)", ""],
    ]


def test_goals_are_described_in_signs() -> None:
    """An `x` marks those that are about a ratio."""
    # Given goals of both kinds, When they are described, Then they can be told apart
    assert describe(Goal(Of.RATIO, Bound.AT_LEAST, 0.85)) == ">= 0.85x"
    assert describe(Goal(Of.VALUE, Bound.BELOW, 60.0)) == "< 60"
    assert verdict(Line("raw", (1.0,), Spread(1, 1, 1), None, None)).plain == ""
    assert show_spread(Spread(1.5, 0.5, 2000)) == "1.50 (0.500 .. 2,000)"


@pytest.mark.parametrize(("load_average", "warned"), [(0.1, False), (2.0, False), (2.01, True)])
def test_a_busy_machine_is_named(load_average: float, warned: bool) -> None:
    """Whoever reads the figures learns that others were computing."""
    # Given a machine of two cores, When it has a load
    lines = machine_lines(Machine(cores=2, load_average=load_average, redis="embedded", pyzmq="27.0"))
    # Then the load is always said, and warned of from above the number of cores
    assert f"2 cores, load average {load_average:.2f}" in lines[0]
    assert "Redis: embedded" in lines[0]
    assert any(line.startswith("warning") for line in lines) is warned


def test_the_report_has_every_value() -> None:
    """Programs get what was measured, not what was rounded; it is plain JSON."""
    # Given results, and a row that failed
    row = Row("some", "some work", "us", {"raw": lambda lab: 0.0, "ours": lambda lab: 0.0}, reference="raw")
    results: Results = {
        "some": (row, make_lines({"raw": [1.0, 3.0], "ours": [3.0, 3.0]}, "raw", {"ours": AT_MOST_TWICE}))
    }
    # When they are reported and read back
    report = json.loads(json.dumps(make_report(MACHINE, results, {"other": "it broke"}, 2)))
    # Then nothing is missing
    assert report["machine"] == {
        "cores": 2,
        "load_average": 0.5,
        "python": "3.11.1",
        "pyzmq": "27.0",
        "redis": "redis-server",
    }
    assert (report["repetitions"], report["failed"]) == (2, {"other": "it broke"})
    ours = report["rows"][0]["lines"][1]
    assert ours == {
        "contender": "ours",
        "values": [3.0, 3.0],
        "value": {"median": 3.0, "least": 3.0, "most": 3.0},
        "ratio": {"median": 2.0, "least": 1.0, "most": 3.0},
        "goal": {"of": "ratio", "bound": "<=", "limit": 2.0},
        "met": True,
    }
    assert report["rows"][0]["lines"][0]["ratio"] is None


@pytest.mark.parametrize(
    ("ours", "failed", "strict", "code"),
    [(1.0, False, True, 0), (9.0, False, False, 0), (9.0, False, True, 1), (1.0, True, False, 1)],
)
def test_the_exit_code(ours: float, failed: bool, strict: bool, code: int) -> None:
    """Missed goals count only where that was asked for; a row that could not be measured always does."""
    # Given a contender that meets its goal with 1 and misses it with 9
    lines = make_lines({"raw": [1.0], "ours": [ours]}, "raw", {"ours": AT_MOST_TWICE})
    # When the run ends, Then so
    assert exit_code(lines, failed, strict) == code


# Seeds.


def test_a_training_passes_from_the_required_return_on() -> None:
    """Just below is a failure, and so is a training without an evaluation."""
    # Given the ends of trainings
    ends = [{"event": "finished", "version": 7, "evaluation": mean} for mean in (475.0, 474.99, None)]
    # When they are judged
    trainings = [make_training(seed, 30.0, end) for seed, end in enumerate(ends)]
    # Then the first only has passed, and the table says so
    assert [training.passed for training in trainings] == [True, False, False]
    assert rows_of(printed(make_seed_table(trainings))) == [
        ["0", "30.0", "7", "475.0", "pass"],
        ["1", "30.0", "7", "475.0", "fail"],
        ["2", "30.0", "7", "none", "fail"],
    ]
    assert trainings[0] == Training(0, 30.0, 7, 475.0)
    assert (list(SEEDS), ACTORS) == (list(range(10)), 4)


def test_a_training_that_did_not_finish_is_none() -> None:
    """A learner that ends early must not pass with the evaluation that it had before."""
    # Given a last report in the middle, or none at all, When it is taken for the end, Then that is an error
    for last in ({"event": "progress", "version": 3, "evaluation": 499.0}, {}):
        with pytest.raises(MeasurementError, match="seed 4"):
            make_training(4, 1.0, last)


# Processes.


def test_a_role_that_fails_says_why() -> None:
    """The harness raises with the traceback of the process, and the process has ended."""
    # Given a role that lacks its arguments, When the harness listens to it
    with pytest.raises(MeasurementError, match="KeyError: 'events'"), Crew({}) as crew:
        worker = crew.start("alone:dispatch")
        worker.hear()
    # Then it is gone
    assert worker.process.returncode is not None


def test_a_process_that_is_killed_is_noticed() -> None:
    """Nobody waits for the time limit where there is nobody left to answer."""
    # Given a process that is ready, When it is killed
    with pytest.raises(MeasurementError, match="ended without a word"), Crew({}) as crew:
        worker = crew.start("alone:idle_process")
        introduce(worker, [])
        worker.process.send_signal(signal.SIGKILL)
        # Then listening to it fails
        worker.hear()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MeasurementError])
def test_an_interruption_leaves_no_process(error: type[BaseException]) -> None:
    """Ctrl-C and failures end what was started."""
    # Given two processes that wait to be told something, When the measurement is interrupted
    with pytest.raises(error), Crew({}) as crew:
        workers = [crew.start("alone:idle_process") for _ in range(2)]
        for worker in workers:
            introduce(worker, [])
        raise error
    # Then both are gone
    assert [worker.process.returncode for worker in workers] == [-signal.SIGKILL] * 2


def test_a_process_ends_when_the_harness_is_gone() -> None:
    """Even a harness that was killed leaves nothing behind: its end of the pipe is closed."""
    # Given a harness that starts a process and is killed while that waits
    program = (
        "import os, signal\n"
        "from benchmarks.harness import Crew, introduce\n"
        "worker = Crew({}).start('alone:idle_process')\n"
        "introduce(worker, [])\n"
        "print(worker.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    # When the harness has gone
    assert done.returncode == -signal.SIGKILL, done.stderr
    # Then the process ends as well
    eventually(lambda: has_ended(int(done.stdout)), what="the process ends")


def has_ended(pid: int) -> bool:
    """Whether a process that is not our child has ended; nobody may have collected it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_star_of_components_is_measured(redis: RedisServer) -> None:
    """Both kinds of stars carry their messages, and all processes end by themselves."""
    # Given a lab, When a few round trips are made by each contender
    lab = Lab(redis)
    for source in ("raw", "maro"):
        with lab.star(f"streams:{source}_ping", f"streams:{source}_echo", count=3, warm_up=1) as (ping, echoes):
            ping.say("go")
            value = ping.hear()
        # Then there is a value, and everybody has ended well
        assert value > 0
        assert [worker.process.returncode for worker in (ping, *echoes)] == [0, 0]


# The command.


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks`."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_prints_and_writes_what_it_measured(redis: RedisServer, tmp_path: Path) -> None:
    """From the command line to the report, with the shortest of rows."""
    # Given a folder, When one row is measured twice
    report_path = tmp_path / "report.json"
    done = command("--only", "dispatch", "--repeat", "2", "--json", str(report_path))
    # Then the table is printed, and the report has the values
    assert done.returncode == 0, done.stderr
    assert "[dispatch]" in done.stdout
    assert "load average" in done.stdout
    report = json.loads(report_path.read_text())
    (row,) = report["rows"]
    assert [(line["contender"], len(line["values"])) for line in row["lines"]] == [("1 event", 2), ("1,000 events", 2)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--only", "nothing"), "'nothing' is not one of"),
        (("--quick", "--repeat", "3"), "--quick and --repeat"),
        (("--seeds", "--quick"), "--seeds is a run of its own"),
        (("--repeat", "0"), "0 is not in the range"),
        (("--json", "no-such-folder/report.json"), "there is no folder no-such-folder"),
    ],
)
def test_arguments_that_contradict_are_refused(arguments: tuple[str, ...], text: str) -> None:
    """At once, before anything is started."""
    # Given such arguments, When the command is run, Then it says what is wrong
    done = command(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
