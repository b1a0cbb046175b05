"""The matrix, as far as it can be tried without an engine: its cells, its command line, its table, its JUnit file."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from maro.testbed.cell import FAULTS, Cell, Outcome, Verdict
from maro.testbed.junit import Case, Result, junit_text, write_junit
from maro.testbed.matrix import DISTURBANCES, RESTARTS, Matrix, cells_of, exit_code, junit_case, main
from maro.testbed.matrix_view import View
from maro.testbed.topology import OVERLAYS, Topology, TopologyError, read_topology, shipped_topologies

ROOT = Path(__file__).parents[3]
NO_ENGINE = {"DOCKER_HOST": "unix:///nobody/listens/here.sock"}

STAR = Topology("star", Path("star.yaml"), "hub", "spoke", "SPOKES")
RING = Topology("ring", Path("ring.yaml"), "node", "node", "NODES")
CELL = Cell(STAR, "kill", "on-failure:10", 4)
PASSED = Outcome(CELL, Verdict.PASSED, 12.25, back="1.5 s", messages=240)
FAILED = Outcome(
    Cell(RING, "pause", "no", 3),
    Verdict.FAILED,
    3.0,
    reason="node-2 ended with code 1\nand more",
    logs=Path("logs/ring"),
)
INTERRUPTED = Outcome(
    Cell(STAR, "none", "no", 2), Verdict.INTERRUPTED, 1.0, reason="interrupted", logs=Path("logs/star")
)
NOT_RUN = Outcome(Cell(STAR, "kill", "no", 4, cache=True), Verdict.NOT_RUN)

COMPOSE_FILE = """
x-maro: {verdict: hub, crash: spoke, size: SPOKES}
services:
  hub: {image: hub}
  spoke: {image: spoke}
"""


def compose_file(folder: Path, text: str = COMPOSE_FILE, name: str = "star.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command, where no engine answers."""
    done = CliRunner(env=NO_ENGINE).invoke(main, arguments)
    return done.exit_code, done.output


# Topologies.


def test_every_shipped_compose_file_is_a_topology() -> None:
    """The folder and the list agree."""
    # Given the compose files, When they are read, Then each is a topology of that name
    names = [topology.name for topology in shipped_topologies()]
    files = sorted(file for file in (ROOT / "compose").glob("*.yaml") if file.name not in OVERLAYS)
    assert names == [file.stem for file in files]
    assert names


