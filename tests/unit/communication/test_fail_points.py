"""Fail points: how they are written, what they do, and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.communication.fail_points import NAMES, FailPoint, FailPointError, FailPoints, parse

PASS = """
import sys
from maro.communication.fail_points import FailPoints
points = FailPoints(sys.argv[1], None, lambda name: print("hit", flush=True))
for number in range(3):
    print(number, flush=True)
    points.passed("after-receive")
"""


def points(text: str, file: Path | None = None) -> tuple[FailPoints, list[str]]:
    """Fail points, and the names of those that were hit."""
    hit: list[str] = []
    return FailPoints(text, None if file is None else str(file), hit.append), hit


def test_fail_points_are_read() -> None:
    """With how many times they are passed before, and spaces that do not matter."""
    assert parse("") == {}
    assert parse("after-receive=kill@3, before-reply=delay:0.5,after-join=stop,") == {
        "after-receive": FailPoint("kill", 3),
        "before-reply": FailPoint("delay", 1, 0.5),
        "after-join": FailPoint("stop", 1),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("receive=kill", "'receive=kill' names no fail point: there are before-register, "),
        ("after-receive", "'after-receive' is not of the form name=action"),
        ("after-receive=kill@0", "'after-receive=kill@0' is not of the form"),
        ("after-receive=kill@", "is not of the form"),
        ("after-receive=explode", "asks for the action 'explode': there are kill, stop, raise, delay:SECONDS"),
        ("after-receive=delay:-1", "asks for the action 'delay:-1'"),
        ("after-receive=delay:nan", "asks for the action 'delay:nan'"),
        ("after-receive=delay", "asks for the action 'delay'"),
    ],
)
def test_what_is_no_fail_point_is_quoted(text: str, complaint: str) -> None:
    """With what there is."""
    with pytest.raises(ValueError, match=r"after-receive|receive=kill") as refused:
        parse(f"before-send=kill,{text}")
    assert complaint in str(refused.value)


@given(st.sampled_from(NAMES), st.integers(1, 20), st.integers(0, 30))
def test_a_fail_point_is_hit_once_at_its_time(name: str, at: int, passes: int) -> None:
    """And not at another one's."""
    made, hit = points(f"{name}=raise@{at}")
    raised = []
    for number in range(1, passes + 1):
        made.passed(next(other for other in NAMES if other != name))
        try:
            made.passed(name)
        except FailPointError:
            raised.append(number)
    assert raised == [at] * (passes >= at)
    assert hit == [name] * (passes >= at)


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("delay:0.001", 0)])
def test_a_process_is_killed_at_the_point(action: str, code: int) -> None:
    """Or goes on after a pause."""
    done = subprocess.run([sys.executable, "-c", PASS, f"after-receive={action}@2"], capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout.split() == [b"0", b"1", b"hit"] + [b"2"] * (code == 0)


def test_a_process_is_stopped_at_the_point() -> None:
    """Until somebody lets it go on."""
    with subprocess.Popen([sys.executable, "-c", PASS, "after-receive=stop"], stdout=subprocess.PIPE) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output.split()) == (0, [b"0", b"hit", b"1", b"2"])


def test_a_file_switches_points_on_and_off(tmp_path: Path) -> None:
    """While the component runs: what it says counts from then on, until it is gone, or was hit."""
    # Given a component whose file is not there
    file = tmp_path / "points"
    made, hit = points("before-send=raise@1", file)
    with pytest.raises(FailPointError):
        made.passed("before-send")

    # When the file comes, then it is what counts, from the first time on
    file.write_text("after-receive=raise@2")
    made.passed("before-send")
    made.passed("after-receive")
    with pytest.raises(FailPointError):
        made.passed("after-receive")

    # And it is gone then, so that nobody else is hit
    assert not file.exists()
    made.passed("after-receive")

    # When another one comes, counting begins anew
    file.write_text("after-receive=raise@1")
    with pytest.raises(FailPointError):
        made.passed("after-receive")

    # When one is taken away, nothing happens any more
    file.write_text("after-receive=raise@1")
    file.unlink()
    for name in NAMES:
        made.passed(name)
    assert hit == ["before-send", "after-receive", "after-receive"]
