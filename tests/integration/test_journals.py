"""Journals and fail points of real components: what they write, and that the checker finds every promise kept."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from maro.communication import Proxy, SessionMessage, SessionType
from maro.testbed.history import Injected, Verdict, check, journals_in
from tests.support.components import Group, nothing_waits, request, take
from tests.support.waiting import eventually

CACHE: dict[str, Any] = {
    "enable_rejoin": True,
    "enable_message_cache_for_rejoin": True,
    "minimal_peers": 0,
    "max_rejoin_times": 50,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For the journals of all components, those of this process too."""
    found = tmp_path / "journals"
    found.mkdir()
    monkeypatch.setenv("MARO_JOURNAL", str(found))
    return found


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    """What a component has written, over all of its incarnations."""
    files = sorted(folder.glob(f"{name}@*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def kinds(folder: Path, name: str, *left_out: str) -> list[str]:
    return [line["e"] for line in lines(folder, name) if line["e"] not in left_out]


def verdict(folder: Path, *faults: Injected) -> Verdict:
    return check(journals_in(folder), faults)


def test_without_a_folder_nothing_is_written(group: Group, tmp_path: Path) -> None:
    """And the rooms behind the Proxy are the usual ones."""
    learner, _ = group.pair()
    assert type(learner._exchange).__name__ == "Exchange"
    assert list(tmp_path.glob("**/*.jsonl")) == []


def test_every_kind_of_call_is_written_down(group: Group, folder: Path) -> None:
    """In the order in which it happened, on both sides; and the checker is content."""
    # Given a learner and an actor that keep journals
    learner, actor = group.pair(**CACHE)
    working = actor.start("serve")

    # When every call has been made, and both have left
    assert learner.send(request(learner, actor.name)) is not None
    learner.scatter("data", SessionType.TASK, [(actor.name, 1)])
    learner.broadcast("actor", "data", SessionType.TASK, 2)
    ids = learner.isend(request(learner, actor.name))
    assert learner.receive_by_id(ids)
    ids = learner.iscatter("data", SessionType.TASK, [(actor.name, 3)])
    assert learner.receive_by_id(ids)
    learner.ibroadcast("actor", "data", SessionType.NOTIFICATION, 4)
    take(learner, 1)
    learner.isend(request(learner, actor.name, tag="stop"))
    assert working() == 6
    assert nothing_waits(learner)
    eventually(
        lambda: actor.ask("receive", timeout=20) == [] and kinds(folder, actor.name).count("acked") == 6,
        30,
        "the last word to the actor",
    )
    eventually(lambda: nothing_waits(learner) and kinds(folder, "learner").count("acked") == 7, 30, "the last word")
    actor.ask("close")
    learner.close()

    # Then the journals say so
    assert kinds(folder, "learner", "acked", "lost", "finished", "accepted") == [
        *("start", "peer", "joined"),
        *("offered", "call", "received", "return") * 5,
        *("offered", "received", "offered", "close"),
    ]
    assert kinds(folder, actor.name, "acked", "lost", "finished", "accepted") == [
        *("start", "peer", "joined"),
        *("received", "offered") * 6,
        *("received", "close"),
    ]
    for name, others in (("learner", 7), (actor.name, 6)):
        written = kinds(folder, name)
        assert written.count("offered") == written.count("accepted") == written.count("acked") == others
    begun = lines(folder, "learner")[0]
    assert (begun["name"], begun["type"], begun["level"], begun["v"]) == ("learner", "learner", "cache", 1)
    found = verdict(folder)
    assert found.has_passed, found.report()
    assert found.counts["messages handed out"] == 13


@pytest.mark.parametrize(("options", "level"), [({}, "live"), ({"enable_rejoin": True}, "rejoin")])
def test_without_the_cache_nothing_is_finished(group: Group, folder: Path, options: dict[str, Any], level: str) -> None:
    """There is nobody who would want to know; the level says what is promised."""
    learner, actor = group.pair(**options)
    working = actor.start("serve")
    assert learner.send(request(learner, actor.name)) is not None
    learner.isend(request(learner, actor.name, tag="stop"))
    assert working() == 1
    assert lines(folder, "learner")[0]["level"] == level
    assert {"finished", "acked"}.isdisjoint(kinds(folder, "learner") + kinds(folder, actor.name))
    actor.ask("close")
    learner.close()
    assert verdict(folder).has_passed


def test_what_a_peer_that_is_away_does_not_get_is_written(group: Group, folder: Path) -> None:
    """Dropped without the cache; with it kept, and given up when the peer has left for good."""
    learner, actor = group.pair(enable_rejoin=True, minimal_peers=0)
    group.kill_and_deregister(actor)
    eventually(lambda: learner.isend(request(learner, actor.name)) is None, 30, "a message that is dropped")
    dropped = [line for line in lines(folder, "learner") if line["e"] == "dropped"]
    assert [line["why"] for line in dropped] == ["the peer is away, and nothing is kept for it"]
    assert verdict(folder).has_passed


def test_what_is_kept_to_the_end_is_given_up(group: Group, folder: Path) -> None:
    """Its sender leaves, and its receiver has not come back: that is told, and no loss."""
    learner, actor = group.pair(**CACHE)
    group.kill_and_deregister(actor)
    eventually(lambda: learner.isend(request(learner, actor.name)) is None, 30, "a message that is kept")
    learner.close()
    assert kinds(folder, "learner")[-2:] == ["undeliverable", "close"]
    found = verdict(folder)
    assert found.has_passed, found.report()


@pytest.mark.parametrize(
    ("point", "last"),
    [
        ("after-register", ["start"]),
        ("after-join", ["joined"]),
        ("after-receive", ["received"]),
        ("before-reply", ["received", "offered"]),
        ("before-send", ["received", "offered"]),
        ("before-finish", ["offered", "finished"]),
        ("after-finish", ["offered", "finished"]),
        ("after-send", ["accepted"]),
    ],
)
def test_a_component_that_is_killed_at_a_point_loses_nothing(
    group: Group, folder: Path, monkeypatch: pytest.MonkeyPatch, point: str, last: list[str]
) -> None:
    """Its journal ends there, its next incarnation takes the work up, and every promise is kept."""
    # Given an actor that is killed at a point
    monkeypatch.setenv("MARO_FAIL_POINTS", f"{point}=kill")
    first = group.component("actor", {"learner": 1}, "actor.1", **CACHE)
    monkeypatch.delenv("MARO_FAIL_POINTS")
    first.start("serve")

    # When it is asked for something, and started again
    (asked,) = group.together(lambda: asks(group, first.name, lambda: restart(group, first)))

    # Then the journal of the first one ends at the point
    files = sorted(folder.glob("actor.1@*.jsonl"), key=lambda file: file.name)
    written = [json.loads(line)["e"] for line in files[0].read_text().splitlines()]
    assert written[-1] == "failpoint"
    assert [kind for kind in written if kind not in ("acked", "peer")][-1 - len(last) : -1] == last
    # And all replies have come; nothing is broken
    asked.close()
    found = verdict(folder)
    assert found.has_passed, found.report()


def restart(group: Group, first: Any) -> None:
    """Wait until it was killed, and start the next one."""
    assert first.exit_code() == -signal.SIGKILL, first.log()
    group.component("actor", {"learner": 1}, "actor.1", **CACHE).start("serve")


def asks(group: Group, name: str, restarts: Any) -> Proxy:
    """A learner that asks three times, whoever is killed meanwhile."""
    group._executor.submit(restarts)
    learner = group.proxy("learner", {"actor": 1}, **CACHE)
    for number in range(3):
        replies = learner.send(SessionMessage("data", "learner", name, number), timeout=60_000) or []
        while not [reply for reply in replies if reply.payload["to"] == number]:
            replies += learner.receive_by_id(None) or take(learner, 1, 60)
    return learner


def test_a_folder_that_is_not_there_is_a_clear_error(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the component is not in its group then."""
    monkeypatch.setenv("MARO_JOURNAL", "/nowhere/at/all")
    with pytest.raises(ValueError, match=r"MARO_JOURNAL has to name a folder that can be written to: .*nowhere"):
        group.proxy("learner", {"actor": 1})
    assert list(group.store("learner").records("learner")) == []


def test_a_forked_child_writes_nothing(group: Group, folder: Path) -> None:
    """The file is its parent's."""
    _, actor = group.pair()
    before = kinds(folder, actor.name)
    assert actor.ask("fork_and_join") == 0
    assert kinds(folder, actor.name) == before
