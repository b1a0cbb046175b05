"""Loggers of components: what a line looks like, where it goes, and what happens where it can't go there."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from maro.utils import DummyLogger, InternalLogger, LogFormat, Logger, msgformat
from maro.utils.log_files import OPEN_FILES

_DAY = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d:\d\d"
_WHO = f"{re.escape(socket.gethostname())} \\| {re.escape(getpass.getuser())} \\| {os.getpid()}"
_LEVELS = ["debug", "info", "warn", "warning", "error", "critical", "process"]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """A test closes the files that it opened."""
    before = dict(OPEN_FILES._files)
    yield
    assert OPEN_FILES._files == before


def _descriptors() -> int:
    """How many files this process has open (`/dev/fd` is there on Linux and macOS)."""
    return len(list(Path("/dev/fd").iterdir()))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("format_", "in_file", "on_stdout"),
    [
        (LogFormat.full, f"{_DAY} {_TIME},\\d{{3}} \\| {_WHO} \\| learner \\| INFO \\| hello 1", None),
        (LogFormat.simple, f"{_TIME} \\| learner \\| INFO \\| hello 1", None),
        (LogFormat.internal, f"{_TIME} \\| learner \\| INFO \\| hello 1", None),
        (LogFormat.cli_debug, f"{_DAY} {_TIME} \\| INFO \\| hello 1", None),
        (LogFormat.cli_info, f"{_DAY} {_TIME} \\| INFO \\| hello 1", "hello 1"),
        (LogFormat.none, "hello 1", None),
    ],
    ids=lambda value: value.name if isinstance(value, LogFormat) else "",
)
def test_formats(
    format_: LogFormat, in_file: str, on_stdout: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a format, when a line is logged, then file and stdout show it as documented."""
    with closing(Logger("learner", format_, str(tmp_path))) as logger:
        logger.info("hello %d", 1)

    assert re.fullmatch(f"{in_file}\n", (tmp_path / "learner.log").read_text(encoding="utf-8"))
    assert re.fullmatch(f"{on_stdout or in_file}\n", capsys.readouterr().out)


def test_the_numbers_of_the_formats() -> None:
    """Given the formats, when their values are read, then they are the documented ones."""
    assert {item.name: item.value for item in LogFormat} == {
        "full": 1,
        "simple": 2,
        "internal": 3,
        "cli_debug": 4,
        "cli_info": 5,
        "none": 6,
    }


def test_the_file_gets_all_and_stdout_what_it_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given the default level, when every method is called, then the file has all lines and stdout all but debug."""
    with closing(Logger("t", dump_folder=str(tmp_path))) as logger:
        for level in _LEVELS:
            getattr(logger, level)(level)

    expected = [("WARNING" if level.startswith("warn") else level.upper(), level) for level in _LEVELS]
    assert [tuple(line.split(" | ")[2:]) for line in _lines(tmp_path / "t.log")] == expected
    assert [tuple(line.split(" | ")[2:]) for line in capsys.readouterr().out.splitlines()] == expected[1:]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", 7),
        ("info", 6),
        ("Warn", 5),
        ("WARNING", 5),
        ("error", 3),
        ("CRITICAL", 2),
        ("PROCESS", 1),
        ("progress", 1),
    ],
)
@pytest.mark.parametrize("by_environment", [False, True])
def test_levels(
    level: str,
    shown: int,
    by_environment: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Given a level as argument, or in LOG_LEVEL against another argument, then stdout shows it and what is above."""
    if by_environment:
        monkeypatch.setenv("LOG_LEVEL", level)
    argument = ("CRITICAL" if level == "DEBUG" else "DEBUG") if by_environment else level

    with closing(Logger("t", dump_folder=str(tmp_path), stdout_level=argument)) as logger:
        for name in _LEVELS:
            getattr(logger, name)("x")

    assert len(capsys.readouterr().out.splitlines()) == shown
    assert len(_lines(tmp_path / "t.log")) == len(_LEVELS)


