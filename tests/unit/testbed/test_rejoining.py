"""What the workloads take from the environment about rejoining."""

from __future__ import annotations

import pytest

from maro.testbed.workloads.rejoining import CACHE_VARIABLE, REMOVAL_VARIABLE, rejoin_from_environment


@pytest.mark.parametrize("cache", [None, "0", "1"])
@pytest.mark.parametrize("removal", [None, "0", "1"])
def test_each_switch_is_off_unless_it_is_on(
    monkeypatch: pytest.MonkeyPatch, cache: str | None, removal: str | None
) -> None:
    """Given the variables, rejoin is on whatever they say."""
    for variable, value in ((CACHE_VARIABLE, cache), (REMOVAL_VARIABLE, removal)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert rejoin_from_environment() == {
        "enable_rejoin": True,
        "enable_message_cache_for_rejoin": cache == "1",
        "is_remove_failed_container": removal == "1",
    }


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, and with what it may be."""
    monkeypatch.setenv(REMOVAL_VARIABLE, "yes")
    with pytest.raises(ValueError, match=f"{REMOVAL_VARIABLE} must be 1 .* not 'yes'"):
        rejoin_from_environment()
