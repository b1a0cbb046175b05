"""The network of containers: what is done to it is done by helper containers that share a member's network.

Nothing is needed in the members. A helper (`docker/netfault.Dockerfile`) makes the rules, and undoes them when it is
stopped or its time is over; where it was killed, another one undoes them. A member that is started again meanwhile has
a new network without these rules: it is cut off only as far as the others' rules say, if it gets its address back.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from maro.testbed.runners.network import Bandwidth, Delay, Heal, Loss, Network, Shape
from maro.testbed.runners.network_rules import (
    HEALED,
    IMPOSSIBLE,
    MADE,
    Rules,
    cut_rules,
    script,
    shape_rules,
    undo_script,
)
from maro.testbed.runners.runner import Member, RunnerError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

IMAGE_VARIABLE = "MARO_NET_IMAGE"
_IMAGE = "maro-netfault:latest"
ROLE_LABEL = "maro.role"
ROLE = "netfault"
_MADE_WITHIN_S = 60.0
_STOP_WITHIN_S = 20
_ASK_EVERY_S = 0.05
_TRIES: dict[str, Rules] = {
    "partition": cut_rules("1", ["192.0.2.1"], ["192.0.2.1"]),
    "isolate": cut_rules("1", ["192.0.2.1"], ["192.0.2.1"]),
    "loss": shape_rules("2", Loss(1), "lo"),
    "bandwidth": shape_rules("3", Bandwidth(1000), "lo"),
    "delay": shape_rules("4", Delay(1), "lo"),
}


class DockerNetwork(Network):
    """The network that the containers of one run share.

    Args:
        client: of the engine; stays open.
        labels: of the helpers, by which those of this run are told from others.
        network: its name.
        container_of: the engine's container of a member, as it is now.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        labels: Mapping[str, str],
        network: str,
        container_of: Callable[[Member], Container],
    ) -> None:
        self._client = client
        self._labels = {**labels, ROLE_LABEL: ROLE, "maro.testbed": "fault"}
        self._network = network
        self._container_of = container_of
        self._image = os.environ.get(IMAGE_VARIABLE) or _IMAGE
        self._unsupported: dict[str, str] = {}

    def cut(self, pairs: Collection[tuple[Member, Member]], limit_s: float) -> Heal:
        """Drop the packets from the first to the second member of each pair, at as few members as that takes."""
        members = {member.label: member for pair in pairs for member in pair}
        addresses = {label: self._address(member) for label, member in members.items()}
        fault_id = uuid.uuid4().hex
        wanted = {}
        for label, cut in places({(one.label, two.label) for one, two in pairs}).items():
            sources = [addresses[one] for one, two in cut if two == label]
            destinations = [addresses[two] for one, two in cut if one == label]
            wanted[label] = members[label], cut_rules(fault_id, sources, destinations)
        return self._make(wanted, limit_s)

    def shape(self, member: Member, shape: Shape, limit_s: float) -> Heal:
        """Lose or slow the packets of a member."""
        return self._make({member.label: (member, shape_rules(uuid.uuid4().hex, shape))}, limit_s)

    def unsupported(self, kinds: Collection[str]) -> dict[str, str]:
        """Which of these can't be done here; tried in a container with a network of its own, once for each kind."""
        for kind in kinds:
            if kind not in self._unsupported:
                self._unsupported[kind] = self._try(_TRIES[kind])
        return {kind: why for kind in kinds if (why := self._unsupported[kind])}

    def close(self) -> None:
        """Remove the helpers of this run; those that still run heal first."""
        for helper in self._helpers():
            with contextlib.suppress(RunnerError):
                self._end(helper)

    def _make(self, wanted: dict[str, tuple[Member, Rules]], limit_s: float) -> Heal:
        """Start a helper for each, wait until all have made their rules, and return what undoes that."""
        helpers = []
        with contextlib.ExitStack() as undo, _as_runner_errors("the network could not be changed"):
            for label, (member, rules) in wanted.items():
                target = self._container_of(member)
                helper = self._start(f"container:{target.id}", script(rules, limit_s), f"{label} could not be reached")
                undo.callback(self._heal, helper, str(target.id), rules)
                helpers.append((label, helper))
            for label, helper in helpers:
                why = _await_made(helper)
                if why:
                    raise RunnerError(f"the network of {label} could not be changed: {why}")
            kept = undo.pop_all()
        return kept.close

    def _heal(self, helper: Container, target_id: str, rules: Rules) -> None:
        if not self._end(helper):
            again = None
            with contextlib.suppress(RunnerError):  # its network went with it
                again = self._start(f"container:{target_id}", undo_script(rules), "it is gone")
            if again is not None:
                self._end(again, asks=False)

    def _end(self, helper: Container, asks: bool = True) -> bool:
        """Stop a helper, and remove it; whether it said that it has healed."""
        from docker.errors import APIError, NotFound

        try:
            if asks:
                helper.stop(timeout=_STOP_WITHIN_S)
            else:
                helper.wait(timeout=_STOP_WITHIN_S)
            said = bytes(helper.logs())
            helper.remove(force=True)
        except NotFound:
            return False
        except APIError as error:
            raise RunnerError(f"a helper of the network could not be ended: {error}") from error
        return HEALED.encode() in said.split() or IMPOSSIBLE.encode() in said

    def _try(self, rules: Rules) -> str:
        """Why these rules can't be made here; empty if they can."""
        helper = self._start("none", script(rules, 60), "it could not be tried")
        try:
            return _await_made(helper)
        finally:
            self._end(helper)

    def _start(self, mode: str, text: str, otherwise: str) -> Container:
        from docker.errors import APIError, ImageNotFound

        try:
            # Not `run`, which looks for a missing image in the registry, where it is not.
            helper: Container = self._client.containers.create(
                self._image, ["sh", "-c", text], network_mode=mode, cap_add=["NET_ADMIN"], labels=self._labels
            )
            try:
                helper.start()
            except APIError:
                helper.remove(force=True)
                raise
        except ImageNotFound as error:
            raise RunnerError(
                f"faults of the network need the image {self._image}, which is not there: build it from "
                f"docker/netfault.Dockerfile, or name another one in {IMAGE_VARIABLE}"
            ) from error
        except APIError as error:
            raise RunnerError(f"{otherwise}: {error.explanation or error}") from error
        return helper

    def _helpers(self) -> list[Container]:
        labels = [f"{label}={value}" for label, value in self._labels.items()]
        return list(self._client.containers.list(all=True, filters={"label": labels}, ignore_removed=True))

    def _address(self, member: Member) -> str:
        container = self._container_of(member)
        with _as_runner_errors(f"{member.label} could not be asked for its address"):
            container.reload()
        networks: dict[str, Any] = container.attrs["NetworkSettings"]["Networks"]
        address = networks.get(self._network, {}).get("IPAddress")
        if not address:
            raise RunnerError(f"{member.label} has no address in {self._network}; does it run?")
        return str(address)


