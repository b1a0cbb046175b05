"""Deaths are made known to the group: carefully, once, and when Redis is there."""

from __future__ import annotations

import pytest

from maro.agent.obituaries import Obituaries
from maro.communication.observations import NoticeKind, PeerRecord
from maro.communication.registration import StoreUnavailableError
from tests.support.agent_facts import container, ended

DEAD = ended(container(told_name="host"), 137)
NAME = DEAD.component or ""
RECORD = PeerRecord(NAME, "actor", 7, {"7": "tcp://there:1"})
WITHOUT_RECORD = PeerRecord(NAME, "actor", 7, {})


class Group:
    """One component's registration, and whether it runs; and what was made known."""

    def __init__(self, record: PeerRecord | None, has_left: bool = False, runs: bool = False) -> None:
        self.record, self.has_left, self.runs = record, has_left, runs
        self.is_away = False
        self.told: list[tuple[PeerRecord, NoticeKind]] = []
        self.asked: list[str] = []
        self.named_in_code: list[list[str]] = []
        """What is noted of the container, each time that it is asked."""

    def names_in(self, container_name: str) -> list[str]:
        self.asked.append("names")
        return self.named_in_code.pop(0) if self.named_in_code else []

    def registration(self, group: str, component_type: str, component: str) -> tuple[PeerRecord | None, bool]:
        if self.is_away:
            raise StoreUnavailableError("away")
        self.asked.append("record")
        return self.record, self.has_left

    def deregister(self, group: str, record: PeerRecord, kind: NoticeKind) -> None:
        self.told.append((record, kind))

    def is_running(self, component: str, container_name: str = "") -> bool:
        self.asked.append("engine")
        return self.runs


def publish(group: Group, kind: NoticeKind) -> Group:
    obituaries = Obituaries(group, group)
    obituaries.add(DEAD, kind)
    obituaries.publish()
    return group


@pytest.mark.parametrize("kind", [NoticeKind.GONE, NoticeKind.LEFT, NoticeKind.GIVEN_UP])
def test_a_dead_components_record_is_removed(kind: NoticeKind) -> None:
    """And looked up before the engine is asked whether it is dead: what is read is then nobody's any more."""
    group = publish(Group(RECORD), kind)
    assert group.told == [(RECORD, kind)]
    assert group.asked[:2] == ["record", "engine"]


def test_a_component_that_runs_is_left_alone() -> None:
    """Somebody was quicker to start it."""
    assert publish(Group(RECORD, runs=True), NoticeKind.GONE).told == []


@pytest.mark.parametrize(
    ("has_left", "kind", "is_told"),
    [
        (False, NoticeKind.GONE, False),  # the process said so itself
        (False, NoticeKind.LEFT, True),
        (False, NoticeKind.GIVEN_UP, True),
        (True, NoticeKind.LEFT, False),
        (True, NoticeKind.GIVEN_UP, False),
    ],
)
def test_a_component_that_told_of_its_end_itself_is_told_of_again_only_if_there_is_more_to_tell(
    has_left: bool, kind: NoticeKind, is_told: bool
) -> None:
    """Its record is gone: it said *gone*, or *left*."""
    group = publish(Group(WITHOUT_RECORD, has_left=has_left), kind)
    assert group.told == ([(WITHOUT_RECORD, kind)] if is_told else [])


def test_a_component_that_never_joined_is_no_news() -> None:
    """There is nothing to remove."""
    assert publish(Group(None), NoticeKind.GONE).told == []


def test_what_could_not_be_told_is_told_once_redis_is_back() -> None:
    """By the last that is known of the name."""
    # Given a Redis that is away
    group = Group(RECORD)
    group.is_away = True
    obituaries = Obituaries(group, group)
    obituaries.add(DEAD, NoticeKind.GONE)
    with pytest.raises(StoreUnavailableError):
        obituaries.publish()
    obituaries.add(DEAD, NoticeKind.GIVEN_UP)
    assert obituaries.are_waiting
    # When it is back
    group.is_away = False
    obituaries.publish()
    # Then it is told, once
    assert group.told == [(RECORD, NoticeKind.GIVEN_UP)]
    assert not obituaries.are_waiting


class NamedInCode(Group):
    """One whose component has registered under a name that only its code knows."""

    def registration(self, group: str, component_type: str, component: str) -> tuple[PeerRecord | None, bool]:
        record, has_left = super().registration(group, component_type, component)
        return (record, has_left) if component == "chosen" else (None, False)


@pytest.mark.parametrize("runs", [False, True])
def test_a_name_that_only_code_knows_is_found_by_its_container(runs: bool) -> None:
    """And is left alone where anything runs that is called like that container."""
    # Given a record, and a note that its component lives in the container that ended
    group = NamedInCode(PeerRecord("chosen", "actor", 7, {"7": "tcp://there:1"}), runs=runs)
    group.named_in_code = [["chosen"], ["chosen"]]
    # When the end is made known
    publish(group, NoticeKind.GONE)
    # Then it is that name's; and who noted it was looked up once more after its record, and then the engine was asked
    assert [record.name for record, _ in group.told] == ([] if runs else ["chosen"])
    assert group.asked == ["record", "names", "record", "names", "engine"]


def test_a_name_that_has_moved_to_another_container_is_left_alone() -> None:
    """The record that was read is the other one's."""
    group = NamedInCode(PeerRecord("chosen", "actor", 8, {"7": "tcp://elsewhere:1"}))
    group.named_in_code = [["chosen"], []]
    assert publish(group, NoticeKind.GONE).told == []
