"""`maro component` as a real process: what it runs, how the program finds itself there, and what it is called."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from maro.cli.component import _CONTAINER_MARK, container_names
from tests.support.programs import component, started
from tests.support.programs import write_program as write

ARGUMENTS = ["--help", "-v", "--", "--debug", "", "a b", "--seed=1", "--version"]


def test_arguments_reach_a_script_untouched(tmp_path: Path) -> None:
    """Everything behind the script is the script's, options of `maro` included."""
    # Given a script in another folder, with a module beside it
    write(tmp_path / "code" / "beside.py", "name = 'beside'")
    script = """
        import sys, beside
        print(sys.argv[1:])
        print(sys.argv[0] == __file__, __name__, sys.modules["__main__"].__file__ == __file__, beside.name)
    """
    path = write(tmp_path / "code" / "actor.py", script)
    # When it runs
    with component(path, *ARGUMENTS, folder=tmp_path) as program:
        # Then it finds itself as `python actor.py` would have it
        assert program.exit_code() == 0, program.output()
        assert program.stdout == f"{ARGUMENTS}\nTrue __main__ True beside\n"


@pytest.mark.parametrize(
    ("target", "path"),
    [("actor", "actor.py"), ("jobs.actor", "jobs/actor.py"), ("jobs", "jobs/__main__.py")],
)
def test_modules_run_from_the_working_folder(tmp_path: Path, target: str, path: str) -> None:
    """A module, a module in a package and a package with `__main__` run as `python -m` runs them."""
    # Given a module that can be imported from the working folder
    file = write(tmp_path / path, "import sys; print(sys.argv, __name__)")
    # When it is named as a module
    with component(target, *ARGUMENTS, folder=tmp_path) as program:
        # Then it runs as the main program, with its arguments
        assert program.exit_code() == 0, program.output()
        assert program.stdout == f"{[str(file), *ARGUMENTS]} __main__\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("missing.py", "missing.py"),
        ("folder/missing", "folder/missing"),
        ("no_such_module", "no_such_module"),
        ("jobs.no_such_module", "jobs.no_such_module"),
        ("jobs", "without a __main__"),
        ("..jobs", "..jobs"),
        ("", "''"),
    ],
)
def test_a_target_that_cannot_run_is_a_mistake_in_the_command(tmp_path: Path, target: str, said: str) -> None:
    """A clear sentence and code 2, no traceback."""
    # Given a package without a main module, and nothing else
    write(tmp_path / "jobs" / "__init__.py", "")
    # When something else is named
    with component(target, folder=tmp_path) as program:
        # Then the mistake is named
        assert program.exit_code() == 2, program.output()
        assert said in program.stderr
        assert "Traceback" not in program.stderr


@pytest.mark.parametrize("target", ["actor", "jobs.actor"])
def test_a_missing_dependency_of_the_program_is_the_programs_error(tmp_path: Path, target: str) -> None:
    """It is not mistaken for an unknown module."""
    # Given a module that imports what is not there, in itself or in the package around it
    write(tmp_path / "actor.py", "import no_such_dependency")
    write(tmp_path / "jobs" / "__init__.py", "import no_such_dependency")
    write(tmp_path / "jobs" / "actor.py", "")
    # When it runs
    with component(target, folder=tmp_path) as program:
        # Then the traceback names the dependency
        assert program.exit_code() == 1, program.output()
        assert "No module named 'no_such_dependency'" in program.stderr.splitlines()[-1]


