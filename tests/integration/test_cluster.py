"""Clusters: shipped topologies as processes to their verified ends, while components are killed, stopped and paused."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from maro.testbed import Cluster, ClusterError, RunnerError, TopologyError, make_runner, register_runner, runner_kinds
from maro.testbed.redis_server import has_embedded_server, real_server
from maro.testbed.runners.leftovers import RUN_VARIABLE, marked_processes
from tests.support.members import FixedMember, FixedRunner
from tests.support.programs import started, write_program
from tests.support.waiting import eventually

pytest.importorskip("numpy", reason="numpy is not installed: pip install '.[examples]'")
pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install '.[examples]'")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[datasets]'")

# One after the other: two at once on two cores take twice as long each.
pytestmark = [
    pytest.mark.xdist_group("rollout"),
    pytest.mark.timeout(500),
    pytest.mark.skipif(real_server() is None and not has_embedded_server(), reason="apt-get install redis-server"),
]

JOIN_WITHIN_S = 90.0
END_WITHIN_S = 400.0
QUICK = {"MARO_REPORT": "json", "ACTORS": "2", "TARGET": "100", "NODES": "3", "STAGES": "2", "NUMBERS": "200"}
REDIS = {
    "real": pytest.param(False, marks=pytest.mark.skipif(real_server() is None, reason="apt-get install redis-server")),
    "embedded": pytest.param(
        True, marks=pytest.mark.skipif(not has_embedded_server(), reason="pip install '.[embedded]'")
    ),
}


def reports(cluster: Cluster, label: str) -> list[dict[str, Any]]:
    """What a component has reported so far."""
    lines = cluster.member(label).log().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def await_report(cluster: Cluster, label: str, event: str, **figures: Any) -> None:
    """Wait until a component has reported an event with these figures."""

    def seen() -> bool:
        return any(report["event"] == event and figures.items() <= report.items() for report in reports(cluster, label))

    cluster.wait_for(seen, JOIN_WITHIN_S, f"{event} {figures} of {label}; its log ends: {cluster.logs(label, 5)}")


def marked(run_id: str) -> list[int]:
    return [pid for pid, environment in marked_processes() if environment[RUN_VARIABLE] == run_id]


@pytest.mark.parametrize("embedded", REDIS.values(), ids=REDIS)
@pytest.mark.parametrize(
    ("topology", "verdict", "components"),
    [
        ("rollout", "learner", ["actor.1", "actor.2", "learner.1"]),
        ("pipeline", "source", ["factor.1", "factor.2", "sieve.1", "sieve.2", "sink.1", "source.1"]),
        ("mesh", "node", ["node.1", "node.2", "node.3"]),
    ],
)
def test_a_shipped_topology_comes_to_its_verified_end(
    topology: str, verdict: str, components: list[str], embedded: bool
) -> None:
    """From the compose file as it is; whoever judges ends with 0, and nothing is left."""
    with Cluster(topology, variables=QUICK, embedded=embedded) as cluster:
        # Given that all have joined
        cluster.wait_until_joined(JOIN_WITHIN_S)
        assert sorted(member.component for member in cluster.components) == components
        folder = cluster.folder
        # When those that judge have ended
        codes = cluster.wait_until_ended(verdict, END_WITHIN_S)
        # Then all of them have verified the result
        assert set(codes.values()) == {0}, cluster.logs(verdict, 20)
        for label in codes:
            assert reports(cluster, label)[-1]["event"] == "finished"
        assert [member.starts for member in cluster.components] == [1] * len(components)
    # And nothing is left
    assert marked(cluster.run_id) == []
    assert not folder.exists()


def test_a_killed_actor_rejoins_a_stopped_one_stays_away_and_the_learner_ends_well() -> None:
    """Kill, stop, start and pause in one training."""
    variables = {**QUICK, "ACTORS": "3", "TARGET": "300"}
    with Cluster("rollout", variables=variables) as cluster:
        cluster.wait_until_joined(JOIN_WITHIN_S)
        await_report(cluster, "learner", "progress")
        # When an actor is killed, Then its policy brings it back into the group under its name
        cluster.kill("actor-2")
        cluster.wait_until_joined(JOIN_WITHIN_S)
        assert cluster.member("actor.2").starts == 2
        cluster.wait_for(
            lambda: sum(r["event"] == "ready" and r["who"] == "actor.2" for r in reports(cluster, "learner")) >= 2,
            JOIN_WITHIN_S,
            "the killed actor asks the learner again",
        )
        # When another one is stopped, Then it has left by itself, stays down, and is not waited for
        cluster.stop("actor-3")
        assert cluster.member("actor-3").exit_code == 0
        cluster.wait_until_joined(JOIN_WITHIN_S)
        assert "actor.3" not in cluster.redis_command("HKEYS", "rollout:actor").split()
        # When it is started, Then it joins
        cluster.start("actor-3")
        cluster.wait_until_joined(JOIN_WITHIN_S, "actor-3")
        assert "actor.3" in cluster.redis_command("HKEYS", "rollout:actor").split()
        # When one is paused and goes on, Then it is the same process
        cluster.pause("actor-1")
        cluster.resume("actor-1")
        assert cluster.wait_until_ended("learner", END_WITHIN_S) == {"learner-1": 0}
        assert [cluster.member(f"actor-{number}").starts for number in (1, 2, 3)] == [1, 2, 2]


def test_two_clusters_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The same topology twice, in one group's name: each has its own Redis and its own peers."""
    with (
        Cluster("rollout", variables=QUICK, folder=tmp_path / "one") as one,
        Cluster("rollout", variables=QUICK, folder=tmp_path / "two") as two,
    ):
        # Given that both have joined, When everybody of one is killed for good
        for cluster in (one, two):
            cluster.wait_until_joined(JOIN_WITHIN_S)
        assert one.run_id != two.run_id
        one.stop(["actor", "learner", "redis"], timeout_s=1)
        # Then the other one comes to its end with its own actors, which nothing has disturbed
        assert two.wait_until_ended("learner", END_WITHIN_S) == {"learner-1": 0}
        report = reports(two, "learner-1")[-1]
        assert sorted(report["actors"]) == ["actor.1", "actor.2"]
        assert [member.starts for member in two.components] == [1, 1, 1]
        assert not any(member.is_running for member in one.members)
    assert (tmp_path / "one" / "learner-1.log").exists()
    assert (tmp_path / "two" / "learner-1.log").exists()


