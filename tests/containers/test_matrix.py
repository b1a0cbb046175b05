"""The matrix as its user starts it, but for the set-up: real cells, one that passes and some that can't."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import docker
import pytest

from maro.testbed.compose_project import remove_projects
from maro.testbed.runners.compose import PROJECT_PREFIX
from tests.containers.conftest import IMAGES, ROOT
from tests.support.container_budget import containers
from tests.support.programs import Program, started
from tests.support.waiting import eventually

MATRIX = [sys.executable, "-m", "maro.testbed.matrix"]
PARAMETER_SERVER = (ROOT / "compose" / "parameter-server.yaml").read_text()
ONE_CELL = ("--fault", "none", "--restart", "no", "--size", "2", "--cache", "off", "--agent", "off")
CONTAINERS = 5
"""Of a parameter server with two workers: these, the server, Redis, and in some cells an agent."""
WITHIN_S = 700.0


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the command, its files in a folder; on a host that has a JOB_ID of its own."""
    environment = {**IMAGES, "JOB_ID": "of-the-host"}
    with containers(CONTAINERS), started([*MATRIX, *places(folder), *arguments], folder, environment) as matrix:
        return matrix.exit_code(WITHIN_S), matrix.output()


def places(folder: Path) -> list[str]:
    return ["--junit", str(folder / "matrix.xml"), "--logs", str(folder / "logs")]


def case(folder: Path) -> ElementTree.Element:
    """The only test case of the results."""
    (found,) = ElementTree.parse(folder / "matrix.xml").getroot().iter("testcase")
    return found


def changed(folder: Path, before: str, after: str) -> Path:
    """A copy of the parameter server's compose file with something else in it."""
    assert before in PARAMETER_SERVER
    file = folder / "changed.yaml"
    file.write_text(PARAMETER_SERVER.replace(before, after).replace("../docker", str(ROOT / "docker")))
    return file


@pytest.fixture(autouse=True)
def _nothing_left(engine: docker.DockerClient, tmp_path: Path) -> Iterator[None]:
    """However a test ends, its containers end with it."""
    yield
    names = project_names(tmp_path)
    remove_projects(lambda name: name in names)


def project_names(folder: Path) -> set[str]:
    """The projects of the cells whose logs are in a folder."""
    return {f"{PROJECT_PREFIX}{logs.name.rpartition('-')[2]}" for logs in (folder / "logs").glob("*")}


def projects_left(engine: docker.DockerClient, folder: Path) -> list[str]:
    """What is left of the cells whose logs are in a folder."""
    names = project_names(folder)
    found = [
        *(one.labels for one in engine.containers.list(all=True, ignore_removed=True)),
        *(one.attrs["Labels"] for one in engine.networks.list()),
    ]
    return [labels["com.docker.compose.project"] for labels in found if names.intersection(labels.values())]


def test_a_cell_passes(tmp_path: Path) -> None:
    """A worker is killed, comes back, the end is reached, and the results say so."""
    # Given a topology, When it is run where containers are started again
    conditions = ("--fault", "kill", "--restart", "on-failure", "--size", "2", "--cache", "on", "--agent", "off")
    code, output = run(tmp_path, "--topology", "parameter-server", *conditions)

    # Then it passes, and its messages were judged
    assert code == 0, output
    assert "1 passed" in output
    result = case(tmp_path)
    assert result.get("classname") == "maro.matrix.parameter-server"
    assert result.get("name") == "fault kill, restart on-failure, size 2, cache on, agent off, removal off"
    assert result.find("failure") is None
    told = re.fullmatch(r"([0-9]+) messages\nback in ([0-9.]+) s", result.findtext("system-out") or "")
    assert told is not None and int(told[1]) > 0 and float(told[2]) > 0
    # And no logs are kept
    assert list((tmp_path / "logs").iterdir()) == []


@pytest.mark.parametrize("fault", ["isolate", "redis-kill"])
def test_a_cell_with_any_other_fault_passes(tmp_path: Path, fault: str) -> None:
    """Who is not killed does not have to come back; the message cache is off as well here."""
    conditions = ("--fault", fault, "--size", "2", "--cache", "off", "--agent", "off")
    code, output = run(tmp_path, "--topology", "parameter-server", *conditions)
    assert code == 0, output
    assert re.fullmatch("[0-9]+ messages", case(tmp_path).findtext("system-out") or "")


