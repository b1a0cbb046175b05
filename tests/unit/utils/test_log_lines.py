"""The text of a log call, whatever it is given."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.utils.log_lines import DEBUG, LineFormat, LogFormat, format_message, level_number


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError("broken repr")


@pytest.mark.parametrize(
    ("msg", "args", "text"),
    [
        ("plain", (), "plain"),
        ("100% as it is", (), "100% as it is"),
        ("%s and %d", ("a", 2), "a and 2"),
        ("too few %s %s", ("a",), "too few %s %s 'a'"),
        ("too many %s", ("a", "b"), "too many %s 'a' 'b'"),
        ("wrong kind %d", ("a",), "wrong kind %d 'a'"),
        ("no placeholder", (1, "a", None), "no placeholder 1 'a' None"),
        ("50% done", ({"a": 1},), "50% done {'a': 1}"),
        ("%(name)s joined", ({"name": "actor_1"},), "actor_1 joined"),
        ("%(name)s joined", ({"nam": "actor_1"},), "%(name)s joined {'nam': 'actor_1'}"),
        ("%s", ({"a": 1},), "{'a': 1}"),
        ("%s", ((1, 2),), "(1, 2)"),
        (["%s"], (1,), "['%s'] 1"),
        (None, (), "None"),
        (b"bytes", (), "b'bytes'"),
        ("%s", (_Broken(),), "%s <_Broken, whose repr raised RuntimeError>"),
        (_Broken(), (), "<_Broken, whose repr raised RuntimeError>"),
    ],
)
def test_texts(msg: object, args: tuple[object, ...], text: str) -> None:
    """Given a message and arguments, when the text is made, then placeholders are filled or arguments follow."""
    assert format_message(msg, args) == text


@given(st.text("%sd(a)r. x") | st.integers() | st.none(), st.lists(st.integers() | st.text() | st.none(), max_size=3))
def test_never_raises_and_loses_no_argument(msg: Any, args: list[Any]) -> None:
    """Given anything, when the text is made, then it is a text, and every argument is in it unless it was formatted."""
    text = format_message(msg, tuple(args))

    if not isinstance(msg, str) or "%" not in msg:
        assert all(repr(item) in text for item in args)
    assert isinstance(text, str)


def test_the_time_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a clock that goes on, and back, when lines are made, then each shows its own second and millisecond."""
    clock = iter([10.25, 10.999, 11.0, 9.5])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    lines = LineFormat(LogFormat.full, "t")

    stamps = [lines.file_line(DEBUG, "x").split(" | ")[0][-6:] for _ in range(4)]

    assert stamps == ["10,250", "10,999", "11,000", "09,500"]


@pytest.mark.parametrize(("name", "number"), [("debug", 10), (" WARN ", 30), ("Warning", 30), ("PROGRESS", 60)])
def test_level_numbers(name: str, number: int) -> None:
    """Given a name in any case, when its level is asked for, then it is the number that the standard library uses."""
    assert level_number(name) == number
