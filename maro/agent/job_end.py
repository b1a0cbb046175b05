"""The end of a whole job: its components first, then what they need, the agent last."""

from __future__ import annotations

from collections.abc import Iterable

from maro.agent.facts import Action, ClearKillAll, Container, Finish, Report, SetKillAll, Stop


class JobEnd:
    """Whether the job is to end, and how far that is.

    Its steps are decided by what runs, so that it can be gone on with by an agent that was started again.
    """

    def __init__(self) -> None:
        self._began = False
        self._finished = False
        self._stopping: set[str] = set()
        """The runs that were asked to end."""

    def __repr__(self) -> str:
        return f"JobEnd({'finished' if self._finished else 'under way' if self._began else 'not yet'})"

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun; from then on nothing is started."""
        return self._began

    def begin(self, reason: str, running: Iterable[Container]) -> list[Action]:
        """End the job; nothing if that has begun.

        Args:
            reason: for people, and kept for other agents.
            running: containers of the job.
        """
        if self._began:
            return []
        self._began = True
        stops = self._stop(container for container in running if container.component is not None)
        return [SetKillAll(reason), Report(f"{reason}: stopping {len(stops)} components", True), *stops]

    def go_on(self, running: Iterable[Container]) -> list[Action]:
        """Stop what was started meanwhile, and the rest once no component runs any more."""
        if not self._began or self._finished:
            return []
        others = [container for container in running if not container.is_agent]
        components = [container for container in others if container.component is not None]
        if components:
            return self._stop(components)
        if others:
            return [ClearKillAll(), *self._stop(others)]
        self._finished = True
        return [ClearKillAll(), Report("every container of the job is stopped; the agent ends"), Finish()]

    def stop_failed(self, container: Container) -> None:
        """The engine could not stop it; it is stopped when it is seen the next time."""
        self._stopping.discard(container.run)

    def _stop(self, containers: Iterable[Container]) -> list[Action]:
        """Stop those that were not yet asked to."""
        asked = [container for container in containers if container.run not in self._stopping]
        self._stopping.update(container.run for container in asked)
        return [Stop(container) for container in asked]
