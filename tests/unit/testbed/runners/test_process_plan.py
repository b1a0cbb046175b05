"""What services become as processes: commands, environments, names, order; and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from maro.testbed.compose_file import find_topology, read_compose_file
from maro.testbed.runners.process_plan import PlannedProcess, plan
from maro.testbed.runners.runner import RunnerError

ROOT = Path(__file__).parents[4]
REDIS = "127.0.0.1:7000"
PYTHON = sys.executable


def planned(folder: Path, services: str, host: dict[str, str] | None = None) -> dict[str, PlannedProcess]:
    """What the services of a file become, by label."""
    file = folder / "compose.yaml"
    file.write_text("services:\n" + "\n".join(f"  {line}" for line in dedent(services).strip().splitlines()))
    return {each.label: each for each in plan(read_compose_file(file, environment={}), REDIS, host or {})}


def test_the_rollout_becomes_a_learner_and_actors() -> None:
    """The image's entry point is `maro component`, and the command is what it gets."""
    file = read_compose_file(find_topology("rollout"), variables={"ACTORS": "2"}, environment={})
    learner, *actors = plan(file, REDIS, {"PATH": "/bin"})
    assert [(each.label, each.component) for each in (learner, *actors)] == [
        ("learner-1", "learner.1"),
        ("actor-1", "actor.1"),
        ("actor-2", "actor.2"),
    ]
    module = "maro.testbed.workloads.rollout.learner"
    assert learner.command == (PYTHON, "-m", "maro", "component", module, "--seed", "0", "--target", "490")
    assert learner.folder == ROOT
    assert dict(learner.environment) == {
        "PATH": "/bin",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "COMPONENT_TYPE": "learner",
        "COMPONENT_NAME": "learner.1",
        "JOB_ID": "maro-rollout",
        "MARO_GROUP": "rollout",
        "MARO_MESSAGE_CACHE": "0",
        "MARO_PEERS": "actor=2",
        "MARO_REDIS": REDIS,
        "MARO_REMOVE_FAILED_CONTAINER": "0",
        "MARO_REPORT": "text",
    }


def test_components_of_one_type_are_numbered_over_all_services() -> None:
    """So no two have the same name."""
    file = read_compose_file(find_topology("multi-learner"), environment={})
    names = {each.label: each.component for each in plan(file, REDIS, {})}
    assert names == {
        "learner-a-1": "learner.1",
        "learner-b-1": "learner.2",
        **{f"actor-{number}": f"actor.{number}" for number in range(1, 5)},
    }


def test_the_address_of_redis_is_put_wherever_the_files_own_stands(tmp_path: Path) -> None:
    """In variables and commands, and only where it is that address."""
    (process,) = planned(
        tmp_path,
        """
        redis: {image: redis}
        a:
          entrypoint: [python, -c, "", --at=redis:6379]
          environment: {COMPONENT_TYPE: a, URL: "redis://redis:6379/0", X: "my-redis:6379 redis:6379.x redis:63790", Y:}
        """,
        {"Y": "from host"},
    ).values()
    assert process.command == (PYTHON, "-c", "", f"--at={REDIS}")
    assert process.environment["URL"] == f"redis://{REDIS}/0"
    assert process.environment["X"] == f"my-redis:6379 redis:6379.x {REDIS}"
    assert process.environment["MARO_REDIS"] == REDIS
    assert process.environment["Y"] == "from host"


def test_what_the_host_says_of_a_component_is_not_handed_on(tmp_path: Path) -> None:
    """The process that starts a run may be a component of another one."""
    host = {"COMPONENT_NAME": "x", "JOB_ID": "x", "MARO_GROUP": "x", "MARO_RUN": "x", "MARO_DATA": "/d", "HOME": "/h"}
    service = "a: {entrypoint: [python], environment: {COMPONENT_TYPE: a}}"
    (process,) = planned(tmp_path, service, host).values()
    assert process.component == "a.1"
    assert process.environment["COMPONENT_NAME"] == "a.1"
    assert {"JOB_ID", "MARO_GROUP", "MARO_RUN"}.isdisjoint(process.environment)
    assert process.environment["MARO_DATA"] == "/d"
    assert process.environment["HOME"] == "/h"


