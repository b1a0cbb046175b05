"""Variables in the strings of a compose file: every form, nested, and as Compose itself reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.interpolation import InterpolationError, interpolate, interpolate_tree
from tests.support.compose_config import compose_config

VARIABLES = {"A": "va", "E": ""}
"""One that is set, and one that is set to nothing; U is unset."""

FILLED = {
    "plain": "plain",
    "$A": "va",
    "${A}": "va",
    "x${A}b$A.c": "xvab" + "va.c",
    "$Ab": "",
    "$U|${U}|$E": "||",
    "$$A $${A} $$$A": "$A ${A} $va",
    "$ $1 a$ $é": "$ $1 a$ $é",
    "${U:-d}${E:-d}${A:-d}": "ddva",
    "${U-d}${E-d}${A-d}": "dva",
    "${U:+d}${E:+d}${A:+d}": "d",
    "${U+d}${E+d}${A+d}": "dd",
    "${A:?no}${A?no}${E?no}": "vava",
    "${U:-}${U-}${A:+}": "",
    "${U:-${E:-${A}b}c}d": "vabcd",
    "${A:+${E:-q}}": "q",
    "${A:-${U:?never looked at}}": "va",
    '${U:-{"a": {"b": 1}}}': '{"a": {"b": 1}}',
    "${U:-a}b}": "ab}",
    "${U:-:-x}${U-a:-b}${U:-a?b}": ":-xa:-ba?b",
    "${U:-$$x}${U:-$${A}}": "$x${A}",
}

REFUSED = {
    "${U:?say where}": "the variable U is required: say where; set it",
    "${E:?}": "the variable E is required; set it",
    "${U?${A} knows}": "the variable U is required: va knows; set it",
    "${U:-${U?deep}}": "the variable U is required: deep; set it",
    "a${": "the brace of '${' is never closed",
    "${A": "the brace of '${A' is never closed",
    "${}": "${} is no reference to a variable",
    "${1}": "${1} is no reference",
    "${A!}": "${A!} is no reference",
    "${A:}": "${A:} is no reference",
    "${é}": "${é} is no reference",
}


@pytest.mark.parametrize("text", FILLED)
def test_each_form_comes_to_what_the_specification_says(text: str) -> None:
    """Set, empty and unset variables, in each form."""
    assert interpolate(text, VARIABLES) == FILLED[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_can_not_be_filled_in_is_refused_with_the_reason(text: str) -> None:
    """A required variable that is missing, or a form that is none."""
    with pytest.raises(InterpolationError) as refusal:
        interpolate(text, VARIABLES)
    assert REFUSED[text] in str(refusal.value)


def test_compose_reads_each_form_in_the_same_way(tmp_path: Path) -> None:
    """The tables above are what `docker compose config` says."""
    # Given a file with all that can be filled in
    file = write(tmp_path, dict(enumerate(FILLED)))
    # When Compose reads it, Then it has come to the same
    read = compose_config(file, environment=VARIABLES)["services"]["s"]["environment"]
    assert read == {f"K{number}": value for number, value in enumerate(FILLED.values())}
    # And what we refuse, it refuses
    for text in REFUSED:
        with pytest.raises(ValueError, match=r"services\.s\.environment\.K0"):
            compose_config(write(tmp_path, {0: text}), environment=VARIABLES)


def write(folder: Path, texts: dict[int, str]) -> Path:
    file = folder / "compose.yaml"
    environment = {f"K{number}": text for number, text in texts.items()}
    file.write_text(json.dumps({"services": {"s": {"image": "i", "environment": environment}}}))
    return file


def test_a_tree_keeps_its_shape_and_an_error_names_the_place() -> None:
    """Keys and what is no string stay as they are."""
    tree = {"$A": ["$A", 1, None, {"k": "${E:-x}"}], "b": True}
    assert interpolate_tree(tree, VARIABLES) == {"$A": ["va", 1, None, {"k": "x"}], "b": True}
    with pytest.raises(InterpolationError, match=r"services\.a\[1\]\.k: the variable U is required"):
        interpolate_tree({"services": {"a": ["", {"k": "${U?}"}]}}, VARIABLES)


@dataclass(frozen=True)
class Part:
    """A piece of a template, and what it comes to: text, or why it can't be filled in."""

    text: str
    value: str | None


NAMES = st.sampled_from(["A", "E", "U", "_x1"])
PLAIN = st.text(st.sampled_from("abZ1 _:-+?/.=\"'\n"), max_size=5).map(lambda text: Part(text, text))


def reference(name: str, operator: str, inner: list[Part]) -> Part:
    """A reference with the operator, by the table in the specification."""
    text, value = "".join(part.text for part in inner), joined(inner)
    found = VARIABLES.get(name)
    there = bool(found) if operator.startswith(":") else found is not None
    result = {
        "": found or "",
        "+": value if there else "",
        "-": found if there else value,
        "?": found if there else None,
    }[operator[-1:]]
    return Part(f"${{{name}{operator}{text if operator else ''}}}", result)


def joined(parts: list[Part]) -> str | None:
    values = [part.value for part in parts]
    return None if None in values else "".join(value or "" for value in values)


def references(inner: st.SearchStrategy[list[Part]]) -> st.SearchStrategy[Part]:
    operators = st.sampled_from(["", ":-", "-", ":+", "+", ":?", "?"])
    return st.builds(reference, NAMES, operators, inner)


LEAVES = st.one_of(PLAIN, st.just(Part("$$", "$")), references(st.just([])))
TEMPLATES = st.lists(
    st.recursive(LEAVES, lambda part: references(st.lists(part, max_size=3)), max_leaves=8), max_size=4
)


@given(TEMPLATES)
def test_any_template_comes_to_what_its_parts_come_to(parts: list[Part]) -> None:
    """However deep the references stand in each other, and only what is needed is looked at."""
    text, value = "".join(part.text for part in parts), joined(parts)
    if value is None:
        with pytest.raises(InterpolationError):
            interpolate(text, VARIABLES)
    else:
        assert interpolate(text, VARIABLES) == value


@given(st.text(max_size=30))
def test_doubled_dollar_signs_protect_any_text(text: str) -> None:
    """So whoever writes a file by a program can have any text in it."""
    assert interpolate(text.replace("$", "$$"), VARIABLES) == text


@given(st.text(st.sampled_from("$${}{}AEU:-+?x "), max_size=20))
def test_any_text_is_filled_in_or_refused(text: str) -> None:
    """Nothing else can come of it, such as an IndexError."""
    try:
        assert isinstance(interpolate(text, VARIABLES), str)
    except InterpolationError as refusal:
        assert str(refusal)