OWNER = """
    import sys, time
    from maro.testbed import Cluster

    with Cluster("rollout", variables={"TARGET": "500", "ACTORS": "2"}, run_id=sys.argv[1]) as cluster:
        cluster.wait_until_joined()
        print("joined", flush=True)
        time.sleep(1000)
    """


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc, in which processes are found")
def test_a_cluster_ends_with_its_owner(tmp_path: Path) -> None:
    """Given a training in a program of its own, when that is SIGKILLed, then nothing of it is left."""
    run_id = f"killed-{os.getpid()}"
    program = write_program(tmp_path / "owner.py", OWNER)
    with started([sys.executable, program, run_id], tmp_path) as owner:
        owner.wait_for_line("joined", JOIN_WITHIN_S)
        assert len(marked(run_id)) == 5  # a learner, two actors, Redis, the watchdog
        owner.signal(signal.SIGKILL)
        owner.exit_code()
        eventually(lambda: marked(run_id) == [], 30, lambda: f"their end: {marked(run_id)}")


def write(folder: Path, command: str) -> Path:
    """A topology with one component, `a`, that runs a command of Python."""
    file = folder / "mine.yaml"
    entrypoint = json.dumps(["python", "-c", command])
    component = f"{{entrypoint: {entrypoint}, environment: [COMPONENT_TYPE=a]}}"
    file.write_text(f"services:\n  a: {component}\n  redis: {{image: redis}}\n")
    return file


def test_who_does_not_join_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    """One that runs and never joins, and one that fails for good, which is not waited for any longer."""
    with Cluster(write(tmp_path, "import time; print('lost', flush=True); time.sleep(1000)")) as cluster:
        cluster.wait_for(lambda: cluster.logs("a")["a-1"], what="its first words")
        with pytest.raises(ClusterError, match=r"not joined within 0\.2 s: a-1\na-1 runs; its log ends:\nlost"):
            cluster.wait_until_joined(0.2)
        with pytest.raises(ClusterError, match=r"not ended within 0\.1 s: a-1\na-1 runs; its log ends:\nlost"):
            cluster.wait_until_ended("a", 0.1)
        with pytest.raises(RunnerError, match="redis-1 is no component, and so joins no group"):
            cluster.wait_until_joined(1, "redis")
    with Cluster(write(tmp_path, "raise SystemExit('no use')")) as cluster:
        assert cluster.wait_until_ended("a") == {"a-1": 1}
        with pytest.raises(ClusterError, match=r"a-1 ended with code 1; its log ends:\nno use"):
            cluster.wait_until_joined(JOIN_WITHIN_S)