@pytest.mark.parametrize("removal", ["off", "on"])
def test_a_cell_with_an_agent_passes(tmp_path: Path, removal: str) -> None:
    """A worker is killed, comes back in its container or in a new one, and the end is reached."""
    conditions = ("--fault", "kill", "--size", "2", "--cache", "on", "--agent", "on", "--removal", removal)
    code, output = run(tmp_path, "--topology", "parameter-server", *conditions)
    assert code == 0, output
    assert "back in" in (case(tmp_path).findtext("system-out") or "")


def test_an_agent_that_does_not_do_what_the_cell_says_fails_it(tmp_path: Path) -> None:
    """Workers that never told that they are to be replaced are started again."""
    file = changed(tmp_path, 'MARO_REMOVE_FAILED_CONTAINER: "${REMOVAL:-0}"', 'MARO_REMOVE_FAILED_CONTAINER: "0"')
    conditions = ("--fault", "kill", "--size", "2", "--cache", "on", "--agent", "on", "--removal", "on")
    code, output = run(tmp_path, "--file", str(file), *conditions, "--restart", "no")
    assert code == 1, output
    assert re.search("worker-[12] was started again, although removal is on", output)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("parameter_server.server,", "parameter_server.nobody,", "server-1 ended with code"),
        ("parameter_server.worker,", "parameter_server.nobody,", "worker-"),
        ("[redis-server, /etc/maro", "[redis-server, /nowhere", "redis"),
    ],
    ids=["server", "worker", "start"],
)
def test_a_cell_that_can_not_pass_fails(
    engine: docker.DockerClient, tmp_path: Path, before: str, after: str, reason: str
) -> None:
    """A topology with a mistake fails soon, with the reason, its logs are kept, and nothing else is."""
    # Given a compose file with a mistake
    file = changed(tmp_path, before, after)

    # When it is run
    code, output = run(tmp_path, "--file", str(file), *ONE_CELL)

    # Then that has failed for this reason, and not because time was up
    assert code == 1, output
    failure = case(tmp_path).find("failure")
    assert failure is not None and failure.text is not None
    assert reason in failure.text
    assert "within" not in failure.text
    # And its logs are there, and named
    (logs,) = (tmp_path / "logs").iterdir()
    assert f"logs: {logs}" in (case(tmp_path).findtext("system-out") or "")
    assert str(logs) in output
    assert (logs / "compose.log").exists() and (logs / "redis-1.log").exists()
    assert projects_left(engine, tmp_path) == []


def test_a_cell_without_an_end_is_ended(engine: docker.DockerClient, tmp_path: Path) -> None:
    """A server that waits for a third worker waits for ever; its time is up before."""
    # Given a compose file whose server expects one worker more than there are, When it is run
    file = changed(tmp_path, "MARO_PEERS: worker=${WORKERS:-4}", "MARO_PEERS: worker=3")
    code, output = run(tmp_path, "--file", str(file), *ONE_CELL, "--timeout", "25")

    # Then it has failed because its time was up
    assert code == 1, output
    assert "within 25 s" in output
    assert projects_left(engine, tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_matrix_leaves_nothing_behind(
    engine: docker.DockerClient, tmp_path: Path, number: signal.Signals
) -> None:
    """Its containers are removed, and the results name the cells that were not run."""
    # Given a cell that runs, and one that is to come
    cells = ["--topology", "parameter-server", "--fault", "kill", "--size", "2", "--agent", "off"]
    command = [*MATRIX, *places(tmp_path), *cells]
    with containers(CONTAINERS), started(command, tmp_path, IMAGES) as matrix:
        eventually(lambda: has_containers(engine, matrix, tmp_path), 120.0, matrix.output)

        # When it is interrupted
        matrix.signal(number)

        # Then it ends with the code for that
        assert matrix.exit_code(120.0) == 130, matrix.output()
    assert "1 interrupted, 1 not run" in matrix.output()
    cases = ElementTree.parse(tmp_path / "matrix.xml").getroot().iter("testcase")
    assert [one.get("message") for found in cases for one in found.findall("skipped")] == ["interrupted", "not run"]
    # And nothing is left but logs
    assert projects_left(engine, tmp_path) == []


def has_containers(engine: docker.DockerClient, matrix: Program, folder: Path) -> bool:
    """Whether the cell that runs has got as far as containers."""
    assert matrix.process.poll() is None, matrix.output()
    return bool(projects_left(engine, folder))
