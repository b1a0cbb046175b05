"""Imports of the package point one way, each room keeps away from what is not its own, and importing does nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOCKETS = (
    "zmq",
    "redis",
    "fakeredis",
    "socket",
    "select",
    "selectors",
    "ssl",
    "socketserver",
    "http",
    "urllib.request",
)
THREADS = ("threading", "_thread", "multiprocessing", "concurrent", "asyncio", "subprocess", "signal")
CLOCKS = ("time", "datetime", "sched")


@dataclass(frozen=True)
class Room:
    """A part of the package: which modules it has, which other rooms it may import, what it never touches."""

    modules: tuple[str, ...]
    imports: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


COMMUNICATION = "maro.communication"

ROOMS = {
    "version": Room(("maro",)),
    "utils": Room(("maro.utils", "maro.utils.*"), ("version",), ("zmq", "redis", "fakeredis")),
    "message": Room(
        tuple(
            f"{COMMUNICATION}.{name}"
            for name in ("message", "receipts", "settings", "guard", "clock", "deadline", "lifetime")
        ),
        ("utils", "version"),
        SOCKETS,
    ),
    "codec": Room(
        tuple(f"{COMMUNICATION}.{name}" for name in ("packets", "codec")),
        ("utils", "message"),
        (*SOCKETS, *THREADS, *CLOCKS),
    ),
    "driver": Room(
        (f"{COMMUNICATION}.driver", f"{COMMUNICATION}.driver.*"), ("utils", "message", "codec"), ("redis", "fakeredis")
    ),
    "probes": Room(tuple(f"{COMMUNICATION}.{name}" for name in ("journal", "fail_points")), (), SOCKETS),
    "pure": Room(
        tuple(
            f"{COMMUNICATION}.{name}"
            for name in ("observations", "membership", "peers_name", "registration", "streams", "delivery", "sessions")
        ),
        ("utils", "message", "codec"),
        (*SOCKETS, *THREADS, *CLOCKS),
    ),
    "directory": Room(
        tuple(f"{COMMUNICATION}.{name}" for name in ("directory", "watching", "redis_store", "memory_store")),
        ("utils", "message", "pure"),
        ("zmq", "fakeredis"),
    ),
    "events": Room(
        tuple(f"{COMMUNICATION}.{name}" for name in ("event_*", "conditional_event", "peers_view", "registry_table")),
        ("utils", "message"),
        (*SOCKETS, *THREADS, *CLOCKS),
    ),
    "dist": Room((f"{COMMUNICATION}.dist_decorator",), ("utils", "message", "events"), SOCKETS),
    "proxy": Room(
        # The facade, and what stands right behind it.
        (
            COMMUNICATION,
            *(
                f"{COMMUNICATION}.{name}"
                for name in (
                    "proxy",
                    "admission",
                    "collecting",
                    "connections",
                    "exchange",
                    "flusher",
                    "inbound",
                    "joining",
                    "lanes",
                    "outbound",
                    "posting",
                    "probe",
                    "probed",
                    "receiving",
                    "requesting",
                )
            ),
        ),
        ("version", "utils", "message", "codec", "driver", "pure", "probes", "directory", "events", "dist"),
        ("zmq", "redis", "fakeredis"),
    ),
    "decisions": Room(
        tuple(f"maro.agent.{name}" for name in ("facts", "states", "component", "job_end", "decisions", "obituaries")),
        ("utils", "pure"),
        (*SOCKETS, *THREADS, *CLOCKS, "docker"),
    ),
    "agent": Room(
        (
            "maro.agent",
            *(
                f"maro.agent.{name}"
                for name in (
                    "agent",
                    "backlog",
                    "description",
                    "engine",
                    "event_reader",
                    "inline_files",
                    "job_store",
                    "overview",
                )
            ),
        ),
        ("version", "utils", "message", "pure", "directory", "proxy", "decisions"),
        ("zmq",),
    ),
    "testbed": Room(
        ("maro.testbed", "maro.testbed.*"),
        # Its public names only: what a user of the library could import as well.
        ("version", "utils", "message", "driver", "events", "dist", "proxy", "probes"),
    ),
    "cli": Room(
        ("maro.__main__", "maro.cli", "maro.cli.*"),
        ("version", "utils", "message", "proxy", "agent", "testbed"),
        ("zmq", "redis"),
    ),
}

ONLY_IN = {
    "zmq": (f"{COMMUNICATION}.driver.zmq_*",),
    "redis": (f"{COMMUNICATION}.redis_store", "maro.agent.job_store", "maro.testbed.runners.redis_commands"),
    "fakeredis": ("maro.testbed.*",),
}
"""Packages that belong to these modules alone."""


def module_files() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = {}
    for path in sorted((ROOT / "maro").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = module_files()


def room_of(module: str) -> str:
    """The room that a module is in."""
    rooms = [name for name, room in ROOMS.items() if any(fnmatchcase(module, pattern) for pattern in room.modules)]
    assert len(rooms) == 1, f"{module} is in the rooms {rooms}; give it one in ROOMS"
    return rooms[0]


def imports_of(module: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports when it runs, inside functions as well."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in running_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (around, node.module)))
            for alias in node.names:
                member = f"{source}.{alias.name}"
                yield node.lineno, member if member in MODULES else source
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args:
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`, which no interpreter ever runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from running_nodes(other)
            continue
        yield node
        yield from running_nodes(node)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_and_those_before_it(module: str) -> None:
    """Nothing imports from a room further right, or from one beside it."""
    # Given a module and its room
    room = room_of(module)
    allowed = {room, *ROOMS[room].imports}
    # When it imports from the package
    wrong = [
        f"line {line}: {name} is in the room {room_of(name)!r}"
        for line, name in imports_of(module)
        if name.partition(".")[0] == "maro" and room_of(name) not in allowed
    ]
    # Then only from where it may
    assert not wrong, f"{module} ({room!r}) may import from {sorted(allowed)} only: {wrong}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_keeps_away_from_what_is_not_its_own(module: str) -> None:
    """Sockets, threads and clocks stay in the rooms that own them; ZeroMQ and Redis in one place each."""
    # Given a module and its room
    never = ROOMS[room_of(module)].never
    # When it imports from elsewhere
    wrong = []
    for line, name in imports_of(module):
        package = name.partition(".")[0]
        elsewhere = package in ONLY_IN and not any(fnmatchcase(module, pattern) for pattern in ONLY_IN[package])
        if elsewhere or any(f"{name}.".startswith(f"{other}.") for other in never):
            wrong.append(f"line {line}: {name}")
    # Then never what belongs to another room
    assert not wrong, f"{module} must not import {wrong}"


def test_the_rooms_depend_on_each_other_in_one_direction() -> None:
    """The table of the rooms itself has no cycle: each imports only from rooms that stand above it."""
    # Given the rooms in their order
    order = list(ROOMS)
    for name, room in ROOMS.items():
        # When a room imports others, Then they stand before it
        assert all(order.index(other) < order.index(name) for other in room.imports), name


def test_the_walk_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this test would overlook, it could not forbid."""
    # Given a module that imports in every way there is
    path = tmp_path / "sample.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import zmq\nelse:\n    import json\n"
        "from maro.communication import message, Proxy\n"
        "from . import codec\nfrom .driver.abs_driver import AbsDriver\nfrom ..utils import logger\n"
        "def late():\n    import redis.client\n    importlib.import_module('socket')\n"
    )
    sample = "maro.communication.sample"
    targets = ("message", "codec", "driver.abs_driver")
    monkeypatch.setattr(
        sys.modules[__name__],
        "MODULES",
        {sample: path, "maro.utils.logger": path, **{f"{COMMUNICATION}.{name}": path for name in targets}},
    )
    # When it is walked
    names = [name for _, name in imports_of(sample)]
    # Then everything is found that would be imported, and nothing else
    assert names == [
        "typing",
        "json",
        f"{COMMUNICATION}.message",
        COMMUNICATION,
        f"{COMMUNICATION}.codec",
        f"{COMMUNICATION}.driver.abs_driver",
        "maro.utils.logger",
        "redis.client",
        "socket",
    ]


