"""Registrations of dead components that are to be ended: kept until Redis could be told."""

from __future__ import annotations

import logging
from typing import Protocol

from maro.agent.facts import Container
from maro.communication.observations import NoticeKind, PeerRecord

logger = logging.getLogger(__name__)


class Registrations(Protocol):
    """Where components are registered."""

    def registration(self, group: str, component_type: str, component: str) -> tuple[PeerRecord | None, bool]:
        """The record, or what stands for it, and whether the component has left by itself."""

    def deregister(self, group: str, record: PeerRecord, kind: NoticeKind) -> None:
        """End it, unless a younger incarnation has the name."""

    def names_in(self, container_name: str) -> list[str]:
        """The names that were registered last from a container that its components say is called so."""


class Runs(Protocol):
    """What knows which components run."""

    def is_running(self, component: str, container_name: str = "") -> bool:
        """Whether one of this name runs, or one in a container that is called so by those inside."""


class Obituaries:
    """What is to be made known.

    A record is read first, and only then is looked whether anything runs under its name: whoever wrote it is dead if
    nothing does. One that is written later has a younger incarnation, and is not touched.

    A name that only the code of a component knows is found by its container: a Proxy notes what that is called, along
    with its record. The note is read after the record, too, so the record was not written from elsewhere.
    """

    def __init__(self, registrations: Registrations, runs: Runs) -> None:
        self._registrations = registrations
        self._runs = runs
        self._waiting: dict[str, tuple[Container, NoticeKind]] = {}

    def __repr__(self) -> str:
        return f"Obituaries({sorted(self._waiting)})"

    @property
    def are_waiting(self) -> bool:
        """Whether there is anything that could not be made known yet."""
        return bool(self._waiting)

    def add(self, container: Container, kind: NoticeKind) -> None:
        """Note the death of the component in a container; the last word on a name counts."""
        if container.group is None:
            logger.debug("%s has no MARO_GROUP, so its lease has to run out", container.component)
        elif container.component is not None:
            self._waiting[container.component] = container, kind

    def publish(self) -> None:
        """Make all of it known.

        Raises:
            StoreUnavailableError: Redis does not answer; what is left is kept.
            EngineError: the engine does not; so it is.
        """
        for component, (container, kind) in list(self._waiting.items()):
            self._publish(container, component, kind)
            for name in self._registrations.names_in(container.told_name):
                if name != component:
                    self._publish(container, name, kind, container.told_name)
            del self._waiting[component]

    def _publish(self, container: Container, component: str, kind: NoticeKind, container_name: str = "") -> None:
        group = container.group or ""
        record, has_left = self._registrations.registration(group, container.component_type, component)
        if container_name and component not in self._registrations.names_in(container_name):
            return
        told_by_itself = record is not None and not record.addresses and (has_left or kind is NoticeKind.GONE)
        if record is None or told_by_itself or self._runs.is_running(component, container_name):
            return
        self._registrations.deregister(group, record, kind)
        logger.info("told the group %s that %s is %s", group, component, kind.value)
