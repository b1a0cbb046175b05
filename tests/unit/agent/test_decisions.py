"""What the agent decides: every row of its table, without an engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maro.agent.decisions import Decisions
from maro.agent.facts import (
    NOTHING_KNOWN,
    Action,
    ClearKillAll,
    Close,
    Container,
    CountRestart,
    Deregister,
    Finish,
    Known,
    RejoinSettings,
    Replace,
    Report,
    SetKillAll,
    Start,
    Status,
    Stop,
    TakeOver,
)
from maro.agent.states import State
from maro.communication.observations import NoticeKind
from tests.support.agent_facts import ALWAYS, ALWAYS_ANEW, container, ended, restarted, successor

REDIS = container(8, component=None, component_type="", name="job-redis", restarts_itself=True)
AGENT = container(9, component=None, component_type="", name="job-agent", is_agent=True, restarts_itself=True)


def watching(*containers: Container) -> Decisions:
    """An agent that has seen these run."""
    decisions = Decisions()
    for one in containers:
        decisions.seen(one, NOTHING_KNOWN)
    return decisions


def without_reports(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Report)]


def notices(actions: list[Action]) -> list[NoticeKind]:
    return [action.kind for action in actions if isinstance(action, Deregister)]


@pytest.mark.parametrize(("code", "memory"), [(1, False), (137, False), (137, True), (139, False), (143, False)])
def test_a_crash_is_made_known_and_then_answered_by_a_start(code: int, memory: bool) -> None:
    """In this order: peers should not wait for the container's start."""
    # Given a component that runs
    one = container()
    decisions = watching(one)
    # When it crashes
    failed = ended(one, code, out_of_memory=memory)
    actions = decisions.seen(failed, NOTHING_KNOWN)
    # Then it is deregistered, counted, and started
    assert without_reports(actions) == [
        Deregister(failed, NoticeKind.GONE),
        CountRestart(failed.component or "", failed.run, 1),
        Start(failed),
    ]
    assert decisions.state_of(failed.component or "") is State.RESTARTING


def test_with_removal_the_failed_container_is_replaced() -> None:
    """`is_remove_failed_container`."""
    one = container(labelled=ALWAYS_ANEW)
    failed = ended(one, 137)
    assert Replace(failed.id, failed.component or "") in watching(one).seen(failed, NOTHING_KNOWN)


def test_what_the_component_has_published_beats_its_labels() -> None:
    """The labels hold for a crash before the join only."""
    one = container(labelled=RejoinSettings(False, 0, False))
    actions = watching(one).seen(ended(one, 1), Known(settings=ALWAYS_ANEW))
    assert any(isinstance(action, Replace) for action in actions)


@pytest.mark.parametrize("labelled", [None, RejoinSettings(False, 5, False)])
def test_without_rejoin_a_crashed_component_is_left_as_it_is(labelled: RejoinSettings | None) -> None:
    """It is deregistered all the same."""
    one = container(labelled=labelled)
    decisions = watching(one)
    actions = decisions.seen(ended(one, 137), NOTHING_KNOWN)
    assert without_reports(actions) == [Deregister(ended(one, 137), NoticeKind.GONE)]
    assert decisions.state_of(one.component or "") is State.FAILED


@pytest.mark.parametrize("code", [0, 1, 64, 65, 137, 143])
def test_what_was_asked_to_end_stays_down_whatever_its_code(code: int) -> None:
    """`docker stop`, even where SIGKILL had to follow."""
    # Given a component whose stop signal was sent, and then SIGKILL
    one = container()
    decisions = watching(one)
    decisions.signal_sent(one.id, "15", 105.0)
    decisions.signal_sent(one.id, "9", 109.0)
    # When it ends
    actions = decisions.seen(ended(one, code), NOTHING_KNOWN)
    # Then it has left, which is kept
    assert without_reports(actions) == [
        Deregister(ended(one, code), NoticeKind.LEFT),
        Close(one.component or "", one.run, given_up=False),
    ]
    assert decisions.state_of(one.component or "") is State.ENDED


