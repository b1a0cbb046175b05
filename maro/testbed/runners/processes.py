"""Runs a compose file's services as processes of this machine, with a Redis of their own.

    with ProcessRunner(read_compose_file(file), folder) as runner:
        runner.start()

The processes end with whoever made the runner, however that ends: a watchdog process sees to it (`leftovers`). Should
that be killed as well, `remove_leftovers` finds on Linux what is left.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from maro.testbed.compose_file import ComposeFile
from maro.testbed.compose_service import Service
from maro.testbed.redis_server import RedisMissingError, answers, choose_server, free_port, server_command
from maro.testbed.runners.leftovers import (
    OWNER_VARIABLE,
    RUN_VARIABLE,
    end_processes,
    end_run,
    marked_processes,
    owner_is_dead,
)
from maro.testbed.runners.process_member import ProcessMember
from maro.testbed.runners.process_plan import PlannedProcess, plan
from maro.testbed.runners.redis_commands import redis_command
from maro.testbed.runners.restart_policy import RestartPolicy
from maro.testbed.runners.runner import (
    FAIL_POINT_VARIABLE,
    FAIL_POINTS,
    JOURNAL_VARIABLE,
    JOURNALS,
    Capability,
    Member,
    Runner,
    RunnerError,
    new_run_folder,
)
from maro.testbed.runners.supervised import Launch, SupervisedProcess
from maro.testbed.runners.watchdog import Watchdog
from maro.utils.exit_code import KILL_ALL_EXIT_CODE

_REDIS_WITHIN_S = 15.0
_CLOSE_WITHIN_S = 5.0
_LOOPBACK = "127.0.0.1"


class ProcessRunner(Runner):
    """Local processes. What can't be one is refused by the constructor; nothing runs before `start`.

    Args:
        file: of the topology.
        folder: for logs and journals; made if it is not there.
        run_id: unique; None for a new one.
        embedded: which Redis takes the place of the file's, as `RedisServer` takes it.

    Raises:
        RunnerError: a service can't be a process, there is no such Redis, the port that the file's Redis is to have is
            taken, the run's id is that of a run that goes on, or the folder has the journals of another run.
    """

    name = "processes"
    capabilities = frozenset(
        {
            Capability.KILL,
            Capability.STOP,
            Capability.RESTART,
            Capability.PAUSE,
            Capability.FAIL_POINT,
            Capability.REDIS,
        }
    )

    def __init__(
        self, file: ComposeFile, folder: Path, *, run_id: str | None = None, embedded: bool | None = None
    ) -> None:
        self.file = file
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self.folder = new_run_folder(folder)
        self._port: int | None = None
        self._server: str | None = None
        if file.redis is not None:
            try:
                self._server = choose_server(embedded)
            except RedisMissingError as error:
                raise RunnerError(str(error)) from error
            self._port = _redis_port(file.services[file.redis])
        self._planned = plan(file, None if self._port is None else self.redis_address, os.environ)
        if any(environment[RUN_VARIABLE] == self.run_id for _, environment in marked_processes()):
            raise RunnerError(f"a run with the id {self.run_id!r} goes on already; leave the id out, and get a new one")
        self._members: list[ProcessMember] = []
        self._redis: ProcessMember | None = None
        self._watchdog: Watchdog | None = None
        self._ending = threading.Event()

    def __repr__(self) -> str:
        return f"ProcessRunner({self.file.name!r}, run {self.run_id!r}, {len(self._members)} processes)"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start Redis, then everything, with these variables in the environment of every component.

        Raises:
            RunnerError: something did not start, or the runner was started before; nothing is left running then.
        """
        if self._watchdog is not None:
            raise RunnerError(f"run {self.run_id!r} was started before; make another runner")
        remove_leftovers()
        try:
            self._watchdog = Watchdog(self.run_id)
            if self.file.redis is not None:
                self._redis = self._start_redis(self.file.services[self.file.redis])
            self._members = [self._member(planned, environment or {}) for planned in self._planned]
            for member in self._members:
                member.start()
        except BaseException:  # Ctrl-C, too
            self.close()
            raise

    def members(self, service: str | None = None) -> list[Member]:
        """Those of a service, or all, by service and number."""
        every = [*self._members, *([self._redis] if self._redis is not None else [])]
        found = [member for member in every if service in (None, member.service)]
        return sorted(found, key=lambda member: (member.service, member.number))

    def redis(self) -> Member:
        """The Redis that the group meets in.

        Raises:
            RunnerError: the compose file has none, or nothing was started.
        """
        if self._redis is None:
            what = "was not started" if self.file.redis is not None else "has no service that is a Redis"
            raise RunnerError(f"{self.file.name} {what}")
        return self._redis

    @property
    def redis_address(self) -> str:
        """`host:port` of the Redis.

        Raises:
            RunnerError: the compose file has none.
        """
        if self._port is None:
            raise RunnerError(f"{self.file.name} has no service that is a Redis")
        return f"{_LOOPBACK}:{self._port}"

    def redis_command(self, *arguments: str) -> str:
        """Have Redis carry a command out, and return what it answers, as `redis-cli --raw` prints it.

        Raises:
            RunnerError: it does not answer, or refuses the command.
        """
        self.redis()
        assert self._port is not None
        return redis_command(self._port, arguments)

    def keep_logs(self) -> list[Path]:
        """The files with what the members printed: they print there."""
        return [self._log(member.label) for member in self.members() if self._log(member.label).exists()]

    def close(self) -> None:
        """Ask all to end, then Redis, and kill who does not; may be called again."""
        self._ending.set()
        try:
            self._end(self._members)
            self._end([self._redis] if self._redis is not None else [])
        finally:
            if self._watchdog is not None:
                self._watchdog.close()
                end_run(self.run_id)  # should the watchdog have been killed

    def _end(self, members: Sequence[ProcessMember]) -> None:
        for member in members:
            member.process.ask_to_end()
        deadline = time.monotonic() + _CLOSE_WITHIN_S
        for member in members:
            member.process.stop(max(0.0, deadline - time.monotonic()))

    def _member(self, planned: PlannedProcess, environment: Mapping[str, str]) -> ProcessMember:
        added = dict(environment) if planned.component else {}
        if planned.component:
            added[JOURNAL_VARIABLE] = str(self.folder / JOURNALS)
            added[FAIL_POINT_VARIABLE] = str(self.folder / FAIL_POINTS / planned.label)
        launch = Launch(planned.command, {**planned.environment, **added}, planned.folder)
        return ProcessMember(
            planned.service, planned.number, planned.component, self._process(planned.label, launch, planned.service)
        )

    def _process(self, label: str, launch: Launch, service: Service) -> SupervisedProcess:
        assert self._watchdog is not None
        watchdog, is_component = self._watchdog, bool(service.component_type)
        marked = Launch(launch.command, {**launch.environment, **watchdog.marks}, launch.folder)

        def ended(group: int, code: int) -> None:
            watchdog.remove(group)
            if is_component and code == KILL_ALL_EXIT_CODE:
                self._end_job()

        policy = RestartPolicy.parse(service.restart)
        return SupervisedProcess(label, marked, policy, self._log(label), watchdog.add, ended)

    def _end_job(self) -> None:
        """A component asks for the end of the whole job; told by its supervisor, which must not wait for the others."""
        if not self._ending.is_set():
            self._ending.set()
            threading.Thread(target=self._end, args=(self._members,), name="end of the job", daemon=True).start()

    def _start_redis(self, service: Service) -> ProcessMember:
        """Start it, and wait until it answers."""
        assert self._port is not None
        command = [*server_command(self._server, self._port), *_findable(self._server)]
        launch = Launch(command, dict(os.environ), self.folder)
        process = self._process(f"{service.name}-1", launch, service)
        member = self._redis = ProcessMember(service, 1, "", process)
        member.start()
        deadline = time.monotonic() + _REDIS_WITHIN_S
        while not answers(self._port):
            if process.starts > 1 or process.exit_code is not None or time.monotonic() > deadline:
                raise RunnerError(f"Redis did not start on port {self._port}; it said: {member.log(5).strip()}")
            time.sleep(0.01)
        return member

    def _log(self, label: str) -> Path:
        return self.folder / f"{label}.log"


