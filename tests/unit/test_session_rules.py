"""What `tests/conftest.py` promises, tried on small projects: the environment, the skips, the long tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

MARKER = "[pytest]\nmarkers =\n    full: long\n"


def run_pytest(folder: Path, tests: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of tests in a folder of its own, under the rules of this project."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "pytest.ini").write_text(MARKER)
    (folder / "test_sample.py").write_text(dedent(tests))
    inherited = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args],
        cwd=folder,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


SKIPS = """
    import pytest
    def test_runs(): ...
    @pytest.mark.parametrize("number", range(3))
    def test_needs_a_server(number):
        pytest.skip("no redis-server on PATH: apt-get install redis-server")
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_skips_are_listed_and_are_no_failure(tmp_path: Path, workers: str) -> None:
    """Somebody without a server sees what was left out and why, and has succeeded."""
    # Given tests that skip, When they run on somebody's own machine
    done = run_pytest(tmp_path, SKIPS, "-n", workers)
    # Then that is a success, with an account
    assert done.returncode == 0, done.stdout
    assert "3 x test_sample.py: no redis-server on PATH: apt-get install redis-server" in done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_in_ci_a_skip_is_a_failure(tmp_path: Path, workers: str) -> None:
    """There it would hide that the machine is not set up."""
    # Given tests that skip, When they run in CI, Then that is a failure
    done = run_pytest(tmp_path, SKIPS, "-n", workers, CI="true")
    assert done.returncode == 1, done.stdout
    assert "3 failing" in done.stdout


def test_what_the_kernel_lacks_is_no_failure_in_ci(tmp_path: Path) -> None:
    """Nobody can install another kernel into a container."""
    # Given a test that the kernel can't serve
    tests = """
        import pytest
        def test_partition():
            pytest.skip("kernel: no network namespaces")
    """
    # When it runs in CI, Then its skip is listed and accepted
    done = run_pytest(tmp_path, tests, CI="true")
    assert done.returncode == 0, done.stdout
    assert "1 x test_sample.py: kernel: no network namespaces" in done.stdout


def test_no_test_at_all_is_a_failure(tmp_path: Path) -> None:
    """A mistyped selection must not look like success."""
    # Given tests, When a selection matches none of them, Then that is a failure
    assert run_pytest(tmp_path, SKIPS, "-k", "nothing_of_that_name").returncode == 5


@pytest.mark.parametrize("workers", ["0", "2"])
def test_long_tests_run_only_when_asked_for(tmp_path: Path, workers: str) -> None:
    """They are left out with a line that says so; `--full` runs them."""
    # Given a long test and a short one
    tests = """
        import pytest
        @pytest.mark.full
        def test_long(): ...
        def test_short(): ...
    """
    # When they run without and with --full
    without = run_pytest(tmp_path, tests, "-n", workers)
    with_full = run_pytest(tmp_path, tests, "-n", workers, "--full")
    # Then the long one is left out, and run
    assert without.returncode == with_full.returncode == 0
    assert "1 passed" in without.stdout and "1 long tests were left out" in without.stdout
    assert "2 passed" in with_full.stdout and "left out" not in with_full.stdout


def test_no_test_sees_the_hosts_names_or_home(tmp_path: Path) -> None:
    """Variables of the host that name a component, and the user's own home, are out of reach; also for fixtures."""
    # Given a test, with a fixture for the whole session, that looks at them
    tests = """
        import os
        from pathlib import Path
        import pytest

        def ours():
            names = ("JOB_ID", "CONTAINER_NAME", "COMPONENT_NAME", "COMPONENT_TYPE", "LOG_LEVEL", "MARO_GROUP")
            return {name for name in names if name in os.environ} | {Path.home()}

        @pytest.fixture(scope="session")
        def seen_early():
            os.environ["JOB_ID"] = "left behind by a fixture"
            return ours() - {"JOB_ID"}

        def test_environment(seen_early, tmp_path_factory):
            home = tmp_path_factory.getbasetemp() / "home0"
            assert ours() == seen_early == {home}
    """
    names = ("JOB_ID", "CONTAINER_NAME", "COMPONENT_NAME", "COMPONENT_TYPE", "LOG_LEVEL", "MARO_GROUP")
    # When it runs on a host that sets them all, Then it sees none
    done = run_pytest(tmp_path, tests, **dict.fromkeys(names, "of the host"))
    assert done.returncode == 0, done.stdout