def test_a_kill_is_no_stop() -> None:
    """`docker kill` sends SIGKILL, which is not the stop signal."""
    one = container()
    decisions = watching(one)
    decisions.signal_sent(one.id, "9", 105.0)
    assert any(isinstance(action, Start) for action in decisions.seen(ended(one, 137), NOTHING_KNOWN))


def test_a_stop_signal_counts_for_the_run_that_it_was_sent_to() -> None:
    """A component that was stopped, started by a person, and crashes then, is restarted."""
    one = container()
    decisions = watching(one)
    decisions.signal_sent(one.id, "15", 105.0)
    decisions.seen(ended(one, 0), NOTHING_KNOWN)
    again = restarted(ended(one, 0))
    decisions.seen(again, NOTHING_KNOWN)
    assert any(isinstance(action, Start) for action in decisions.seen(ended(again, 137), NOTHING_KNOWN))


def test_a_stop_signal_of_its_own_choice_is_known() -> None:
    """SIGINT, for instance."""
    one = container(stop_signal="2")
    decisions = watching(one)
    decisions.signal_sent(one.id, "2", 105.0)
    assert notices(decisions.seen(ended(one, 1), NOTHING_KNOWN)) == [NoticeKind.LEFT]


def test_a_clean_end_is_no_failure() -> None:
    """Its container stays, too."""
    one = container(labelled=ALWAYS_ANEW)
    actions = watching(one).seen(ended(one, 0), NOTHING_KNOWN)
    assert without_reports(actions) == [
        Deregister(ended(one, 0), NoticeKind.LEFT),
        Close(one.component or "", one.run, given_up=False),
    ]


def test_code_64_gives_the_component_up() -> None:
    """And only that one."""
    one, other = container(0), container(1)
    decisions = watching(one, other)
    actions = decisions.seen(ended(one, 64), NOTHING_KNOWN)
    assert without_reports(actions) == [
        Deregister(ended(one, 64), NoticeKind.GIVEN_UP),
        Close(one.component or "", one.run, given_up=True),
    ]
    assert decisions.state_of(one.component or "") is State.GIVEN_UP
    assert decisions.state_of(other.component or "") is State.RUNNING


def test_a_spent_budget_gives_the_component_up() -> None:
    """After as many restarts as it may have, whatever the agent remembers by itself."""
    one = container()
    decisions = watching(one)
    for number in range(1, ALWAYS.max_restarts + 1):
        actions = decisions.seen(ended(one, 137), NOTHING_KNOWN)
        assert CountRestart(one.component or "", one.run, number) in actions
        one = restarted(ended(one, 137))
        decisions.seen(one, NOTHING_KNOWN)
    assert notices(decisions.seen(ended(one, 137), NOTHING_KNOWN)) == [NoticeKind.GIVEN_UP]
    assert decisions.state_of(one.component or "") is State.GIVEN_UP


def test_restarts_by_another_agent_count() -> None:
    """The budget is the name's, not the agent's."""
    one = container()
    actions = watching(one).seen(ended(one, 137), Known(restarts=ALWAYS.max_restarts))
    assert notices(actions) == [NoticeKind.GIVEN_UP]


def test_the_same_end_is_dealt_with_once() -> None:
    """Events and stock tell the same thing, and events may come twice."""
    one = container()
    decisions = watching(one)
    decisions.seen(ended(one, 137), NOTHING_KNOWN)
    assert decisions.seen(ended(one, 137), NOTHING_KNOWN) == []


def test_a_restart_policy_is_left_alone() -> None:
    """The engine starts that one again; even its registration is its own affair."""
    one = container(restarts_itself=True)
    assert watching(one).seen(ended(one, 137), NOTHING_KNOWN) == []


def test_what_is_no_component_is_left_alone() -> None:
    """Redis, for instance."""
    assert watching(REDIS).seen(ended(REDIS, 137), NOTHING_KNOWN) == []


