"""The Redis configuration that comes with the package, in a real server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from maro.utils import deployment
from maro.utils.deployment import packaged_files
from tests.support.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """A server with the configuration, listening on a socket in the file system only; a client of it."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server or valkey-server on PATH; install one of them")
    configuration = packaged_files(Path(deployment.__file__).parents[1]) / "docker" / "redis.conf"
    address = tmp_path / "redis.sock"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(configuration), "--port", "0", "--unixsocket", str(address), "--dir", str(tmp_path)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    no_retry = Retry(NoBackoff(), 0)  # it would try to reach the server that a test has shut down
    client = redis.Redis(unix_socket_path=str(address), decode_responses=True, retry=no_retry)

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
        return _listens(address) and client.ping() is True

    try:
        eventually(answers, what=lambda: (tmp_path / "log").read_text(encoding="utf-8"))
        yield client
        client.close()
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def test_the_server_takes_the_configuration(server: redis.Redis) -> None:
    """Given the packaged configuration, when a server has started with it, then it keeps nothing and evicts nothing."""
    expected = {
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(256 * 1024 * 1024),
        "protected-mode": "yes",
        "timeout": "0",
        "tcp-keepalive": "30",
    }

    assert {name: server.config_get(name)[name] for name in expected} == expected


def test_nothing_is_left_behind(server: redis.Redis, tmp_path: Path) -> None:
    """Given keys in a server with the configuration, when it is shut down, then no file holds them."""
    server.set("group:actor", "record")

    server.shutdown()

    eventually(lambda: not (tmp_path / "redis.sock").exists(), what="the server's end")
    assert {path.name for path in tmp_path.iterdir()} == {"log"}
