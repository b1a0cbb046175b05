"""Reads files of variables: the `.env` beside a compose file, and what services name as `env_file`.

One `NAME=value` a line, `export` before it if need be. A value in single quotes is taken as it stands; in others
variables are filled in, and in double quotes what a backslash escapes. What follows ` #` outside quotes is a comment.
Values of several lines are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from maro.testbed.interpolation import InterpolationError, interpolate

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=\s*(?P<value>.*))?")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_QUOTED = {
    "'": re.compile(r"'(?P<text>[^']*)'\s*(?:#.*)?"),
    '"': re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:#.*)?'),
}
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$$"}


class EnvFileError(Exception):
    """A file of variables can't be read; the text names the line."""


def read_env_file(file: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file.

    Args:
        file: to read.
        variables: what its values may refer to, besides the lines above them.

    Raises:
        EnvFileError: it is not there, or a line is no such line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{file} can't be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _LINE.fullmatch(line.strip())
        if entry is None:
            raise EnvFileError(f"line {number} of {file} is not NAME=value: {line.strip()!r}")
        name, value = entry["name"], entry["value"]
        known = {**found, **variables}
        if value is None:  # handed on from the environment, if it is there
            found.update({name: known[name]} if name in known else {})
            continue
        try:
            found[name] = _value(value, known)
        except InterpolationError as error:
            raise EnvFileError(f"line {number} of {file}: {error}") from error
    return found


def _value(written: str, variables: Mapping[str, str]) -> str:
    """What a value comes to."""
    quote = written[:1]
    if quote not in _QUOTED:
        return interpolate(_COMMENT.sub("", written).rstrip(), variables)
    match = _QUOTED[quote].fullmatch(written)
    if match is None:
        raise InterpolationError(f"{written!r} has no closing quote, or something behind it")
    if quote == "'":
        return match["text"]
    text = re.sub(r"\\(.)", lambda escaped: _ESCAPED.get(escaped[1], escaped[0]), match["text"])
    return interpolate(text, variables)
