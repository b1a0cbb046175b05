"""What holds for every test: a clean environment, a home of its own, and a plain account of what was left out."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

KERNEL = "kernel: "
"""A skip whose reason starts with this names something that the kernel can't do; it is no failure even in CI."""

_NAMED_VARIABLES = ("COMPONENT_NAME", "COMPONENT_TYPE", "CONTAINER_NAME", "JOB_ID", "LOG_LEVEL")

# Deadlines per example measure the machine, which tests share with each other; the blob lets a failure be replayed.
hypothesis.settings.register_profile("maro", deadline=None, print_blob=True)
hypothesis.settings.load_profile("maro")

# A shell that starts the tests in the background has them ignore Ctrl-C, which every program of theirs would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_ours(variable: str) -> bool:
    return variable in _NAMED_VARIABLES or variable.startswith("MARO_")


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the session a home folder of its own, and none of the variables that name or place a component.

    Hosts set some of these for reasons of their own. Before any other fixture, so that long-lived ones see the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for variable in filter(_is_ours, list(os.environ)):
            patch.delenv(variable)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(_own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what an earlier test, or a fixture, may have left in the environment."""
    for variable in filter(_is_ours, list(os.environ)):
        monkeypatch.delenv(variable)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = 0


_LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long proofs out unless `--full` asks for them."""
    if config.getoption("--full"):
        return
    long_ones = [item for item in items if item.get_closest_marker("full")]
    if long_ones:
        config.stash[_LEFT_OUT] = len(long_ones)
        config.hook.pytest_deselected(items=long_ones)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure: what a machine lacks there is a mistake of ours."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = config.stash[_LEFT_OUT]
    elif _in_ci() and _failing_skips(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a worker of pytest-xdist what it left out; all of them collect the same tests."""
    config: pytest.Config = node.config
    config.stash[_LEFT_OUT] = max(config.stash[_LEFT_OUT], getattr(node, "workeroutput", {}).get("left_out", 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List what was skipped, why, and how to have it run."""
    reasons = Counter(_skips(config))
    write = terminalreporter.write_line
    if reasons:
        terminalreporter.section("skipped")
        for (place, reason), count in sorted(reasons.items()):
            write(f"{count:4} x {place}: {reason}")
        write("To run these as well, provide what the reasons name, then start the tests again.")
        if _in_ci():
            failing = sum(1 for reason in _failing_skips(config))
            write(f"CI is set, so a skip is a failure, except those marked '{KERNEL.strip()}': {failing} failing.")
    if config.stash[_LEFT_OUT]:
        write(f"{config.stash[_LEFT_OUT]} long tests were left out; `scripts/test --full` runs them too.")


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def _skips(config: pytest.Config) -> list[tuple[str, str]]:
    """File and reason of every skip of this session."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    skips = []
    for report in reporter.stats.get("skipped", []) if reporter else []:
        where, _, text = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        place = report.nodeid.partition("::")[0] or Path(where).name
        skips.append((place, text.removeprefix("Skipped: ")))
    return skips


def _failing_skips(config: pytest.Config) -> list[str]:
    return [reason for _, reason in _skips(config) if not reason.startswith(KERNEL)]
