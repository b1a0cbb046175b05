"""What the demo takes for a success, and how it tells what happened."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest

pytest.importorskip("rich", reason="rich is not installed: pip install '.[testbed]'")

from rich.console import Console, RenderableType

from maro.testbed.demo.cluster import Cluster, DemoError
from maro.testbed.demo.containers import split_lines
from maro.testbed.demo.picture import progress_line, progress_picture, summary
from maro.testbed.demo.show import show
from maro.testbed.demo.story import HALF_WAY, Story
from maro.testbed.report_reader import Arrival, ReportReader

VICTIM, OTHER = "actor_proxy_0123456789ab", "actor_proxy_ba9876543210"
LABELS = {OTHER: "actor-1", VICTIM: "actor-2"}


def arrival(event: str, at: float, who: str | None = None, mean_return: float = 20.0, **episodes: int) -> Arrival:
    """A report whose clock is 1000 s ahead of ours."""
    figures = {"version": 7, "episodes": 14, "steps": 99, "mean_return": mean_return, "evaluation": 490.5}
    by_actor = {OTHER: episodes.get("other", 5), VICTIM: episodes.get("victim", 5)}
    head = {"event": event, "who": who, "at": 1000 + at, "actors": [OTHER]}
    return Arrival({**head, **figures, "episodes_by_actor": by_actor}, at)


def killed_at(at: float) -> Story:
    """A story whose victim was killed then."""
    story = Story(VICTIM, LABELS[VICTIM], started=0.0)
    story.take(arrival("ready", 1, VICTIM))
    story.take(arrival("progress", at, mean_return=HALF_WAY))
    assert story.kill_is_due
    story.killed_at = at
    assert not story.kill_is_due
    return story


def rejoined() -> Story:
    """A story whose victim came back, but has played nothing since."""
    story = killed_at(20)
    story.restarted_at = 1021
    story.take(arrival("ready", 22.5, VICTIM, victim=8))
    return story


def test_a_rejoin_is_told_by_the_new_start_not_by_the_old_one() -> None:
    """What the killed one said before its end may be told after it; what it delivered is no proof of a return."""
    # Given a victim that was killed, and not started again yet
    story = killed_at(20)
    # When the learner tells of a word of it that is older than its new start, Then that is no return
    story.take(arrival("ready", 20.5, VICTIM, victim=6))
    assert story.restart_is_due
    assert story.rejoin_s is None
    story.restarted_at = 1021
    story.take(arrival("ready", 20.9, VICTIM, victim=7))
    assert story.rejoin_s is None
    # When somebody else is heard of, or the new start is, Then only the latter is a return
    story.take(arrival("ready", 22, OTHER))
    assert story.rejoin_s is None
    story.take(arrival("ready", 22.5, VICTIM, victim=8))
    assert story.rejoin_s == 2.5
    # And what was delivered before does not count
    assert story.episodes_since == 0
    story.take(arrival("ready", 30, VICTIM, victim=11))
    assert (story.rejoin_s, story.episodes_since) == (2.5, 3)


def test_a_demo_that_shows_everything_succeeds() -> None:
    """With and without a kill."""
    with_kill, without = rejoined(), Story()
    for story in (with_kill, without):
        story.take(arrival("finished", 40, victim=20))
        story.check()


@pytest.mark.parametrize(
    ("story", "last", "reason"),
    [
        (rejoined(), arrival("progress", 40, victim=20), "the learner ended before its training did"),
        (Story(), arrival("evaluating", 40), "the learner ended before its training did"),
        (Story(VICTIM, "actor-2"), arrival("finished", 40), "over before anybody was killed"),
        (killed_at(20), arrival("finished", 40, victim=20), "actor-2 was killed, and the learner did not hear of it"),
        (rejoined(), arrival("finished", 40, victim=8), "actor-2 was killed and came back, but .* no more episodes"),
    ],
)
def test_a_demo_that_lacks_something_fails(story: Story, last: Arrival, reason: str) -> None:
    """Each missing part is named."""
    story.take(last)
    with pytest.raises(DemoError, match=reason):
        story.check()


class ToldCluster(Cluster):
    """One whose learner has said everything already."""

    description = "nothing but words"
    restarter = "nobody"

    def __init__(self, *arrivals: Arrival, code: int = 0) -> None:
        self.crashed: list[str] = []
        self._lines = [line_of(one) for one in arrivals]
        self._code = code

    @property
    def labels(self) -> Mapping[str, str]:
        return LABELS

    def start(self) -> None:
        pass

    def reports(self) -> ReportReader:
        return ReportReader(self._lines)

    def crash(self, actor: str) -> None:
        self.crashed.append(actor)

    def restarted_at(self, actor: str) -> float | None:
        return 1025

    def check(self) -> None:
        pass

    def learner_end(self) -> int:
        return self._code

    def learner_log(self) -> str:
        return "its last words"


def line_of(one: Arrival) -> str:
    return json.dumps(one.report)


def shown(*what: RenderableType) -> str:
    """As a narrow output that is no terminal has it, on one line."""
    console = Console(file=io.StringIO(), width=80)
    for one in what:
        console.print(one)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().replace("│", " ").split())


def test_the_last_actor_is_killed_once_half_way() -> None:
    """And the summary tells who, who started it again, and that its name was kept."""
    # Given a training that reaches its half, after which the last actor comes back and plays
    cluster = ToldCluster(
        arrival("progress", 10),
        arrival("progress", 20, mean_return=HALF_WAY),
        arrival("progress", 21, mean_return=HALF_WAY + 1),
        arrival("ready", 26, VICTIM, mean_return=HALF_WAY),
        arrival("finished", 40, victim=20),
    )
    # When it is shown
    story = show(Console(file=io.StringIO()), cluster, kill=True)
    # Then it was killed once
    assert cluster.crashed == [VICTIM]
    # And the summary has it, by its label and by its name
    told = shown(summary(story, cluster))
    assert "actor-1 5, actor-2 20" in told
    assert "actor-2 with SIGKILL after" in told
    assert "started again at once by nobody" in told
    assert f"under its name, {VICTIM}," in told
    assert "15 more episodes since" in told


def test_nobody_is_killed_if_that_is_not_wanted() -> None:
    """The summary does not speak of it either."""
    cluster = ToldCluster(arrival("progress", 20, mean_return=HALF_WAY), arrival("finished", 40))
    story = show(Console(file=io.StringIO()), cluster, kill=False)
    assert cluster.crashed == []
    assert "SIGKILL" not in shown(summary(story, cluster))


def test_a_learner_that_fails_is_quoted() -> None:
    """Its exit code and its last words are in the error."""
    with pytest.raises(DemoError, match="the learner ended with code 137:\nits last words"):
        show(Console(file=io.StringIO()), ToldCluster(arrival("progress", 10), code=137), kill=True)


def test_the_picture_calls_actors_by_their_labels() -> None:
    """Names that a container's id is part of say nothing to people."""
    # Given a victim that is back, but not in the group yet
    story = rejoined()
    # When that is shown, as a picture and as a line
    picture, line = shown(progress_picture(story, LABELS)), progress_line(story)
    # Then labels stand for names, each with its state
    assert "actor-1" in picture and "5 episodes playing" in picture
    assert "actor-2" in picture and "8 episodes absent, back after 2.50 s" in picture
    assert VICTIM not in picture + line
    assert line.endswith("actor-2 was killed, and was back after 2.50 s")
    assert progress_line(killed_at(20)).endswith("actor-2 was killed")


def test_lines_of_a_log_are_whole_however_it_is_cut() -> None:
    """The engine sends what it has."""
    text = "one\n\nzwölf\nlast".encode()
    for size in range(1, len(text) + 1):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        assert list(split_lines(chunks)) == ["one", "", "zwölf", "last"]