def test_an_unknown_level_in_the_environment_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a LOG_LEVEL that is none, when a logger is made, then one warning names it and the argument holds."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")

    with pytest.warns(RuntimeWarning, match="LOG_LEVEL.*'LOUD'.*DEBUG") as caught:
        logger = Logger("t", dump_folder=str(tmp_path), stdout_level="ERROR")
    with closing(logger):
        logger.warning("hidden")
        logger.error("shown")

    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert capsys.readouterr().out.endswith("| ERROR | shown\n")


@pytest.mark.parametrize("level", ["LOUD", "", None, 10])
def test_an_unknown_level_as_argument_is_an_error(level: str, tmp_path: Path) -> None:
    """Given an argument that is no level, when a logger is made, then ValueError lists the levels; no file is made."""
    with pytest.raises(ValueError, match=r"DEBUG.*PROCESS"):
        Logger("t", dump_folder=str(tmp_path), stdout_level=level)
    with pytest.raises(ValueError, match=r"'w'.*'a'"):
        Logger("t", dump_folder=str(tmp_path), dump_mode="r")

    assert list(tmp_path.iterdir()) == []


def test_names_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given names and folders of all kinds, when loggers are made, then their files are where they should be."""
    monkeypatch.chdir(tmp_path)

    with ExitStack() as stack:
        for logger in (
            Logger("here"),
            Logger("stamped", dump_folder="deep/er", extension_name="txt", auto_timestamp=True),
            Logger("../up/and away", dump_folder="deep", extension_name=""),
        ):
            stack.enter_context(closing(logger))
        monkeypatch.chdir("/")

    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found[0] == "deep/.._up_and away"
    assert re.fullmatch(r"deep/er/stamped\.\d{10}\.\d{6}\.txt", found[1])
    assert found[2:] == ["here.log"]


def test_modes(tmp_path: Path) -> None:
    """Given a file of an earlier logger that is closed, when opened with w and with a, then it is emptied, or kept."""
    for mode, expected in (("w", ["1"]), ("a", ["1", "2"]), ("w", ["3"])):
        with closing(Logger("t", LogFormat.none, str(tmp_path), mode)) as logger:
            logger.debug(expected[-1])
        assert _lines(tmp_path / "t.log") == expected


def test_loggers_with_one_tag_share_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given two loggers with one tag, when both log, then each line appears once, none is lost, one file is open."""
    before = _descriptors()
    loggers = [Logger("t", LogFormat.none, str(tmp_path)) for _ in range(20)]
    for number, logger in enumerate(loggers):
        logger.info(number)
    assert _descriptors() == before + 1
    loggers[0].close()
    loggers[0].close()
    loggers[1].info("still open")
    for logger in loggers[1:]:
        logger.close()

    expected = [*map(str, range(20)), "still open"]
    assert _lines(tmp_path / "t.log") == expected
    assert capsys.readouterr().out.splitlines() == expected
    assert len(OPEN_FILES._files) == 0


def test_a_closed_logger_still_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a closed logger, when it is used, then stdout gets the line, and the file has what it had."""
    logger = Logger("t", LogFormat.none, str(tmp_path))
    logger.close()
    logger.info("late")
    logger.debug("hidden")

    assert capsys.readouterr().out == "late\n"
    assert _lines(tmp_path / "t.log") == []


def test_a_file_that_was_removed_is_not_written_to_for_ever(tmp_path: Path) -> None:
    """Given an open file that was removed, when another logger asks for the path, then it gets a file that is there."""
    with closing(Logger("t", LogFormat.none, str(tmp_path))) as first:
        (tmp_path / "t.log").unlink()
        with closing(Logger("t", LogFormat.none, str(tmp_path))) as second:
            first.info("lost")
            second.info("kept")

    assert _lines(tmp_path / "t.log") == ["kept"]


def test_a_folder_that_can_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a file where the folder should be, when a logger is made, then a warning says so and stdout works."""
    (tmp_path / "taken").write_text("a file", encoding="utf-8")

    with pytest.warns(RuntimeWarning, match=r"t\.log.*dump_folder") as caught:
        logger = Logger("t", LogFormat.none, str(tmp_path / "taken"))
    logger.info("shown")
    logger.close()

    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert capsys.readouterr().out == "shown\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="kernel: there is no /dev/full")
