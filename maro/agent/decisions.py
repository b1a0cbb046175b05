"""What the agent does about what happens to the containers of its job: facts in, actions out.

No engine, no Redis and no clock: times come with the facts. The same fact may come any number of times, from the
engine's events or from taking stock: a run of a container that has been dealt with is not dealt with again.

    asked to end (its stop signal was sent)   deregistered as left; nothing comes back
    code 0                                    the same: a clean end is no failure, and its container stays
    code 64                                   deregistered as given up; nothing comes back
    code 65                                   every container of the job is stopped, the agent last
    anything else                             deregistered as gone at once; then started again, or replaced, as its
                                              settings and its budget allow
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maro.agent.facts import (
    NO_REJOIN,
    Action,
    ClearKillAll,
    Close,
    Container,
    CountRestart,
    Deregister,
    Finish,
    Known,
    RejoinSettings,
    Replace,
    Report,
    SetKillAll,
    Start,
    Status,
    Stop,
)
from maro.agent.states import Happening, State, next_state
from maro.communication.observations import NoticeKind
from maro.utils.exit_code import KILL_ALL_EXIT_CODE, NON_RESTART_EXIT_CODE, SUCCESS_EXIT_CODE

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
"""Between attempts to start a container that the engine refuses to start."""
_UP_OR_COMING = (State.RUNNING, State.FAILED, State.RESTARTING)
_STOCK_ORDER = (Status.RUNNING, Status.ENDED, Status.CREATED)
"""What has ended is judged by what runs, and what was created by what has ended."""


@dataclass
class _Component:
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

    def learn(self, known: Known) -> None:
        self.restarts = max(self.restarts, known.restarts)
        self.settings = known.settings or self.settings

    def move(self, happening: Happening) -> None:
        self.state = next_state(self.state, happening)


class Decisions:
    """Decides for one job."""

    def __init__(self) -> None:
        self._components: dict[str, _Component] = {}
        self._containers: dict[str, Container] = {}
        self._asked_at_s: dict[tuple[str, str], float] = {}
        """By container and signal, when it was sent last."""
        self._killing = False
        self._finished = False
        self._stopping: set[str] = set()
        """The runs that were asked to end, for the job does."""

    def __repr__(self) -> str:
        states = {name: component.state.value for name, component in self._components.items()}
        return f"Decisions({states}{', killing all' if self._killing else ''})"

    def state_of(self, component: str) -> State | None:
        """Of a component's name; None for one that was never seen."""
        found = self._components.get(component)
        return found.state if found else None

    def is_restarting(self, component: str) -> bool:
        """Whether this agent has decided to restart it, and has not seen it run since."""
        return self.state_of(component) is State.RESTARTING

    @property
    def is_killing(self) -> bool:
        """Whether the whole job is being ended."""
        return self._killing

    # Facts.

    def signal_sent(self, container_id: str, signal: str, at_s: float) -> None:
        """The engine sent a signal, by its number, to a container."""
        key = container_id, signal
        self._asked_at_s[key] = max(at_s, self._asked_at_s.get(key, at_s))

    def seen(self, container: Container, known: Known) -> list[Action]:
        """The engine described a container."""
        self._containers[container.id] = container
        if container.component is None:
            return self._go_on_killing()
        component = self._components.setdefault(container.component, _Component(container.component))
        component.learn(known)
        if container.status is Status.RUNNING:
            return self._runs(component, container)
        if container.status is Status.CREATED:
            return self._was_created(component, container)
        return [*self._ended(component, container, known), *self._go_on_killing()]

    def removed(self, container_id: str) -> list[Action]:
        """A container is not there any more, and none was made in its place."""
        container = self._forget(container_id)
        if container is None:
            return []
        component = self._components.get(container.component or "")
        actions: list[Action] = []
        is_current = component is not None and component.container and component.container.id == container_id
        if component is not None and is_current and component.state in _UP_OR_COMING:
            # Whoever takes a container away wants it away.
            component.move(Happening.ENDS)
            component.retry_at_s = None
            actions = [
                Deregister(container, NoticeKind.LEFT),
                Report(f"{component.name}: its container {container.name} was removed; it is not started again"),
            ]
        return [*actions, *self._go_on_killing()]

    def replaced(self, container_id: str, successor: Container, known: Known) -> list[Action]:
        """A container is not there any more; an agent, this one or another, has made one in its place."""
        self._forget(container_id)
        return self.seen(successor, known)

    def took_stock(self, containers: Iterable[tuple[Container, Known]], kill_all: bool) -> list[Action]:
        """All that there is, after a start of the agent or of the engine's event stream.

        Args:
            containers: all of the job.
            kill_all: whether an agent has noted, and not yet forgotten, that the whole job is to end.
        """
        found = list(containers)
        present = {container.id: container for container, _ in found}
        absent = [container_id for container_id in self._containers if container_id not in present]
        self._containers.update(present)
        actions: list[Action] = []
        if kill_all and not self._killing:
            actions += self._kill_all("an agent had begun to end the whole job")
        for container, known in sorted(found, key=lambda pair: _STOCK_ORDER.index(pair[0].status)):
            actions += self.seen(container, known)
        for container_id in absent:
            actions += self.removed(container_id)
        return actions

    def start_failed(self, component_name: str, why: str, now_s: float) -> list[Action]:
        """The engine would not start, or replace, a component's container."""
        component = self._components.get(component_name)
        if component is None or component.state is not State.RESTARTING:
            return []
        component.move(Happening.CRASHES)
        pause_s = min(_FIRST_PAUSE_S * 2.0**component.failed_attempts, _LONGEST_PAUSE_S)
        component.failed_attempts += 1
        component.retry_at_s = now_s + pause_s
        return [Report(f"{component_name} could not be started ({why}); trying again in {pause_s:g} s", True)]

    def stop_failed(self, container: Container) -> None:
        """The engine could not stop a container; it is stopped when it is seen the next time."""
        self._stopping.discard(container.run)

    def due(self, now_s: float) -> list[Action]:
        """Time has passed."""
        actions: list[Action] = []
        for component in self._components.values():
            if component.retry_at_s is not None and component.retry_at_s <= now_s and component.container:
                component.retry_at_s = None
                run = f"{component.container.run}#{component.failed_attempts}"
                actions += self._restart_or_give_up(component, component.container, run, counted=False)
        return actions

    def next_due_s(self) -> float | None:
        """When `due` has something to do again."""
        times = [component.retry_at_s for component in self._components.values() if component.retry_at_s is not None]
        return min(times, default=None)

    # What follows from them.

    def _runs(self, component: _Component, container: Container) -> list[Action]:
        came_back = component.state is State.RESTARTING
        component.move(Happening.RUNS)
        component.container = container
        component.failed_attempts = 0
        component.retry_at_s = None
        reports: list[Action] = [Report(f"{component.name} runs again in {container.name}")] if came_back else []
        return [*reports, *self._go_on_killing()]

    def _was_created(self, component: _Component, container: Container) -> list[Action]:
        """Compose makes containers before it starts them; only what an agent has left unfinished is gone on with."""
        if container.replaces is None or self._killing or component.state not in (State.RUNNING, State.FAILED):
            return []
        if component.container is not None and self._runs_now(component.container.id):
            return []
        component.move(Happening.CRASHES)
        component.container = container
        component.move(Happening.IS_RESTARTED)
        return [
            Report(f"{component.name}: going on with the replacement of its container"),
            Replace(container.replaces, component.name),
        ]

    def _ended(self, component: _Component, container: Container, known: Known) -> list[Action]:
        if component.settled_run == container.run or self._is_outlived(component, container):
            return []
        witnessed = component.container is not None and component.container.run == container.run
        component.settled_run = container.run
        component.container = container
        if container.exit_code == KILL_ALL_EXIT_CODE and not self._was_asked(container):
            return self._asks_to_kill_all(component, container, witnessed)
        if container.restarts_itself:
            return []  # its restart policy is in charge
        if known.closed_run == container.run:
            component.move(Happening.IS_GIVEN_UP if known.given_up else Happening.ENDS)
            return []
        return self._ended_as_told(component, container, known)

    def _ended_as_told(self, component: _Component, container: Container, known: Known) -> list[Action]:
        """What the end of a run says, when it is heard of for the first time."""
        was_asked = self._was_asked(container)
        if was_asked or container.exit_code == SUCCESS_EXIT_CODE:
            component.move(Happening.ENDS)
            why = "was asked to end" if was_asked else "came to its end"
            return [
                Deregister(container, NoticeKind.LEFT),
                Close(component.name, container.run, given_up=False),
                Report(f"{component.name} {why} (code {container.exit_code}), and stays down"),
            ]
        if container.exit_code == NON_RESTART_EXIT_CODE:
            return self._give_up(component, container, "it ended with code 64, which says not to start it again")
        component.move(Happening.CRASHES)
        counted = known.counted_run == container.run
        return self._restart_or_give_up(component, container, container.run, counted)

    def _is_outlived(self, component: _Component, container: Container) -> bool:
        """Whether a younger container has the name: this one is what an agent, or a person, has replaced."""
        latest = component.container
        if latest is None or latest.id == container.id:
            return False
        return latest.status is Status.RUNNING or latest.started_at_s > container.started_at_s

    def _was_asked(self, container: Container) -> bool:
        asked_at_s = self._asked_at_s.get((container.id, container.stop_signal))
        return asked_at_s is not None and asked_at_s >= container.started_at_s

    def _restart_or_give_up(self, component: _Component, container: Container, run: str, counted: bool) -> list[Action]:
        """The component has failed: what its settings and its budget allow.

        Args:
            run: what its restart is counted for.
            counted: an agent counted that one, and was then ended itself.
        """
        settings = component.settings or container.labelled or NO_REJOIN
        how = _how_it_ended(container)
        if self._killing:
            return [Deregister(container, NoticeKind.GONE)]
        if not settings.enable:
            return [
                Deregister(container, NoticeKind.GONE),
                Report(f"{component.name} {how}; it may not rejoin, so it is left as it is", True),
            ]
        if counted:
            component.restarts = max(component.restarts, 1)
        elif component.restarts >= settings.max_restarts:
            spent = f"it {how}, after {component.restarts} restarts of the {settings.max_restarts} that it may have"
            return self._give_up(component, container, spent)
        else:
            component.restarts += 1
        component.move(Happening.IS_RESTARTED)
        restart: Action = Replace(container.id, component.name) if settings.remove else Start(container)
        number = f"restart {component.restarts} of {settings.max_restarts}"
        return [
            Deregister(container, NoticeKind.GONE),
            CountRestart(component.name, run, component.restarts),
            restart,
            Report(f"{component.name} {how}; {'replacing' if settings.remove else 'starting'} it: {number}"),
        ]

    def _give_up(self, component: _Component, container: Container, why: str) -> list[Action]:
        component.move(Happening.IS_GIVEN_UP)
        return [
            Deregister(container, NoticeKind.GIVEN_UP),
            Close(component.name, container.run, given_up=True),
            Report(f"{component.name} is given up: {why}", True),
        ]

    # Ending the whole job.

    def _asks_to_kill_all(self, component: _Component, container: Container, witnessed: bool) -> list[Action]:
        component.move(Happening.ENDS)
        gone = Deregister(container, NoticeKind.GONE)
        if witnessed or self._killing or any(other.started_at_s < container.finished_at_s for other in self._running()):
            return [gone, *self._kill_all(f"{component.name} ended with code 65, which ends the whole job")]
        # What runs was started later: somebody has begun the job anew.
        return [gone, Report(f"{component.name} ended with code 65 when nothing of the job was left to end")]

    def _kill_all(self, reason: str) -> list[Action]:
        if self._killing:
            return []
        self._killing = True
        for component in self._components.values():
            component.retry_at_s = None
        stops = self._stop(other for other in self._running() if other.component is not None)
        return [SetKillAll(reason), Report(f"{reason}: stopping {len(stops)} components", True), *stops]

    def _go_on_killing(self) -> list[Action]:
        """While all is ended: stop what was started meanwhile, and the rest once no component runs any more."""
        if not self._killing or self._finished:
            return []
        running = self._running()
        components = [other for other in running if other.component is not None]
        if components:
            return self._stop(components)
        rest = [other for other in running if not other.is_agent]
        if rest:
            return [ClearKillAll(), *self._stop(rest)]
        self._finished = True
        return [ClearKillAll(), Report("every container of the job is stopped; the agent ends"), Finish()]

    def _stop(self, containers: Iterable[Container]) -> list[Action]:
        """Stop those that were not yet asked to."""
        asked = [container for container in containers if container.run not in self._stopping]
        self._stopping.update(container.run for container in asked)
        return [Stop(container) for container in asked]

    def _running(self) -> list[Container]:
        return [container for container in self._containers.values() if container.status is Status.RUNNING]

    def _runs_now(self, container_id: str) -> bool:
        found = self._containers.get(container_id)
        return found is not None and found.status is Status.RUNNING

    def _forget(self, container_id: str) -> Container | None:
        for key in [key for key in self._asked_at_s if key[0] == container_id]:
            del self._asked_at_s[key]
        return self._containers.pop(container_id, None)


def _how_it_ended(container: Container) -> str:
    if container.status is not Status.ENDED:
        return "did not start"
    memory = ", out of memory" if container.out_of_memory else ""
    return f"crashed (code {container.exit_code}{memory})"