@pytest.mark.parametrize(
    ("signals", "said"), [((), "stays down"), (("9",), "stays down"), (("15",), "was asked to end")]
)
def test_a_container_that_somebody_removes_stays_away(signals: tuple[str, ...], said: str) -> None:
    """Stopped before, which only its end would have told otherwise; or not, as by `docker rm --force`."""
    one = container()
    decisions = watching(one)
    for signal in signals:
        decisions.signal_sent(one.id, signal, 105.0)
    actions = decisions.removed(one.id)
    assert notices(actions) == [NoticeKind.LEFT]
    assert [f"{one.component} {said}" in action.text for action in actions if isinstance(action, Report)] == [True]
    assert decisions.state_of(one.component or "") is State.ENDED
    assert decisions.removed(one.id) == []


def test_a_start_that_fails_is_tried_again_with_longer_pauses_until_the_budget_is_spent() -> None:
    """An engine that refuses must be neither overrun nor forgotten."""
    # Given a component that is being restarted
    one = container()
    decisions = watching(one)
    decisions.seen(ended(one, 137), NOTHING_KNOWN)
    now_s, pauses_s = 1000.0, []
    # When starting fails again and again
    while decisions.is_restarting(one.component or "", one.id):
        decisions.start_failed(one.component or "", "port is taken", now_s)
        due_s = decisions.next_due_s()
        assert due_s is not None
        assert decisions.due(due_s - 0.01) == []
        pauses_s.append(due_s - now_s)
        now_s = due_s
        decisions.due(now_s)
    # Then each attempt was counted, and it is given up
    assert pauses_s == [0.5, 1.0, 2.0]
    assert decisions.state_of(one.component or "") is State.GIVEN_UP
    assert decisions.next_due_s() is None


# Ending the whole job.


def test_code_65_stops_components_first_then_the_rest_and_the_agent_last() -> None:
    """The flag is set before anything is stopped, and forgotten once no component runs."""
    # Given a job with two components, a Redis and the agent
    one, other = container(0), container(1)
    decisions = watching(one, other, REDIS, AGENT)
    # When one ends with 65
    actions = without_reports(decisions.seen(ended(one, 65), NOTHING_KNOWN))
    # Then the others are stopped, and that is kept
    assert [type(action) for action in actions] == [Deregister, SetKillAll, Stop]
    assert actions[-1] == Stop(other)
    # And when these have ended, Redis is
    decisions.signal_sent(other.id, "15", 112.0)
    actions = without_reports(decisions.seen(ended(other, 137), NOTHING_KNOWN))
    assert actions[-2:] == [ClearKillAll(), Stop(REDIS)]
    # And then the agent itself ends
    assert without_reports(decisions.seen(ended(REDIS, 0), NOTHING_KNOWN)) == [ClearKillAll(), Finish()]


def test_nothing_is_started_while_the_job_is_ended() -> None:
    """A crash in the middle of it stays one; who was started meanwhile is stopped."""
    one, other, third = container(0), container(1), container(2)
    decisions = watching(one, other, third)
    decisions.seen(ended(one, 65), NOTHING_KNOWN)
    actions = without_reports(decisions.seen(ended(other, 1), NOTHING_KNOWN))
    assert actions == [Deregister(ended(other, 1), NoticeKind.GONE)]
    late = container(3, started_at_s=120.0)
    assert decisions.seen(late, NOTHING_KNOWN) == [Stop(late)]


def test_an_attempt_that_waits_is_dropped_when_the_job_is_ended() -> None:
    """Starts check the flag."""
    one, other = container(0), container(1)
    decisions = watching(one, other)
    decisions.seen(ended(one, 1), NOTHING_KNOWN)
    decisions.start_failed(one.component or "", "no", 1000.0)
    decisions.seen(ended(other, 65), NOTHING_KNOWN)
    assert decisions.due(2000.0) == []


def test_a_container_that_could_not_be_stopped_is_asked_again() -> None:
    """When it is seen the next time."""
    one, other = container(0), container(1)
    decisions = watching(one, other)
    decisions.seen(ended(one, 65), NOTHING_KNOWN)
    assert decisions.seen(other, NOTHING_KNOWN) == []
    decisions.stop_failed(other)
    assert decisions.seen(other, NOTHING_KNOWN) == [Stop(other)]


# An agent that was started again.


