"""Who has joined, by journals and by what Redis holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maro.testbed.joined import not_joined
from maro.testbed.redis_server import RedisServer
from maro.testbed.runners.redis_commands import redis_command
from maro.testbed.runners.runner import RunnerError
from tests.support.members import FixedMember, FixedRunner
from tests.support.redis_servers import start_redis

STARTED_S = 1000.0
NOW = 1_000_500_000
BEFORE = 999_000_000


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / "journals").mkdir(exist_ok=True)
    (folder / "journals" / name).write_text("".join(f"{line}\n" for line in lines))


def test_a_line_in_the_journal_of_the_last_start_counts(tmp_path: Path) -> None:
    """Not one of an earlier start, nor a journal without it."""
    # Given five components that keep journals
    members = [FixedMember(f"a-{number}", f"a/{number}", STARTED_S) for number in range(5)]
    start, joined = '{"e": "start", "t": 1}', '{"e": "joined", "t": 2}'
    write(tmp_path, f"a%2F0@{NOW}.jsonl", start, joined, '{"e": "lost"}')
    write(tmp_path, f"a%2F1@{NOW}.jsonl", start, '{"e": "offered", "m": "joined"}')
    write(tmp_path, f"a%2F2@{BEFORE}.jsonl", start, joined)
    write(tmp_path, f"a%2F3@{NOW}.jsonl", start, '{"e": "joined')
    # When it is asked who is missing, Then it is those
    missing = not_joined(FixedRunner(tmp_path), members)
    assert [member.label for member in missing] == ["a-1", "a-2", "a-3", "a-4"]


def test_one_that_waits_for_its_restart_has_not_joined(tmp_path: Path) -> None:
    """The line is that of the process that is dead."""
    member = FixedMember("a-1", "a.1", STARTED_S)
    write(tmp_path, f"a.1@{NOW}.jsonl", '{"e": "joined"}')
    assert not_joined(FixedRunner(tmp_path), [member]) == []
    member.is_running = False
    assert not_joined(FixedRunner(tmp_path), [member]) == [member]


@pytest.fixture(params=[False, True], ids=["real", "embedded"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Both kinds of Redis."""
    server = start_redis(embedded=request.param)
    request.addfinalizer(server.stop)
    return server


def test_without_journals_the_records_in_redis_count(tmp_path: Path, server: RedisServer) -> None:
    """Those of the last start, in the table of the type, in whatever group."""
    # Given a group with a good record, one of an earlier start, and one that is none
    (tmp_path / "journals").mkdir()
    runner = FixedRunner(tmp_path, server.port)
    for name, record in {"a.1": {"incarnation": NOW}, "a.2": {"incarnation": BEFORE}, "a.3": "x"}.items():
        runner.redis_command("HSET", "group:a", name, json.dumps(record))
    runner.redis_command("HSET", "group:names:a", "a.4", json.dumps({"incarnation": NOW}))
    runner.redis_command("SET", "other:a", "no table")
    members = [FixedMember(f"a-{number}", f"a.{number}", STARTED_S) for number in range(1, 5)]
    # When it is asked who is missing, Then it is all but the first
    assert [member.label for member in not_joined(runner, members)] == ["a-2", "a-3", "a-4"]
    # And while Redis is away nobody is known to have joined
    server.kill()
    assert not_joined(runner, members) == members


def test_a_command_is_answered_as_the_command_line_does(server: RedisServer) -> None:
    """Lists item by item, numbers and nothing as text, errors as errors."""

    def ask(*arguments: str) -> str:
        return redis_command(server.port, arguments)

    assert ask("SET", "k", "v w") == "OK"
    assert ask("GET", "k") == "v w"
    assert ask("GET", "none") == ""
    assert ask("INCR", "n") == "1"
    ask("HSET", "h", "a", "1")
    assert ask("HGETALL", "h") == "a\n1"
    assert ask("HGETALL", "none") == ""
    with pytest.raises(RunnerError, match=r"Redis refuses `INCR k`: .*integer"):
        ask("INCR", "k")
    server.kill()
    with pytest.raises(RunnerError, match=rf"Redis on port {server.port} does not answer `PING`"):
        ask("PING")