WATCHED_IMPORT = """
import importlib, json, logging, os, signal, sys, threading

seen = []
reads = []

def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        writes = args[1] is not None and set(args[1]) & set("wax+") or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not args[0].endswith((".pyc", "/dev/null")) and ".pyc." not in args[0]:
            seen.append(f"opened {args[0]} for writing")
    elif event in ("os.mkdir", "subprocess.Popen", "os.fork", "socket.bind", "socket.connect"):
        if not str(args[0]).endswith("__pycache__"):
            seen.append(f"{event} {args[0]}")

class Environment(type(os.environ)):
    def __getitem__(self, key):
        frame = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__") in ("os", "collections.abc", "_collections_abc"):
            frame = frame.f_back
        if frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "maro":
            reads.append(f"{frame.f_globals['__name__']} reads {key}")
        return super().__getitem__(key)

def state():
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "signals": [str(signal.getsignal(signum)) for signum in sorted(signal.valid_signals())],
        "handlers": [str(handler) for handler in logging.getLogger().handlers],
        "folder": sorted(os.listdir(".")),
        "home": sorted(os.listdir(os.path.expanduser("~"))),
    }

before = state()
os.environ.__class__ = Environment
sys.addaudithook(watch)
for module in sys.argv[1:]:
    importlib.import_module(module)
after = state()
changed = [f"{key}: {before[key]} became {after[key]}" for key in before if before[key] != after[key]]
print(json.dumps(seen + reads + changed))
"""


