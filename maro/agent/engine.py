"""The container engine, as the agent needs it: descriptions, commands, and events. The only user of `docker` here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maro.agent import description, inline_files
from maro.agent.facts import Container

if TYPE_CHECKING:
    import docker

logger = logging.getLogger(__name__)

_EVENTS = ("start", "kill", "die", "destroy")
_STOP_TIMEOUT_S = 10
_CONFLICT = 409


class EngineError(Exception):
    """The engine does not answer, or could not do what it was asked to; the text has its words."""


class EngineAwayError(EngineError):
    """The engine does not answer; it may later."""


class ContainerMissingError(EngineError):
    """The container is not there, or about to be removed."""


@dataclass(frozen=True)
class EngineEvent:
    """Something that happened to a container of the job."""

    kind: str
    """`start`, `kill`, `die` or `destroy`."""
    container_id: str
    at_s: float
    signal: str = ""
    """That a `kill` sent, by its number."""


class Engine:
    """The engine that the environment names (`DOCKER_HOST`, …), for the containers of one job.

    Args:
        job: its id, the value of the label `maro.job`.

    Raises:
        EngineError: nothing answers.
    """

    def __init__(self, job: str) -> None:
        import docker  # here: its imports try out sockets
        from docker.errors import DockerException

        self._label = f"{description.JOB_LABEL}={job}"
        self._names: dict[str, tuple[str | None, str]] = {}
        """By a container's id, its component and what that calls it; neither ever changes, and peers wait for an answer
        from this."""
        self._client: docker.DockerClient
        try:
            self._client = docker.from_env(max_pool_size=20)
            self._client.ping()
        except DockerException as error:
            raise EngineError(
                f"no container engine answers ({error}): start one, name it in DOCKER_HOST, or mount its socket"
            ) from error

    def containers(self) -> list[Container]:
        """All of the job, whatever they are doing."""
        found = (self.look(container_id) for container_id in self._ids())
        return [container for container in found if container is not None]

    def look(self, container_id: str) -> Container | None:
        """A container as it is now; None for one that is not there any more."""
        try:
            container = description.container_of(self._inspect(container_id))
        except ContainerMissingError:
            container = None
        if container is None:
            self._names.pop(container_id, None)
        else:
            self._names[container_id] = container.component, container.told_name
        return container

    def successor(self, container_id: str) -> Container | None:
        """The container that an agent made in the place of this one."""
        for found in self._ids(f"{description.REPLACES_LABEL}={container_id}"):
            return self.look(found)
        return None

    def is_running(self, component: str, container_name: str = "") -> bool:
        """Whether any container of the job that runs has a component of this name, or is called so by those inside."""
        for container_id in self._ids(only_running=True):
            if container_id not in self._names:
                self.look(container_id)
            found, told_name = self._names.get(container_id, (None, ""))
            if found == component or (container_name and told_name == container_name):
                return True
        return False

    # Commands. Each may be repeated, and done by two agents at once.

    def start(self, container_id: str) -> None:
        """Start a container; one that runs already is left running.

        Raises:
            ContainerMissingError: it is not there.
            EngineError: the engine could not.
        """
        with _mapped():
            self._client.api.start(container_id)

    def take_over(self, container_id: str) -> None:
        """Take a container's restart policy away.

        Raises:
            ContainerMissingError: it is not there.
            EngineError: the engine could not.
        """
        with _mapped():
            self._client.api.update_container(container_id, restart_policy={"Name": "no"})

    def stop(self, container: Container) -> None:
        """Ask a container to end, and see that it does; returns once it has."""
        with _mapped(), contextlib.suppress(ContainerMissingError):
            described = self._inspect(container.id)
            patience_s = described["Config"].get("StopTimeout")
            self._client.api.stop(container.id, timeout=_STOP_TIMEOUT_S if patience_s is None else patience_s)

    def replace(self, failed_id: str, component: str) -> None:
        """Put a new container in a failed one's place and name, and start it.

        The failed one goes only once the new one is whole, and what is left of an attempt that was cut short is used:
        at any moment there is one of the two from which an agent can go on.

        Raises:
            ContainerMissingError: neither is there.
            EngineError: the engine could not; the failed one is still there, or the new one is.
        """
        with _mapped():
            try:
                failed = self._inspect(failed_id)
            except ContainerMissingError:
                new_id = self._successor_id(failed_id)
            else:
                new_id = self._make_successor(failed, component)
                with contextlib.suppress(ContainerMissingError):
                    self._remove(failed_id)
            # Another agent may have started it long ago: if it has ended since, that is for those who saw its end.
            if self._inspect(new_id)["State"]["Status"] == "created":
                self._client.api.start(new_id)

    def _make_successor(self, failed: description.Description, component: str) -> str:
        """A container like the failed one, which has its name; the id."""
        api = self._client.api
        name = failed["Name"].lstrip("/")
        wanted = description.original_name(name, failed["Id"])
        if name == wanted:
            with _unless_conflicting():
                api.rename(failed["Id"], description.failed_name(name, failed["Id"]))
        request = description.successor_request(failed, component)
        request["Image"] = self._image(failed)
        copied = self._inline_files(failed)
        request["Labels"][inline_files.COPIED_LABEL] = inline_files.label_of(copied)
        with _unless_conflicting():  # with the one that another agent, or an earlier attempt, has made
            api.create_container_from_config(request, wanted)
        new_id = self._successor_id(failed["Id"])
        there = description.endpoints(self._inspect(new_id))
        for network, asked in description.other_networks(failed).items():
            if network not in there:
                endpoint = {key: value for key, value in asked.items() if key == "Aliases"}
                api.connect_container_to_network(new_id, network, aliases=endpoint.get("Aliases"))
        self._copy(copied, failed["Id"], new_id)
        return new_id

    def _successor_id(self, container_id: str) -> str:
        for found in self._ids(f"{description.REPLACES_LABEL}={container_id}"):
            return found
        raise ContainerMissingError(f"there is neither the container {container_id[:12]} nor one in its place")

    def _image(self, described: description.Description) -> str:
        """The image's name, as long as it still means the same image."""
        from docker.errors import NotFound

        name = str(described["Config"]["Image"])
        with contextlib.suppress(NotFound):
            if self._client.api.inspect_image(name)["Id"] == described["Image"]:
                return name
        return str(described["Image"])

    def _inline_files(self, described: description.Description) -> list[str]:
        """What Compose, or an agent, has copied into a container before it was started."""
        from docker.errors import NotFound

        found = []
        for path in inline_files.candidates(described, self._client.api.diff(described["Id"])):
            with contextlib.suppress(NotFound):  # a link that leads nowhere
                if inline_files.was_copied(described, path, self._stat(described["Id"], path)):
                    found.append(path)
        return found

    def _stat(self, container_id: str, path: str) -> dict[str, Any]:
        """What the engine says of a file in a container, without its content.

        The package has no call for that. An archive that nobody reads is none: the engine keeps the container locked
        for as long, and every later call for it waits.
        """
        from docker.utils import decode_json_header

        api = self._client.api
        with api.head(api._url("/containers/{0}/archive", container_id), params={"path": path}) as response:
            api._raise_for_status(response)
            stat: dict[str, Any] = decode_json_header(response.headers["X-Docker-Container-Path-Stat"])
            return stat

    def _copy(self, paths: list[str], old_id: str, new_id: str) -> None:
        """Copy files from a container into one that has not been started."""
        for path in paths:
            archive, _ = self._client.api.get_archive(old_id, path)
            self._client.api.put_archive(new_id, "/", inline_files.rooted(b"".join(archive), path))

    def _remove(self, container_id: str) -> None:
        from docker.errors import APIError

        with _mapped():
            try:
                self._client.api.remove_container(container_id)
            except APIError as error:
                if error.status_code != _CONFLICT or "already in progress" not in str(error):
                    raise

    # Events.

    def past_events(self) -> tuple[list[EngineEvent], float]:
        """The events that the engine still remembers (the last few hundred of all containers), and until when."""
        with _mapped():
            until_s = description.seconds_of(self._client.api.info()["SystemTime"])
            found = self._client.api.events(since=1, until=f"{until_s:.9f}", filters=self._filters(), decode=True)
            return [event_of(raw) for raw in found], until_s

    def stream(self, since_s: float) -> Any:
        """The engine's events from then on, as it writes them; `close` ends it, from any thread."""
        with _mapped():
            return self._client.api.events(since=f"{since_s:.9f}", filters=self._filters(), decode=True)

    def _filters(self) -> dict[str, Any]:
        return {"type": "container", "label": self._label, "event": list(_EVENTS)}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ids(self, *labels: str, only_running: bool = False) -> list[str]:
        with _mapped():
            found = self._client.api.containers(
                all=not only_running, quiet=True, filters={"label": [self._label, *labels]}
            )
        return [str(container["Id"]) for container in found]

    def _inspect(self, container_id: str) -> description.Description:
        with _mapped():
            described: description.Description = self._client.api.inspect_container(container_id)
            return described


def event_of(raw: dict[str, Any]) -> EngineEvent:
    """An event as the engine wrote it."""
    attributes = raw["Actor"]["Attributes"]
    signal = description.signal_number(attributes.get("signal", "")) if raw["Action"] == "kill" else ""
    return EngineEvent(raw["Action"], raw["Actor"]["ID"], raw["timeNano"] / 1e9, signal)


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """Map what `docker` and its transport raise, in one place."""
    import requests
    from docker.errors import APIError, DockerException, NotFound

    try:
        yield
    except NotFound as error:
        raise ContainerMissingError(str(error)) from error
    except APIError as error:
        if error.status_code == _CONFLICT and "marked for removal" in str(error):
            raise ContainerMissingError(str(error)) from error
        raise EngineError(str(error)) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineAwayError(f"the engine does not answer: {error}") from error


@contextlib.contextmanager
def _unless_conflicting() -> Iterator[None]:
    """What is there already need not be made."""
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise
