"""A running topology as a Python object: started with the `with`, and gone after it, whatever happens.

    with Cluster("rollout", variables={"ACTORS": "4"}) as cluster:
        cluster.wait_until_joined()
        cluster.kill("actor-2")                       # its restart policy brings it back
        cluster.wait_until_joined()
        with cluster.inject("isolate", "actor-1"):    # where the runner can: containers
            ...
        assert cluster.wait_until_ended("learner") == {"learner-1": 0}
        assert cluster.verdict().has_passed           # on every message

A target is a member, its label (`actor-2`), the name of its component (`actor.2`), or that of a service or a component
type, which stands for all of its members; or several of these.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, TypeVar

from maro.testbed.compose_file import ComposeFile
from maro.testbed.faults.fault import KINDS, Fault, fault_of
from maro.testbed.faults.injector import FAULTS, Injection, Injector
from maro.testbed.faults.targets import Target as FaultTarget
from maro.testbed.history import Limits, Verdict, check, journals_in, read_injected
from maro.testbed.joined import not_joined
from maro.testbed.runners import make_runner
from maro.testbed.runners.runner import JOURNALS, Member, Runner, RunnerError
from maro.testbed.schedule import resolved

Target = str | Member | Iterable[str | Member]
"""See above."""
T = TypeVar("T")
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.2
_SHOWN_LINES = 8


class ClusterError(Exception):
    """The cluster did not do what was waited for; the text says who is missing, and how their logs end."""


class Cluster:
    """A run of a topology. Leaving the `with` ends and removes everything.

    Args:
        topology: the name of a shipped topology, the path of a compose file, or one that has been read. None where
            `runner` is a runner, which has its own.
        runner: `processes`, `compose`, a kind that was registered, or a runner that has not been started.
        variables: what the compose file's variables are set to.
        environment: for every component, besides what the compose file says.
        overlays: more compose files, which change what the first one says.
        folder: for logs and journals; it has to be new. None for one that is made, and removed after a `with` that
            ended without an exception.
        options: of the runner, such as `run_id`, or `embedded` of processes.

    Raises:
        TopologyError: there is no such topology, or it can't be read.
        RunnerError: the runner can't run this topology here.
    """

    def __init__(
        self,
        topology: str | Path | ComposeFile | None = None,
        runner: str | Runner = "processes",
        *,
        variables: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        overlays: Sequence[Path] = (),
        folder: Path | None = None,
        **options: Any,
    ) -> None:
        self._environment = dict(environment or {})
        self._own_folder: Path | None = None
        self._has_ended = False
        if isinstance(runner, Runner):
            if topology is not None or variables or overlays or folder is not None or options:
                raise RunnerError("a runner that is made has its topology, folder and options already; leave them out")
            self.runner = runner
            return
        if topology is None:
            raise RunnerError("name a topology, or give a runner that has one")
        if folder is None:
            folder = self._own_folder = Path(tempfile.mkdtemp(prefix="maro-run-"))
        try:
            self.runner = make_runner(runner, topology, folder, variables=variables, overlays=overlays, **options)
        except BaseException:
            self._remove_own_folder()
            raise

    def __repr__(self) -> str:
        return f"Cluster({self.runner!r})"

    def __enter__(self) -> Cluster:
        try:
            self.runner.start(self._environment)
        except BaseException:
            self.runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        if error is None:
            self._remove_own_folder()
        elif self._own_folder is not None and hasattr(error, "add_note"):
            error.add_note(f"The logs and journals of the run are in {self._own_folder}")

    # Who is there.

    @property
    def run_id(self) -> str:
        """Unique; in the names or labels of all that was started."""
        return self.runner.run_id

    @property
    def folder(self) -> Path:
        """The run's logs and journals."""
        return self.runner.folder

    @functools.cached_property
    def _injector(self) -> Injector:
        return Injector(self.runner, self.folder / FAULTS)

    @property
    def members(self) -> list[Member]:
        """Every process or container, by service and number."""
        return self.runner.members()

    @property
    def components(self) -> list[Member]:
        """Those that are components."""
        return [member for member in self.members if member.component_type]

    def member(self, name: str) -> Member:
        """The only member that a name stands for: a label, a component's name, a service or type with one member.

        Raises:
            RunnerError: there is none, or more than one.
        """
        found = self.resolve(name)
        if len(found) != 1:
            labels = ", ".join(member.label for member in found)
            raise RunnerError(f"{name!r} stands for {len(found)} members: {labels}; name one of them")
        return found[0]

    def resolve(self, target: Target) -> list[Member]:
        """The members that a target stands for; at least one, each once.

        Raises:
            RunnerError: it stands for none; the text has the names that there are.
        """
        if isinstance(target, Member):
            return [target]
        if not isinstance(target, str):
            return list(dict.fromkeys(member for each in target for member in self.resolve(each)))
        members = self.members
        for names in (_label, _component, _service, _type):
            found = [member for member in members if names(member) == target]
            if found:
                return found
        raise RunnerError(f"there is no {target!r} in this run. There are: {', '.join(map(_label, members))}")

    # What is done to them.

    def inject(self, kind: str, target: str | Member | None = None, **parameters: Any) -> Injection:
        """Inject a fault; what it returns heals it, by `heal` or at the end of a `with`.

        Args:
            kind: a kind of fault, as schedules have them: `kill`, `isolate`, `redis-pause`, …
            target: one member, or `any` of a service or type, for those kinds that have a target.
            parameters: of the kind, such as `percent=20`.

        Raises:
            FaultError: there is no such fault.
            TargetError: it is for nobody.
            RunnerError: the runner can't do it, or could not now.
        """
        if target is not None:
            is_drawn = isinstance(target, str) and " " in target
            parameters["target"] = target if is_drawn else self._one(target).label
        fault = fault_of({"fault": kind, **parameters})
        if fault.needs not in self.runner.capabilities:
            can = ", ".join(known.name for known in KINDS.values() if known.needs in self.runner.capabilities)
            raise RunnerError(f"{fault}: not supported here. The runner `{self.runner.name}` can do: {can}")
        found = resolved(fault, self.members, Random())
        if len(found) != 1:
            raise RunnerError(f"{fault} is for {len(found)} members; inject it into one after the other")
        return self._injector.inject(found[0])

    def kill(self, target: Target) -> None:
        """SIGKILL them; their restart policies may start them again. Returns once they are dead."""
        for member in self.resolve(target):
            self._injector.inject_for_good(Fault("kill", FaultTarget(member.label)))

    def stop(self, target: Target, timeout_s: float = 10.0) -> None:
        """Ask them to end, one after the other, and SIGKILL who has not in time; only `start` starts them again."""
        for member in self.resolve(target):
            self._injector.note("stop", member)
            member.stop(timeout_s)

    def start(self, target: Target) -> None:
        """Start those that do not run."""
        for member in self.resolve(target):
            member.start()

    def pause(self, target: Target) -> None:
        """Freeze them."""
        for member in self.resolve(target):
            self._injector.inject_for_good(Fault("pause", FaultTarget(member.label)))

    def resume(self, target: Target) -> None:
        """Let those that are frozen go on."""
        for member in self.resolve(target):
            member.resume()

    def exec(self, target: str | Member, command: Sequence[str]) -> str:
        """Run a command where a member runs, and return what that printed.

        Raises:
            RunnerError: the command failed, or the target is not one member.
        """
        return self._one(target).exec(command)

    def logs(self, target: Target | None = None, last_lines: int | None = None) -> dict[str, str]:
        """What they have printed over all of their starts, by label; that of all members where no target is named."""
        members = self.members if target is None else self.resolve(target)
        return {member.label: member.log(last_lines) for member in members}

    def redis_command(self, *arguments: str) -> str:
        """Have the group's Redis carry a command out, and return what it answers, as `redis-cli --raw` prints it."""
        return self.runner.redis_command(*arguments)

    # Waiting.

    def wait_for(self, condition: Callable[[], T], timeout_s: float = 60.0, what: str = "what is waited for") -> T:
        """Ask again and again until the answer is something true, and return it.

        Args:
            condition: a cheap question without side effects.
            timeout_s: how long to go on asking.
            what: what is waited for, in words, for the error.

        Raises:
            ClusterError: the answer was never true.
        """
        answer = _ask(condition, timeout_s)
        if not answer:
            raise ClusterError(f"not within {timeout_s:g} s: {what} (the last answer was {answer!r})")
        return answer

    def wait_until_joined(self, timeout_s: float = 60.0, target: Target | None = None) -> None:
        """Wait until the components have joined their group since they were last started.

        Components that have ended well, or were stopped, are not waited for. Where components keep journals, joined
        means that they have all their peers, else that they are registered.

        Args:
            timeout_s: how long to wait.
            target: whom to wait for; None for all components.

        Raises:
            ClusterError: somebody has not joined in time, or has failed and stays down.
        """
        members = self.components if target is None else self.resolve(target)
        strangers = [member.label for member in members if not member.component_type]
        if strangers:
            raise RunnerError(f"{', '.join(strangers)} is no component, and so joins no group")

        absent: list[Member] = []

        def all_joined() -> bool:
            failed = [member for member in members if member.exit_code and not member.was_stopped]
            if failed:
                raise ClusterError(_ends(failed))
            absent[:] = not_joined(self.runner, [member for member in members if member.exit_code is None])
            return not absent

        if not _ask(all_joined, timeout_s):
            names = ", ".join(member.label for member in absent)
            raise ClusterError(f"not joined within {timeout_s:g} s: {names}\n{_ends(absent)}")

    def wait_until_ended(self, target: Target, timeout_s: float = 600.0) -> dict[str, int]:
        """Wait until they have ended for good; their exit codes by label.

        Raises:
            ClusterError: somebody has not, in time.
        """
        members = self.resolve(target)

        def codes() -> dict[str, int]:
            found = {member.label: member.exit_code for member in members}
            ended = {label: code for label, code in found.items() if code is not None}
            return ended if len(ended) == len(found) else {}

        ended = _ask(codes, timeout_s)
        if not ended:
            running = [member for member in members if member.exit_code is None]
            names = ", ".join(member.label for member in running)
            raise ClusterError(f"not ended within {timeout_s:g} s: {names}\n{_ends(running)}")
        return ended

    # The verdict.

    def verdict(self, limits: Limits | None = None) -> Verdict:
        """End the run, and judge every message of it.

        What was injected is healed first. Afterwards nothing can be asked of the members any more.

        Args:
            limits: of its recoveries; none by default.

        Raises:
            RunnerError: something could not be healed.
            JournalError: a component kept a journal that can't be read.
        """
        failures = self._injector.heal_all()
        self._end()
        if failures:
            raise RunnerError("; ".join(failures))
        return check(journals_in(self.folder / JOURNALS), read_injected(self.folder / FAULTS), limits=limits)

    def _one(self, target: str | Member) -> Member:
        return target if isinstance(target, Member) else self.member(target)

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            try:
                self.runner.keep_logs()
            finally:
                self.runner.close()

    def _remove_own_folder(self) -> None:
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
            self._own_folder = None


def _ask(question: Callable[[], T], timeout_s: float) -> T:
    """Ask until the answer is something true, or the time is over; the last answer."""
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while True:
        is_last = time.monotonic() >= deadline
        answer = question()
        if answer or is_last:
            return answer
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def _label(member: Member) -> str:
    return member.label


def _component(member: Member) -> str:
    return member.component


def _service(member: Member) -> str:
    return member.service


def _type(member: Member) -> str:
    return member.component_type


def _ends(members: Iterable[Member]) -> str:
    """How their logs end, and with which code they have."""
    texts = []
    for member in members:
        state = "runs" if member.exit_code is None else f"ended with code {member.exit_code}"
        texts.append(f"{member.label} {state}; its log ends:\n{member.log(_SHOWN_LINES).rstrip()}")
    return "\n".join(texts)