def remove_leftovers(run_id: str | None = None) -> list[str]:
    """End the processes of runs whose owner is dead; the ids of these runs. Does nothing but on Linux.

    Args:
        run_id: only this run; None for all that this user can see.
    """

    def is_left(environment: Mapping[str, str]) -> bool:
        is_meant = run_id in (None, environment[RUN_VARIABLE])
        return is_meant and owner_is_dead(environment.get(OWNER_VARIABLE, "")) is True

    return end_processes(is_left)


def _findable(server: str | None) -> list[str]:
    """Options with which a Redis keeps the marks in its environment: to change its title it overwrites them.

    Before version 6.2 there is no such option, and only the watchdog finds it.
    """
    if server is None:
        return []
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=([0-9]+)\.([0-9]+)", said)
    is_new = version is not None and (int(version[1]), int(version[2])) >= (6, 2)
    return ["--set-proc-title", "no"] if is_new else []


def _redis_port(service: Service) -> int:
    """The port of this machine that a Redis is to have, or a free one.

    Raises:
        RunnerError: somebody has it.
    """
    if not service.ports:
        return free_port()
    port = service.ports[0]
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            raise RunnerError(
                f"services.{service.name} is to have port {port}, which can't be had: {error.strerror}. End what "
                "listens there, or take `ports` out of the file: any free port does"
            ) from error
    return port