def test_a_compose_file_of_ones_own_is_read(tmp_path: Path) -> None:
    """Given a file with an x-maro block, it is a topology with the file's name."""
    file = compose_file(tmp_path)
    assert read_topology(file) == Topology("star", file, "hub", "spoke", "SPOKES")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("x-maro:", "x-other:", "has no x-maro block"),
        ("crash: spoke, ", "", "lacks crash"),
        ("size: SPOKES", "size: 4", "lacks size"),
        ("size: SPOKES", "size: '${SPOKES}'", "no name of a variable"),
        ("verdict: hub", "verdict: centre", "the file's services are hub, spoke"),
        ("services:", "tasks:", "has no services"),
        ("{image: hub}", "{image", "is no YAML"),
    ],
)
def test_a_compose_file_that_does_not_fit_is_refused(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    """Given a file with a mistake, the mistake is named, and so is the file."""
    file = compose_file(tmp_path, COMPOSE_FILE.replace(before, after))
    with pytest.raises(TopologyError, match=complaint) as refused:
        read_topology(file)
    assert str(file) in str(refused.value)


# Cells.


def test_the_cells_are_all_combinations() -> None:
    """Given several dimensions, each combination is one cell, in order."""
    cells = cells_of([STAR], ["kill", "pause"], ["no"], [1, 2], [True], [False])
    assert [(cell.fault, cell.size, cell.cache) for cell in cells] == [
        ("kill", 1, True),
        ("kill", 2, True),
        ("pause", 1, True),
        ("pause", 2, True),
    ]


def test_removal_is_a_matter_of_cells_with_an_agent() -> None:
    """Given both with and without, there is one cell without an agent, and two with one."""
    cells = cells_of([STAR], ["kill"], ["no"], [2], [False])
    assert [(cell.agent, cell.removal) for cell in cells] == [(False, False), (True, False), (True, True)]
    assert [cell.slug for cell in cells] == [
        "star-kill-no-2",
        "star-kill-no-2-agent",
        "star-kill-no-2-agent-removal",
    ]


def test_where_the_judged_may_crash_two_are_left() -> None:
    """Given a topology of one kind of nodes, the smallest size is three, and no cell comes twice."""
    cells = cells_of([RING], ["kill"], ["no"], [1, 2, 3, 5], [False], [False])
    assert [cell.size for cell in cells] == [3, 5]


def test_a_cell_is_a_scenario() -> None:
    """Given a cell, its scenario sets the compose file's variables, and does the fault to one that may crash."""
    scenario = Cell(STAR, "isolate", "on-failure:10", 4, cache=True, agent=True, removal=True).scenario(90.0)
    assert scenario.variables == {
        "RESTART": "on-failure:10",
        "MAIN_RESTART": "on-failure:10",
        "SPOKES": "4",
        "CACHE": "1",
    }
    assert (scenario.agent, scenario.removal, scenario.within_s) == (True, True, 90.0)
    (entry,) = scenario.schedule.entries
    assert str(entry.fault) == "isolate any spoke"
    assert entry.for_s == 3.0


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_matrix_makes_a_schedule(fault: str) -> None:
    """Given any of them, a cell has one entry, or none where nothing is to be done."""
    assert len(Cell(STAR, fault, "no", 2).schedule.entries) == (fault != "none")


def test_a_cells_folder_can_be_an_artifact() -> None:
    """Given a policy with a colon, the folder's name has none."""
    assert CELL.slug == "star-kill-on-failure-10-4"


# The command line.


def test_list_prints_the_default_cells() -> None:
    """Given no wishes, every topology comes under every fault; no engine is needed for the list."""
    code, output = run("--list")
    assert code == 0
    # With the cache and without; without an agent, with one, and with one that removes
    assert len(output.splitlines()) == len(shipped_topologies()) * len(DISTURBANCES) * 2 * 3
    conditions = f"restart {RESTARTS[0]}, size 3"
    assert f"topology mesh, fault kill, {conditions}, cache off, agent off, removal off" in output
    assert f"topology rollout, fault redis-kill, {conditions}, cache on, agent on, removal on" in output


def test_list_prints_the_cells_that_were_asked_for(tmp_path: Path) -> None:
    """Given a file and conditions, there are no other cells."""
    conditions = ("--fault", "pause", "--restart", "on-failure", "--size", "7", "--cache", "on", "--agent", "off")
    code, output = run("--file", str(compose_file(tmp_path)), *conditions, "--list")
    assert (code, output) == (
        0,
        "topology star, fault pause, restart on-failure, size 7, cache on, agent off, removal off\n",
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--topology", "rolout"), "There are: counter, mesh, multi-learner, parameter-server, pipeline, rollout."),
        (("--size", "0"), "x>=1"),
        (("--size", "many"), "is not a valid integer"),
        (("--fault", "flood"), "is not one of 'none', 'kill', 'pause', 'isolate', 'redis-kill'"),
        (("--restart", "always"), "none of: no, on-failure, on-failure:N"),
        (("--restart", "on-failure:"), "none of: no, on-failure, on-failure:N"),
        (("--jobs", "0"), "x>=1"),
        (("--timeout", "0"), "x>0"),
        (("--file", "nowhere.yaml"), "does not exist"),
        (("--file", __file__), "is no"),
        (("rollout",), "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    """Given a mistake, the exit code is 2 and the output says what there is."""
    code, output = run(*arguments)
    assert code == 2
    assert complaint in " ".join(output.split())


def test_two_topologies_of_one_name_are_refused(tmp_path: Path) -> None:
    """Given two files of the same name, nobody could tell their cells apart."""
    files = [compose_file(tmp_path / folder) for folder in ("one", "two")]
    code, output = run("--list", "--file", str(files[0]), "--file", str(files[1]))
    assert code == 2
    assert "Two topologies are called 'star'" in output


def test_without_an_engine_that_is_said(tmp_path: Path) -> None:
    """Given no engine, the exit code is 3, and nothing counts as having been run."""
    junit = tmp_path / "matrix.xml"
    code, output = run("--topology", "rollout", "--junit", str(junit))
    assert code == 3
    assert "The matrix needs containers" in output
    assert not junit.exists()


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([PASSED, PASSED], 0),
        ([PASSED, FAILED], 1),
        ([FAILED, INTERRUPTED, NOT_RUN], 130),
        ([PASSED, NOT_RUN], 130),
    ],
)
def test_the_exit_code_tells_how_it_went(outcomes: list[Outcome], code: int) -> None:
    """Given outcomes, only passing all of them is a success."""
    assert exit_code(outcomes) == code


# What is told.


def test_the_junit_file_has_a_case_for_each_cell(tmp_path: Path) -> None:
    """Given cells that ended in every way there is, a reader of JUnit files finds them all."""
    # Given outcomes, When they are written
    file = tmp_path / "new" / "matrix.xml"
    write_junit(file, "maro.matrix", [junit_case(outcome) for outcome in (PASSED, FAILED, INTERRUPTED, NOT_RUN)])

    # Then the counts are right
    root = ElementTree.parse(file).getroot()
    (suite,) = root.findall("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    # And so are the cases
    passed, failed, interrupted, not_run = suite.findall("testcase")
    assert passed.attrib == {
        "classname": "maro.matrix.star",
        "name": "fault kill, restart on-failure:10, size 4, cache off, agent off, removal off",
        "time": "12.250",
    }
    assert [element.tag for element in passed] == ["system-out"]
    assert passed.findtext("system-out") == "240 messages\nback in 1.5 s"
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "node-2 ended with code 1"
    assert failure.text == "node-2 ended with code 1\nand more"
    assert failed.findtext("system-out") == "logs: logs/ring"
    skipped = [element.get("message") for case in (interrupted, not_run) for element in case.findall("skipped")]
    assert skipped == ["interrupted", "not run"]
    # And nothing else is in the folder
    assert list(file.parent.iterdir()) == [file]


def test_before_anything_is_run_all_cells_are_skipped(tmp_path: Path) -> None:
    """Given a matrix that was not begun, its file names every cell."""
    file = tmp_path / "matrix.xml"
    Matrix([CELL], tmp_path, 1.0, file, View(Console(file=io.StringIO()), 1)).write()
    (case,) = ElementTree.parse(file).getroot().iter("testcase")
    assert case.find("skipped") is not None


@given(st.text(), st.text(), st.text(), st.sampled_from(Result))
def test_whatever_a_container_says_the_file_can_be_read(name: str, message: str, output: str, result: Result) -> None:
    """Given any text, such as the escapes of a terminal, the file is XML."""
    text = junit_text(name, [Case(name, name, 0.0, result, message, output)])
    assert len(list(ElementTree.fromstring(text.encode()).iter("testcase"))) == 1


def test_the_table_has_a_row_for_each_cell() -> None:
    """Given outcomes, the table has their dimensions and verdicts; below it is why one failed, and where to look."""
    told = io.StringIO()
    view = View(Console(file=told, width=120), 4)
    view.summarise([PASSED, FAILED, INTERRUPTED, NOT_RUN], 75.0, Path("matrix.xml"))
    lines = [" ".join(line.split()) for line in told.getvalue().splitlines()]
    assert "agent off, removal off" in lines  # what all have is said once
    assert "topology fault restart size cache back in messages seconds verdict" in lines
    assert "star kill on-failure:10 4 off 1.5 s 240 12.2 passed" in lines
    assert "ring pause no 3 off - - 3.0 failed" in lines
    assert "star kill no 4 on - - - not run" in lines
    assert f"failed {FAILED.cell}: node-2 ended with code 1" in lines
    assert "logs: logs/ring" in lines
    assert "1 passed, 1 failed, 1 interrupted, 1 not run, in 1 min 15 s. JUnit: matrix.xml" in lines


def test_without_a_terminal_there_is_one_line_for_each_cell_that_ended() -> None:
    """Given a pipe, a line is written when a cell has ended, and nothing in between."""
    told = io.StringIO()
    with View(Console(file=told, width=40), 3) as view:
        view.tell(CELL, "starting")
        assert not told.getvalue()
        for outcome in (PASSED, FAILED, NOT_RUN):
            view.take(outcome)
    assert told.getvalue().splitlines() == [
        f"  1/3  passed     12.2 s  {CELL}; back in 1.5 s",
        f"  2/3  failed      3.0 s  {FAILED.cell}: node-2 ended with code 1",
    ]


def test_on_a_terminal_what_runs_is_shown() -> None:
    """Given a terminal, one sees which cell runs, and what it waits for."""
    told = io.StringIO()
    with View(Console(file=told, width=120, force_terminal=True), 1) as view:
        view.tell(CELL, "waiting for progress")
    assert f"{CELL}: waiting for progress" in " ".join(told.getvalue().split())


# The workflow.


def test_the_workflow_runs_the_same_matrix() -> None:
    """Given the workflow, its matrix is the default of the command: a new topology has to be in both."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "topologies.yml").read_text())
    matrix = workflow["jobs"]["topologies"]["strategy"]["matrix"]
    assert matrix["topology"] == [topology.name for topology in shipped_topologies()]
    assert tuple(matrix["fault"]) == DISTURBANCES
