"""Puts variables into the strings of a compose file, as the Compose specification says ("Interpolation").

    $NAME  ${NAME}            the value, or nothing
    ${NAME:-text} ${NAME-text}  the value, or the text where the variable is unset (with the colon: or empty)
    ${NAME:+text} ${NAME+text}  the text where the variable is set (with the colon: and not empty), or nothing
    ${NAME:?text} ${NAME?text}  the value, or an error with the text
    $$                        a dollar sign

A text may hold all of these in turn, and is looked at only where it is needed. A dollar sign that begins none of them
stands for itself, as it does for Compose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":+", ":?", "-", "+", "?")
"""Those with a colon first: it belongs to the operator."""


class InterpolationError(ValueError):
    """A string can't be filled in: it is malformed, or a variable that it requires is missing."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables filled in.

    Raises:
        InterpolationError: it is malformed, or a required variable is missing.
    """
    pieces = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        pieces.append(text[position:dollar])
        value, position = _reference(text, dollar + 1, variables)
        pieces.append(value)
    return "".join(pieces) + text[position:]


def interpolate_tree(node: Any, variables: Mapping[str, str], place: str = "") -> Any:
    """A copy of what a YAML file holds, with the variables filled in to every string that is no key.

    Args:
        node: mappings, lists and scalars.
        variables: by name.
        place: where the node is, for errors: `services.actor`.

    Raises:
        InterpolationError: as `interpolate`; the text begins with the place.
    """
    if isinstance(node, str):
        try:
            return interpolate(node, variables)
        except InterpolationError as error:
            raise InterpolationError(f"{place}: {error}") from error
    if isinstance(node, dict):
        return {key: interpolate_tree(value, variables, f"{place}.{key}".lstrip(".")) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate_tree(value, variables, f"{place}[{index}]") for index, value in enumerate(node)]
    return node


def _reference(text: str, start: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """What stands behind the dollar sign before `start` comes to, and where the text goes on."""
    if text.startswith("$", start):
        return "$", start + 1
    if text.startswith("{", start):
        end = _closing_brace(text, start)
        return _braced(text[start + 1 : end], variables), end + 1
    name = _NAME.match(text, start)
    if name is None:
        return "$", start
    return variables.get(name.group(), ""), name.end()


def _closing_brace(text: str, opening: int) -> int:
    """Where the brace that opens there is closed; every brace between counts, so a default may be JSON."""
    depth = 0
    for position in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise InterpolationError(f"the brace of {text[opening - 1 :]!r} is never closed; write $$ for a dollar sign")


def _braced(content: str, variables: Mapping[str, str]) -> str:
    """What stands between braces comes to."""
    name = _NAME.match(content)
    rest = content[name.end() :] if name else content
    operator = next(filter(rest.startswith, _OPERATORS), None)
    if name is None or (rest and operator is None):
        raise InterpolationError(f"${{{content}}} is no reference to a variable; write $$ for a dollar sign")
    value = variables.get(name.group())
    if operator is None:
        return value or ""
    text = rest[len(operator) :]
    is_there = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return interpolate(text, variables) if is_there else ""
    if is_there:
        return value or ""
    if operator.endswith("-"):
        return interpolate(text, variables)
    reason = interpolate(text, variables)
    raise InterpolationError(f"the variable {name.group()} is required{': ' * bool(reason)}{reason}; set it")
