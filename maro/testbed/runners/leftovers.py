"""Ends what a run has started when whoever started it is dead, and finds what was left all the same.

Each process of a run carries two marks in its environment: the run's id, and who owns it (process id, time of its
start, process namespace, boot). Nothing is ever ended by its name.

As a program this is the watchdog of one run: `python leftovers.py RUN_ID OWNER_PID`, which holds one end of a pipe
whose other end the owner has. The kernel closes that however the owner ends, and then the watchdog kills the process
groups that it was told of (`+1234` and `-1234` on standard input), and on Linux whatever else carries the id. The
alternative, PR_SET_PDEATHSIG, ends a process with the thread that started it, does not reach what the process has
started itself, is lost when a program changes its user, and is Linux' own.

Only the standard library is imported: the watchdog is started with nothing else in its path.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

RUN_VARIABLE = "MARO_RUN"
OWNER_VARIABLE = "MARO_RUN_OWNER"
_PROC = Path("/proc")
_LOOK_EVERY_S = 0.5
_PATIENCE_S = 10.0

Environment = dict[str, str]


def owner_mark(pid: int | None = None) -> str:
    """What tells a process from every other one, of this machine and of others: that of this process, if none is given.

    Raises:
        OSError: there is no such process, or nothing can be known of it.
    """
    pid = os.getpid() if pid is None else pid
    if not _PROC.joinpath("self").exists():
        return str(pid)
    after_name = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    if after_name[0] in "ZX":
        raise ProcessLookupError(f"process {pid} has ended, and waits to be collected")
    boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
    namespace = _PROC.joinpath(str(pid), "ns/pid").readlink()
    return f"{pid}/{after_name[19]}/{namespace}/{boot}"  # field 22 of proc(5): when it started, in ticks since the boot


def owner_is_dead(mark: str) -> bool | None:
    """Whether the process that a mark names has ended; None where that can't be seen from here.

    It can't from another namespace of processes, such as a container's, or from another machine.
    """
    pid, _, rest = mark.partition("/")
    ours = owner_mark().split("/")[2:]
    if not pid.isdigit() or rest.split("/")[1:] != ours:
        return None
    try:
        return owner_mark(int(pid)) != mark
    except PermissionError:
        return None
    except OSError:
        return True


def marked_processes() -> Iterator[tuple[int, Environment]]:
    """The processes that carry a run's id and that this user may look into, with their environments; only on Linux."""
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            held = (entry / "environ").read_bytes()
            if f"{RUN_VARIABLE}=".encode() in held:
                pairs = (item.partition("=") for item in held.decode(errors="replace").split("\0"))
                environment = {name: value for name, _, value in pairs}
                if RUN_VARIABLE in environment:
                    yield int(entry.name), environment


def end_processes(is_meant: Callable[[Environment], bool]) -> list[str]:
    """SIGKILL every marked process that is meant, until there are none; the ids of their runs.

    Args:
        is_meant: is given a process's environment. This process itself is never meant.
    """
    ended: set[str] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = [
            (pid, environment[RUN_VARIABLE])
            for pid, environment in marked_processes()
            if pid != os.getpid() and is_meant(environment)
        ]
        for pid, run in found:
            ended.add(run)
            _kill(pid, run)
        if not found or time.monotonic() > deadline:
            return sorted(ended)
        time.sleep(0.01)


def end_run(run_id: str) -> None:
    """SIGKILL every process that carries the id of a run."""
    end_processes(lambda environment: environment[RUN_VARIABLE] == run_id)


def _kill(pid: int, run: str) -> None:
    """SIGKILL a process, unless its number has gone over to another one meanwhile."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        send = functools.partial(os.kill, pid)
        handle = _open_process(pid)
        if handle is not None:
            stack.callback(os.close, handle)
            send = functools.partial(signal.pidfd_send_signal, handle)
        if f"{RUN_VARIABLE}={run}".encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            send(signal.SIGKILL)


def _open_process(pid: int) -> int | None:
    """A handle of a process, which stays its own when its number goes over to another one.

    None where the kernel has no handles, as before Linux 5.3: a small gap between look and kill is left then.

    Raises:
        OSError: there is no such process.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return None
        raise


def watch(run_id: str, owner: int, told: int) -> None:
    """Wait until the owner has ended or closed its end of the pipe, then end what is left of its run.

    Args:
        run_id: of the run.
        owner: process id of the owner, which is the parent of this process.
        told: file descriptor of the pipe.
    """
    groups: set[int] = set()
    unread = b""
    while os.getppid() == owner:  # a copy of the owner, made by fork, may hold the pipe open
        if not select.select([told], [], [], _LOOK_EVERY_S)[0]:
            continue
        read = os.read(told, 4096)
        if not read:
            break
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            number = int(line[1:])
            (groups.add if line.startswith(b"+") else groups.discard)(number)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    end_run(run_id)


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_number, signal.SIG_IGN)  # it ends with its owner, and not before
    watch(sys.argv[1], int(sys.argv[2]), sys.stdin.fileno())
