"""`maro component` as a real process: how it is asked to end, and the code that it ends with."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from maro.cli.component import EXIT_ZERO_VARIABLE
from tests.support.programs import component, started
from tests.support.programs import write_program as write
from tests.support.waiting import eventually


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than an entry that nobody has asked for yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


WAITS = """
    import signal
    print("ready", flush=True)
    while True:
        try:
            signal.pause()
        except Exception:
            print("swallowed", flush=True)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_component_with_0(tmp_path: Path, signum: signal.Signals) -> None:
    """A stop that was asked for is no failure, and a broad `except Exception` can't swallow it."""
    # Given a component that is busy and catches whatever is an Exception
    with component(write(tmp_path / "actor.py", WAITS), folder=tmp_path) as program:
        program.wait_for_line("ready")
        # When it is asked to end
        program.signal(signum)
        # Then it ends with 0, and quietly
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "ready\n"
        assert program.stderr == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_interrupts_nothing_is_noticed(tmp_path: Path, signum: signal.Signals) -> None:
    """As one that comes right before the main thread blocks: here another thread takes it, which comes to the same."""
    # Given a component that waits in a system call, which the signal will not interrupt
    script = """
        import os, signal, threading
        is_waiting = threading.Event()
        threading.Thread(target=is_waiting.wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        print("ready", flush=True)
        os.read(os.pipe()[0], 1)
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        # When it is asked to end, then it does
        program.signal(signum)
        assert program.exit_code() == 0, program.output()
        assert program.stderr == ""


def test_cleaning_up_runs_after_a_signal(tmp_path: Path) -> None:
    """`finally` blocks and exit hooks run, in their order."""
    # Given a component with both
    script = """
        import atexit, signal
        atexit.register(print, "exit hook")
        try:
            print("ready")
            signal.pause()
        finally:
            print("finally")
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        # When it is asked to end
        program.signal(signal.SIGTERM)
        # Then both have run
        assert program.exit_code() == 0, program.output()
        assert program.stdout.split("\n") == ["ready", "finally", "exit hook", ""]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, signum: signal.Signals) -> None:
    """Whoever asks twice means it: the code names the signal, and the exit hooks still run."""
    # Given a component that does not want to leave
    script = """
        import atexit, signal
        atexit.register(print, "exit hook")
        while True:
            try:
                print("ready")
                signal.pause()
            except BaseException:
                print("no")
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        program.signal(signal.SIGTERM)
        program.wait_for_line("no")
        # When a second signal comes
        program.signal(signum)
        # Then the process is over, its hooks having run
        assert program.exit_code() == 128 + signum, program.output()
        assert program.stdout.splitlines()[-1] == "exit hook"


def test_a_signal_reaches_a_component_whose_main_program_is_over(tmp_path: Path) -> None:
    """A component may live on in its threads; it can be asked to end all the same."""
    # Given a program whose main thread is done, and a thread that never is
    script = """
        import atexit, threading
        atexit.register(print, "exit hook")
        def work():
            print("ready")
            threading.Event().wait()
        threading.Thread(target=work, name="collector").start()
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        # When it is asked to end
        program.signal(signal.SIGTERM)
        # Then it ends with 0 after a while, its hooks having run, and names what held it up
        assert program.exit_code() == 0, program.output()
        assert "collector" in program.stderr
        assert program.stdout == "ready\nexit hook\n"


def test_children_of_multiprocessing_do_not_hold_up_a_second_signal(tmp_path: Path) -> None:
    """The interpreter would wait for them for ever; they are ended too."""
    # Given a component with a child process that never ends, and that will not leave
    script = """
        import multiprocessing, os, signal
        def work():
            signal.pause()
        if __name__ == "__main__":
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            print("child", child.pid)
            while True:
                try:
                    print("ready")
                    signal.pause()
                except BaseException:
                    print("no")
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        program.signal(signal.SIGTERM)
        program.wait_for_line("no")
        # When a second signal comes
        program.signal(signal.SIGTERM)
        # Then both are over
        assert program.exit_code() == 128 + signal.SIGTERM, program.output()
        child = int(program.stdout.splitlines()[0].removeprefix("child "))
        eventually(lambda: not is_running(child), what="the end of the child")


def test_a_forked_child_has_the_ordinary_signal_handlers(tmp_path: Path) -> None:
    """A child of the component dies of SIGTERM as any process does; the component goes on."""
    # Given a component with a forked child
    script = """
        import os, signal
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(7)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print("child:", os.WTERMSIG(status), os.WIFSIGNALED(status))
        handlers = os.pipe()
        if os.fork() == 0:
            os.write(handlers[1], repr(signal.getsignal(signal.SIGINT) is signal.default_int_handler).encode())
            os._exit(0)
        print("default for SIGINT:", os.read(handlers[0], 10).decode())
    """
    # When the child gets SIGTERM
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        # Then it is ended by the signal itself
        assert program.exit_code() == 0, program.output()
        assert program.stdout == "child: 15 True\ndefault for SIGINT: True\n"


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(0)", 0, ""),
        ("raise SystemExit(17)", 17, ""),
        ("raise SystemExit('no actors today')", 1, "no actors today\n"),
        ("pass", 0, ""),
    ],
)
def test_the_programs_own_exit_code_is_kept(tmp_path: Path, ending: str, code: int, said: str) -> None:
    """`SystemExit` means what it means everywhere."""
    # Given a program that ends itself, When it runs
    with component(write(tmp_path / "actor.py", ending), folder=tmp_path) as program:
        # Then its code is the process' code
        assert program.exit_code() == code, program.output()
        assert program.stderr == said


def test_an_exception_ends_it_with_1_and_the_programs_traceback(tmp_path: Path) -> None:
    """The traceback starts in the program: nothing of what runs it is in the way."""
    # Given a program that fails
    script = """
        def play():
            raise ValueError("bad episode")
        play()
    """
    # When it runs
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        # Then it ends with 1 and shows where
        assert program.exit_code() == 1, program.output()
        lines = program.stderr.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert "actor.py" in lines[1]
        assert lines[-1] == "ValueError: bad episode"
        assert "runpy" not in program.stderr


def test_debug_shows_the_whole_traceback(tmp_path: Path) -> None:
    """With `--debug` the frames around the program are shown as well."""
    # Given a program that fails, When it runs with --debug
    script = write(tmp_path / "actor.py", "1 / 0")
    command = [sys.executable, "-m", "maro.cli", "--debug", "component", script]
    with started(command, tmp_path) as program:
        # Then the traceback starts in the entry point
        assert program.exit_code() == 1, program.output()
        assert "runpy" in program.stderr


def test_a_syntax_error_is_shown_as_the_interpreter_shows_it(tmp_path: Path) -> None:
    """The program's own line, not the machinery that compiled it."""
    # Given a program that is no Python, When it runs
    with component(write(tmp_path / "actor.py", "learner ="), folder=tmp_path) as program:
        # Then the line is shown
        assert program.exit_code() == 1, program.output()
        assert "learner =" in program.stderr
        assert "runpy" not in program.stderr