def stock(
    *containers: Container, known: Known = NOTHING_KNOWN, kill_all: bool = False
) -> tuple[Decisions, list[Action]]:
    decisions = Decisions()
    actions = decisions.took_stock([(one, known) for one in containers], kill_all)
    return decisions, without_reports(actions)


def test_taking_stock_finds_a_crash_that_nobody_saw() -> None:
    """The agent was away."""
    failed = ended(container(0), 137)
    assert Start(failed) in stock(failed, container(1))[1]


def test_a_restart_that_was_counted_but_not_done_is_done_and_not_counted_again() -> None:
    """The agent was killed in between."""
    failed = ended(container(), 137)
    _, actions = stock(failed, known=Known(restarts=3, counted_run=failed.run))
    assert CountRestart(failed.component or "", failed.run, 3) in actions
    assert Start(failed) in actions


@pytest.mark.parametrize(("given_up", "state"), [(True, State.GIVEN_UP), (False, State.ENDED)])
def test_what_is_to_stay_down_stays_down_after_a_restart_of_the_agent(given_up: bool, state: State) -> None:
    """Redis remembers."""
    failed = ended(container(), 137)
    decisions, actions = stock(failed, known=Known(closed_run=failed.run, given_up=given_up))
    assert actions == []
    assert decisions.state_of(failed.component or "") is state


def test_a_replacement_that_was_begun_is_gone_on_with() -> None:
    """Whether or not the failed container is there still."""
    failed = ended(container(labelled=ALWAYS_ANEW), 137)
    made = successor(failed)
    for found in ((made,), (made, failed), (failed, made)):
        _, actions = stock(*found, known=Known(restarts=1, counted_run=failed.run))
        assert [action for action in actions if isinstance(action, Replace)] == [
            Replace(failed.id, failed.component or "")
        ]


def test_a_restart_that_waited_for_another_agent_is_over_once_a_later_container_has_ended() -> None:
    """It would start that one, which is being replaced in its turn."""
    # Given a component that is being replaced by two agents, this one waiting for the other
    first = container(labelled=ALWAYS_ANEW)
    name = first.component or ""
    decisions = watching(first)
    decisions.seen(ended(first, 137), NOTHING_KNOWN)
    assert decisions.is_restarting(name, first.id)

    # When the other one has replaced it, and the new container has ended as well
    second = successor(first, status=Status.RUNNING, started_at_s=112.0)
    decisions.replaced(first.id, second, NOTHING_KNOWN)
    decisions.seen(ended(second, 137), NOTHING_KNOWN)

    # Then it is restarted from the second one, not from the first any more
    assert decisions.is_restarting(name, second.id)
    assert not decisions.is_restarting(name, first.id)


def test_a_replacement_that_was_begun_is_still_one_of_the_failed_container() -> None:
    """Its new container was made, and never started."""
    failed = ended(container(labelled=ALWAYS_ANEW), 137)
    made = successor(failed)
    decisions, _ = stock(made, known=Known(restarts=1, counted_run=failed.run))
    assert decisions.is_restarting(made.component or "", failed.id)


def test_a_container_that_compose_has_made_and_not_started_is_none_of_the_agents_business() -> None:
    """Only what has run can have failed."""
    assert stock(container(status=Status.CREATED, started_at_s=0.0))[1] == []


def test_a_failed_container_whose_successor_runs_is_left() -> None:
    """Its end was answered already."""
    failed = ended(container(), 137)
    runs = successor(failed, status=Status.RUNNING, started_at_s=112.0)
    decisions, actions = stock(failed, runs)
    assert actions == []
    assert decisions.state_of(failed.component or "") is State.RUNNING


def test_an_unfinished_kill_all_is_gone_on_with() -> None:
    """The flag says so: everything that runs is stopped, components first."""
    one = container(0)
    decisions, actions = stock(AGENT, REDIS, one, ended(container(1), 65), kill_all=True)
    assert [action for action in actions if isinstance(action, Stop)] == [Stop(one)]
    assert decisions.is_killing


