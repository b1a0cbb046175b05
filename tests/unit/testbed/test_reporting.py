"""How components of the workloads report."""

from __future__ import annotations

import json

import pytest

from maro.testbed.workloads.reporting import Report, Reporter, print_json, text_printer


def test_progress_is_told_now_and_then_and_everything_else_always() -> None:
    """Given many reports at once, then of the progress the first is told, and figures are made for no other."""
    told: list[Report] = []
    made: list[int] = []

    def figures() -> Report:
        made.append(len(made))
        return {"updates": len(made)}

    report = Reporter(told.append, figures)
    for _ in range(100):
        report("progress")
    report("ready", "worker.1")
    report("failed", reason="no luck")

    assert [entry["event"] for entry in told] == ["progress", "ready", "failed"]
    assert [entry["updates"] for entry in told] == [1, 2, 3]
    assert (told[1]["who"], told[2]["reason"]) == ("worker.1", "no luck")
    assert told[0]["seconds"] <= told[1]["seconds"]


def test_a_report_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Given a report, then it is one line of JSON for programs, and one of text for people."""
    report = {"event": "ready", "who": "worker.1", "at": 1.0, "seconds": 2.345, "updates": 7}
    print_json(report)
    text_printer(lambda figures: f"update {figures['updates']}")(report)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == report
    assert second.split() == ["2.3", "s", "ready", "worker.1", "update", "7"]