DO_NOT_RESTART = [
    "RejoinBudgetError",
    "ComponentFencedError",
    "DriverTypeError",
    "PeersMissError",
    "ConditionalEventSyntaxError",
]


@pytest.mark.parametrize(
    ("error", "code"),
    [*((error, 64) for error in DO_NOT_RESTART), ("PeersRejoinTimeout", 65), ("DriverSendError", 1)],
)
def test_the_librarys_errors_have_exit_codes(tmp_path: Path, error: str, code: int) -> None:
    """What restarts the component reads from the code whether that can help."""
    # Given a program that ends by an error of the library
    script = f"from maro.utils.exception.communication_exception import {error}\nraise {error}('why')"
    # When it runs
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        # Then the code is that of its class, and the reason is shown
        assert program.exit_code() == code, program.output()
        assert "why" in program.stderr


@pytest.mark.parametrize(
    ("value", "ending", "code"),
    [
        ("1", "DriverTypeError('why')", 0),
        ("1", "SystemExit(64)", 0),
        ("1", "PeersRejoinTimeout('why')", 65),
        ("1", "ValueError('why')", 1),
        ("0", "DriverTypeError('why')", 64),
        ("", "DriverTypeError('why')", 64),
    ],
)
def test_do_not_restart_can_end_with_0(tmp_path: Path, value: str, ending: str, code: int) -> None:
    """Where only "on failure" restarts are to be had, 0 is the way to say that a restart is no use."""
    # Given a program that ends by an error, where such a restart policy is in force or not
    script = f"from maro.utils.exception.communication_exception import *\nraise {ending}"
    environment = {EXIT_ZERO_VARIABLE: value}
    # When it runs
    with component(write(tmp_path / "actor.py", script), folder=tmp_path, environment=environment) as program:
        # Then 64 alone has become 0, and that only where 1 asks for it
        assert program.exit_code() == code, program.output()


def test_output_is_seen_line_by_line(tmp_path: Path) -> None:
    """What a component printed is there while it runs, and after it was killed."""
    # Given a program that prints without flushing
    script = """
        import signal
        print("ready")
        signal.pause()
    """
    buffered = {"PYTHONUNBUFFERED": ""}
    with component(write(tmp_path / "actor.py", script), folder=tmp_path, environment=buffered) as program:
        # When it goes on running, Then its line is in the file
        program.wait_for_line("ready")
        # And is still after SIGKILL
        program.signal(signal.SIGKILL)
        assert program.exit_code() == -signal.SIGKILL
        assert program.stdout == "ready\n"


def test_a_reader_that_went_away_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """`maro component … | head` ends with the program's code, not with that of a broken pipe at the very end."""
    # Given a program that leaves something unflushed for a reader that is gone
    script = """
        import os, sys
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader), os.close(writer)
        sys.stdout.reconfigure(line_buffering=False)
        print("nobody reads this")
        raise SystemExit(3)
    """
    buffered = {"PYTHONUNBUFFERED": ""}
    with component(write(tmp_path / "actor.py", script), folder=tmp_path, environment=buffered) as program:
        # When it ends, Then the code is its own
        assert program.exit_code() == 3, program.output()
        assert program.stderr == ""


def test_a_child_that_the_component_started_is_not_stopped_with_it_by_accident(tmp_path: Path) -> None:
    """The signal is the component's alone: what it started decides for itself."""
    # Given a component with a child process that ends when its pipe is closed
    script = """
        import signal, subprocess, sys
        code = "import sys; sys.stdin.read(); open('child-ended', 'w').close()"
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        print("ready")
        signal.pause()
    """
    with component(write(tmp_path / "actor.py", script), folder=tmp_path) as program:
        program.wait_for_line("ready")
        # When the component is asked to end
        program.signal(signal.SIGTERM)
        # Then the child ends in its own time
        assert program.exit_code() == 0, program.output()
        eventually((tmp_path / "child-ended").exists, what="the child's own end")
