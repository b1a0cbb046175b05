"""A Redis for one group, as a process of its own: a real server where there is one, else the embedded one.

    with RedisServer() as redis:
        Proxy(..., redis_address=redis.address)

The embedded server is fakeredis' (extra `embedded`), in a Python process; good for a demo and for tests, it takes any
password and keeps everything in memory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

_EXECUTABLES = ("redis-server", "valkey-server")
_START_WITHIN_S = 15.0
_STOP_WITHIN_S = 5.0


class RedisMissingError(RuntimeError):
    """There is neither a server on PATH nor the embedded one."""


def real_server() -> str | None:
    """The path of a Redis (or Valkey) server, if one is on PATH."""
    return next(filter(None, map(shutil.which, _EXECUTABLES)), None)


def has_embedded_server() -> bool:
    """Whether the embedded server is installed."""
    return importlib.util.find_spec("fakeredis") is not None


def choose_server(embedded: bool | None = None) -> str | None:
    """The path of the real server to start; None for the embedded one.

    Args:
        embedded: as `RedisServer` takes it.

    Raises:
        RedisMissingError: there is no such server; the text says how to get one.
    """
    executable = None if embedded else real_server()
    if embedded is False and executable is None:
        raise RedisMissingError("no redis-server or valkey-server is on PATH: apt-get install redis-server")
    if executable is None and not has_embedded_server():
        raise RedisMissingError(
            "no redis-server or valkey-server is on PATH, and the embedded one is not installed: "
            "apt-get install redis-server, or pip install 'maro[embedded]'"
        )
    return executable


def server_command(executable: str | None, port: int, password: str | None = None) -> list[str]:
    """What starts a server on the loopback interface that keeps nothing; the arguments are those of `RedisServer`."""
    if executable is None:
        return [sys.executable, "-m", "maro.testbed.embedded_redis", "--port", str(port)]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    if password:
        options += ["--requirepass", password]
    return [executable, *options]


class RedisServer:
    """A Redis on the loopback interface that belongs to this process, started by the constructor.

    Args:
        embedded: True for the embedded server, False for a real one, None for whichever there is, a real one first.
        port: to listen on; None is a free one. It stays the same over restarts.
        password: that clients have to give; real servers only.

    Raises:
        RedisMissingError: there is no such server; the text says how to get one.
        RuntimeError: it did not start; the text has its output.
    """

    def __init__(self, embedded: bool | None = None, port: int | None = None, password: str | None = None) -> None:
        self._executable = choose_server(embedded)
        self.embedded = self._executable is None
        self.port = port or free_port()
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would stop the server one day
        self.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """As `MARO_REDIS` takes it."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}"

    @property
    def kind(self) -> str:
        """In words."""
        return "embedded" if self.embedded else Path(self._executable or "").name

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        self._process = subprocess.Popen(
            server_command(self._executable, self.port, self.password),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we stop it when its clients are gone
        )
        try:
            deadline = time.monotonic() + _START_WITHIN_S
            while not answers(self.port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._log.seek(0)
                    output = self._log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"the {self.kind} Redis did not start on port {self.port}: {output}")
                time.sleep(0.01)
        except BaseException:  # Ctrl-C, too
            self.kill()
            raise

    def pause(self) -> None:
        """Stop the process in its tracks: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once; what it held is lost."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def restart_empty(self) -> None:
        """Kill, and start again on the same port, with nothing in it."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End the process. A second call does nothing."""
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._log.close()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"RedisServer({self.kind}, port={self.port})"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a server on the port speaks Redis' protocol: it answers PING, if only to ask for a password."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"*1\r\n$4\r\nPING\r\n")
        return connection.recv(64)[:1] in (b"+", b"-")
    return False
