"""A dictionary whose keys are attributes: both ways of reading and writing see the same."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.utils import DottableDict, clone, convert_dottable

_plain = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner),
    max_leaves=8,
)


def test_reads_by_attribute_and_by_key() -> None:
    """Given nested dictionaries and lists of them, when converted, then every level reads by attribute and by key."""
    config = convert_dottable({"group": "g", "actor": {"num": 4}, "steps": [{"name": "a"}, {"name": "b"}, 3]})

    assert config.group == config["group"] == "g"
    assert config.actor.num == config["actor"]["num"] == 4
    assert [step.name for step in config.steps[:2]] == ["a", "b"]
    assert config.steps[2] == 3


def test_a_change_is_seen_both_ways() -> None:
    """Given a dottable dictionary, when set by one way, then the other way and every other view see it."""
    config = DottableDict(a=1)

    config.a = 2
    assert config["a"] == 2
    config["b"] = {"c": 3}
    assert config.b.c == 3
    config.b.c = 4
    assert config["b"]["c"] == 4
    config.d = [{"e": 5}]
    assert config.d[0].e == 5
    del config.a
    assert "a" not in config
    assert dict(config) == {"b": {"c": 4}, "d": [{"e": 5}]}


def test_the_original_is_left_alone() -> None:
    """Given a plain dictionary, when its dottable copy is changed, then the original keeps its values and types."""
    original = {"a": {"b": 1}, "c": [{"d": 2}]}

    config = convert_dottable(original)
    config.a.b = 10
    config.c[0].d = 20

    assert original == {"a": {"b": 1}, "c": [{"d": 2}]}
    assert type(original["a"]) is dict


def test_every_way_of_setting_makes_dottable() -> None:
    """Given the methods that set items, when they put a dictionary in, then it is dottable."""
    config = DottableDict([("a", {"x": 1})], b={"x": 2})
    config.update({"c": {"x": 3}}, d={"x": 4})
    config.setdefault("e", {"x": 5})
    config |= {"f": {"x": 6}}
    merged = config | {"g": ({"x": 7},)}

    assert [config[key].x for key in "abcdef"] == [1, 2, 3, 4, 5, 6]
    assert merged.g[0].x == 7
    assert "g" not in config
    assert config.copy().a.x == 1
    from_keys: Any = DottableDict.fromkeys(["h"], {"x": 8})
    assert from_keys.h.x == 8


def test_a_list_without_dictionaries_stays_the_same_object() -> None:
    """Given a list of numbers, when put in, then it is not copied, so that its owner's changes are seen."""
    numbers = [1, 2]

    config = DottableDict(numbers=numbers)
    numbers.append(3)

    assert config.numbers == [1, 2, 3]


def test_a_missing_key_is_a_missing_attribute() -> None:
    """Given no such key, when read or deleted as an attribute, then AttributeError says what there is."""
    config = DottableDict(learner=1)

    with pytest.raises(AttributeError, match=r"'lerner'.*'learner'"):
        _ = config.lerner
    with pytest.raises(AttributeError, match="'lerner'"):
        del config.lerner
    assert getattr(config, "lerner", "default") == "default"
    assert not hasattr(DottableDict(), "anything")


def test_names_of_methods_stay_methods() -> None:
    """Given a key called like a method, when read, then the method stays; setting it as an attribute is refused."""
    config = DottableDict(items=[1])

    assert list(config.items()) == [("items", [1])]
    assert config["items"] == [1]
    with pytest.raises(AttributeError, match=r"d\['items'\]"):
        config.items = [2]  # type: ignore[method-assign,assignment]


def test_is_an_ordinary_dictionary_to_others() -> None:
    """Given a dottable dictionary, when pickled, copied, dumped or listed, then it acts as a dictionary does."""
    config = convert_dottable({"a": {"b": [1, {"c": 2}]}, "self": 1})

    for again in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config), copy.copy(config), clone(config)):
        assert type(again) is DottableDict
        assert again == config
        assert again.a.b[1].c == 2
    assert json.loads(json.dumps(config)) == config
    assert {"a", "self"} <= set(dir(config))


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _plain))
def test_conversion_changes_no_value(natural: dict[str, Any]) -> None:
    """Given any nested dictionary, when converted, then it equals the original and holds no plain dictionary."""
    config = convert_dottable(natural)

    assert config == natural
    assert _plain_dicts(config) == 0


def _plain_dicts(value: Any) -> int:
    if isinstance(value, dict):
        return (type(value) is dict) + sum(map(_plain_dicts, value.values()))
    return sum(map(_plain_dicts, value)) if isinstance(value, list) else 0
