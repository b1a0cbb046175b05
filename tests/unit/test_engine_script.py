"""The engine's script, as far as it can be tried without an engine: refusals, choices, locks, and what it leaves."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
NO_ENGINE = "unix:///nobody/listens/here.sock"
SOURCED = ". scripts/lib/setup.sh; . scripts/lib/engine.sh; "
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernel: an engine is started on Linux only")

# Stands in for the client of an engine on a laptop: images are files, and a registry may be out of reach.
LAPTOP = """#!/bin/sh
echo "$*" >>"$STAND_IN/calls"
case "$1 $2" in
"image inspect") for image; do :; done; [ -e "$STAND_IN/images/$image" ] ;;
"pull --quiet") [ -z "$STAND_IN_OFFLINE" ] && : >"$STAND_IN/images/$3" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that nothing was ever set up in."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def environment(checkout: Path, **variables: str) -> dict[str, str]:
    """One in which nothing answers for an engine, and all state is beside the checkout."""
    places = {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "DOCKER_CONFIG": "docker"}
    private = {name: str(checkout.parent / place) for name, place in places.items()}
    ours = ("MARO_", "REDIS_IMAGE", "DOCKER_", "TESTCONTAINERS_")
    others = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**others, **private, "DOCKER_HOST": NO_ENGINE, **variables}


def run(checkout: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout, without a terminal."""
    return subprocess.run(
        command,
        cwd=checkout,
        env=environment(checkout, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_shell(checkout: Path, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell that has the engine's functions."""
    return run(checkout, "bash", "-c", SOURCED + commands, **variables)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_sets_nothing_up(checkout: Path, arguments: tuple[str, ...]) -> None:
    """Help is given at once in a fresh checkout, and is what one gets for no command at all."""
    # Given a fresh checkout, When help is asked for
    done = run(checkout, "scripts/engine", *arguments)
    # Then it is given, and nothing was made
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: scripts/engine start | status")
    assert sorted(path.name for path in checkout.parent.iterdir()) == ["checkout"]


@pytest.mark.parametrize(
    "arguments", [("strat",), ("start", "now"), ("clean", "--image"), ("clean", "--images", "all"), ("status", "-v")]
)
def test_what_it_does_not_know_is_refused(checkout: Path, arguments: tuple[str, ...]) -> None:
    """A mistyped `clean --images` must not look like one that was carried out."""
    # Given a checkout, When a command or an option is mistyped, Then that is said
    done = run(checkout, "scripts/engine", *arguments)
    assert done.returncode == 1
    assert "error: scripts/engine" in done.stderr


def test_a_folder_for_another_engine_has_to_be_absolute(checkout: Path) -> None:
    """The folder becomes the address of a socket, for which only an absolute path will do."""
    # Given a relative folder, When anything is asked, Then that is refused
    done = run(checkout, "scripts/engine", "status", MARO_ENGINE_ROOT="here")
    assert done.returncode == 1
    assert "MARO_ENGINE_ROOT=here has to start with /" in done.stderr


def test_an_engine_that_the_user_names_is_not_replaced(checkout: Path) -> None:
    """Where DOCKER_HOST names an engine and none answers, that is said in one line; nothing is started instead."""
    # Given an engine that doesn't answer, When it is to be made ready
    done = run(checkout, "scripts/engine", "start")
    # Then callers can tell by the code that they have to go on without, and the user knows why
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"no Docker engine answers at {NO_ENGINE}: start it, or see what DOCKER_HOST and 'docker context ls' say"
    ]
    assert not (checkout / ".venv").exists()


def test_who_is_not_root_is_told_what_to_install(checkout: Path) -> None:
    """Without an engine, and without the right to start one, one line says what to do."""
    # Given nobody's engine at the usual place, and a user who is not root, When an engine is wanted
    stand_ins = "id() { echo 1000; }; engine_answers() { return 1; }; docker() { return 1; }; "
    done = in_shell(checkout, stand_ins + "engine_start", DOCKER_HOST="unix:///var/run/docker.sock")
    # Then the one line names the place to read on
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("no Docker engine answers here: start yours, or install one, see https://docs.docker.com/")


