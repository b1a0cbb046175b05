"""A run as plain data, for what only looks at it; nothing in it can be started or ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from maro.testbed.runners.redis_commands import redis_command
from maro.testbed.runners.runner import Member, Runner, RunnerError


def _refuse() -> NoReturn:
    raise RunnerError("this run is only looked at")


class FixedMember(Member):
    """A component that runs since some time.

    Args:
        label: such as `a-1`, of the type `a`.
        component: its name.
        started_at_s: in seconds of the epoch.
    """

    exit_code = None
    is_running = True
    starts = 1
    component = ""
    started_at_s = 0.0

    def __init__(self, label: str, component: str, started_at_s: float) -> None:
        self.label = label
        self.service = self.component_type = label.rpartition("-")[0]
        self.number = int(label.rpartition("-")[2])
        self.component = component
        self.started_at_s = started_at_s

    def __repr__(self) -> str:
        return f"FixedMember({self.label!r})"

    def kill(self) -> None:
        _refuse()

    def stop(self, timeout_s: float = 10.0) -> None:
        _refuse()

    def start(self) -> None:
        _refuse()

    def pause(self) -> None:
        _refuse()

    def resume(self) -> None:
        _refuse()

    def log(self, last_lines: int | None = None) -> str:
        return f"the log of {self.label}"

    def exec(self, command: Sequence[str]) -> str:
        _refuse()


class FixedRunner(Runner):
    """A folder, some members, and the port of a Redis."""

    name = "fixed"
    capabilities = frozenset()
    run_id = "fixed"

    def __init__(self, folder: Path, port: int = 0, members: Sequence[Member] = ()) -> None:
        self.folder = folder
        self.port = port
        self.fixed = list(members)
        self.closed = False

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        pass

    def members(self, service: str | None = None) -> list[Member]:
        return [member for member in self.fixed if service in (None, member.service)]

    def redis(self) -> Member:
        _refuse()

    def redis_command(self, *arguments: str) -> str:
        return redis_command(self.port, arguments)

    def keep_logs(self) -> list[Path]:
        return []

    def close(self) -> None:
        self.closed = True