def test_code_65_that_nobody_saw_ends_what_ran_then() -> None:
    """The agent was away when it happened."""
    one = container(0)
    decisions, actions = stock(one, ended(container(1), 65))
    assert Stop(one) in actions
    assert decisions.is_killing


def test_code_65_of_an_earlier_time_does_not_end_a_job_that_was_begun_anew() -> None:
    """`docker compose up` again: what runs was started after that end."""
    decisions, actions = stock(container(0, started_at_s=500.0), ended(container(1), 65))
    assert not any(isinstance(action, Stop) for action in actions)
    assert not decisions.is_killing


def test_taking_stock_again_finds_what_went_while_the_event_stream_was_broken() -> None:
    """An end, a start and a removal, all unheard."""
    crashed, started, removed = container(0), container(1), container(2)
    decisions = watching(crashed, removed)
    failed = ended(crashed, 1)
    actions = decisions.took_stock([(failed, NOTHING_KNOWN), (started, NOTHING_KNOWN)], False)
    assert Start(failed) in actions
    assert Deregister(removed, NoticeKind.LEFT) in actions
    assert decisions.state_of(started.component or "") is State.RUNNING


# Two agents.


def test_an_end_that_another_agent_has_counted_is_not_counted_twice() -> None:
    """Both start the container, which is the same as starting it once."""
    one = container()
    failed = ended(one, 137)
    actions = watching(one).seen(failed, Known(restarts=1, counted_run=failed.run))
    assert CountRestart(failed.component or "", failed.run, 1) in actions


def test_a_container_that_another_agent_replaced_is_not_taken_for_removed() -> None:
    """The failed one was gone before this agent could look at it."""
    one = container(labelled=ALWAYS_ANEW)
    decisions = watching(one)
    made = successor(one)
    actions = decisions.replaced(one.id, made, NOTHING_KNOWN)
    assert notices(actions) == []
    assert Replace(one.id, one.component or "") in actions
    assert decisions.seen(replace(made, status=Status.RUNNING, started_at_s=112.0), NOTHING_KNOWN) != []
    assert decisions.state_of(one.component or "") is State.RUNNING


@pytest.mark.parametrize("known", [NOTHING_KNOWN, Known(settings=RejoinSettings(True, 0, False))])
def test_a_budget_of_none_gives_up_at_once(known: Known) -> None:
    """`max_rejoin_times=0`."""
    one = container(labelled=RejoinSettings(True, 0, False))
    assert notices(watching(one).seen(ended(one, 1), known)) == [NoticeKind.GIVEN_UP]


def test_settings_that_redis_has_forgotten_are_remembered() -> None:
    """Redis away: the agent goes on by what it knew."""
    one: Any = container(labelled=None)
    decisions = Decisions()
    decisions.seen(one, Known(settings=ALWAYS))
    assert any(isinstance(action, Start) for action in decisions.seen(ended(one, 1), NOTHING_KNOWN))


@pytest.mark.parametrize("before", [0, 64])
@pytest.mark.parametrize("code", [0, 1, 64, 65])
def test_a_run_that_was_over_before_anybody_looked_is_dealt_with_like_any_other(before: int, code: int) -> None:
    """Also of a component that was down for good: somebody started it."""
    # Given a component that has ended, or was given up
    one = container()
    other = container(1)
    decisions = watching(one, other)
    decisions.seen(ended(one, before), NOTHING_KNOWN)
    # When it is started, and has ended when the agent looks
    again = ended(restarted(ended(one, before)), code)
    actions = decisions.seen(again, NOTHING_KNOWN)
    # Then that is one more end
    kinds = {0: NoticeKind.LEFT, 1: NoticeKind.GONE, 64: NoticeKind.GIVEN_UP, 65: NoticeKind.GONE}
    assert notices(actions) == [kinds[code]]
    assert (Start(again) in actions) is (code == 1)
    assert (Stop(other) in actions) is (code == 65)


