"""A component by its name, which outlives its containers, and what its failure leads to."""

from __future__ import annotations

from dataclasses import dataclass

from maro.agent.facts import (
    ATTEMPT,
    NO_REJOIN,
    Action,
    Close,
    Container,
    CountRestart,
    Deregister,
    Known,
    RejoinSettings,
    Replace,
    Report,
    Start,
    Status,
)
from maro.agent.states import Happening, State, next_state
from maro.communication.observations import NoticeKind

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
"""Between attempts to start a container that the engine refuses to start."""


@dataclass
class Component:
    """What is remembered of a name."""

    name: str
    state: State = State.RUNNING
    container: Container | None = None
    """The one that ran last, as it was seen last."""
    settled_run: str | None = None
    """The run whose end has been dealt with."""
    restarts: int = 0
    settings: RejoinSettings | None = None
    failed_attempts: int = 0
    """To start it, since it ran last."""
    retry_at_s: float | None = None
    refused: bool = False
    """Why the next attempt waits: the engine refused the last one, rather than did not answer."""

    def is_restarted_from(self, container_id: str) -> bool:
        """Whether what is restarted now is that container, not one that came after it."""
        if self.state is not State.RESTARTING or self.container is None:
            return False
        return container_id in (self.container.id, _replacement(self.container, self.name).failed_id)

    def learn(self, known: Known) -> None:
        """Take in what Redis holds of it."""
        self.restarts = max(self.restarts, known.restarts)
        self.settings = known.settings or self.settings

    def move(self, happening: Happening) -> None:
        """Change its state; ImpossibleTransitionError where that can't happen."""
        self.state = next_state(self.state, happening)

    def runs(self, container: Container) -> None:
        """It runs, or has run, in this container."""
        self.move(Happening.RUNS)
        self.container = container
        self.failed_attempts = 0
        self.retry_at_s = None

    def fails(self, container: Container, run: str, counted: bool) -> list[Action]:
        """It has failed: what its settings and its budget allow.

        Args:
            container: that it failed in.
            run: what its restart is counted for.
            counted: an agent counted that one, and was then ended itself.
        """
        settings = self.settings or container.labelled or NO_REJOIN
        how = _how_it_ended(container)
        if not settings.enable:
            return [
                Deregister(container, NoticeKind.GONE),
                Report(f"{self.name} {how}; it may not rejoin, so it is left as it is", True),
            ]
        if counted:
            self.restarts = max(self.restarts, 1)
        elif self.restarts >= settings.max_restarts:
            spent = f"it {how}, after {self.restarts} restarts of the {settings.max_restarts} that it may have"
            return self.give_up(container, spent)
        else:
            self.restarts += 1
        self.move(Happening.IS_RESTARTED)
        restart: Action = _replacement(container, self.name) if settings.remove else Start(container)
        number = f"restart {self.restarts} of {settings.max_restarts}"
        return [
            Deregister(container, NoticeKind.GONE),
            CountRestart(self.name, run, self.restarts),
            restart,
            Report(f"{self.name} {how}; {'replacing' if settings.remove else 'starting'} it: {number}"),
        ]

    def give_up(self, container: Container, why: str) -> list[Action]:
        """It is not started again."""
        self.move(Happening.IS_GIVEN_UP)
        return [
            Deregister(container, NoticeKind.GIVEN_UP),
            Close(self.name, container.run, given_up=True),
            Report(f"{self.name} is given up: {why}", True),
        ]

    def try_again(self) -> list[Action]:
        """Its next attempt is due: one that the engine refused was a failure like any other."""
        if self.container is None:
            return []
        attempt = f"{ATTEMPT}{self.failed_attempts}" if self.refused else ""
        return self.fails(self.container, f"{self.container.run}{attempt}", counted=not self.refused)

    def start_failed(self, why: str, now_s: float, refused: bool) -> list[Action]:
        """Its container was not started, or not replaced: the next attempt waits."""
        self.move(Happening.CRASHES)
        pause_s = min(_FIRST_PAUSE_S * 2.0**self.failed_attempts, _LONGEST_PAUSE_S)
        self.failed_attempts += 1
        self.retry_at_s = now_s + pause_s
        self.refused = refused
        return [Report(f"{self.name} could not be started ({why}); trying again in {pause_s:g} s", True)]


def _replacement(container: Container, name: str) -> Replace:
    """One that was made for another, and never ran, is that one's replacement still."""
    never_ran = container.status is Status.CREATED
    return Replace(container.replaces if never_ran and container.replaces else container.id, name)


def _how_it_ended(container: Container) -> str:
    if container.status is not Status.ENDED:
        return "did not start"
    memory = ", out of memory" if container.out_of_memory else ""
    return f"crashed (code {container.exit_code}{memory})"
