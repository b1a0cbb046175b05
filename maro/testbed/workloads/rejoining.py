"""How the components of all workloads rejoin: as the environment says, so that one topology can be run in every way."""

from __future__ import annotations

import os
from typing import Any

CACHE_VARIABLE = "MARO_MESSAGE_CACHE"
REMOVAL_VARIABLE = "MARO_REMOVE_FAILED_CONTAINER"


def rejoin_from_environment() -> dict[str, Any]:
    """The arguments of a `Proxy`: rejoin is on; the message cache is where `MARO_MESSAGE_CACHE` is `1`, and failed
    containers are for an agent to replace where `MARO_REMOVE_FAILED_CONTAINER` is.

    Raises:
        ValueError: one of them is neither 1 nor 0.
    """
    return {
        "enable_rejoin": True,
        "enable_message_cache_for_rejoin": _is_on(CACHE_VARIABLE),
        "is_remove_failed_container": _is_on(REMOVAL_VARIABLE),
    }


def _is_on(variable: str) -> bool:
    value = os.environ.get(variable, "0")
    if value not in ("0", "1"):
        raise ValueError(f"{variable} must be 1 (on) or 0 (off), not {value!r}")
    return value == "1"
