"""`maro component`: runs one component's program, and ends its process with a code that says what to do next.

The program runs in this process, as `python SCRIPT` or `python -m MODULE` would run it. Around it: SIGTERM and SIGINT
become a clean leave, exceptions become exit codes (`maro.utils.exit_code`), and containers get their names and their
health mark (`maro.cli.health`).
"""

from __future__ import annotations

import importlib.util
import io
import os
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from maro.cli.health import keep_health_mark
from maro.cli.signals import LeaveRequests, flush_streams, report
from maro.utils.exit_code import NON_RESTART_EXIT_CODE, SUCCESS_EXIT_CODE, exit_code_for
from maro.utils.home import maro_home

EXIT_ZERO_VARIABLE = "MARO_EXIT_ZERO_FOR_DO_NOT_RESTART"
"""Set to 1 where a restart policy can't tell exit codes apart: "do not restart" then ends with 0.

Not if an agent has taken the job's restart policies away: that can, and tells peers what the code means.
"""

_CONTAINER_MARK = Path("/.dockerenv")
_MACHINERY = (__file__, runpy.__file__, "<frozen runpy>", importlib.util.__file__, "<frozen importlib.util>")


class UnusableTarget(Exception):
    """What should be run is no readable script and no known module; the text says why and what would be."""


def run_component(target: str, args: Sequence[str], debug: bool = False) -> int:
    """Run the script or module `target` with `args` as its `sys.argv[1:]`; return the exit code of the process.

    Must be called in the main thread, and the caller must end the process with the code soon: the program's proxies
    may still be open, and are given up as *gone* by the exit hooks unless a signal asked for a clean leave.

    Args:
        debug: keep the frames of the machinery in a traceback.

    Raises:
        UnusableTarget: there is nothing at `target` that could be run.
    """
    keep_health_mark(os.environ)
    # Here, not in the signal handler: a signal might come while the program itself is importing the same module.
    from maro.communication.lifetime import LeaveGroup

    os.environ.update(container_names(os.environ, socket.gethostname(), _CONTAINER_MARK.exists()))
    _buffer_lines()
    requests = LeaveRequests(LeaveGroup, leave_open_proxies)
    requests.install()
    try:
        try:
            _run(target, args)
        finally:
            requests.code_has_ended()
    except LeaveGroup:
        pass
    except UnusableTarget:
        raise
    except SystemExit as request:
        if request.code is not None and not isinstance(request.code, int):
            print(request.code, file=sys.stderr)
        requests.exit_code = exit_code_for(request)
    except BaseException as error:
        _print_traceback(error, debug)
        requests.exit_code = exit_code_for(error)
    if requests.exit_code == NON_RESTART_EXIT_CODE and os.environ.get(EXIT_ZERO_VARIABLE) == "1":
        requests.exit_code = _code_for_a_restart_policy(os.environ)
    if requests.asked:
        requests.leave_now()
    flush_streams()
    return requests.exit_code


def container_names(environment: Mapping[str, str], hostname: str, in_container: bool) -> dict[str, str]:
    """The variables that name a container's component and are not set yet: none outside a topology's container."""
    component_type = environment.get("COMPONENT_TYPE")
    if not component_type or not in_container:
        return {}
    names = {"CONTAINER_NAME": hostname, "COMPONENT_NAME": f"{component_type}_proxy_{hostname}"}
    return {variable: name for variable, name in names.items() if not environment.get(variable)}


def _code_for_a_restart_policy(environment: Mapping[str, str]) -> int:
    """What says "do not restart": 0, unless an agent is known to be in charge rather than a restart policy."""
    job, redis_address = environment.get("JOB_ID"), environment.get("MARO_REDIS")
    if not job or not redis_address:
        return SUCCESS_EXIT_CODE
    from maro.agent.job_store import agent_is_in_charge

    return NON_RESTART_EXIT_CODE if agent_is_in_charge(job, redis_address) else SUCCESS_EXIT_CODE


def leave_open_proxies() -> None:
    """Close every proxy that is open in this process; a proxy that can't be closed does not keep the others open."""
    from maro.communication.lifetime import open_proxies

    for proxy in open_proxies():
        try:
            proxy.leave()
        except Exception as error:
            report(f"{proxy!r} could not leave its group cleanly: {error!r}")


def _run(target: str, args: Sequence[str]) -> None:
    """Run `target` as the program of this process."""
    path = Path(target)
    if path.is_file() or path.suffix == ".py" or os.sep in target:
        _check_script(path)
        sys.argv = [target, *args]
        _search_first(path.resolve().parent)
        namespace = runpy.run_path(target, run_name="__main__")
    else:
        # As `python -m` does, the folder is entered by its name, so that a later chdir changes nothing.
        _search_first(Path.cwd())
        _check_module(target)
        sys.argv = [target, *args]
        namespace = runpy.run_module(target, run_name="__main__", alter_sys=True)
    _keep_as_main(namespace)


def _search_first(folder: Path) -> None:
    """Let imports look in the program's folder first; last where that is the folder with the deployed copy.

    Processes that the program starts look in the same order, and must not find a `maro` there that may be of another
    version.
    """
    try:
        deployed = maro_home().resolve() == folder.resolve()
    except FileNotFoundError:  # no home, so nothing is deployed
        deployed = False
    sys.path.insert(len(sys.path) if deployed else 0, str(folder))


def _keep_as_main(namespace: dict[str, Any]) -> None:
    """Leave the program's names in `__main__`, where its threads and exit hooks may yet pickle by them."""
    main = ModuleType("__main__")
    main.__dict__.update(namespace)
    sys.modules["__main__"] = main


def _check_script(path: Path) -> None:
    """Raise `UnusableTarget` unless `path` is a script, or a folder that holds one."""
    script = path / "__main__.py" if path.is_dir() else path
    try:
        with io.open_code(str(script.resolve())):
            pass
    except OSError as error:
        raise UnusableTarget(
            f"the script {str(script)!r} cannot be read: {error.strerror}. Name a Python file, or a module that can "
            "be imported from this folder"
        ) from error


def _check_module(name: str) -> None:
    """Raise `UnusableTarget` unless the module `name` can be found, and run if it is a package.

    Finding a module imports the packages around it: what their code raises is the program's own error.
    """
    try:
        # Relative names, and the module that runs already, are refused by the import system in ways of their own.
        nameable = "" not in name.split(".") and name != "__main__"
        spec = importlib.util.find_spec(name) if nameable else None
        package = spec is not None and spec.submodule_search_locations is not None
        if package and importlib.util.find_spec(f"{name}.__main__") is None:
            raise UnusableTarget(f"{name!r} is a package without a __main__ module; name a module inside it")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise UnusableTarget(
            f"there is no file and no module called {name!r}. Name a Python file, or a module that can be imported "
            f"from {Path.cwd()}"
        )


def _buffer_lines() -> None:
    """Make each line visible when it is written: logs are read while the component runs, and after it was killed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _print_traceback(error: BaseException, debug: bool) -> None:
    """Print the traceback as the interpreter would have, from the first frame of the program on."""
    frames = error.__traceback__
    while frames is not None and not debug and frames.tb_frame.f_code.co_filename in _MACHINERY:
        frames = frames.tb_next
    if frames is not None or isinstance(error, SyntaxError):
        error = error.with_traceback(frames)
    sys.excepthook(type(error), error, error.__traceback__)
