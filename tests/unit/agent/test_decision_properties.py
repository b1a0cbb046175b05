"""What holds of the agent's decisions whatever happens to the containers, in whatever order it is heard of."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from maro.agent.decisions import Decisions
from maro.agent.facts import (
    Action,
    Close,
    Container,
    CountRestart,
    Deregister,
    Finish,
    Known,
    RejoinSettings,
    Replace,
    SetKillAll,
    Start,
    Status,
    Stop,
)
from maro.agent.states import State
from tests.support.agent_facts import container

SIZE = 3
MOST = 3
happenings = st.one_of(
    st.tuples(st.just("crash"), st.integers(0, SIZE - 1), st.sampled_from([1, 134, 137, 139, 255])),
    st.tuples(st.just("stop"), st.integers(0, SIZE - 1), st.sampled_from([0, 1, 64, 137])),
    st.tuples(st.just("end"), st.integers(0, SIZE - 1), st.sampled_from([0, 64])),
    st.tuples(st.just("kill all"), st.integers(0, SIZE - 1), st.just(65)),
    st.tuples(st.just("remove"), st.integers(0, SIZE - 1), st.just(0)),
    st.tuples(st.just("refuse"), st.integers(0, SIZE - 1), st.just(0)),
    st.tuples(st.just("hear again"), st.integers(0, SIZE - 1), st.just(0)),
    st.tuples(st.just("agent restarts"), st.just(0), st.just(0)),
    st.tuples(st.just("time"), st.just(0), st.just(0)),
)
histories = st.lists(happenings, max_size=40)
settings_ = st.builds(RejoinSettings, st.booleans(), st.integers(0, MOST), st.booleans())


class World:
    """An engine and a Redis that do at once what they are told; and what they were told."""

    def __init__(self, rejoin: RejoinSettings) -> None:
        self.rejoin = rejoin
        self.now_s = 1000.0
        self.containers = {n: container(n, started_at_s=self.now_s, labelled=rejoin) for n in range(SIZE)}
        self.known: dict[str, Known] = {}
        self.kill_all = False
        self.finished = False
        self.starts: dict[str, int] = {}
        self.closed: set[str] = set()
        """Names that were asked to end, or given up, and not started by anybody since."""
        self.refuses = False
        self.agent = Decisions()
        self.take_stock()

    def take_stock(self) -> None:
        found = [(one, self.known.get(one.component or "", Known())) for one in self.containers.values()]
        self.carry_out(self.agent.took_stock(found, self.kill_all))

    def show(self, one: Container) -> None:
        self.carry_out(self.agent.seen(one, self.known.get(one.component or "", Known())))

    def carry_out(self, actions: list[Action]) -> None:
        seen_to_be_dead: set[str] = set()
        for action in actions:
            if isinstance(action, Deregister):
                seen_to_be_dead.add(action.container.component or "")
            elif isinstance(action, CountRestart):
                known = self.known.get(action.component, Known())
                counts = max(known.restarts, action.restarts)
                self.known[action.component] = replace(known, restarts=counts, counted_run=action.run)
            elif isinstance(action, Close):
                known = self.known.get(action.component, Known())
                self.known[action.component] = replace(known, closed_run=action.run, given_up=action.given_up)
                self.closed.add(action.component)
            elif isinstance(action, SetKillAll):
                self.kill_all = True
            elif isinstance(action, Finish):
                self.finished = True
            elif isinstance(action, Stop):
                self.end(action.container.name, 137, asked=True)
            elif isinstance(action, Start | Replace):
                name = action.component if isinstance(action, Replace) else action.container.component or ""
                # Nobody is started before the group was told of the death, nor while the job is ended.
                assert name in seen_to_be_dead
                assert not self.kill_all
                assert name not in self.closed
                self.start(name, isinstance(action, Replace))

    def start(self, name: str, anew: bool) -> None:
        number = self.number(name)
        if self.refuses:
            self.refuses = False
            self.carry_out(self.agent.start_failed(name, "refused", self.now_s))
            return
        self.starts[name] = self.starts.get(name, 0) + 1
        failed = self.containers[number]
        self.tick()
        runs = replace(failed, status=Status.RUNNING, started_at_s=self.now_s, exit_code=0)
        if anew:
            runs = replace(runs, id=f"{failed.id}+", replaces=failed.id)
        self.containers[number] = runs
        if anew:
            self.carry_out(self.agent.replaced(failed.id, runs, self.known.get(name, Known())))
        else:
            self.show(runs)

    def end(self, name: str, code: int, asked: bool = False) -> None:
        number = next(n for n, one in self.containers.items() if one.name == name)
        one = self.containers[number]
        if one.status is not Status.RUNNING:
            return
        self.tick()
        if asked:
            self.agent.signal_sent(one.id, one.stop_signal, self.now_s)
        self.containers[number] = replace(one, status=Status.ENDED, exit_code=code, finished_at_s=self.now_s)
        self.show(self.containers[number])

    def number(self, name: str) -> int:
        return next(n for n, one in self.containers.items() if one.component == name)

    def tick(self) -> None:
        self.now_s += 1.0

    def happen(self, what: str, number: int, code: int) -> None:
        one = self.containers.get(number)
        if what == "agent restarts":
            self.agent = Decisions()
            self.take_stock()
        elif what == "time":
            self.now_s += 20.0
            self.carry_out(self.agent.due(self.now_s))
        elif what == "refuse":
            self.refuses = True
        elif one is None:
            return
        elif what == "hear again":
            self.show(one)
        elif what == "remove":
            del self.containers[number]
            self.carry_out(self.agent.removed(one.id))
        else:
            self.end(one.name, code, asked=what == "stop")


@given(settings_, histories)
def test_nothing_is_restarted_more_often_than_its_budget_allows(
    rejoin: RejoinSettings, history: list[tuple[str, int, int]]
) -> None:
    """Across restarts of the agent, starts that fail, and facts that come twice; and never without rejoin."""
    world = World(rejoin)
    for what, number, code in history:
        world.happen(what, number, code)
        if world.finished:
            break
    allowed = rejoin.max_restarts if rejoin.enable else 0
    assert all(count <= allowed for count in world.starts.values())


@given(settings_, histories)
def test_code_65_ends_everything(rejoin: RejoinSettings, history: list[tuple[str, int, int]]) -> None:
    """Whatever came before: no component runs when the agent ends, and it does end."""
    world = World(rejoin)
    for what, number, code in history:
        if what not in ("kill all", "agent restarts"):
            world.happen(what, number, code)
    running = [one for one in world.containers.values() if one.status is Status.RUNNING]
    if running:
        world.end(running[0].name, 65)
        assert world.finished
        assert not [one for one in world.containers.values() if one.status is Status.RUNNING]


@given(histories)
def test_what_crashed_runs_again_while_its_budget_lasts(history: list[tuple[str, int, int]]) -> None:
    """With a budget that no history spends, a component is down only if it was asked to be."""
    world = World(RejoinSettings(True, 1000, False))
    for what, number, code in history:
        if what in ("crash", "hear again", "agent restarts", "time", "refuse"):
            world.happen(what, number, code)
    world.refuses = False
    world.happen("time", 0, 0)
    for one in world.containers.values():
        assert one.status is Status.RUNNING
        assert world.agent.state_of(one.component or "") is State.RUNNING
