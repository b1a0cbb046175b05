"""How the demo looks: a picture that moves, a line for where none can, and a summary."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maro.testbed.demo.cluster import Cluster
from maro.testbed.demo.story import Story

_FULL_RETURN = 500.0
_BAR_WIDTH = 40


def progress_line(story: Story) -> str:
    """How far the training is, once there is a report."""
    latest = story.latest
    return (
        f"{time.monotonic() - story.started:5.1f} s  update {latest['version']:4d}  "
        f"episodes {latest['episodes']:5d}  mean return {story.mean_return:6.1f}  {_news(story)}"
    ).rstrip()


def progress_picture(story: Story, labels: Mapping[str, str]) -> Table:
    """The same with bars, and a line for each actor."""
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=_FULL_RETURN, completed=min(story.mean_return, _FULL_RETURN), width=_BAR_WIDTH)
    table.add_row("mean return", bar, f"{story.mean_return:.1f} of {_FULL_RETURN:.0f}")
    table.add_row("learner", progress_line(story) if story.latest else "waiting for its actors", "")
    most = max([story.episodes(actor) for actor in labels] + [1])
    for actor, label in labels.items():
        count = story.episodes(actor)
        bar = ProgressBar(total=most, completed=count, width=_BAR_WIDTH)
        table.add_row(label, bar, Text(f"{count} episodes  ") + _state(story, actor))
    return table


def summary(story: Story, cluster: Cluster) -> Table:
    """What a demo that succeeded has shown."""
    latest, labels = story.latest, cluster.labels
    table = Table(title="What happened", show_header=False)
    table.add_row("evaluation", f"mean return {latest['evaluation']:.1f} over 100 episodes (goal 475)")
    table.add_row("training", f"{latest['version']} updates, {latest['episodes']} episodes, {latest['steps']} steps")
    table.add_row("episodes by actor", ", ".join(f"{label} {story.episodes(actor)}" for actor, label in labels.items()))
    if story.killed_at is not None and story.rejoin_s is not None:
        at_s = story.killed_at - story.started
        victim = story.victim_label
        table.add_row(
            "killed", f"{victim} with SIGKILL after {at_s:.1f} s, and started again at once by {cluster.restarter}"
        )
        name = "" if victim == story.victim else f", {story.victim},"
        more = f"{story.episodes_since} more episodes since"
        table.add_row("rejoined", f"under its name{name} {story.rejoin_s:.2f} s after the kill; {more}")
    table.add_row("time", f"{time.monotonic() - story.started:.1f} s")
    return table


def _news(story: Story) -> str:
    if story.killed_at is None:
        return ""
    if story.rejoin_s is None:
        return f"{story.victim_label} was killed"
    return f"{story.victim_label} was killed, and was back after {story.rejoin_s:.2f} s"


def _state(story: Story, actor: str) -> Text:
    state = Text("playing", "green") if actor in story.latest.get("actors", ()) else Text("absent", "red")
    if actor == story.victim and story.killed_at is not None:
        state.append(", was killed" if story.rejoin_s is None else f", back after {story.rejoin_s:.2f} s")
    return state
