"""The output of the `maro` command: levels, colours, and its file."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from maro.utils.logger import CliLogger, set_cli_debug

_STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
_METHODS = [
    "debug",
    "debug_green",
    "debug_yellow",
    "info",
    "info_green",
    "warning",
    "warn",
    "warning_yellow",
    "error",
    "error_red",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of its own, and the state that a new command starts with."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    yield tmp_path
    CliLogger("any").close()
    set_cli_debug(False)


def _file(home: Path) -> Path:
    (file,) = (home / ".maro" / "log" / "cli").iterdir()
    return file


def test_without_debug_stdout_shows_messages_only(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given no --debug, when all methods are called, then stdout has the bare messages above debug, the file all."""
    logger = CliLogger("maro")
    for method in _METHODS:
        getattr(logger, method)(f"{method} 100% %s")

    assert capsys.readouterr().out.splitlines() == [f"{method} 100% %s" for method in _METHODS[3:]]
    lines = _file(home).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(_METHODS)
    for method, line in zip(_METHODS, lines, strict=True):
        level = "WARNING" if method.startswith("warn") else method.split("_")[0].upper()
        assert re.fullmatch(f"{_STAMP} \\| {level} \\| {method} 100% %s", line)


def test_debug_shows_more(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given --debug after the first line, when logging goes on, then stdout has time and level, in the same file."""
    logger, other = CliLogger("maro"), CliLogger("maro.other")
    logger.debug("hidden")
    set_cli_debug(True)
    other.debug("shown")
    logger.info("too")

    assert re.fullmatch(f"{_STAMP} \\| DEBUG \\| shown\n{_STAMP} \\| INFO \\| too\n", capsys.readouterr().out)
    assert sum(file.read_text(encoding="utf-8").count("\n") for file in (home / ".maro/log/cli").iterdir()) == 3


def test_nothing_is_opened_before_the_first_line(home: Path) -> None:
    """Given a logger that has not been used, when it is made, then nothing is in the home folder."""
    CliLogger("maro")

    assert list(home.iterdir()) == []


def test_one_logger_per_command(home: Path) -> None:
    """Given several loggers, when used in turn, then they share what is below, rebuilt only when --debug changes."""
    first, second = CliLogger("a"), CliLogger("b")
    first.info("1")
    shared = CliLogger._log
    second.info("2")
    second.passive_init()

    assert CliLogger._log is shared
    assert _file(home).name == "a.log"
    set_cli_debug(False)
    first.passive_init()
    assert CliLogger._log is shared
    set_cli_debug(True)
    first.passive_init()
    assert CliLogger._log is not shared


def test_log_level_is_not_about_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a LOG_LEVEL for the components, when the command says something, then it is seen."""
    monkeypatch.setenv("LOG_LEVEL", "CRITICAL")

    CliLogger("maro").info("done")

    assert capsys.readouterr().out == "done\n"


@contextmanager
def _terminal() -> Iterator[Callable[[], str]]:
    """Make stdout a real terminal, and give a function that reads what it shows.

    No fixture: pytest puts its own stdout in place again between the fixtures and the test.
    """
    reader, writer = os.openpty()

    def shown() -> str:
        assert select.select([reader], [], [], 10)[0], "the terminal got nothing"
        return os.read(reader, 1000).decode().rstrip()

    with os.fdopen(writer, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield shown
    os.close(reader)


def test_colours_on_a_terminal(home: Path) -> None:
    """Given a terminal, when coloured methods are called, then it gets the colours, and the file none."""
    set_cli_debug(True)
    logger = CliLogger("maro")
    seen = []
    with _terminal() as shown:
        for method in _METHODS:
            getattr(logger, method)("x")
            seen.append(shown())

    codes = {"green": "32", "yellow": "33", "red": "31"}
    for method, text in zip(_METHODS, seen, strict=True):
        code = codes.get(method.split("_")[-1])
        assert text.startswith(f"\x1b[{code}m") and text.endswith("\x1b[0m") if code else "\x1b" not in text
    assert "\x1b" not in _file(home).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "0", False), ("NO_COLOR", "", True), ("TERM", "dumb", False)],
)
def test_no_color(variable: str, value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a terminal and a wish for plain text, when a coloured method is called, then the wish is granted."""
    monkeypatch.setenv(variable, value)

    with _terminal() as shown:
        CliLogger("maro").error_red("x")
        text = shown()

    assert "x" in text
    assert ("\x1b" in text) is coloured


def test_no_colours_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Given a stdout that is no terminal, when a coloured method is called, then there are no colours."""
    CliLogger("maro").info_green("x")

    assert capsys.readouterr().out == "x\n"


def test_a_home_that_can_not_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a file where the log folder should be, when the command logs, then it warns once and the user sees all."""
    (home / ".maro").write_text("a file", encoding="utf-8")
    logger = CliLogger("maro")

    with pytest.warns(RuntimeWarning) as caught:
        logger.info("one")
        logger.info("two")

    assert len(caught) == 1
    assert capsys.readouterr().out == "one\ntwo\n"
