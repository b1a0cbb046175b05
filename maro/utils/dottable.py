"""A dictionary whose keys are attributes too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class DottableDict(dict[Any, Any]):
    """A dictionary whose items can be reached as `d.key` as well as `d["key"]`, for reading, setting and deleting.

    Dictionaries put into it, also those inside lists and tuples, are taken over as dottable copies. A key that is the
    name of a method of `dict` (`items`, `update`, ...) is reached as `d["items"]` only.
    """

    __slots__ = ()

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _dottable(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no key {name!r}; there are: {_listed(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is an attribute of every dictionary; set the key as d[{name!r}]")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"there is no key {name!r}; there are: {_listed(self)}") from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *(key for key in self if isinstance(key, str))]

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, dict):
            return NotImplemented
        result = self.copy()
        result.update(other)
        return result

    def __ior__(self, other: Any) -> DottableDict:
        self.update(other)
        return self

    def copy(self) -> DottableDict:
        """A shallow copy, dottable too."""
        return type(self)(self)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key, which is set to `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, /, *args: Any, **kwargs: Any) -> None:
        """Set items as `dict.update` does; what is nested in them becomes dottable."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value


def _dottable(value: Any) -> Any:
    """The value with every dictionary in it dottable; the same object where there is nothing to change."""
    if isinstance(value, dict):
        return value if isinstance(value, DottableDict) else DottableDict(value)
    if type(value) in (list, tuple):
        items = [_dottable(item) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            return items if isinstance(value, list) else tuple(items)
    return value


def _listed(mapping: dict[Any, Any]) -> str:
    """The first keys, for an error's text."""
    shown = [repr(key) for key in mapping][:10]
    return ", ".join(shown) + (", ..." if len(mapping) > len(shown) else "") if shown else "none"