def test_the_folder_is_kept_after_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the logs, and the exception says where it is; after a good end it goes."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = write(tmp_path, "print('said')")
    with pytest.raises(ZeroDivisionError) as raised, Cluster(file) as cluster:
        cluster.wait_until_ended("a")
        1 / 0  # noqa: B018 - the exception is what is tested
    assert (cluster.folder / "a-1.log").read_text() == "said\n"
    if sys.version_info >= (3, 11):
        assert raised.value.__notes__ == [f"The logs and journals of the run are in {cluster.folder}"]
    with Cluster(file) as cluster:
        assert cluster.folder.exists()
    assert not cluster.folder.exists()


def test_targets_are_labels_names_services_and_types() -> None:
    """In this order, each member once; what is none of them is refused with what there is."""
    # Given a run whose service `x` has components of the type `y`
    members = [FixedMember(f"x-{number}", f"y.{number}", 0) for number in (1, 2)]
    for member in members:
        member.component_type = "y"
    other = FixedMember("redis-1", "", 0)
    other.component_type = ""
    runner = FixedRunner(Path(), members=[*members, other])
    cluster = Cluster(runner=runner)
    # When targets are resolved, Then they stand for these
    assert cluster.resolve("x-2") == cluster.resolve("y.2") == cluster.resolve(members[1]) == [members[1]]
    assert cluster.resolve("x") == cluster.resolve("y") == members
    assert cluster.resolve(["x-1", "y", members[0], "redis"]) == [*members, other]
    assert cluster.member("redis") is other
    assert cluster.components == members
    assert cluster.logs("x", 3) == {"x-1": "the log of x-1", "x-2": "the log of x-2"}
    with pytest.raises(RunnerError, match=r"there is no 'z' in this run. There are: x-1, x-2, redis-1"):
        cluster.kill(["x-1", "z"])
    with pytest.raises(RunnerError, match="'y' stands for 2 members: x-1, x-2; name one of them"):
        cluster.exec("y", ["true"])


def test_what_can_not_be_run_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves no folder behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner = FixedRunner(tmp_path)
    for refusal, text, arguments in (
        (TopologyError, "there is no topology 'roll'. There are: counter, mesh", {"topology": "roll"}),
        (RunnerError, "there is no runner 'swarms'. There are: processes, compose", {"runner": "swarms"}),
        (RunnerError, "name a topology, or give a runner that has one", {"topology": None}),
        (RunnerError, "a runner that is made has its topology", {"runner": runner}),
    ):
        with pytest.raises(refusal) as raised:
            Cluster(**{"topology": "rollout", **arguments})
        assert text in str(raised.value)
        assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_no_engine_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerError, match=r"there is no `docker` command; .*docs\.docker\.com"):
        Cluster("rollout", "compose", folder=tmp_path / "run")


def test_another_kind_of_runner_can_be_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the file that was read, the folder and the options."""
    made = []

    def make(file: Any, folder: Path, **options: Any) -> FixedRunner:
        made.append((file.services["actor"].replicas, folder, options))
        return FixedRunner(folder)

    kinds = dict.fromkeys(runner_kinds())
    monkeypatch.setattr("maro.testbed.runners._KINDS", kinds)
    register_runner("swarm", make)
    assert runner_kinds() == ("processes", "compose", "swarm")
    with Cluster("rollout", "swarm", variables={"ACTORS": "9"}, folder=tmp_path, stack="s") as cluster:
        assert made == [(9, tmp_path, {"stack": "s"})]
    assert cluster.runner.closed  # type: ignore[attr-defined]
    with pytest.raises(RunnerError, match="there is no runner 'none'"):
        make_runner("none", "rollout", tmp_path)
