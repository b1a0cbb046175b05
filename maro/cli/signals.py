"""SIGTERM and SIGINT as a request to leave the group: asked once politely, asked twice at once.

`LeaveRequests` is installed around the user's code. While that code runs, the first signal is raised inside it as an
exception which `except Exception` does not catch. Once it has ended, and only threads of its own keep the process
alive, there is nothing left to unwind: the first signal then closes the proxies directly.

A signal that comes right before the main thread blocks in a system call, or that another thread takes, is noted by the
interpreter, which then waits for that call: a component that waits for messages without end would not leave. So a
thread sees to it that the call is interrupted.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

LEAVING_LIMIT_S = 5.0
"""How long what is left of the user's program (its threads, its exit hooks) may take after the proxies have left.

Half of the ten seconds that container engines wait between SIGTERM and SIGKILL.
"""

GONE_LIMIT_S = 2.0
"""How long the exit hooks, which say that the component is gone, may take after a second signal."""

NUDGES_S = (0.1, 0.5)
"""How long after a signal the main thread is nudged, should it not have noticed."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NUDGE = signal.SIGURG
"""Does nothing but interrupt a system call; by default it is ignored, so that hardly anybody uses it."""


class LeaveRequests:
    """What the process was asked by signals, and how it answers.

    Args:
        request: makes the exception that the first signal raises inside the user's code.
        leave: leaves the group with everything that is open; must be safe to call in any state of the program.

    `asked` tells whether a signal has come; `exit_code` is the code that the process will end with. Signals are taken
    by the process that called `install` only: a forked child gets back the handlers that were in place before.
    """

    def __init__(self, request: Callable[[], BaseException], leave: Callable[[], None]) -> None:
        self.asked = False
        self.exit_code = 0
        self._request = request
        self._leave = leave
        self._code_runs = True
        self._ending_at_once = False
        self._fork = threading.local()
        self._previous: dict[signal.Signals, object] = {}
        self._wakeup: tuple[socket.socket, socket.socket] | None = None
        """What the interpreter notes signals in, and the thread reads."""

    def install(self) -> None:
        """Take SIGTERM and SIGINT from now on. Only the main thread can do this."""
        for signum in _SIGNALS:
            self._previous[signum] = signal.signal(signum, self._handle)
        self._nudge_the_main_thread()
        # The last exit hook to run, for it is the first: after it nothing is left that could be asked to end, and the
        # interpreter, which forgets its handlers on the way out, would die of the signal with another exit code.
        atexit.register(_ignore_signals)
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._restore)

    def code_has_ended(self) -> None:
        """Note that the user's code has been left: there is nothing to raise a request in any more."""
        self._code_runs = False

    def leave_now(self) -> None:
        """Leave the group, and end the process after `LEAVING_LIMIT_S` if it has not ended by itself by then."""
        self._leave()
        _call_after(LEAVING_LIMIT_S, self._cut_off)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._ending_at_once:
            os._exit(128 + signum)
        if self.asked:
            self._ending_at_once = True
            _end_at_once(128 + signum)
        self.asked = True
        if self._code_runs:
            raise self._request()
        self.leave_now()

    def _nudge_the_main_thread(self) -> None:
        """From now on, after every signal."""
        if signal.getsignal(_NUDGE) is not signal.SIG_DFL:
            return  # the program that runs this has a use for it
        signal.signal(_NUDGE, lambda *_: None)
        noted, notes = socket.socketpair()
        for end in (noted, notes):
            end.setblocking(end is noted)
        signal.set_wakeup_fd(notes.fileno(), warn_on_full_buffer=False)
        self._wakeup = noted, notes
        threading.Thread(target=_nudge, args=(noted,), name="maro-signals", daemon=True).start()

    def _hold(self) -> None:
        # A signal that reached the child before it has its handlers back would be forgotten by the interpreter.
        self._fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._fork.mask)

    def _restore(self) -> None:
        if self._wakeup is not None:
            signal.set_wakeup_fd(-1)  # the thread is the parent's
            signal.signal(_NUDGE, signal.SIG_DFL)
        for signum, handler in self._previous.items():
            # A handler that was not set from Python reads as None, and can't be set again from here.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        self._release()

    def _cut_off(self) -> None:
        main = threading.main_thread()
        names = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
        held_by = f"threads that still run: {', '.join(names)}" if names else "its exit hooks"
        report(
            f"the component was asked to end, but {LEAVING_LIMIT_S:g} s later is held up by {held_by}; ending it now"
        )
        # While threads run the interpreter has not come to the exit hooks, and a proxy may be open in one of them.
        _end_at_once(self.exit_code, run_hooks=bool(names))


def _nudge(noted: socket.socket) -> None:
    """Interrupt the main thread a little after each signal, twice, for the first time may come too early as well."""
    main = threading.main_thread().ident
    while noted_signals := noted.recv(64):
        if not any(signum in noted_signals for signum in _SIGNALS):
            continue
        began_s = time.monotonic()
        for after_s in NUDGES_S:
            time.sleep(max(0.0, began_s + after_s - time.monotonic()))
            with contextlib.suppress(OSError):
                signal.pthread_kill(main or 0, _NUDGE)


def _ignore_signals() -> None:
    with contextlib.suppress(ValueError):  # not in the main thread: then the process is being ended at once
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_IGN)


def report(text: str) -> None:
    """Say `text` to whoever reads the component's stderr, if anybody does."""
    with contextlib.suppress(OSError, ValueError):
        print(f"maro: {text}", file=sys.stderr)


def flush_streams() -> None:
    """Write out what stdout and stderr hold; where the reader is gone, drop it, so that the exit code stays."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            # The interpreter flushes again at exit and would end with code 120.
            discard = os.open(os.devnull, os.O_WRONLY)
            os.dup2(discard, stream.fileno())
            os.close(discard)


def _end_at_once(exit_code: int, run_hooks: bool = True) -> NoReturn:
    """End the process now: run its exit hooks, which tell the group that it is gone, but wait for nothing else.

    The interpreter's own way of ending would first wait for every thread, and an exception can be caught.
    """
    _call_after(GONE_LIMIT_S, lambda: os._exit(exit_code))
    _end_children()
    if run_hooks:
        try:
            atexit._run_exitfuncs()
        except BaseException:  # what a hook raises must not keep the process alive
            traceback.print_exc()
    flush_streams()
    os._exit(exit_code)


def _end_children() -> None:
    """Terminate children of `multiprocessing`, whose own exit hook would wait for them."""
    multiprocessing = sys.modules.get("multiprocessing")
    # A signal may come while the program is importing the module, or ending a child itself.
    with contextlib.suppress(Exception):
        for child in multiprocessing.active_children() if multiprocessing else ():
            child.terminate()


def _call_after(delay_s: float, action: Callable[[], None]) -> None:
    """Interrupt the main thread with `action` after a while; replaces what was to be called before.

    An alarm, because an interpreter that is about to end starts no threads any more.
    """
    signal.signal(signal.SIGALRM, lambda signum, frame: action())
    signal.setitimer(signal.ITIMER_REAL, delay_s)