def test_without_an_engine_there_is_nothing_to_clean_or_stop(checkout: Path) -> None:
    """Clean-up of nothing is no failure, so that it can always be called."""
    # Given no engine, When cleaning up and stopping, Then both say so and end well; status tells that nothing is there
    for command, code in ((["clean"], 0), (["clean", "--images"], 0), (["stop"], 0), (["status"], 3)):
        assert run(checkout, "scripts/engine", *command).returncode == code, command


def test_the_environment_can_be_evaluated(checkout: Path) -> None:
    """What `env` prints is for a shell, so it must survive one, whatever a variable holds."""
    # Given images of the user's choice, one of which tries to be a command
    odd = "odd $(touch hacked)'\";name"
    # When a shell evaluates what is printed
    shown = 'eval "$(scripts/engine env)"; printf "%s\\n" "$MARO_BASE_IMAGE" "$REDIS_IMAGE" "$DOCKER_HOST"'
    done = run(checkout, "bash", "-c", f"{shown}; env", MARO_BASE_IMAGE=odd)
    # Then the user's choice is kept as it is, and the rest are the public defaults
    assert done.stdout.splitlines()[:3] == [odd, "redis:8-alpine", NO_ENGINE]
    for expected in ("MARO_IMAGE=maro:latest", "MARO_NET_IMAGE=maro-netfault:latest"):
        assert expected in done.stdout.splitlines()
    assert "TESTCONTAINERS_RYUK_DISABLED=true" in done.stdout.splitlines()
    assert not (checkout / "hacked").exists()


def laptop(checkout: Path) -> dict[str, str]:
    """The variables that put the stand-in for a laptop's client first."""
    folder = checkout.parent / "laptop"
    (folder / "images").mkdir(parents=True)
    client = folder / "docker"
    client.write_text(LAPTOP)
    client.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "STAND_IN": str(folder), "STAND_IN_OFFLINE": ""}


def calls(checkout: Path, prefix: str) -> list[str]:
    """What the stand-in was asked, as far as it starts so."""
    lines = (checkout.parent / "laptop" / "calls").read_text().splitlines()
    return [line for line in lines if line.startswith(prefix)]


def test_public_images_are_pulled_once(checkout: Path) -> None:
    """A laptop that reaches a registry gets the public images, and nothing is built in their stead."""
    variables = laptop(checkout)
    # Given an engine without images, When the base images are made ready twice
    for _ in range(2):
        done = in_shell(checkout, "local_base_up() { exit 9; }; base_images_up; engine_env", **variables)
        assert done.returncode == 0, done.stderr
    # Then each was pulled once, and is what is to be used
    assert calls(checkout, "pull") == ["pull --quiet python:3.13-slim", "pull --quiet redis:8-alpine"]
    assert "export MARO_BASE_IMAGE=python:3.13-slim" in done.stdout.splitlines()
    assert "export REDIS_IMAGE=redis:8-alpine" in done.stdout.splitlines()


def test_the_local_base_serves_where_nothing_can_be_pulled(checkout: Path) -> None:
    """One pull that fails is enough to know that there is no registry; one local image then serves for everything."""
    variables = {**laptop(checkout), "STAND_IN_OFFLINE": "yes"}
    build = 'local_base_up() { : >"$STAND_IN/images/$LOCAL_BASE"; }; '
    # Given no registry, When the images are made ready
    done = in_shell(checkout, build + "base_images_up; net_image_up; engine_env", **variables)
    # Then the local one is to be used for all three, after a single pull
    assert done.returncode == 0, done.stderr
    assert calls(checkout, "pull") == ["pull --quiet python:3.13-slim"]
    for variable in ("MARO_BASE_IMAGE", "REDIS_IMAGE", "MARO_NET_IMAGE"):
        assert f"export {variable}=maro-local-base:trixie" in done.stdout.splitlines()


