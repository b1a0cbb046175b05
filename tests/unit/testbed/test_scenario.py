"""Scenarios: what a file says, and what is wrong with one; and what `maro run` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from maro.cli.main import command
from maro.testbed.compose_file import read_compose_file
from maro.testbed.scenario import ScenarioError, find_scenario, read_scenario, shipped_scenarios
from maro.testbed.scenario_run import members_of
from maro.testbed.topology import shipped_topologies

WHOLE = """
shows: Nothing gets lost.
topology: pipeline
variables: {NUMBERS: 100, CACHE: true, SEED: "7"}
schedule:
  - {at: 1, fault: kill, target: any factor}
limits: {rejoin_p99: 10}
runs_for: 30
within: 60
agent: true
removal: true
runners: [compose]
"""


def scenario_file(folder: Path, text: str = WHOLE) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_a_scenario_is_read(tmp_path: Path) -> None:
    """With everything that it can say, variables as texts."""
    scenario = read_scenario(scenario_file(tmp_path))
    assert (scenario.name, scenario.shows, scenario.topology.name) == ("mine", "Nothing gets lost.", "pipeline")
    assert scenario.variables == {"NUMBERS": "100", "CACHE": "1", "SEED": "7"}
    assert [str(entry.fault) for entry in scenario.schedule.entries] == ["kill any factor"]
    assert (scenario.limits.rejoin_p99, scenario.limits.rejoin_p50) == (10.0, None)
    assert (scenario.runs_for_s, scenario.within_s, scenario.runners) == (30.0, 60.0, ("compose",))
    assert scenario.agent and scenario.removal


def test_a_scenario_may_be_short(tmp_path: Path) -> None:
    """Nothing is done to anybody, until the topology ends by itself."""
    scenario = read_scenario(scenario_file(tmp_path, "{shows: It works., topology: mesh}"))
    assert (scenario.schedule.entries, scenario.runs_for_s, scenario.agent) == ((), None, False)


def test_a_scenario_has_a_compose_file_of_ones_own(tmp_path: Path) -> None:
    """By its path from the scenario."""
    (tmp_path / "own.yaml").write_text("{x-maro: {verdict: a, crash: a, size: N}, services: {a: {image: a}}}")
    scenario = read_scenario(scenario_file(tmp_path, "{shows: It works., topology: own.yaml}"))
    assert scenario.topology.file == tmp_path / "own.yaml"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("shows: Nothing gets lost.", "", "`shows` has to be a sentence"),
        (
            "topology: pipeline",
            "topology: pipelin",
            "there is no topology 'pipelin': give the path of a compose file, or",
        ),
        ("topology: pipeline", "topology: nowhere.yaml", "can't be read"),
        ("any factor", "some factor", "entry 1: kill: `target` is 'some factor'"),
        ("rejoin_p99: 10", "rejoin_p98: 10", "`limits` has some of detect_p50, "),
        (
            "rejoin_p99: 10",
            "rejoin_p99: soon",
            "`limits: rejoin_p99` has to be a number of seconds above 0, not 'soon'",
        ),
        ("runs_for: 30", "runs_for: 0", "`runs_for` has to be a number of seconds above 0, not 0"),
        ("agent: true", "agent: maybe", "`agent` has to be true or false, not 'maybe'"),
        ("agent: true", "agent: false", "`removal` is what an agent does"),
        ("runners: [compose]", "runners: compose", "`runners` is a list of names"),
        ("{NUMBERS: 100, ", "{NUMBERS: [1], ", "`variables` gives each variable"),
        ("within: 60", "withn: 60", "there is no 'withn' in a scenario; there are agent, limits, "),
        ("shows:", "- shows:", "can't be read"),
    ],
)
def test_what_is_no_scenario_is_named(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    """With the file, and what is allowed."""
    assert before in WHOLE
    file = scenario_file(tmp_path, WHOLE.replace(before, after))
    with pytest.raises(ScenarioError) as refused:
        read_scenario(file)
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)


def test_every_shipped_scenario_fits_its_topology() -> None:
    """Each has its sentence, and targets that are there."""
    assert shipped_scenarios()
    for name in shipped_scenarios():
        scenario = find_scenario(name)
        assert scenario.shows.endswith(".")
        members = members_of(read_compose_file(scenario.topology.file, variables=scenario.variables))
        assert len(scenario.schedule.resolved(members).entries) >= len(scenario.schedule.entries)


def test_the_members_of_a_run_are_known_before_it_is_started() -> None:
    """As Compose labels them, by the variables."""
    (pipeline,) = (topology for topology in shipped_topologies() if topology.name == "pipeline")
    labels = [member.label for member in members_of(read_compose_file(pipeline.file, variables={"STAGES": "3"}))]
    assert labels == [
        *("factor-1", "factor-2", "factor-3", "redis-1", "sieve-1", "sieve-2", "sieve-3", "sink-1", "source-1"),
    ]


# The command, as far as it starts nothing.


def refused(*arguments: object) -> str:
    """What `maro run` says, which can't run this."""
    done = CliRunner().invoke(command, ["run", *map(str, arguments)])
    assert done.exit_code == 2, done.output
    return done.output


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("runners: [compose]", "", "needs an agent, which needs containers"),
        ("", "", "can't be run by 'processes', only by compose"),
        ("runners: [compose]\n", "runners: [processes]\n", "needs an agent"),
    ],
)
def test_what_can_not_be_run_here_is_refused(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    """Before anything is started."""
    file = scenario_file(tmp_path, WHOLE.replace(before, after))
    assert complaint in refused(file, "--folder", tmp_path / "kept", "--runner", "processes")


def test_without_a_wish_the_scenario_says_what_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine answers, that is the complaint about one for containers."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nobody/listens/here.sock")
    said = refused("partitions", "--folder", tmp_path / "kept")
    assert "no container engine answers" in said
    assert "scripts/engine start" in said


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With who is; and nothing was started."""
    text = "{shows: It works., topology: mesh, schedule: [{at: 1, fault: kill, target: actor-1}]}"
    said = refused(scenario_file(tmp_path, text), "--folder", tmp_path / "kept")
    assert "entry 1 (kill actor-1): there is no 'actor-1': there are the members node-1, " in said
    assert not (tmp_path / "kept").exists()


def test_a_scenario_that_is_not_there_is_refused() -> None:
    """With those that are."""
    assert "there is no scenario 'nothing': give a file, or one of " in refused("nothing")
    assert "Name a scenario" in refused()
    assert "there is no runner 'swarm'" in refused(next(iter(shipped_scenarios())), "--runner", "swarm")


def test_the_shipped_scenarios_are_listed() -> None:
    """Each with its topology, and what it shows."""
    done = CliRunner().invoke(command, ["run", "--list"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == list(shipped_scenarios())
