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

from maro.agent.component import Component
from maro.agent.facts import Action, Close, Container, Deregister, Known, Replace, Report, Status, TakeOver
from maro.agent.job_end import JobEnd
from maro.agent.states import Happening, State
from maro.communication.observations import NoticeKind
from maro.utils.exit_code import KILL_ALL_EXIT_CODE, NON_RESTART_EXIT_CODE, SUCCESS_EXIT_CODE

_UP_OR_COMING = (State.RUNNING, State.FAILED, State.RESTARTING)
_STOCK_ORDER = (Status.RUNNING, Status.ENDED, Status.CREATED)
"""What has ended is judged by what runs, and what was created by what has ended."""


class Decisions:
    """Decides for one job.

    Args:
        takes_over: components that have a restart policy lose it once they run; otherwise they are left alone.
    """

    def __init__(self, *, takes_over: bool = False) -> None:
        self._takes_over = takes_over
        self._components: dict[str, Component] = {}
        self._containers: dict[str, Container] = {}
        self._asked_at_s: dict[tuple[str, str], float] = {}
        """By container and signal, when it was sent last."""
        self._end = JobEnd()

    def __repr__(self) -> str:
        states = {name: component.state.value for name, component in self._components.items()}
        return f"Decisions({states}{', killing all' if self.is_killing else ''})"

    def state_of(self, component: str) -> State | None:
        """Of a component's name; None for one that was never seen."""
        found = self._components.get(component)
        return found.state if found else None

    def is_restarting(self, component: str, container_id: str) -> bool:
        """Whether this agent has decided to restart it after that container's end, and has not seen it run since."""
        found = self._components.get(component)
        return found is not None and found.is_restarted_from(container_id)

    @property
    def is_killing(self) -> bool:
        """Whether the whole job is being ended."""
        return self._end.is_under_way

    # Facts.

    def signal_sent(self, container_id: str, signal: str, at_s: float) -> None:
        """The engine sent a signal, by its number, to a container."""
        key = container_id, signal
        self._asked_at_s[key] = max(at_s, self._asked_at_s.get(key, at_s))

    def seen(self, container: Container, known: Known) -> list[Action]:
        """The engine described a container."""
        self._containers[container.id] = container
        if container.component is None:
            return self._end.go_on(self._running())
        component = self._components.setdefault(container.component, Component(container.component))
        component.learn(known)
        if container.status is Status.RUNNING:
            return self._runs(component, container)
        if container.status is Status.CREATED:
            return self._was_created(component, container)
        return [*self._ended(component, container, known), *self._end.go_on(self._running())]

    def removed(self, container_id: str) -> list[Action]:
        """A container is not there any more, and none was made in its place."""
        container = self._containers.get(container_id)
        was_asked = container is not None and self._was_asked(container)
        self._forget(container_id)
        if container is None:
            return []
        component = self._components.get(container.component or "")
        actions: list[Action] = []
        is_current = component is not None and component.container and component.container.id == container_id
        if component is not None and is_current and component.state in _UP_OR_COMING:
            # Whoever takes a container away wants it away.
            component.move(Happening.ENDS)
            component.retry_at_s = None
            why = "was asked to end, and its" if was_asked else "stays down: its"
            actions = [
                Deregister(container, NoticeKind.LEFT),
                Report(f"{component.name} {why} container {container.name} was removed"),
            ]
        return [*actions, *self._end.go_on(self._running())]

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
        replaced = {container.replaces for container in present.values()}
        self._containers.update(present)
        actions: list[Action] = []
        if kill_all:
            actions += self._kill_all("an agent had begun to end the whole job")
        for container, known in sorted(found, key=lambda pair: _STOCK_ORDER.index(pair[0].status)):
            actions += self.seen(container, known)
        for container_id in absent:
            if container_id in replaced:
                self._forget(container_id)
            else:
                actions += self.removed(container_id)
        return actions

    def start_failed(self, component_name: str, why: str, now_s: float, *, refused: bool = True) -> list[Action]:
        """A component's container was not started, or not replaced.

        Args:
            component_name: whose.
            why: for people.
            now_s: the present, by the clock that `due` goes by.
            refused: the engine would not; otherwise it does not answer, which costs the component nothing.
        """
        component = self._components.get(component_name)
        if component is None or component.state is not State.RESTARTING:
            return []
        return component.start_failed(why, now_s, refused)

    def stop_failed(self, container: Container) -> None:
        """The engine could not stop a container; it is stopped when it is seen the next time."""
        self._end.stop_failed(container)

    def due(self, now_s: float) -> list[Action]:
        """Time has passed."""
        actions: list[Action] = []
        for component in self._components.values():
            if component.retry_at_s is not None and component.retry_at_s <= now_s:
                component.retry_at_s = None
                actions += [] if self.is_killing else component.try_again()
        return actions

    def next_due_s(self) -> float | None:
        """When `due` has something to do again."""
        times = [component.retry_at_s for component in self._components.values() if component.retry_at_s is not None]
        return min(times, default=None)

    # What follows from them.

    def _runs(self, component: Component, container: Container) -> list[Action]:
        came_back = component.state is State.RESTARTING
        component.runs(container)
        reports: list[Action] = [Report(f"{component.name} runs again in {container.name}")] if came_back else []
        takes_over = self._takes_over and container.restarts_itself and not self.is_killing
        policy: list[Action] = [TakeOver(container)] if takes_over else []
        return [*reports, *policy, *self._end.go_on(self._running())]

    def _was_created(self, component: Component, container: Container) -> list[Action]:
        """Compose makes containers before it starts them; only what an agent has left unfinished is gone on with."""
        if container.replaces is None or self.is_killing or component.state not in (State.RUNNING, State.FAILED):
            return []
        if component.container is not None and self._runs_now(component.container.id):
            return []
        component.move(Happening.CRASHES)
        component.container = container
        component.retry_at_s = None
        component.move(Happening.IS_RESTARTED)
        return [
            Report(f"{component.name}: going on with the replacement of its container"),
            Replace(container.replaces, component.name),
        ]

    def _ended(self, component: Component, container: Container, known: Known) -> list[Action]:
        if component.settled_run == container.run or self._is_outlived(component, container):
            return []
        witnessed = component.container is not None and component.container.run == container.run
        if not witnessed:
            # It ran and ended between two looks, whoever started it: also where it was down for good before.
            component.runs(container)
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

    def _ended_as_told(self, component: Component, container: Container, known: Known) -> list[Action]:
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
            return component.give_up(container, "it ended with code 64, which says not to start it again")
        component.move(Happening.CRASHES)
        counted = known.has_counted(container.run)
        if self.is_killing:
            return [Deregister(container, NoticeKind.GONE)]
        return component.fails(container, container.run, counted)

    def _is_outlived(self, component: Component, container: Container) -> bool:
        """Whether a younger container has the name: this one is what an agent, or a person, has replaced."""
        latest = component.container
        if latest is None or latest.id == container.id:
            return False
        return latest.status is Status.RUNNING or latest.started_at_s > container.started_at_s

    def _was_asked(self, container: Container) -> bool:
        asked_at_s = self._asked_at_s.get((container.id, container.stop_signal))
        return asked_at_s is not None and asked_at_s >= container.started_at_s

    # Ending the whole job.

    def _asks_to_kill_all(self, component: Component, container: Container, witnessed: bool) -> list[Action]:
        component.move(Happening.ENDS)
        gone = Deregister(container, NoticeKind.GONE)
        outlived = any(other.started_at_s < container.finished_at_s for other in self._running())
        if witnessed or outlived or self.is_killing:
            return [gone, *self._kill_all(f"{component.name} ended with code 65, which ends the whole job")]
        # What runs was started later: somebody has begun the job anew.
        return [gone, Report(f"{component.name} ended with code 65 when nothing of the job was left to end")]

    def _kill_all(self, reason: str) -> list[Action]:
        for component in self._components.values():
            component.retry_at_s = None
        return self._end.begin(reason, self._running())

    def _running(self) -> list[Container]:
        return [container for container in self._containers.values() if container.status is Status.RUNNING]

    def _runs_now(self, container_id: str) -> bool:
        found = self._containers.get(container_id)
        return found is not None and found.status is Status.RUNNING

    def _forget(self, container_id: str) -> None:
        for key in [key for key in self._asked_at_s if key[0] == container_id]:
            del self._asked_at_s[key]
        self._containers.pop(container_id, None)