def test_an_image_that_the_user_names_is_not_replaced(checkout: Path) -> None:
    """A choice of the user that can't be had is an error, not a reason for another choice."""
    variables = {**laptop(checkout), "STAND_IN_OFFLINE": "yes"}
    # Given an image that is nowhere, When it is to be used
    done = in_shell(
        checkout, "local_base_up() { exit 9; }; base_images_up", **variables, MARO_BASE_IMAGE="mine:1", REDIS_IMAGE="r"
    )
    # Then that is said
    assert done.returncode == 3
    assert "MARO_BASE_IMAGE names mine:1, which is not there and can't be pulled" in done.stderr


def test_what_of_pips_settings_holds_in_a_container(checkout: Path) -> None:
    """Addresses are taken over, the environment's last word counts, and folders of the host are left behind."""
    # Given settings as pip lists them
    listing = r"""global.cert='/etc/host.crt'
global.extra-index-url='file:///srv/wheels\nhttps://one.example/simple\nhttps://two.example/simple'
global.find-links='/srv/wheels'
global.index-url='https://old.example/simple'
global.user='0'
:env:.default-timeout='90'
:env:.index-url='https://new.example/simple?a=b'
:env:.proxy='./socket'
"""
    # When they are turned into those of an image
    done = in_shell(checkout, f"pip_settings <<<{shlex.quote(listing.rstrip())}")
    # Then only what can be reached from there is left
    assert done.stdout.splitlines() == [
        "[global]",
        "cert = /etc/ssl/certs/ca-certificates.crt",
        "extra-index-url = https://one.example/simple https://two.example/simple",
        "index-url = https://new.example/simple?a=b",
        "timeout = 90",
    ]


BOOTSTRAP = 'id() { echo 0; }; has_debootstrap() { :; }; run_debootstrap() { mkdir -p "$1/usr/bin"; %s; }; '
ARCHIVE = '"$ENGINE_CACHE/rootfs-test.tar"'


@LINUX
def test_a_root_file_system_is_kept_once_it_is_whole(checkout: Path) -> None:
    """What is built is cached as one archive, without what no container needs."""
    # Given a tree as packages leave it, When it is made into an archive
    tree = 'mkdir -p "$1/usr/share/doc/x" "$1/usr/lib/python3.13"; : >"$1/usr/lib/python3.13/EXTERNALLY-MANAGED"'
    done = in_shell(checkout, BOOTSTRAP % tree + f"engine_locked bootstrap_rootfs {ARCHIVE}")
    # Then that is all there is, and `python` can be called in it
    assert done.returncode == 0, done.stderr
    cache = checkout.parent / "cache" / "maro"
    assert sorted(path.name for path in cache.iterdir()) == ["lock", "rootfs-test.tar", "rootfs.log"]
    with tarfile.open(cache / "rootfs-test.tar") as archive:
        names = archive.getnames()
    assert "./usr/bin/python" in names
    assert not any("doc/x" in name or "EXTERNALLY" in name for name in names)


@LINUX
@pytest.mark.parametrize("trouble", ["echo no such mirror; false", "kill -INT $BASHPID", "kill -KILL $BASHPID"])
def test_half_a_root_file_system_is_not_kept(checkout: Path, trouble: str) -> None:
    """A build that fails or is interrupted leaves nothing that the next one could take for whole."""
    # Given a build that comes to grief half way
    done = in_shell(checkout, BOOTSTRAP % trouble + f"engine_locked bootstrap_rootfs {ARCHIVE}")
    assert done.returncode != 0
    cache = checkout.parent / "cache" / "maro"
    assert not (cache / "rootfs-test.tar").exists()
    # When the next one goes well, Then nothing is left of the first
    assert in_shell(checkout, BOOTSTRAP % ":" + f"engine_locked bootstrap_rootfs {ARCHIVE}").returncode == 0
    assert sorted(path.name for path in cache.iterdir()) == ["lock", "rootfs-test.tar", "rootfs.log"]


def test_who_may_not_build_a_base_is_told_what_to_do(checkout: Path) -> None:
    """With an engine but no registry, building a base takes rights that not everybody has."""
    # Given a user who is not root, When a base has to be built
    done = in_shell(checkout, f"id() {{ echo 1000; }}; bootstrap_rootfs {ARCHIVE}")
    # Then callers can tell by the code, and the user is told of the ways out
    assert done.returncode == 3
    assert "name images that are there in MARO_BASE_IMAGE and REDIS_IMAGE" in done.stderr


