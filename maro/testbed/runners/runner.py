"""What every runner can be asked: one interface for local processes, Compose, and whatever follows.

A runner starts the services of a compose file and gives a `Member` for each process or container of them. What it can
do to them beyond that is a set of `Capability`, so that a schedule that asks for more is refused before it starts.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maro.testbed.runners.network import Network

JOURNAL_VARIABLE = "MARO_JOURNAL"
"""Names the folder that a component keeps its journal in."""
FAIL_POINT_VARIABLE = "MARO_FAIL_POINT_FILE"
"""Names the file that switches a component's fail points, which `Runner.set_fail_points` writes."""
JOURNALS = "journals"
FAIL_POINTS = "failpoints"


class Capability(enum.Enum):
    """What a runner may be able to do; the names are those of the faults that need it."""

    KILL = "kill"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    CUT = "partition"
    """Drop packets between members, in one direction."""
    SHAPE = "loss, delay or bandwidth"
    FAIL_POINT = "fail points"
    REDIS = "Redis"
    """Kill, pause and flush it, and plant entries in it."""
    AGENT = "agent"


NETWORK = (Capability.CUT, Capability.SHAPE)
"""What is asked of `Runner.network`, which knows what the kernel can do of it."""


class RunnerError(Exception):
    """The runner could not do what was asked; the text says what, why, and what to do about it."""


class Member(ABC):
    """One process or container of a service; the same over all of its starts."""

    label: str
    """Service and number: `actor-2`. The same in every runner."""
    service: str
    number: int
    component_type: str
    """Empty where it is no component, such as Redis."""

    @property
    @abstractmethod
    def component(self) -> str:
        """Its name in the group; empty where it is no component."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it runs now; one that is paused does."""

    @property
    @abstractmethod
    def exit_code(self) -> int | None:
        """Of its last end, once it has ended for good; None while it runs, or is about to run again."""

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to end since its last start: then its exit code is no failure."""
        return False

    @property
    @abstractmethod
    def starts(self) -> int:
        """How often it has been started, by whomever."""

    @property
    def was_replaced(self) -> bool:
        """Whether what runs now is not what was started first, but came in its place."""
        return False

    @property
    @abstractmethod
    def started_at_s(self) -> float:
        """When it was last started, in seconds of the epoch; 0 where it never was."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL it, so that whoever starts crashed ones again takes it for a crash. Returns once it is dead."""

    @abstractmethod
    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to end (SIGTERM), and SIGKILL it if it has not in time. Nothing starts it again but `start`."""

    @abstractmethod
    def start(self) -> None:
        """Start it again, if it does not run."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it."""

    @abstractmethod
    def resume(self) -> None:
        """Let it go on, if it is frozen."""

    @abstractmethod
    def log(self, last_lines: int | None = None) -> str:
        """What it has printed, over all of its starts."""

    @abstractmethod
    def exec(self, command: Sequence[str]) -> str:
        """Run a command where it runs, and return what that printed.

        Raises:
            RunnerError: the command failed, with its words.
        """


class Runner(ABC):
    """Runs one compose file once. Leaving the `with` removes everything, whatever has happened.

    Two runs side by side do not disturb each other. What a run leaves behind that was ended by SIGKILL is found again
    by its id: `remove_leftovers` of each runner's module.
    """

    name: str
    """`processes`, `compose`."""
    capabilities: frozenset[Capability]
    run_id: str
    """Unique; in the names or labels of all that it starts."""
    folder: Path
    """For logs and journals. `folder / "journals"` is what components find as `MARO_JOURNAL`."""

    @abstractmethod
    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start everything, with these variables in the environment of every component.

        Raises:
            RunnerError: something did not start; nothing is left running then.
        """

    @abstractmethod
    def members(self, service: str | None = None) -> list[Member]:
        """Those of a service, or all, by service and number."""

    @abstractmethod
    def redis(self) -> Member:
        """The Redis that the group meets in.

        Raises:
            RunnerError: there is none.
        """

    @abstractmethod
    def redis_command(self, *arguments: str) -> str:
        """Have Redis carry a command out, and return what it answers, as `redis-cli --raw` prints it."""

    def set_fail_points(self, member: Member, text: str) -> None:
        """Switch a component's fail points while it runs; an empty text switches all of them off.

        Args:
            member: a component.
            text: as the component reads it from the file that `MARO_FAIL_POINT_FILE` names.

        Raises:
            RunnerError: the file can't be written.
        """
        file = self.folder / FAIL_POINTS / member.label
        part = file.with_name(f"{member.label}.part")
        try:
            part.write_text(text)
            part.replace(file)  # nobody ever reads half of it
        except OSError as error:
            raise RunnerError(f"the fail points of {member.label} can't be set: {error}") from error

    def agent_is_in_charge(self) -> bool:
        """Whether an agent has taken the restarts over; without one, nobody has to."""
        return True

    def restarts_by_agent(self) -> dict[str, int]:
        """How often an agent says that it has started each component again, by name.

        Raises:
            RunnerError: Redis, where it says so, does not answer.
        """
        return {}

    def network(self) -> Network:
        """What cuts and slows the network between the members.

        Raises:
            RunnerError: this runner has none of its own.
        """
        raise RunnerError(f"the runner `{self.name}` has no network of its own to cut; the one of containers has")

    @abstractmethod
    def keep_logs(self) -> list[Path]:
        """Write what each member printed to a file `{label}.log` of the folder; the files."""

    @abstractmethod
    def close(self) -> None:
        """Stop and remove everything; may be called again."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def new_run_folder(folder: Path) -> Path:
    """The folder of a new run, with what belongs into it, absolute.

    Raises:
        RunnerError: it can't be made, or has the journals of another run.
    """
    folder = Path.cwd() / folder
    try:
        for name in (JOURNALS, FAIL_POINTS):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunnerError(f"the folder {folder} can't be used: {error}; name another one") from error
    if any((folder / JOURNALS).iterdir()):
        raise RunnerError(f"{folder} has the journals of another run; name a new folder")
    return folder