def test_programs_are_those_of_this_machine(tmp_path: Path) -> None:
    """`maro` and `python` are those of this interpreter; a path is one below the folder."""
    script = tmp_path / "sub" / "run.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh")
    script.chmod(0o755)
    found = planned(
        tmp_path,
        """
        a: {entrypoint: [maro, component], command: [json.tool], environment: [COMPONENT_TYPE=a]}
        b: {entrypoint: python3.12 -V}
        c: {entrypoint: [], command: [sh, -c, "true"]}
        d: {build: sub, entrypoint: ./run.sh}
        """,
    )
    assert found["a-1"].command == (PYTHON, "-m", "maro", "component", "json.tool")
    assert found["b-1"].command == (PYTHON, "-V")
    assert found["c-1"].command[0].endswith("/sh")
    assert found["d-1"].command == (str(script),)
    assert found["d-1"].folder == script.parent
    assert found["c-1"].component == ""


def test_a_component_may_be_a_script_or_a_module_beside_the_file(tmp_path: Path) -> None:
    """As `maro component` finds it."""
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "part.py").write_text("")
    for target in ("mine.py", "mine", "package.part", "./mine.py"):
        assert planned(tmp_path, f"a: {{command: [{target}], environment: [COMPONENT_TYPE=a]}}")


def test_services_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    """And else in the order of the file."""
    found = planned(
        tmp_path,
        """
        a: {entrypoint: python, depends_on: [c, redis], environment: [COMPONENT_TYPE=a]}
        b: {entrypoint: python}
        c: {entrypoint: python, depends_on: [d]}
        d: {entrypoint: python}
        redis: {image: redis}
        """,
    )
    assert list(found) == ["b-1", "d-1", "c-1", "a-1"]


KIND = "environment: [COMPONENT_TYPE=a]"
REFUSED = {
    f"a: {{command: [nowhere.actor], {KIND}}}": "services.a runs 'nowhere.actor', which is no file in",
    f"a: {{command: [json.nothing], {KIND}}}": "services.a runs 'json.nothing', which is no file in",
    f"a: {{command: [missing.py], {KIND}}}": "services.a runs 'missing.py', which is no file in",
    f"a: {{entrypoint: [nonesuch-program], {KIND}}}": "services.a runs 'nonesuch-program', which is no program of this",
    f"a: {{{KIND}}}": "services.a has no command; say which module or script it runs",
    f"a: {{entrypoint: [], {KIND}}}": "services.a has neither an entrypoint nor a command",
    f"a: {{command: [json.tool], {KIND}, volumes: ['./d:/d']}}": "/d at /d, which a process can't have; use the",
    f"a: {{command: [json.tool], {KIND}, volumes: ['v:/d']}}": "services.a mounts v at /d, which a process can't have",
    f"a: {{command: [json.tool], {KIND}}}\ndb: {{image: postgres}}": "services.db is no component and runs the image",
    f"a: {{command: [json.tool], {KIND}}}\ndb: {{build: .}}": "services.db is no component and runs an image of",
    "a: {command: [json.tool], scale: 2, environment: [COMPONENT_TYPE=a, COMPONENT_NAME=x]}": (
        "a-1 and a-2 are both called 'x'; leave COMPONENT_NAME out"
    ),
    f"a: {{command: [json.tool], {KIND}, depends_on: [b]}}\nb: {{entrypoint: python, depends_on: [a]}}": (
        "the services a, b depend on each other in a circle"
    ),
    f"a: {{command: [json.tool], {KIND}, depends_on: {{b: {{condition: service_completed_successfully}}}}}}\n"
    "b: {entrypoint: python}": "services.a waits for the end of b, which only the compose runner does",
}


@pytest.mark.parametrize("services", REFUSED)
def test_what_a_process_can_not_be_is_refused_in_a_line(tmp_path: Path, services: str) -> None:
    """It names the service, the reason, and what to do."""
    with pytest.raises(RunnerError) as refusal:
        planned(tmp_path, services)
    assert REFUSED[services] in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_agent_is_nothing_for_processes() -> None:
    """It looks after containers, and has the engine's socket mounted."""
    rollout = find_topology("rollout")
    file = read_compose_file(rollout, rollout.with_name("agent.yaml"), environment={})
    with pytest.raises(RunnerError, match=r"services\.agent mounts .*docker\.sock"):
        plan(file, REDIS, {})