@pytest.mark.parametrize(("users", "used"), [("", False), ("keep", True), ("$PPID", True), ("99999999", False)])
def test_an_engine_is_stopped_only_when_nobody_uses_it(checkout: Path, users: str, used: bool) -> None:
    """An engine is in use while a shell that registered lives, or since it was started by name."""
    # Given who has registered, When this shell leaves, Then it is known whether the engine is still needed
    others = f'mkdir -p "$ENGINE_STATE/users"; for user in {users}; do : >"$ENGINE_STATE/users/$user"; done; '
    leave = 'engine_register; engine_has_users && rm "$ENGINE_STATE/users/$$" && engine_has_users'
    assert (in_shell(checkout, others + leave).returncode == 0) is used


@pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock, and the script goes on without")
def test_two_scripts_take_turns(checkout: Path) -> None:
    """Two that start at once must not both start an engine, or both build an image."""
    mark = checkout.parent / "mark"
    # Given a script that is at it
    with subprocess.Popen(
        ["bash", "-c", SOURCED + f"work() {{ : >{mark}; read -r _; }}; engine_locked work"],
        cwd=checkout,
        env=environment(checkout),
        stdin=subprocess.PIPE,
    ) as first:
        eventually(mark.exists, 20, "the first script at work")
        # When another one starts
        with subprocess.Popen(
            ["bash", "-c", SOURCED + "engine_locked echo done"],
            cwd=checkout,
            env=environment(checkout),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stdout is not None and second.stderr is not None
            # Then it says what it waits for, and goes on when the first one has ended
            assert second.stderr.readline() == "waiting for another script that sees to the engine\n"
            assert second.poll() is None
            first.communicate(b"\n")
            assert second.stdout.read() == "done\n"
            assert second.wait(20) == 0


@LINUX
def test_the_dead_and_others_are_not_taken_for_an_engine(checkout: Path) -> None:
    """A pid file whose process is gone, is a zombie, or is another program by now, names no engine."""
    # Given a process that has ended and was not waited for
    with subprocess.Popen(["true"]) as zombie:
        stat = Path(f"/proc/{zombie.pid}/stat")
        eventually(lambda: ") Z " in stat.read_text(), 20, "a zombie")
        # When asked whether such as these live under a name, Then only the right one does
        for pid, name, alive in (("$$", "bash", 0), ("$$", "dockerd", 1), (str(zombie.pid), "true", 1), ("", "", 1)):
            assert in_shell(checkout, f'is_live "{pid}" {name or "dockerd"}').returncode == alive
        # And pid files of such are taken away
        folder = checkout.parent / "second"
        files = [folder / "docker.pid", folder / "exec" / "containerd" / "containerd.pid"]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(zombie.pid))
        done = in_shell(checkout, "clear_pid_files", MARO_ENGINE_ROOT=str(folder))
        assert done.returncode == 0, done.stderr
        assert not any(file.exists() for file in files)


@LINUX
def test_an_engine_holds_nothing_of_its_starter(checkout: Path) -> None:
    """An engine that kept a pipe of the script open would make whoever reads that pipe wait for ever."""
    # Given a program in the engine's place that stays
    folder = checkout.parent / "programs"
    folder.mkdir()
    (folder / "dockerd").write_text("#!/bin/sh\nexec sleep 120\n")
    (folder / "dockerd").chmod(0o755)
    # When it is started under the lock, by a script with pipes, Then the script ends all the same
    done = in_shell(
        checkout, "engine_locked launch_dockerd 7>&1", PATH=f"{folder}:{os.environ['PATH']}", DOCKER_HOST=""
    )
    assert done.returncode == 0, done.stderr
    state = checkout.parent / "state" / "maro" / "engine"
    pid = int((state / "pid").read_text())
    try:
        # And the engine has a session of its own, its log, and nothing else
        eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", 20, "the program in the engine's place")
        assert os.getsid(pid) == pid
        streams = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        assert streams == {"/dev/null", str(state / "log")}
    finally:
        os.kill(pid, signal.SIGKILL)
