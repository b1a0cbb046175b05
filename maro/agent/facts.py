"""What the agent knows, and what it can do: plain values that pass between the decisions and the edge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from maro.communication.observations import NoticeKind


class Status(Enum):
    """What a container is doing, as far as it matters here."""

    CREATED = "created"
    """It has never run."""
    RUNNING = "running"
    """A paused one does, too."""
    ENDED = "ended"


@dataclass(frozen=True)
class RejoinSettings:
    """Whether and how a component is started again."""

    enable: bool
    max_restarts: int
    """Of one name."""
    remove: bool
    """Replace the failed container by a new one, rather than start it again."""


NO_REJOIN = RejoinSettings(False, 0, False)
"""Of a component that has told nothing, and whose container has no labels that tell it."""


@dataclass(frozen=True)
class Container:
    """A container of the job, as the engine described it at one moment."""

    id: str
    name: str
    component: str | None
    """The name in the group; None for what is no component, such as Redis."""
    component_type: str = ""
    group: str | None = None
    status: Status = Status.RUNNING
    exit_code: int = 0
    out_of_memory: bool = False
    started_at_s: float = 0.0
    """Of its last start, and `finished_at_s` of its last end, in seconds of the epoch by the engine's clock."""
    finished_at_s: float = 0.0
    stop_signal: str = "15"
    """By its number."""
    restarts_itself: bool = False
    """The engine does that: it has a restart policy."""
    is_agent: bool = False
    replaces: str | None = None
    """The id of the failed container that an agent made this one for."""
    labelled: RejoinSettings | None = None
    """What its labels say, which counts until its component has told."""
    told_name: str = ""
    """What its components say that it is called: CONTAINER_NAME, or its hostname."""

    @property
    def run(self) -> str:
        """Tells one start of a container from all others."""
        return f"{self.id}@{self.started_at_s:.6f}"


@dataclass(frozen=True)
class Known:
    """What Redis holds of a component's name; empty where it does not answer."""

    restarts: int = 0
    settings: RejoinSettings | None = None
    counted_run: str | None = None
    """The run whose end was counted last."""
    closed_run: str | None = None
    """The run after which the component was to stay down."""
    given_up: bool = False
    """Why: because it was given up, rather than because it was asked to end."""
    names: tuple[str, ...] = ()
    """Other names under which components in its container have registered: code may name them as it likes."""

    def has_counted(self, run: str) -> bool:
        """Whether a restart after that run was counted, by its first attempt or a later one."""
        return self.counted_run is not None and self.counted_run.partition(ATTEMPT)[0] == run


ATTEMPT = "#"
"""Stands between a run and the number of an attempt to start it again."""


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class Deregister:
    """End the registration of a component that does not run, and tell its group so."""

    container: Container
    kind: NoticeKind


@dataclass(frozen=True)
class CountRestart:
    """Keep the number of restarts of a name, and for which run the last one is."""

    component: str
    run: str
    restarts: int


@dataclass(frozen=True)
class Close:
    """Keep that a component is to stay down after this run."""

    component: str
    run: str
    given_up: bool


@dataclass(frozen=True)
class Start:
    """Start the same container again."""

    container: Container


@dataclass(frozen=True)
class Replace:
    """Put a new container in a failed one's place, and start it."""

    failed_id: str
    component: str


@dataclass(frozen=True)
class TakeOver:
    """Take a running container's restart policy away: its restarts are the agent's from now on."""

    container: Container


@dataclass(frozen=True)
class SetKillAll:
    """Keep that the whole job is to end, so that agents which start later know."""

    reason: str


@dataclass(frozen=True)
class ClearKillAll:
    """Forget that: every component has been stopped."""


@dataclass(frozen=True)
class Stop:
    """Ask a container to end, as `docker stop` does."""

    container: Container


@dataclass(frozen=True)
class Finish:
    """End the agent itself."""


@dataclass(frozen=True)
class Report:
    """Tell whoever reads the agent's log."""

    text: str
    is_failure: bool = False


Action = (
    Deregister | CountRestart | Close | Start | Replace | TakeOver | SetKillAll | ClearKillAll | Stop | Finish | Report
)