def test_an_attempt_that_waits_is_dropped_when_somebody_else_started_it_meanwhile() -> None:
    """And it crashed once more before anybody looked."""
    # Given a component that the engine would not start
    one = container()
    decisions = watching(one)
    decisions.seen(ended(one, 1), NOTHING_KNOWN)
    decisions.start_failed("actor_proxy_0", "no memory", 200.0)
    # When it ran, and crashed
    again = ended(restarted(ended(one, 1)), 1)
    assert Start(again) in decisions.seen(again, NOTHING_KNOWN)
    # Then the attempt of before is none any more
    assert decisions.next_due_s() is None
    assert decisions.due(300.0) == []


def test_an_attempt_that_waits_is_dropped_when_the_replacement_is_gone_on_with() -> None:
    """The engine made the new container, and then would not start it."""
    one = container(labelled=ALWAYS_ANEW)
    decisions = watching(one)
    failed = ended(one, 1)
    decisions.seen(failed, NOTHING_KNOWN)
    decisions.start_failed("actor_proxy_0", "no memory", 200.0)
    assert Replace(failed.id, "actor_proxy_0") in decisions.replaced(failed.id, successor(failed), NOTHING_KNOWN)
    assert decisions.due(300.0) == []
    # And once that fails, too, the next attempt is for the same replacement
    decisions.start_failed("actor_proxy_0", "no memory", 400.0)
    assert Replace(failed.id, "actor_proxy_0") in decisions.due(500.0)


def test_nothing_is_tried_again_while_the_job_is_ended() -> None:
    """A start that was under way when code 65 came, and failed."""
    one, two = container(), container(1)
    decisions = watching(one, two)
    decisions.seen(ended(one, 1), NOTHING_KNOWN)
    decisions.seen(ended(two, 65), NOTHING_KNOWN)
    decisions.start_failed("actor_proxy_0", "no memory", 200.0)
    assert decisions.due(300.0) == []


def test_an_engine_that_is_away_costs_no_restart() -> None:
    """What it would have started is started when it is back, however long that takes."""
    one = container()
    decisions = watching(one)
    failed = ended(one, 1)
    decisions.seen(failed, NOTHING_KNOWN)
    for attempt in range(10):
        decisions.start_failed("actor_proxy_0", "no answer", 100.0 * attempt, refused=False)
        actions = decisions.due(100.0 * attempt + 50)
        assert CountRestart("actor_proxy_0", failed.run, 1) in actions
        assert Start(failed) in actions


def test_attempts_count_once_for_an_agent_that_comes_later() -> None:
    """The last one was counted; it was not done."""
    one = ended(container(), 1)
    known = Known(restarts=2, counted_run=f"{one.run}#1")
    actions = Decisions().took_stock([(one, known)], kill_all=False)
    assert CountRestart("actor_proxy_0", one.run, 2) in actions


def test_taking_stock_in_the_middle_of_a_replacement_takes_nothing_for_removed() -> None:
    """The failed container is gone, and the new one has not been started yet."""
    # Given a component that is being replaced
    one = container(labelled=ALWAYS_ANEW)
    decisions = watching(one)
    failed = ended(one, 1)
    decisions.seen(failed, NOTHING_KNOWN)
    # When the event stream breaks, and stock is taken
    actions = decisions.took_stock([(successor(failed), NOTHING_KNOWN)], kill_all=False)
    # Then nobody is told that it has left
    assert notices(actions) == []
    assert decisions.state_of("actor_proxy_0") is State.RESTARTING


def test_a_restart_policy_is_taken_away_where_that_is_asked_for() -> None:
    """From components that run; Redis and the agent keep theirs."""
    # Given an agent that is to take over
    decisions = Decisions(takes_over=True)
    policed = container(restarts_itself=True)
    # When it sees what runs, Then the components' policies go
    assert TakeOver(policed) in decisions.seen(policed, NOTHING_KNOWN)
    for one in (container(1), REDIS, AGENT):
        assert decisions.seen(one, NOTHING_KNOWN) == []
    # And one that has lost it is restarted by the agent
    failed = ended(replace(policed, restarts_itself=False), 1)
    assert Start(failed) in decisions.seen(failed, NOTHING_KNOWN)
    # And another agent leaves policies alone
    assert Decisions().seen(policed, NOTHING_KNOWN) == []