def places(pairs: Collection[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Which pairs are cut at whom: always at the one who has the most of those that are left."""
    left, found = sorted(pairs), dict[str, list[tuple[str, str]]]()
    while left:
        counts = Counter(label for pair in left for label in pair)
        label = min(counts, key=lambda each: (-counts[each], each))
        found[label] = [pair for pair in left if label in pair]
        left = [pair for pair in left if label not in pair]
    return found


def remove_helpers(client: docker.DockerClient, is_left: Callable[[Mapping[str, str]], bool]) -> None:
    """Remove the helpers of runs that are left, told by their labels; each has healed, or heals when it is stopped."""
    from docker.errors import APIError

    for helper in client.containers.list(all=True, filters={"label": f"{ROLE_LABEL}={ROLE}"}, ignore_removed=True):
        if is_left(helper.labels):
            for step in (functools.partial(helper.stop, timeout=_STOP_WITHIN_S), helper.remove):
                with contextlib.suppress(APIError):
                    step()


@contextlib.contextmanager
def _as_runner_errors(what: str) -> Iterator[None]:
    """The engine's refusals as errors of the runner."""
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        raise RunnerError(f"{what}: {error.explanation or error}") from error


def _await_made(helper: Container) -> str:
    """Wait until a helper has made its rules; why it could not, else empty."""
    deadline = time.monotonic() + _MADE_WITHIN_S
    while True:
        lines = bytes(helper.logs()).decode(errors="replace").splitlines()
        if MADE in lines:
            return ""
        for line in lines:
            if line.startswith(IMPOSSIBLE):
                return f"not supported here: {line.partition(':')[2].strip()}"
        helper.reload()
        if helper.status == "exited":
            return f"the helper ended with code {helper.attrs['State']['ExitCode']}: {' '.join(lines[-2:])}"
        if time.monotonic() > deadline:
            return f"the helper has not done it within {_MADE_WITHIN_S:g} s"
        time.sleep(_ASK_EVERY_S)
