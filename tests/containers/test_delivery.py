"""What is promised about delivery with the message cache on, in containers that are killed, paused and cut off.

Each fault meets three flows of numbered messages: one way, requests with replies, and a pipeline that forwards them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.containers.delivery_trial import ContainerMember, ContainerTrial, kill_together, network_with_addresses
from tests.containers.net_faults import cut_off_for, from_host, to_host
from tests.support.container_budget import containers
from tests.support.delivery_checker import postponed, unanswered
from tests.support.journal_watch import WITHIN_S
from tests.support.journals import ACCEPTED, ANSWERED, FINISHED, RECEIVED, of_kind
from tests.support.waiting import eventually

FEW_PORTS = (40_000, 40_005)
"""Of receivers that swap their addresses: so few that one gets the very port of the other as well, mostly or always."""
SWAPS = 8
"""At most; one suffices where the ports are the same, and the sender tries the old address in time."""
QUEUED = 50
"""Messages that wait for each receiver while both are dead."""


@dataclass(frozen=True)
class Flow:
    """Messages on their way between components."""

    trial: ContainerTrial
    sender: ContainerMember
    victim: ContainerMember
    """Gets them from the sender; the faults hit it."""
    count: int
    """Of all messages."""
    progress: tuple[str, str]
    """The lines that show it: their kind, and who writes them."""
    ends_at: str | None = None
    """Where the victim only passes messages on: who gets them in the end."""

    def await_share(self, share: float) -> None:
        """Wait until this part of all messages has come through."""
        self.trial.await_count(self.progress[0], int(share * self.count), self.progress[1])

    def await_more(self, count: int) -> None:
        """Wait until so many more have come through."""
        self.trial.await_more(self.progress[0], count, self.progress[1])

    def assert_underway(self) -> None:
        """There are messages left, so what has just been done was done to a flow."""
        came = self.trial.journals.count(*self.progress)
        assert came < self.count, f"all {came} messages came through before the fault was over"

    def assert_all_arrive(self, *, sends_to_absent: bool = False) -> None:
        """Wait until all have come through; what is promised for each is kept.

        Args:
            sends_to_absent: the sender may be sending just when it takes its peer for dead: it gets the reply with a
                later one, as is documented. Else each request waits for its own.
        """
        asks = self.progress[0] == ANSWERED
        self.trial.await_count(ANSWERED if asks else ACCEPTED, self.count, self.sender.name)
        self.trial.await_all_finished(self.ends_at)
        self.trial.end()
        entries = self.trial.entries()
        faults = [*(unanswered(entries) if asks else ()), *(() if sends_to_absent else postponed(entries))]
        self.trial.assert_delivered(*faults, ends_at=self.ends_at)

    def starts(self, member: ContainerMember) -> int:
        """How many incarnations of a component did anything with messages."""
        return len({entry.incarnation for entry in self.trial.entries() if entry.name == member.name})


def one_way(trial: ContainerTrial) -> Flow:
    """A source, and a sink that consumes."""
    count = 6000
    stream = ("stream", {"to": ["sink"], "count": count, "rate": 400})
    source = trial.member("source", {"sink": 1}, stream, ("listen", {}))
    sink = trial.member("sink", {"source": 1}, ("consume", {}))
    return Flow(trial, source, sink, count, (RECEIVED, "sink"))


def requests(trial: ContainerTrial) -> Flow:
    """An asker, and a worker that replies; each request waits for the reply to the one before."""
    count = 3000
    ask = ("ask_each", {"to": ["worker"], "count": count, "rate": 200})
    asker = trial.member("asker", {"worker": 1}, ask, ("listen", {}))
    worker = trial.member("worker", {"asker": 1}, ("answer", {}))
    return Flow(trial, asker, worker, count, (ANSWERED, "asker"))


def pipeline(trial: ContainerTrial) -> Flow:
    """A source, a stage that forwards, and a sink that consumes."""
    count = 5000
    stream = ("stream", {"to": ["stage"], "count": count, "rate": 350})
    source = trial.member("source", {"stage": 1}, stream, ("listen", {}))
    stage = trial.member("stage", {"source": 1, "sink": 1}, ("pass_on", {"to": "sink"}))
    trial.member("sink", {"stage": 1}, ("consume", {}))
    return Flow(trial, source, stage, count, (RECEIVED, "sink"), ends_at="sink")


@pytest.fixture(params=[one_way, requests, pipeline], ids=["one-way", "requests", "pipeline"])
def flow(request: pytest.FixtureRequest, engine: docker.DockerClient, tmp_path: Path) -> Iterator[Flow]:
    """Each of the three in turn, when some messages have come through."""
    make: Callable[[ContainerTrial], Flow] = request.param
    with containers(4), ContainerTrial(engine, tmp_path) as trial:
        made = make(trial)
        trial.up()
        made.await_share(0.1)
        yield made


def test_the_receiver_is_killed_three_times(flow: Flow) -> None:
    """At work, soon after that while it catches up, and at work again; each time its container starts again."""
    for share in (0.2, 0.0, 0.4):
        flow.await_share(share)
        flow.victim.kill()
        killed_at = flow.trial.journals.count(RECEIVED, flow.victim.name)
        flow.victim.start()
        # By the victim itself: of what it passed on before, more may come through while it is dead.
        flow.trial.await_count(RECEIVED, killed_at + 20, flow.victim.name)

    flow.assert_all_arrive()
    assert flow.starts(flow.victim) == 4


def test_the_receiver_is_paused_for_longer_than_its_lease(flow: Flow) -> None:
    """Its sender takes it for dead meanwhile; it goes on where it was, as the same incarnation."""
    # Given a receiver that stands still
    flow.victim.container.pause()
    # When its sender has noticed, and it thaws
    flow.trial.await_log(flow.sender, f"{flow.victim.name} is away: ")
    flow.assert_underway()
    flow.victim.container.unpause()

    # Then all is well
    flow.assert_all_arrive(sends_to_absent=True)
    assert flow.starts(flow.victim) == 1


def test_the_receiver_is_cut_off_for_20_seconds(flow: Flow) -> None:
    """From its peers and from Redis, so that it is taken for dead; then it goes on where it was."""
    # Given a receiver that no packet reaches or leaves
    with cut_off_for(flow.victim.container, 20):
        # When its sender takes it for dead, and the network heals
        flow.trial.await_log(flow.sender, f"{flow.victim.name} is away: ")
        flow.assert_underway()

    # Then all is well
    flow.assert_all_arrive(sends_to_absent=True)
    assert flow.starts(flow.victim) == 1


@pytest.mark.parametrize("direction", [from_host, to_host], ids=["from-the-sender", "to-the-sender"])
def test_packets_get_lost_for_12_seconds_in_one_direction_only(flow: Flow, direction: Callable[[str], str]) -> None:
    """Between the receiver and its sender, while both keep their leases, so that neither is taken for dead."""
    with cut_off_for(flow.victim.container, 12, [direction(flow.sender.address)]):
        flow.assert_underway()

    flow.assert_all_arrive()
    assert flow.starts(flow.victim) == flow.starts(flow.sender) == 1


def test_redis_is_killed_and_starts_again_empty(flow: Flow) -> None:
    """Messages flow meanwhile, and all register again; a receiver that is killed afterwards loses nothing either."""
    # Given a Redis that is dead, while messages go on
    redis = flow.trial.redis
    redis.kill()
    flow.await_more(200)
    # When it comes back with nothing, and everybody has registered again
    redis.start()
    flow.trial.await_registered(*flow.trial.members)
    flow.assert_underway()
    # And the receiver is killed
    flow.victim.kill()
    flow.victim.start()

    # Then all is well
    flow.assert_all_arrive()
    assert flow.starts(flow.victim) == 2


def test_receivers_get_each_others_old_addresses(engine: docker.DockerClient, tmp_path: Path) -> None:
    """What is queued for one of them comes to the other, which refuses it: nothing gets lost, or into wrong hands."""
    names, count = ["sink.1", "sink.2"], 10_000
    with (
        containers(4),
        network_with_addresses(engine) as network,
        ContainerTrial(engine, tmp_path, network) as trial,
    ):
        # Given a sender and two receivers at work
        stream = ("stream", {"to": names, "count": count, "rate": 500})
        trial.member("source", {"sink": 2}, stream, ("listen", {}))
        sinks = [trial.member("sink", {"source": 1}, ("consume", {}), name=name, ports=FEW_PORTS) for name in names]
        trial.up()
        await_caught_up(trial, sinks)
        # When both are killed, more is sent, and each starts at the address of the other; until that has brought one of
        # them what was meant for the other
        swaps = 0
        while not any("(misaddressed, " in trial.log(sink) for sink in sinks):
            assert swaps < SWAPS, f"in {swaps} swaps no packet came to the wrong one"
            swap_addresses(trial, *sinks)
            swaps += 1
            await_caught_up(trial, sinks)
        print(f"{swaps} swaps")

        # Then all is well
        trial.await_count(ACCEPTED, count, "source")
        trial.await_all_finished()
        trial.end()
        trial.assert_delivered()
        assert trial.journals.count(ACCEPTED, "source") == count


def await_caught_up(trial: ContainerTrial, sinks: Sequence[ContainerMember]) -> None:
    """Wait until each of these receivers has got some more, and nearly all that was sent to it."""
    for sink in sinks:
        trial.await_more(RECEIVED, QUEUED, sink.name)
    eventually(
        lambda: all(unfinished_at(trial, sink) < QUEUED for sink in sinks),
        WITHIN_S,
        lambda: f"both catch up; {trial.journals!r}",
    )


def unfinished_at(trial: ContainerTrial, sink: ContainerMember) -> int:
    """How many messages at least the sender keeps for a receiver."""
    accepted = sum(entry.peer == sink.name for entry in of_kind(trial.entries(), ACCEPTED))
    return accepted - trial.journals.count(FINISHED, sink.name)


def swap_addresses(trial: ContainerTrial, one: ContainerMember, other: ContainerMember) -> None:
    """Kill two receivers at work, and start each, when more was sent to them, at the address of the other."""
    addresses = one.address, other.address
    kill_together(one, other)  # a sender that can't keep more for one of them sends no more to the other
    eventually(
        lambda: all(unfinished_at(trial, sink) >= QUEUED for sink in (one, other)),
        WITHIN_S,
        lambda: f"{QUEUED} messages queue for each; {trial.journals!r}",
    )
    came = trial.journals.count(RECEIVED, other.name)
    other.start(addresses[0])
    # So that the sender has time to find it where the one was.
    trial.await_count(RECEIVED, came + QUEUED, other.name)
    one.start(addresses[1])
    assert (other.address, one.address) == addresses
