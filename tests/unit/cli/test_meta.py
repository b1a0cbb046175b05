"""`maro meta`: what it says, the codes it ends with, and that nobody imports from what it deployed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maro import __version__
from maro.cli.meta import compose_command
from maro.utils.home import maro_home
from tests.support.programs import Program, started
from tests.support.programs import write_program as write


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to deploy to; it does not exist yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return maro_home()


@contextmanager
def maro(folder: Path, *args: str) -> Iterator[Program]:
    """Run the command in `folder` as its installed script runs it, which does not import from the current folder."""
    script = write(folder.parent / "bin" / "maro", "from maro.cli.main import main\nmain()")
    folder.mkdir(exist_ok=True)
    with started([sys.executable, script, *args], folder) as program:
        yield program


def exit_code_and_output(folder: Path, *args: str) -> tuple[int, str, str]:
    """What the command ends with, and what it says."""
    with maro(folder, *args) as program:
        return program.exit_code(), program.stdout, program.stderr


def test_deploying_tells_where_it_is_and_what_to_type_next(tmp_path: Path, home: Path) -> None:
    """The first deployment copies, the second finds nothing to do, both name the command that starts a topology."""
    # Given a home in which only a topology of the user's own is
    write(home / "compose" / "rollout.yaml", "services: {}")
    # When the command deploys
    code, said, _ = exit_code_and_output(tmp_path / "work", "meta", "deploy")
    # Then the files are there, and it says so
    assert code == 0
    assert (home / "docker" / "redis.conf").is_file()
    assert (home / "maro" / "cli" / "meta.py").is_file()
    assert said.startswith(f"{home} now has version {__version__}: docker, ")
    assert f"\n    docker compose -f {home}/compose/rollout.yaml up --build\n" in said
    # And when it deploys again, Then there is nothing to do
    code, said, _ = exit_code_and_output(tmp_path / "work", "meta", "deploy")
    assert code == 0
    assert said.startswith(f"{home} is up to date: version {__version__}.")
    assert "docker compose" in said


def test_force_copies_again(tmp_path: Path, home: Path) -> None:
    """What the user changed is kept until it is asked for, or another version comes."""
    # Given a deployment in which a file was changed
    exit_code_and_output(tmp_path / "work", "meta", "deploy")
    changed = home / "docker" / "redis.conf"
    changed.write_text("changed")
    # When it is deployed without --force, Then the change stays
    assert exit_code_and_output(tmp_path / "work", "meta", "deploy")[0] == 0
    assert changed.read_text() == "changed"
    # And with it, Then the packaged file is back
    assert exit_code_and_output(tmp_path / "work", "meta", "deploy", "--force")[0] == 0
    assert "maxmemory-policy" in changed.read_text()


def test_the_status_is_an_exit_code_and_a_sentence(tmp_path: Path, home: Path) -> None:
    """0 where all is there; 1 with what is amiss, and what to type."""

    def status() -> tuple[int, str]:
        code, said, _ = exit_code_and_output(tmp_path / "work", "meta", "status")
        return code, said.splitlines()[0]

    # Given nothing, a deployment, one with a file missing, and one of another version; When asked, Then it tells each
    assert status() == (1, f"Nothing is deployed to {home}.")
    exit_code_and_output(tmp_path / "work", "meta", "deploy")
    assert status() == (0, f"{home} is up to date: version {__version__}.")
    (home / "docker" / "redis.conf").unlink()
    assert status() == (1, f"{home} has version {__version__}, but some of its files are missing or others.")
    (home / "version.json").write_text('{"version": "0.0.1", "sha256": ""}')
    assert status() == (1, f"{home} has version 0.0.1; the package is of version {__version__}.")


@pytest.mark.parametrize("debug", [False, True])
def test_a_failure_is_a_sentence_and_no_traceback(tmp_path: Path, home: Path, debug: bool) -> None:
    """Code 1, what went wrong and what to do; the traceback is for `--debug`."""
    # Given a file where the folder should be
    write(home, "in the way")
    # When the command deploys
    options = ["--debug"] if debug else []
    code, said, error = exit_code_and_output(tmp_path / "work", *options, "meta", "deploy")
    # Then it fails, and says why
    assert code == 1
    assert said == ""
    assert error.splitlines()[-1].startswith(f"Error: Can't deploy to {home}: ")
    assert ("Traceback" in error) is debug


def test_a_deployed_copy_does_not_deploy_itself(tmp_path: Path, home: Path) -> None:
    """Started inside the copy, an interpreter takes that for the package: a version of it would never be replaced."""
    # Given a deployment
    exit_code_and_output(tmp_path / "work", "meta", "deploy")
    # When it is run as a module from there
    for action in (["deploy", "--force"], ["status"]):
        with started([sys.executable, "-m", "maro", "meta", *action], home) as program:
            # Then that is refused, with what to do
            assert program.exit_code() == 1, program.output()
            assert f"is the deployed copy in {home} itself" in program.stderr


@pytest.mark.parametrize("target", ["mine", "mine.py"])
def test_a_component_beside_the_deployed_copy_does_not_import_it(tmp_path: Path, home: Path, target: str) -> None:
    """Neither the component nor a process that it spawns takes its `maro` from there, whatever version that has."""
    # Given a deployed copy that has become useless, and a program beside it that spawns a process
    exit_code_and_output(tmp_path / "work", "meta", "deploy")
    write(home / "maro" / "__init__.py", "raise ImportError('the deployed copy')")
    write(home / "beside.py", "name = 'beside'")
    write(
        home / "mine.py",
        """
        import multiprocessing
        def where(_):
            import beside, maro
            return beside.name, maro.__file__
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                assert pool.map(where, [0]) == [where(0)]
            print(*where(0))
        """,
    )
    # When it runs from there
    with maro(home, "component", target) as program:
        # Then it finds what is beside it, and the installed package
        assert program.exit_code() == 0, program.output()
        name, file = program.stdout.split()
        assert name == "beside"
        assert not Path(file).is_relative_to(home)


@pytest.mark.parametrize(
    ("topologies", "expected"),
    [
        ([], None),
        (["mesh.yaml", "rollout.yaml", "notes.txt"], "docker compose -f {}/compose/rollout.yaml up --build"),
        (["pipeline.yaml", "mesh.yaml"], "docker compose -f {}/compose/mesh.yaml up --build"),
    ],
)
def test_the_command_to_type(tmp_path: Path, topologies: list[str], expected: str | None) -> None:
    """The rollout if there is one, else another topology, else none."""
    # Given some topologies, When asked, Then the command starts the right one
    for name in topologies:
        write(tmp_path / "compose" / name, "services: {}")
    assert compose_command(tmp_path) == (expected and expected.format(tmp_path))


def test_the_command_to_type_can_be_typed(tmp_path: Path) -> None:
    """A home folder with a space in its name is quoted."""
    # Given such a folder, When asked, Then the path is one word for a shell
    write(tmp_path / "a home" / "compose" / "rollout.yaml", "services: {}")
    expected = f"docker compose -f '{tmp_path}/a home/compose/rollout.yaml' up --build"
    assert compose_command(tmp_path / "a home") == expected
