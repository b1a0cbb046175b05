"""Faults of a container's network, made by a helper container that shares it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from testcontainers.core.container import DockerContainer

from maro.testbed.compose_project import ServiceContainer
from tests.support.waiting import eventually

EVERYTHING = ("INPUT", "OUTPUT")
"""All packets from and to a container."""

_CUT = """
set -e
seconds="$1"
shift
heal() { for rule; do iptables -D $rule -j DROP; done; }
trap 'heal "$@"; exit 0' TERM
for rule; do iptables -I $rule -j DROP; done
echo cut
sleep "$seconds" & wait $!
heal "$@"
echo healed
"""


def from_host(address: str) -> str:
    """The packets that come from this address; one direction only."""
    return f"INPUT -s {address}"


def to_host(address: str) -> str:
    """The packets that go to this address; one direction only."""
    return f"OUTPUT -d {address}"


@contextmanager
def cut_off_for(target: ServiceContainer, seconds: int, packets: Sequence[str] = EVERYTHING) -> Iterator[None]:
    """Drop packets from and to a container for so long; leaving the `with` waits for the end of it.

    The rules are the target's own: they are healed by the helper, also when it is stopped before its time.

    Args:
        target: whose network it is.
        seconds: from the cut to its healing.
        packets: which of them; every one by default.
    """
    from tests.containers.conftest import NET_IMAGE

    helper = (
        DockerContainer(NET_IMAGE)
        .with_command(["sh", "-c", _CUT, "cut", str(seconds), *packets])
        .with_kwargs(
            network_mode=f"container:{target.container.id}", cap_add=["NET_ADMIN"], labels={"maro.testbed": "fault"}
        )
    )
    with helper:
        made = helper.get_wrapped_container()
        eventually(lambda: b"cut" in made.logs(), 30, lambda: f"the network cut; the helper wrote {made.logs()!r}")
        yield
        assert made.wait(timeout=seconds + 60)["StatusCode"] == 0, made.logs()
        assert b"healed" in made.logs()
