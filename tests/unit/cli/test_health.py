"""The health mark: a file that follows what it is told, and never gets in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from maro.cli.health import HEALTH_FILE_VARIABLE, HealthMark
from tests.support.programs import component
from tests.support.programs import write_program as write


def test_the_mark_follows_the_number_of_open_proxies(tmp_path: Path) -> None:
    """It is there while any is open, however often it is told."""
    # Given a mark
    path = tmp_path / "joined"
    mark = HealthMark(path)
    seen = []
    # When it is told numbers
    for number in (0, 0, 1, 2, 1, 1, 0, 0, 1):
        mark.show(number)
        seen.append(path.exists())
    # Then the file is there for all but 0
    assert seen == [False, False, True, True, True, True, False, False, True]


def test_a_relative_path_is_where_the_process_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its folder does not take the mark along."""
    # Given a mark with a relative path
    monkeypatch.chdir(tmp_path)
    mark = HealthMark(Path("joined"))
    # When the program goes elsewhere and joins
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    mark.show(1)
    # Then the mark is where the health check looks
    assert (tmp_path / "joined").exists()


@pytest.mark.parametrize("obstacle", ["no such folder", "a file for a folder", "a folder for a file"])
def test_a_mark_that_cannot_be_kept_is_reported_once(
    tmp_path: Path, obstacle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the file and the variable; nothing is raised."""
    # Given a path where no file can be
    write(tmp_path / "file", "")
    (tmp_path / "folder").mkdir()
    paths = {"no such folder": "missing/joined", "a file for a folder": "file/joined", "a folder for a file": "folder"}
    path = tmp_path / paths[obstacle]
    mark = HealthMark(path)
    # When the component joins and leaves, twice
    for number in (0, 1, 0, 1, 0):
        mark.show(number)
    # Then that is said once
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert HEALTH_FILE_VARIABLE in line


SHOWS = """
    import os
    print(os.path.exists("joined"), os.environ.get("MARO_HEALTH_FILE"))
"""


def test_a_predecessors_mark_is_gone_before_the_program_runs(tmp_path: Path) -> None:
    """A component that was killed left it behind, and its successor has not joined yet.

    The program does not see the variable, so that neither do components which it starts.
    """
    # Given a mark that was left behind
    write(tmp_path / "joined", "")
    environment = {HEALTH_FILE_VARIABLE: "joined"}
    # When a component starts in the same place
    with component(write(tmp_path / "actor.py", SHOWS), folder=tmp_path, environment=environment) as program:
        # Then its program finds neither the mark nor the variable
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "False None\n"
        assert program.stderr == ""


@pytest.mark.parametrize("environment", [{}, {HEALTH_FILE_VARIABLE: ""}])
def test_without_the_variable_there_is_no_mark(tmp_path: Path, environment: dict[str, str]) -> None:
    """A file that happens to have the name is nobody's mark."""
    # Given no variable, or an empty one
    write(tmp_path / "joined", "")
    # When a component runs
    with component(write(tmp_path / "actor.py", SHOWS), folder=tmp_path, environment=environment) as program:
        # Then files are left alone
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "True None\n"
