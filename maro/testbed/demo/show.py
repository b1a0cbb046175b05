"""Shows the demo: follows the training to its end, and kills an actor on the way."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from maro.testbed.demo.cluster import Cluster, DemoError
from maro.testbed.demo.picture import progress_line, progress_picture
from maro.testbed.demo.story import Story
from maro.testbed.report_reader import Arrival, ReportReader, ReportsLostError

_SILENCE_S = 90.0
"""A learner that reports nothing for so long is taken for stuck."""
_PLAIN_LINE_EVERY_S = 5.0


def show(console: Console, cluster: Cluster, kill: bool) -> Story:
    """Train to the end.

    Args:
        console: where it is shown; one that is no terminal gets a line now and then.
        cluster: not started yet.
        kill: an actor, half way.

    Raises:
        DemoError: it did not go as it should.
    """
    story = Story()
    console.print(cluster.description, soft_wrap=True)
    cluster.start()
    if kill:
        story.victim, story.victim_label = list(cluster.labels.items())[-1]
    _watch(console, story, cluster)
    code = cluster.learner_end()
    if code != 0:
        raise DemoError(f"the learner ended with code {code}:\n{cluster.learner_log()}")
    story.check()
    return story


def _watch(console: Console, story: Story, cluster: Cluster) -> None:
    """Follow the learner's reports to its end; kill the victim when it is time."""
    reports = cluster.reports()
    labels = cluster.labels
    next_line = 0.0
    picture = Live(
        console=console,
        refresh_per_second=8,
        transient=True,
        get_renderable=lambda: progress_picture(story, labels),
    )
    with picture:
        while (arrival := _next(reports, cluster)) is not None:
            if story.restart_is_due:
                story.restarted_at = cluster.restarted_at(story.victim)
            story.take(arrival)
            if story.kill_is_due:
                story.killed_at = time.monotonic()
                cluster.crash(story.victim)
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + _PLAIN_LINE_EVERY_S
                console.print(progress_line(story), soft_wrap=True)
            cluster.check()


def _next(reports: ReportReader, cluster: Cluster) -> Arrival | None:
    try:
        return reports.next(_SILENCE_S)
    except TimeoutError:
        raise DemoError(f"the learner has said nothing for {_SILENCE_S:.0f} s:\n{cluster.learner_log()}") from None
    except ReportsLostError as error:
        raise DemoError(str(error)) from error
