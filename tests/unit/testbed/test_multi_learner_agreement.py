"""The pure part of the workload `multi_learner`: when learners that end together may end."""

from __future__ import annotations

import argparse
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.workloads.multi_learner.agreement import Agreement, Standing


def pair() -> tuple[Agreement, Agreement]:
    """Two learners that know nothing of each other."""
    return Agreement("a", 1.0, others=1), Agreement("b", 1.0, others=1)


class TestAgreement:
    def test_a_learner_waits_until_the_other_one_has_ended_and_knows(self) -> None:
        """Given two learners, When the second ends and answers, Then both may leave, and not before."""
        a, b = pair()
        a.end(reached=True)
        assert not a.is_settled(["b"])
        b.take(a.own())
        a.take(b.own())
        assert not a.is_settled(["b"])
        b.end(reached=True)
        assert not b.is_settled(["a"])  # a does not have its result yet
        a.take(b.own())
        assert a.is_settled(["b"])
        b.take(a.own())
        assert b.is_settled(["a"])
        assert a.succeeded
        assert b.succeeded

    def test_a_result_of_a_process_before_is_forgotten(self) -> None:
        """Given the result of a learner, When it was started again, Then it has none, and old news change nothing."""
        a, b = pair()
        a.end(reached=True)
        b.end(reached=True)
        result = b.own()
        a.take(result)
        a.take(Standing("b", 2.0))
        a.take(result)
        assert a.results() == {"b": None}
        assert not a.is_settled(["b"])

    def test_a_learner_that_was_started_again_was_not_heard_by_those_who_heard_its_process_before(self) -> None:
        """Given a learner that knows of a result, When that one's process is a new one, Then it does not know of it."""
        a = Agreement("a", 2.0, others=1)
        a.end(reached=True)
        a.take(Standing("b", 1.0, reached=True, heard={"a": 1.0}))
        assert not a.is_settled(["b"])
        a.take(Standing("b", 1.0, reached=True, heard={"a": 2.0}))
        assert a.is_settled(["b"])

    def test_one_that_left_with_a_result_is_not_waited_for(self) -> None:
        """Given the result of a learner that is gone, When the other one ends, Then it may leave."""
        a, b = pair()
        b.end(reached=True)
        a.take(b.own())
        a.end(reached=True)
        assert a.is_settled([])
        assert a.succeeded

    def test_one_that_is_gone_without_a_result_is_missed(self) -> None:
        """Given a learner whose other one is gone without a result, Then it may not leave, and misses one."""
        a, b = pair()
        a.end(reached=True)
        a.take(b.own())
        assert not a.is_settled([])
        assert a.misses([]) == 1
        assert a.misses(["b"]) == 0
        assert not a.succeeded

    def test_one_that_was_replaced_under_another_name_is_not_missed(self) -> None:
        """Given a learner that was replaced by one of another name, When that one ends, Then all is well."""
        a, b = pair()
        a.end(reached=True)
        a.take(b.own())
        a.take(Standing("c", 5.0, reached=True, heard={"a": 1.0}))
        assert a.is_settled(["c"])
        assert a.succeeded

    @pytest.mark.parametrize("own", [True, False])
    def test_success_is_that_of_all(self, own: bool) -> None:
        """Given a learner that missed its goal, When all have ended, Then nobody succeeded."""
        a, b = pair()
        a.end(reached=own)
        b.end(reached=not own)
        a.take(b.own())
        b.take(a.own())
        assert not a.succeeded
        assert not b.succeeded

    def test_its_own_news_are_not_another_learners(self) -> None:
        """Given a learner, When it is told its own standing, Then it knows of nobody."""
        a, _ = pair()
        a.end(reached=True)
        a.take(a.own())
        assert a.results() == {}

    @given(st.data())
    def test_nobody_leaves_too_early_and_nobody_waits_for_ever(self, data: st.DataObject) -> None:
        """Given learners that end, die and come back while news are lost, Then they leave together, or miss one."""
        names = ["a", "b", "c"][: data.draw(st.integers(2, 3), "learners")]
        world = World(names)
        action = st.tuples(st.sampled_from(["end", "die", "start", "ask"]), st.sampled_from(names), st.booleans())
        for what, name, lost in data.draw(st.lists(action, max_size=30)):
            world.act(what, name, lost)
        for _ in range(3):  # from here on nobody dies and nothing is lost
            for what, name in itertools.product(["start", "end", "ask"], names):
                world.act(what, name, lost=False)
        for name, agreement in world.running.items():
            assert agreement.misses(world.others(name)) > 0


class World:
    """Learners as their processes behave: they tell how they stand at their start, and once they have ended."""

    def __init__(self, names: list[str]) -> None:
        self.running: dict[str, Agreement] = {}
        self.left: set[str] = set()
        self._ended: set[str] = set()
        self._clock = itertools.count(1)
        self._count = len(names)
        for name in names:
            self.act("start", name, lost=False)

    def others(self, name: str) -> list[str]:
        """Who is there beside a learner."""
        return [other for other in self.running if other != name]

    def act(self, what: str, name: str, lost: bool) -> None:
        """Let something happen to a learner, if it can; `lost` are its questions, but not those of its start."""
        if what == "start" and name not in self.running and name not in self.left:
            self.running[name] = Agreement(name, float(next(self._clock)), self._count - 1)
            self._ask(name)
        elif what == "die" and name in self.running:
            del self.running[name]
            self._ended.discard(name)
        elif what == "end" and name in self.running and name not in self._ended:
            self._ended.add(name)
            self.running[name].end(reached=True)
            if not lost:
                self._ask(name)
        elif what == "ask" and name in self._ended and not lost:
            self._ask(name)
        self._let_leave()

    def _ask(self, name: str) -> None:
        asking = self.running[name]
        for other in self.others(name):
            if name not in self.running:
                return
            self.running[other].take(asking.own())
            asking.take(self.running[other].own())
            self._let_leave()

    def _let_leave(self) -> None:
        for name in sorted(self._ended):
            if self.running[name].is_settled(self.others(name)):
                assert set(self.running) == self._ended, f"{name} left before the others had ended"
                assert self.running[name].succeeded
                self.left.add(name)
                self._ended.discard(name)
                del self.running[name]
                self._let_leave()
                return


class TestCommandLine:
    def test_the_target_holds_for_training_and_evaluation(self) -> None:
        """Given a target on the command line, Then it decides when to evaluate, and what is enough."""
        pytest.importorskip("numpy", reason="numpy is not installed: pip install '.[examples]'")
        from maro.testbed.workloads.rollout.learner import training_settings

        settings = training_settings(argparse.Namespace(seed=3, target=195.0, max_updates=7))
        assert (settings.seed, settings.max_updates) == (3, 7)
        assert settings.training_target == settings.evaluation_target == 195.0

    @pytest.mark.parametrize("target", ["0", "-1", "501", "nan", "much"])
    def test_a_target_that_no_episode_can_have_is_refused(
        self, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a target out of reach, When the command line is read, Then it is refused, and said why."""
        pytest.importorskip("numpy", reason="numpy is not installed: pip install '.[examples]'")
        from maro.testbed.workloads.rollout.learner import parse_arguments

        monkeypatch.setattr("sys.argv", ["learner", "--target", target])
        with pytest.raises(SystemExit):
            parse_arguments("A learner.", 490.0)
        assert "--target" in capsys.readouterr().err
