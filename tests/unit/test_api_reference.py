"""Every documented name is there: at its path, with its bases, its parameters in order and their defaults."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
from collections import Counter
from typing import Any

import pytest

from tests.unit.api_reference import ENTRIES, Entry

VARIADIC = {"*": inspect.Parameter.VAR_POSITIONAL, "**": inspect.Parameter.VAR_KEYWORD}


def resolve(path: str) -> Any:
    """The object at a dotted path; a property is returned as itself."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only the module itself may be missing, and its last part be an attribute; no dependency of it.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        for attribute in parts[length:]:
            found = inspect.getattr_static(found, attribute) if inspect.isclass(found) else getattr(found, attribute)
        return found
    raise AssertionError(f"there is no {path}")


def is_default(documented: ast.expr, actual: object) -> bool:
    """Whether a default is the documented one, of the same type (`1` is not `True`)."""
    if isinstance(documented, ast.Call):
        return type(actual).__name__ == ast.unparse(documented.func)
    if isinstance(documented, ast.Attribute):
        return isinstance(actual, enum.Enum) and f"{type(actual).__name__}.{actual.name}" == ast.unparse(documented)
    value = ast.literal_eval(documented)
    return type(actual) is type(value) and actual == value


def check_parameters(target: Any, documented: str, *, bound: bool) -> None:
    """The documented parameters come first, in order, with their defaults; what follows is keyword-only and optional.

    Where no parameter is documented at all, optional ones of any kind may be there: the documented call works.
    """
    actual = list(inspect.signature(target).parameters.values())[1 if bound else 0 :]
    arguments = ast.parse(f"def documented({documented}): ...").body[0].args  # type: ignore[attr-defined]
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    for position, (wanted, default) in enumerate(zip(arguments.args, defaults, strict=True)):
        assert position < len(actual), f"{wanted.arg} is missing"
        parameter = actual[position]
        assert parameter.name == wanted.arg, f"parameter {position} is {parameter.name}, not {wanted.arg}"
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, f"{wanted.arg} cannot be given both ways"
        if default is None:
            assert parameter.default is inspect.Parameter.empty, f"{wanted.arg} must not have a default"
        else:
            described = f"{wanted.arg} defaults to {parameter.default!r}, not {ast.unparse(default)}"
            assert is_default(default, parameter.default), described
    added = actual[len(arguments.args) :]
    for stars, argument in (("*", arguments.vararg), ("**", arguments.kwarg)):
        if argument is not None:
            assert any(parameter.kind is VARIADIC[stars] for parameter in added), f"{stars}{argument.arg} is missing"
    for parameter in added:
        if parameter.kind in VARIADIC.values():
            continue
        assert parameter.default is not inspect.Parameter.empty, f"{parameter.name} was added and is not optional"
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert keyword_only or not documented, f"{parameter.name} was added and is not keyword-only"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}:{entry.path}")
def test_the_documented_name_is_there(entry: Entry) -> None:
    """One documented fact of the API holds."""
    # Given an entry of the reference, When its path is looked up
    owner, _, name = entry.path.rpartition(".")
    # A member is asked of its class: how an Enum stores its members depends on the version of Python.
    found = resolve(owner)[name] if entry.kind == "member" else resolve(entry.path)
    # Then what is there is what is documented
    if entry.kind == "module":
        assert inspect.ismodule(found)
    elif entry.kind in ("class", "enumeration"):
        base = resolve(entry.base if "." in entry.base else f"builtins.{entry.base}")
        assert inspect.isclass(found) and base in found.__mro__[1:], f"it is not derived from {entry.base}"
        if entry.parameters is not None:
            check_parameters(found.__init__, entry.parameters, bound=True)
    elif entry.kind == "property":
        assert isinstance(found, property)
        assert found.__isabstractmethod__ is entry.abstract
    elif entry.kind == "member":
        assert isinstance(found, enum.Enum)
        assert found.value == entry.value
    else:
        assert callable(found)
        assert getattr(found, "__isabstractmethod__", False) is entry.abstract
        check_parameters(found, entry.parameters or "", bound=entry.kind == "method")


def test_the_table_is_whole() -> None:
    """Nothing fell out of the table: the number of documented names of each kind is known."""
    # Given the table, When its entries are counted, Then there are as many as are documented
    kinds = {"class": 58, "enumeration": 6, "method": 53, "module": 17, "member": 16, "function": 7, "property": 6}
    assert Counter(entry.kind for entry in ENTRIES) == kinds
    assert len({entry.path for entry in ENTRIES}) == sum(kinds.values()) == 163


def wrong_order(b: int, a: int = 1) -> None:
    """Takes its parameters in another order."""


def wrong_default(a: int, b: bool = True) -> None:
    """Has a default that equals the documented one, but is of another type."""


def wrong_addition(a: int, b: int = 1, c: int = 2) -> None:
    """Adds a parameter that is not keyword-only."""


def wrong_requirement(a: int, b: int = 1, *, c: int) -> None:
    """Adds a parameter that callers do not know of."""


@pytest.mark.parametrize("function", [wrong_order, wrong_default, wrong_addition, wrong_requirement])
def test_a_deviation_is_noticed(function: Any) -> None:
    """The check can fail, for each of its reasons."""
    # Given a function that deviates from the documented `a, b=1`, When it is checked, Then that is noticed
    with pytest.raises(AssertionError):
        check_parameters(function, "a, b=1", bound=False)