def test_a_full_disk_costs_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given a file on a disk that is full, when lines are logged, then one warning names it and stdout has them."""
    (tmp_path / "t.log").symlink_to("/dev/full")
    logger = Logger("t", LogFormat.none, str(tmp_path), "a")
    with closing(logger), pytest.warns(RuntimeWarning, match=r"/dev/full.*lost") as caught:
        logger.info("one")
        logger.info("two")

    assert len(caught) == 1
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_disabled_level_formats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no file and a higher level, when a line is logged, then its arguments are not even looked at."""
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.warns(RuntimeWarning):
        logger = Logger("t", dump_folder=str(tmp_path / "taken"), stdout_level="PROCESS")
    looked: list[str] = []

    class Curious:
        def __repr__(self) -> str:
            looked.append("")
            return "curious"

    for level in _LEVELS[:-1]:
        getattr(logger, level)("%s", Curious())
    assert looked == []
    logger.process("%s", Curious())
    assert len(looked) == 1


def test_stdout_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a stdout that is closed, missing, or too narrow for the text, when a line is logged, then nothing fails."""
    narrow = (tmp_path / "narrow").open("w", encoding="ascii")
    closed = (tmp_path / "closed").open("w", encoding="utf-8")
    closed.close()

    with closing(Logger("t", LogFormat.none, str(tmp_path))) as logger:
        for stream in (closed, None, narrow):
            monkeypatch.setattr(sys, "stdout", stream)
            logger.info("grün \ud800")
        monkeypatch.undo()
    narrow.close()

    assert (tmp_path / "narrow").read_text(encoding="ascii") == "gr\\xfcn \\ud800\n"
    assert _lines(tmp_path / "t.log") == ["grün \\ud800"] * 3


def test_the_internal_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given two components, when they log, then one file in the home folder has both, and stdout only the warning."""
    monkeypatch.setenv("HOME", str(tmp_path))

    with closing(InternalLogger("actor_1")) as first, closing(InternalLogger("learner_0")) as second:
        first.debug("joined as %s", "actor_1")
        second.warn("slow")

    lines = _lines(tmp_path / ".maro" / "log" / "maro_internal.log")
    assert re.fullmatch(f"{_TIME} \\| actor_1 \\| DEBUG \\| joined as actor_1", lines[0])
    assert re.fullmatch(f"{_TIME} \\| learner_0 \\| WARNING \\| slow", lines[1])
    assert capsys.readouterr().out == f"{lines[1]}\n"


def test_the_internal_record_elsewhere(tmp_path: Path) -> None:
    """Given a folder, a tag and another format, when an internal logger is made, then it obeys them."""
    with closing(InternalLogger("c", "mine", LogFormat.simple, str(tmp_path), "w", "txt")) as logger:
        logger.info("x")

    assert (tmp_path / "mine.txt").read_text(encoding="utf-8").endswith(" | mine | INFO | x\n")
    assert isinstance(logger, Logger)


def test_the_internal_record_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a record over 16 MB, when it is opened, then it is set aside, replacing what was set aside before."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".maro" / "log"
    folder.mkdir(parents=True)
    (folder / "maro_internal.log.1").write_text("oldest", encoding="utf-8")
    with (folder / "maro_internal.log").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    with closing(InternalLogger("c")) as logger:
        logger.info("new")

    assert (folder / "maro_internal.log.1").stat().st_size == 16 * 1024 * 1024 + 1
    assert len(_lines(folder / "maro_internal.log")) == 1


def test_a_home_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a HOME that is no absolute path, when an internal logger is made, then it warns and makes no folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "~")

    with pytest.warns(RuntimeWarning, match="HOME"):
        logger = InternalLogger("c")
    logger.error("shown")

    assert capsys.readouterr().out.endswith("| c | ERROR | shown\n")
    assert list(tmp_path.iterdir()) == []


