"""Reads the YAML of compose files, and puts several files together, as Compose does.

Compose reads YAML 1.2: `no`, `yes`, `on` and `off` are strings, and `12:30` is no number. A scalar that has to become a
string, such as a variable's value, is written as Compose writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

Tree = dict[str, Any]
"""What a mapping of YAML holds."""


class ComposeYamlError(Exception):
    """A file can't be read, or does not hold what belongs there; the text says where."""


class _Loader(yaml.SafeLoader):
    """Knows the scalars of YAML 1.2, and nothing more."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.nan",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), list(_first))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    digits = text.lstrip("+-")
    is_old_octal = re.fullmatch(r"0[0-7]+", digits) is not None
    value = int(digits, 8) if is_old_octal else int(digits, 0)
    return -value if text.startswith("-") else value


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def read_yaml(file: Path) -> Tree:
    """What a compose file holds, its anchors and merges resolved.

    Raises:
        ComposeYamlError: it is not there, no YAML, or no mapping.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeYamlError(f"{file} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise ComposeYamlError(f"{file} is no YAML that is understood here: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("services"), dict):
        raise ComposeYamlError(f"{file} is no compose file: it has no services")
    return content


def text_of(value: Any) -> str:
    """A scalar as the string that Compose makes of it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value!r}"
    return "" if value is None else str(value)


def strings_by_name(value: Any, place: str, bare: str | None = "") -> dict[str, str | None]:
    """A mapping, or a list of `name=value`, as a mapping.

    Args:
        value: as it stands in the file.
        place: where, for errors.
        bare: what a name without a value has.

    Raises:
        ComposeYamlError: it is something else.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        if any(isinstance(item, dict | list) for item in value.values()):
            raise ComposeYamlError(f"{place}: each value has to be a string, a number or nothing")
        return {str(name): bare if item is None else text_of(item) for name, item in value.items()}
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        pairs = (text_of(item).partition("=") for item in value)
        return {name: item if sign else bare for name, sign, item in pairs}
    raise ComposeYamlError(f"{place} has to be a mapping, or a list of NAME=value, not {value!r}")


def dependencies(value: Any, place: str) -> Tree:
    """`depends_on`, a list or a mapping, as a mapping: service -> what is said of it.

    Raises:
        ComposeYamlError: it is something else.
    """
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {name: {"condition": "service_started"} for name in value}
    raise ComposeYamlError(f"{place} has to be a list of services, or a mapping, not {value!r}")


_MAPPINGS: Mapping[str, Callable[[Any, str], Tree]] = {
    "environment": lambda value, place: strings_by_name(value, place, None),
    "labels": strings_by_name,
    "depends_on": dependencies,
}
_REPLACED = ("command", "entrypoint")


def merge_files(base: Tree, over: Tree) -> Tree:
    """Two compose files as one, the second one changing what the first one says.

    Mappings are put together by their keys and lists one behind the other; commands and everything else are replaced.

    Raises:
        ComposeYamlError: a part that is put together has no such form.
    """
    merged = _merge(base, {key: value for key, value in over.items() if key != "services"})
    services = dict(base["services"])
    for name, service in over["services"].items():
        place = f"services.{name}"
        before = services.get(name)
        services[name] = service if before is None else _merge_services(before, service or {}, place)
    return {**merged, "services": services}


def _merge_services(base: Any, over: Any, place: str) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        raise ComposeYamlError(f"{place} has to be a mapping")
    merged = _merge(base, {key: value for key, value in over.items() if key not in (*_MAPPINGS, *_REPLACED)})
    for key in _REPLACED:
        if key in over:
            merged[key] = over[key]
    for key, normal in _MAPPINGS.items():
        if key in over and key in base:
            merged[key] = {**normal(base[key], f"{place}.{key}"), **normal(over[key], f"{place}.{key}")}
        elif key in over:
            merged[key] = over[key]
    return merged


def _merge(base: Tree, over: Tree) -> Tree:
    """Two mappings as one."""
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merge(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            merged[key] = before + value
        else:
            merged[key] = value
    return merged
