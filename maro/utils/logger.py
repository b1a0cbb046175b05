"""Loggers: one for users' components, one for the library's own record, one for the `maro` command, one that is silent.

They write their lines themselves and not through `logging`, whose records and stack walks cost several times as much:
a log call in the message path is to stay below the noise.
"""

from __future__ import annotations

import os
import time
import warnings
from typing import ClassVar

from maro.utils.home import maro_home
from maro.utils.log_files import OPEN_FILES, LogFile, stdout_has_colours, write_stdout
from maro.utils.log_lines import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    PROCESS,
    WARNING,
    LineFormat,
    LogFormat,
    format_message,
    level_number,
    msgformat,
)

__all__ = [
    "CliLogger",
    "DummyLogger",
    "InternalLogger",
    "LogFormat",
    "Logger",
    "msgformat",
    "set_cli_debug",
]

_RED, _GREEN, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"

_KEPT_BYTES = 16 * 1024 * 1024
"""A file below `~/.maro/log` that is larger when it is opened is set aside as `.1`; the one before it is dropped."""


class DummyLogger:
    """A logger that drops everything, for where logs are not wanted; it has the methods of `Logger`."""

    def debug(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def info(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def warn(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def warning(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def error(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def critical(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def process(self, msg: object, *args: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Logger:
    """Writes every line to a file, and lines from a level up to stdout.

    Loggers with the same file share it, and each line appears once. Lines are whole and in order also where several
    processes append to one file. A file that can't be written costs a warning; stdout goes on.

    Args:
        tag: names the source of the lines, and the file: `tag.extension_name` (path separators become `_`).
        format_: how a line looks.
        dump_folder: the folder of the file, created where it is missing; empty is the folder that is current now.
        dump_mode: `w` starts the file anew, unless a logger of this process has it open; `a` appends to it.
        extension_name: how the file's name ends.
        auto_timestamp: put the time (seconds since the epoch) into the file's name: `tag.1574953673.137387.log`.
        stdout_level: what stdout shows: DEBUG, INFO, WARN or WARNING, ERROR, CRITICAL, PROCESS (or PROGRESS) and up,
            in any case. The environment variable LOG_LEVEL has precedence.

    Raises:
        ValueError: an unknown level or mode.
    """

    _obeys_environment = True
    _keep_bytes: int | None = None

    def __init__(
        self,
        tag: str,
        format_: LogFormat = LogFormat.simple,
        dump_folder: str = "",
        dump_mode: str = "w",
        extension_name: str = "log",
        auto_timestamp: bool = False,
        stdout_level: str = "INFO",
    ) -> None:
        if dump_mode not in ("w", "a"):
            raise ValueError(f"{dump_mode!r} is not a mode for a log file; use 'w' to start it anew or 'a' to append")
        self._stdout_level = level_number(stdout_level)
        if self._obeys_environment:
            self._stdout_level = _level_from_environment(self._stdout_level)
        self._tag = tag
        self._lines = LineFormat(format_, tag)
        name = tag.replace("/", "_").replace("\0", "_")
        if auto_timestamp:
            name = f"{name}.{time.time():.6f}"
        self._file = self._open_file(dump_folder, f"{name}.{extension_name}" if extension_name else name, dump_mode)
        self._level = self._stdout_level if self._file is None else DEBUG

    def __repr__(self) -> str:
        place = "no file" if self._file is None else repr(str(self._file.path))
        return f"{type(self).__name__}({self._tag!r}, {place})"

    def debug(self, msg: object, *args: object) -> None:
        """Log what helps to find a fault."""
        if self._level <= DEBUG:
            self._write(DEBUG, format_message(msg, args))

    def info(self, msg: object, *args: object) -> None:
        """Log what happens in the ordinary course."""
        if self._level <= INFO:
            self._write(INFO, format_message(msg, args))

    def warning(self, msg: object, *args: object) -> None:
        """Log what may be wrong, or will be."""
        if self._level <= WARNING:
            self._write(WARNING, format_message(msg, args))

    def warn(self, msg: object, *args: object) -> None:
        """The same as `warning`."""
        if self._level <= WARNING:
            self._write(WARNING, format_message(msg, args))

    def error(self, msg: object, *args: object) -> None:
        """Log what went wrong."""
        if self._level <= ERROR:
            self._write(ERROR, format_message(msg, args))

    def critical(self, msg: object, *args: object) -> None:
        """Log what the component can't go on after."""
        if self._level <= CRITICAL:
            self._write(CRITICAL, format_message(msg, args))

    def process(self, msg: object, *args: object) -> None:
        """Log progress, which every level shows."""
        self._write(PROCESS, format_message(msg, args))

    def close(self) -> None:
        """Release the file; later lines go to stdout only. May be called again."""
        file, self._file = self._file, None
        self._level = self._stdout_level
        if file is not None:
            OPEN_FILES.release(file)

    def _write(self, level: int, text: str, *, colour: str = "") -> None:
        file = self._file
        if file is not None:
            file.write(self._lines.file_line(level, text))
        if level >= self._stdout_level:
            line = self._lines.stdout_line(level, text)
            write_stdout(f"{colour}{line}{_PLAIN}" if colour and stdout_has_colours() else line)

    def _folder(self, dump_folder: str) -> str:
        """The folder of the file; may raise OSError."""
        return dump_folder or os.getcwd()  # noqa: PTH109 - the import of pathlib is put off to the next step

    def _open_file(self, dump_folder: str, name: str, mode: str) -> LogFile | None:
        from pathlib import Path  # late: it would be half of what importing this module costs

        try:
            folder = Path(self._folder(dump_folder))
            folder.mkdir(parents=True, exist_ok=True)
            return OPEN_FILES.open(folder / name, empty=mode == "w", keep_bytes=self._keep_bytes)
        except OSError as error:
            warnings.warn(
                f"the log file {name!r} can't be opened ({error}); its lines go to stdout only. "
                "Give a dump_folder that can be written to.",
                RuntimeWarning,
                stacklevel=3,
            )
            return None


class InternalLogger(Logger):
    """The library's own record of what a component does: `~/.maro/log/maro_internal.log`, shared by all components.

    stdout shows warnings and up, unless LOG_LEVEL says otherwise. The file is set aside as `.1` when it is opened at
    more than 16 MB.

    Args:
        component_name: whose record it is; stands in every line.
        tag: names the file.
        format_: how a line looks.
        dump_folder: the folder of the file; `None` is `~/.maro/log`.
        dump_mode: `a` appends, `w` starts the file anew.
        extension_name: how the file's name ends.
        auto_timestamp: put the time into the file's name.
    """

    _keep_bytes = _KEPT_BYTES

    def __init__(
        self,
        component_name: str,
        tag: str = "maro_internal",
        format_: LogFormat = LogFormat.internal,
        dump_folder: str | None = None,
        dump_mode: str = "a",
        extension_name: str = "log",
        auto_timestamp: bool = False,
    ) -> None:
        super().__init__(tag, format_, dump_folder or "", dump_mode, extension_name, auto_timestamp, "WARNING")
        if format_ is LogFormat.internal:
            self._lines = LineFormat(format_, component_name)

    def _folder(self, dump_folder: str) -> str:
        return dump_folder or str(maro_home() / "log")


def set_cli_debug(enabled: bool) -> None:
    """Make all `CliLogger`s show debug lines, or stop showing them; what `maro --debug` calls."""
    CliLogger.shows_debug = enabled


class _CommandLog(Logger):
    """What the `CliLogger`s of one command write through; LOG_LEVEL is about components, not about the command."""

    _obeys_environment = False
    _keep_bytes = _KEPT_BYTES

    def __init__(self, name: str, shows_debug: bool) -> None:
        format_, level = (LogFormat.cli_debug, "DEBUG") if shows_debug else (LogFormat.cli_info, "INFO")
        super().__init__(name, format_, dump_mode="a", stdout_level=level)

    def _folder(self, dump_folder: str) -> str:
        return dump_folder or str(maro_home() / "log" / "cli")


class CliLogger:
    """The output of the `maro` command: to stdout, in colour on a terminal, and to a file below `~/.maro/log/cli`.

    Nothing is opened before the first line. All instances of a process write through one logger, made anew only when
    `maro --debug` changes what is shown, or the home folder is another.

    Args:
        name: names the file, if this is the instance that writes first.
    """

    shows_debug: ClassVar[bool] = False
    _log: ClassVar[_CommandLog | None] = None
    _made_for: ClassVar[tuple[bool, str]] = (False, "")

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    def passive_init(self) -> None:
        """Make the logger that all instances share, unless the one that there is still fits."""
        self._current()

    def debug(self, message: str) -> None:
        """Log what only `--debug` shows."""
        self._current()._write(DEBUG, message)

    def debug_green(self, message: str) -> None:
        """Log in green what only `--debug` shows."""
        self._current()._write(DEBUG, message, colour=_GREEN)

    def debug_yellow(self, message: str) -> None:
        """Log in yellow what only `--debug` shows."""
        self._current()._write(DEBUG, message, colour=_YELLOW)

    def info(self, message: str) -> None:
        """Log what the user asked to know."""
        self._current()._write(INFO, message)

    def info_green(self, message: str) -> None:
        """Log a success, in green."""
        self._current()._write(INFO, message, colour=_GREEN)

    def warning(self, message: str) -> None:
        """Log what the user should look at."""
        self._current()._write(WARNING, message)

    def warn(self, message: str) -> None:
        """The same as `warning`."""
        self._current()._write(WARNING, message)

    def warning_yellow(self, message: str) -> None:
        """Log in yellow what the user should look at."""
        self._current()._write(WARNING, message, colour=_YELLOW)

    def error(self, message: str) -> None:
        """Log a failure."""
        self._current()._write(ERROR, message)

    def error_red(self, message: str) -> None:
        """Log a failure, in red."""
        self._current()._write(ERROR, message, colour=_RED)

    def close(self) -> None:
        """Release the file of the shared logger; the next line opens it again."""
        log, CliLogger._log = CliLogger._log, None
        if log is not None:
            log.close()

    def _current(self) -> _CommandLog:
        wanted = (CliLogger.shows_debug, os.path.expanduser("~"))  # noqa: PTH111 - a key to compare, not a path to use
        if CliLogger._log is None or CliLogger._made_for != wanted:
            self.close()
            CliLogger._log = _CommandLog(self._name, CliLogger.shows_debug)
            CliLogger._made_for = wanted
        return CliLogger._log


def _level_from_environment(default: int) -> int:
    """The level that LOG_LEVEL names, or the default where it is not set, or names none."""
    name = os.environ.get("LOG_LEVEL", "").strip()
    if not name:
        return default
    try:
        return level_number(name)
    except ValueError as error:
        warnings.warn(f"LOG_LEVEL: {error}; it is ignored", RuntimeWarning, stacklevel=3)
        return default