def test_the_dummy_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a dummy logger, when everything that a logger can do is done, then nothing comes of it."""
    monkeypatch.chdir(tmp_path)
    logger = DummyLogger()

    for level in _LEVELS:
        getattr(logger, level)("text %s", 1, 2, object())
    logger.close()

    public = {name for name in dir(Logger) if not name.startswith("_")}
    assert public <= set(dir(logger))
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_msgformat_for_ones_own_methods() -> None:
    """Given a method of one's own under the decorator, when called with arguments, then it gets one finished text."""

    class Mine:
        @msgformat
        def note(self, text: str) -> str:
            """Note it."""
            return text

        @msgformat
        def loose(self, msg: str, *args: object) -> tuple[object, ...]:
            return (msg, *args)

    assert Mine().note("%s of %d", "three", 4) == "three of 4"
    assert Mine().note("no placeholder", 1, "a") == "no placeholder 1 'a'"
    assert Mine().note({"a": 1}) == "{'a': 1}"
    assert Mine().loose("x", 1) == ("x 1",)
    assert Mine.note.__doc__ == "Note it."


_MANY = """
import sys
from maro.utils import Logger, LogFormat
logger = Logger("t", LogFormat.none, sys.argv[1], "a", stdout_level="PROCESS")
for number in range(2000):
    logger.debug("%s %d %s", sys.argv[2], number, "x" * 300)
logger.close()
"""


def test_processes_and_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Given two processes and two threads of a third that append to one file, then every line is whole, in order."""
    others = [
        subprocess.Popen([sys.executable, "-c", _MANY, str(tmp_path), name], env=_environment()) for name in ("a", "b")
    ]
    with closing(Logger("t", LogFormat.none, str(tmp_path), "a", stdout_level="PROCESS")) as logger:

        def log(name: str) -> None:
            for number in range(2000):
                logger.debug("%s %d %s", name, number, "x" * 300)

        threads = [threading.Thread(target=log, args=(name,)) for name in ("c", "d")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [other.wait(60) for other in others] == [0, 0]

    numbers: dict[str, list[int]] = {}
    for line in _lines(tmp_path / "t.log"):
        name, number, rest = line.split(" ")
        assert rest == "x" * 300
        numbers.setdefault(name, []).append(int(number))
    assert numbers == {name: list(range(2000)) for name in "abcd"}


_FORK = """
import os, sys
from maro.utils import Logger, LogFormat
logger = Logger("t", LogFormat.full, sys.argv[1])
logger.info("parent")
child = os.fork()
if child == 0:
    logger.info("child")
    Logger("t", LogFormat.full, sys.argv[1]).info("child again")
    os._exit(0)
os.waitpid(child, 0)
logger.info(child)
"""


def test_a_forked_child_goes_on_with_the_log(tmp_path: Path) -> None:
    """Given a logger whose process forks, when the child logs, then its lines stand beside its parent's, by its id."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK, str(tmp_path)],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    fields = [line.split(" | ") for line in _lines(tmp_path / "t.log")]
    assert [line[-1] for line in fields[:3]] == ["parent", "child", "child again"]
    parent, child = fields[0][3], fields[3][-1]
    assert [line[3] for line in fields] == [parent, child, child, parent]
    assert len(ended.stdout.splitlines()) == 4


_FORK_WHILE_OPENING = """
import os, signal, sys
from maro.utils import Logger
from maro.utils.log_files import OPEN_FILES
Logger("parent", dump_folder=sys.argv[1])
with OPEN_FILES._lock:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        Logger("child", dump_folder=sys.argv[1]).info("it works")
        os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_while_a_file_is_being_opened(tmp_path: Path) -> None:
    """Given a thread that is opening a log at the moment of a fork, when the child opens one, then it is not stuck."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK_WHILE_OPENING, str(tmp_path)],
        env=_environment(),
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0
    assert len(_lines(tmp_path / "child.log")) == 1


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
