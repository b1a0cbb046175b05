"""A Redis for a test, or a skip that says how to get one."""

from __future__ import annotations

from typing import Any

import pytest

from maro.testbed.redis_server import RedisMissingError, RedisServer


def start_redis(**options: Any) -> RedisServer:
    """A Redis, or a skip where there is none to be had; the options are those of `RedisServer`."""
    try:
        return RedisServer(**options)
    except RedisMissingError as error:
        pytest.skip(str(error))
