"""Faults of a container's network, made by a helper container that shares it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.core.container import DockerContainer

from maro.testbed.compose_project import ServiceContainer
from tests.support.waiting import eventually

_CUT = """
set -e
heal() { iptables -D INPUT -j DROP; iptables -D OUTPUT -j DROP; }
iptables -I INPUT -j DROP
iptables -I OUTPUT -j DROP
trap 'heal; exit 0' TERM
echo cut
sleep "$1" & wait $!
heal
echo healed
"""


@contextmanager
def cut_off_for(target: ServiceContainer, seconds: int) -> Iterator[None]:
    """Drop every packet from and to a container for so long; leaving the `with` waits for the end of it.

    The rules are the target's own: they are healed by the helper, also when it is stopped before its time.
    """
    from tests.containers.conftest import NET_IMAGE

    helper = (
        DockerContainer(NET_IMAGE)
        .with_command(["sh", "-c", _CUT, "cut", str(seconds)])
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