def run_python(program: str, *args: str, folder: Path) -> str:
    """Run a program in `folder`, which is its home too, and return what it printed."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_every_module_does_nothing(tmp_path: Path) -> None:
    """No file, folder, process, connection, thread, signal handler or log handler, and no look at the environment."""
    # Given a fresh interpreter with an empty home, When it imports everything
    found = json.loads(run_python(WATCHED_IMPORT, *MODULES, folder=tmp_path))
    # Then nothing has happened
    assert found == []


def test_the_watched_import_would_notice(tmp_path: Path) -> None:
    """The test above can fail: a module that does all of it is caught at all of it."""
    # Given a module of that name with every side effect
    (tmp_path / "maro_bad.py").write_text(
        "import logging, os, signal, threading\n"
        "__name__ = 'maro.bad'\n"
        "os.environ.get('JOB_ID')\n"
        "open('left', 'w').close()\nos.mkdir('folder')\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "threading.Thread(target=threading.Event().wait, name='stray', daemon=True).start()\n"
        "logging.basicConfig()\n"
    )
    # When it is imported
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WATCHED_IMPORT}"
    found = " ".join(json.loads(run_python(program, "maro_bad", folder=tmp_path)))
    # Then each is named
    for trace in ("opened left", "os.mkdir folder", "reads JOB_ID", "threads", "signals", "handlers", "folder"):
        assert trace in found


HEAVY = ("redis", "numpy", "gymnasium", "fakeredis", "rich", "psutil", "click", "asyncio")


def test_importing_the_library_leaves_heavy_modules_for_later(tmp_path: Path) -> None:
    """They are imported when first needed: `redis` with the first Proxy, the others by what uses them."""
    # Given a fresh interpreter, When it imports the library
    program = "import json, sys; import maro.communication; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(run_python(program, folder=tmp_path)))
    # Then only what every component needs is there
    assert sorted(loaded.intersection(HEAVY)) == []