def test_names_of_the_main_program_can_be_pickled_by_what_outlives_it(tmp_path: Path) -> None:
    """A thread that goes on after the main program still finds the program's classes in `__main__`."""
    # Given a program whose thread pickles one of its objects after the end
    script = """
        import pickle, threading
        class Episode: ...
        over = threading.Event()
        def work():
            over.wait()
            print(type(pickle.loads(pickle.dumps(Episode()))) is Episode)
        thread = threading.Thread(target=work)
        thread.start()
        threading._register_atexit(over.set)
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        # When the interpreter waits for the thread, Then the object travels
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "True\n"


def test_multiprocessing_works_in_a_component(tmp_path: Path) -> None:
    """A pool of spawned workers finds the functions of the program."""
    # Given a program that uses one
    script = """
        import multiprocessing
        def square(number):
            return number * number
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, [1, 2, 3]))
    """
    # When it runs
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        # Then the workers have done the work
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "[1, 4, 9]\n"


def test_the_command_tells_its_version_and_its_use(tmp_path: Path) -> None:
    """`--version` and `--help` are there, with a line on each command."""
    uses = (
        "  component  Run one component's program.\n",
        "  meta       Put topologies and image files into ~/.maro.\n",
    )
    for option, said in (("--version", ("maro, version ",)), ("--help", uses)):
        # Given the command, When it is asked
        with started([sys.executable, "-m", "maro.cli", option], tmp_path) as program:
            # Then it answers
            assert program.exit_code() == 0, program.output()
            assert all(line in program.stdout for line in said), program.output()


NOTHING: dict[str, str] = {}
BOTH = {"CONTAINER_NAME": "3f2a", "COMPONENT_NAME": "actor_proxy_3f2a"}


@pytest.mark.parametrize(
    ("environment", "in_container", "expected"),
    [
        ({"COMPONENT_TYPE": "actor"}, True, BOTH),
        ({"COMPONENT_TYPE": "actor"}, False, NOTHING),
        ({}, True, NOTHING),
        ({"COMPONENT_TYPE": ""}, True, NOTHING),
        ({"COMPONENT_TYPE": "actor", "COMPONENT_NAME": "", "CONTAINER_NAME": ""}, True, BOTH),
        ({"COMPONENT_TYPE": "actor", "COMPONENT_NAME": "a"}, True, {"CONTAINER_NAME": "3f2a"}),
        ({"COMPONENT_TYPE": "actor", "COMPONENT_NAME": "a", "CONTAINER_NAME": "b"}, True, NOTHING),
    ],
)
def test_containers_of_a_topology_are_named_after_their_hostname(
    environment: dict[str, str], in_container: bool, expected: dict[str, str]
) -> None:
    """Only where a topology says the type, only in a container, and never over a name that was given."""
    # Given an environment, When names are made for it, Then they are these
    assert container_names(environment, "3f2a", in_container) == expected


IN_A_CONTAINER = """
    import sys
    from pathlib import Path
    from maro.cli import component
    component._CONTAINER_MARK = Path(sys.argv[1])
    sys.exit(component.run_component(sys.argv[2], []))
"""
"""The entry point on a machine where this file would make a container."""

SHOWS_ITS_NAMES = """
    import os
    from maro.communication.settings import group_from_environment
    print(os.environ.get("COMPONENT_NAME"), os.environ.get("CONTAINER_NAME"))
    if "COMPONENT_TYPE" in os.environ:
        print(group_from_environment()["component_type"])
"""


@pytest.mark.parametrize(
    ("in_container", "given", "expected"),
    [
        (True, {"COMPONENT_TYPE": "actor"}, "actor_proxy_{host} {host}\nactor\n"),
        (True, {"COMPONENT_TYPE": "actor", "COMPONENT_NAME": "actor_proxy_old"}, "actor_proxy_old {host}\nactor\n"),
        (True, {}, "None None\n"),
        (False, {"COMPONENT_TYPE": "actor"}, "None None\nactor\n"),
    ],
)
def test_a_program_in_a_container_finds_its_names(
    tmp_path: Path, in_container: bool, given: dict[str, str], expected: str
) -> None:
    """The variables are set when the program runs: where its type is given, and only in a container."""
    # Given a machine that is a container, or is none
    mark = tmp_path / "container-mark"
    if in_container:
        write(mark, "")
    entry = write(tmp_path / "entry.py", IN_A_CONTAINER)
    program_path = write(tmp_path / "actor.py", SHOWS_ITS_NAMES)
    given = {"MARO_GROUP": "group", "MARO_REDIS": "localhost", "MARO_PEERS": "learner=1", **given}
    # When a component starts there
    with started([sys.executable, entry, mark, program_path], tmp_path, given) as program:
        # Then it is called after the type and the hostname
        assert program.exit_code() == 0, program.output()
        assert program.stdout == expected.format(host=socket.gethostname())


def test_a_container_is_told_by_the_engines_mark() -> None:
    """The file that container engines put into every container."""
    # Given the entry point, When it looks for a container, Then there
    assert Path("/.dockerenv") == _CONTAINER_MARK
