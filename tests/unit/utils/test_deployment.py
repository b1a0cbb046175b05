"""Deploying the packaged files to the home folder: as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maro.utils import check_deployment_status, deploy
from maro.utils.deployment import Deployment, packaged_files, packaged_origins
from maro.utils.exception.cli_exception import DeploymentError

_MOVES = 8
"""A redeployment of two trees, a file and the version file moves so many: each old one away and each new one in."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two trees and a file, as they would be deployed."""
    source = tmp_path / "source"
    _write(source / "docker" / "redis.conf", "one")
    _write(source / "docker" / "nested" / "entry", "#!/bin/sh")
    (source / "docker" / "nested" / "entry").chmod(0o555)
    _write(source / "docker" / "__pycache__" / "x.pyc", "bytecode")
    _write(source / "compose" / "rollout.yaml", "one")
    _write(source / ".dockerignore", "one")
    return source


def _deployment(source: Path, home: Path, version: str) -> Deployment:
    return Deployment({path.name: path for path in sorted(source.iterdir())}, home, version)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _tree(folder: Path) -> dict[str, str]:
    """The files below a folder with their content; the lock, which is empty and always there, left out."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_the_packages_own_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given an empty home, when the package is deployed, then its files are there and no deployment is needed."""
    assert check_deployment_status() is True

    deploy()

    assert check_deployment_status() is False
    assert "maxmemory-policy noeviction" in (home / ".maro" / "docker" / "redis.conf").read_text(encoding="utf-8")
    assert capsys.readouterr() == ("", "")


def test_hide_info_is_about_printing_only(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given hide_info=False, when deploying works and when it fails, then both are told; the failure is raised too."""
    deploy(hide_info=False)
    assert str(home / ".maro" / "docker") in capsys.readouterr().out

    _replace_by_file(home / ".maro")
    with pytest.raises(DeploymentError):
        deploy(hide_info=False)
    assert str(home / ".maro") in capsys.readouterr().err
    with pytest.raises(DeploymentError):
        deploy()
    assert capsys.readouterr() == ("", "")


def _replace_by_file(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.write_text("a file where a folder should be", encoding="utf-8")


def test_what_is_copied(source: Path, home: Path) -> None:
    """Given trees, when deployed, then files, nesting and run bits are there, bytecode is not, logs are left alone."""
    _write(home / "log" / "maro_internal.log", "a line")

    deployed = _deployment(source, home, "1.0").run()

    assert deployed == [home / ".dockerignore", home / "compose", home / "docker"]
    tree = _tree(home)
    assert json.loads(tree.pop("version.json"))["version"] == "1.0"
    assert tree == {
        "log/maro_internal.log": "a line",
        "docker/redis.conf": "one",
        "docker/nested/entry": "#!/bin/sh",
        "compose/rollout.yaml": "one",
        ".dockerignore": "one",
    }
    assert (home / "docker" / "nested" / "entry").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in home.iterdir()) == [
        ".deploying.lock",
        ".dockerignore",
        "compose",
        "docker",
        "log",
        "version.json",
    ]


def test_when_it_is_needed(source: Path, home: Path) -> None:
    """Given a deployment, when version, content or files change, then another is needed; for users' edits it is not."""
    deployment = _deployment(source, home, "1.0")
    assert deployment.is_needed() is True
    assert deployment.deployed_version() is None
    deployment.run()
    assert deployment.is_needed() is False

    _write(home / "compose" / "rollout.yaml", "edited by the user")
    _write(home / "compose" / "mine.yaml", "the user's own")
    assert deployment.is_needed() is False
    assert _deployment(source, home, "1.1").is_needed() is True
    assert _deployment(source, home, "1.1").deployed_version() == "1.0"
    (home / "docker" / "redis.conf").unlink()
    assert deployment.is_needed() is True
    deployment.run()
    assert deployment.is_needed() is False
    _write(source / "docker" / "redis.conf", "two")
    assert deployment.is_needed() is True
    deployment.run()
    (home / "version.json").write_text("not JSON", encoding="utf-8")
    assert deployment.is_needed() is True


def test_redeploying_replaces_the_whole(source: Path, home: Path) -> None:
    """Given an older copy, when a newer one is deployed, then files that are no longer packaged are gone."""
    _deployment(source, home, "1.0").run()
    (source / "docker" / "nested" / "entry").unlink()
    _write(source / "docker" / "redis.conf", "two")

    _deployment(source, home, "2.0").run()

    tree = _tree(home)
    assert "docker/nested/entry" not in tree
    assert tree["docker/redis.conf"] == "two"


@pytest.mark.parametrize("step", range(_MOVES))
def test_a_failure_at_any_step_leaves_the_older_copy(
    step: int, source: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an older copy, when moving the n-th thing fails, then every file is as before and the error says why."""
    _deployment(source, home, "1.0").run()
    before = _tree(home)
    _write(source / "docker" / "redis.conf", "two")
    rename, calls = Path.rename, iter(range(100))

    def fail(self: Path, target: Path) -> Path:
        if next(calls) == step:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(DeploymentError, match=r"No space left.*unchanged") as caught:
        _deployment(source, home, "2.0").run()

    assert isinstance(caught.value.__cause__, OSError)
    assert _tree(home) == before
    assert not (home / ".deploying").exists()
    _deployment(source, home, "2.0").run()
    assert _tree(home)["docker/redis.conf"] == "two"


def test_a_source_that_can_not_be_copied(source: Path, home: Path) -> None:
    """Given a tree with a link to nowhere, when deployed, then the older copy is untouched and the error names it."""
    _deployment(source, home, "1.0").run()
    before = _tree(home)
    (source / "compose" / "dangling").symlink_to("nowhere")

    with pytest.raises(DeploymentError, match="dangling"):
        _deployment(source, home, "2.0").run()

    assert _tree(home) == before
    assert not (home / ".deploying").exists()


_KILLED = """
import os, sys
from pathlib import Path
from maro.utils.deployment import Deployment
rename, calls = Path.rename, iter(range(100))
def killed(self, target):
    if next(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.rename = killed
Deployment({path.name: path for path in sorted(Path(sys.argv[1]).iterdir())}, Path(sys.argv[2]), "2.0").run()
"""


@pytest.mark.parametrize("step", range(_MOVES))
def test_a_killed_deployment_is_made_good(step: int, source: Path, home: Path) -> None:
    """Given a deployment that was killed at any step, when asked, then one is needed; it works, and clears up."""
    _deployment(source, home, "1.0").run()
    _write(source / "docker" / "redis.conf", "two")

    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(source), str(home), str(step)], env=_environment(), timeout=60, check=False
    )

    assert ended.returncode == -9
    deployment = _deployment(source, home, "2.0")
    assert deployment.is_needed() is True
    deployment.run()
    assert deployment.is_needed() is False
    assert _tree(home)["docker/redis.conf"] == "two"
    assert not (home / ".deploying").exists()


def test_what_a_killed_deployment_took_away_comes_back_even_if_the_next_fails(source: Path, home: Path) -> None:
    """Given a deployment killed between taking away and replacing, when the next one fails, then the old is back."""
    _deployment(source, home, "1.0").run()
    before = _tree(home)
    (home / ".deploying" / "old").mkdir(parents=True)
    (home / "docker").rename(home / ".deploying" / "old" / "docker")
    (source / "compose" / "dangling").symlink_to("nowhere")

    with pytest.raises(DeploymentError):
        _deployment(source, home, "2.0").run()

    assert _tree(home) == before


_DEPLOY_OFTEN = """
import sys
from pathlib import Path
from maro.utils.deployment import Deployment
for _ in range(20):
    Deployment({path.name: path for path in sorted(Path(sys.argv[1]).iterdir())}, Path(sys.argv[2]), "1.0").run()
"""


def test_two_at_once(source: Path, home: Path) -> None:
    """Given two processes that deploy over and over, when both are done, then neither failed and the copy is whole."""
    command = [sys.executable, "-c", _DEPLOY_OFTEN, str(source), str(home)]
    both = [subprocess.Popen(command, env=_environment()) for _ in range(2)]

    assert [process.wait(60) for process in both] == [0, 0]
    assert _deployment(source, home, "1.0").is_needed() is False
    assert not (home / ".deploying").exists()


def test_where_the_files_are(tmp_path: Path) -> None:
    """Given an installation, a checkout, or neither, when the files are looked for, then only the right ones are taken.

    Beside an installed package there may be a package called `docker`, which is none of ours.
    """
    package = tmp_path / "site-packages" / "maro"
    package.mkdir(parents=True)
    _write(package.parent / "docker" / "__init__.py", "another project's")

    with pytest.raises(FileNotFoundError, match="install"):
        packaged_files(package)
    _write(package.parent / "pyproject.toml", "")
    assert packaged_files(package) == package.parent
    (package / "_packaged").mkdir()
    assert packaged_files(package) == package / "_packaged"


def test_an_installation_deploys_what_it_has_and_its_source(tmp_path: Path, home: Path) -> None:
    """Given an installed package without topologies, when deployed, then its source is too, as a checkout has it.

    So without bytecode, and without what the package carries for deploying, which is deployed beside it.
    """
    package = tmp_path / "site-packages" / "maro"
    _write(package / "__init__.py", "source")
    _write(package / "cli" / "main.py", "source")
    _write(package / "cli" / "__pycache__" / "main.pyc", "bytecode")
    _write(package / "_packaged" / "docker" / "Dockerfile", "image")
    _write(package / "_packaged" / "pyproject.toml", "project")
    _write(package / "_packaged" / "unknown", "not ours to deploy")
    _write(package.parent / "README.md", "another project's")
    deployment = Deployment(packaged_origins(package), home, "1.0")

    assert deployment.run() == [home / "docker", home / "pyproject.toml", home / "maro"]

    tree = _tree(home)
    del tree["version.json"]
    assert tree == {
        "docker/Dockerfile": "image",
        "pyproject.toml": "project",
        "maro/__init__.py": "source",
        "maro/cli/main.py": "source",
    }
    assert deployment.is_needed() is False
    _write(package / "cli" / "__pycache__" / "other.pyc", "bytecode")
    assert deployment.is_needed() is False
    _write(package / "cli" / "main.py", "changed")
    assert deployment.is_needed() is True


def test_a_change_while_it_is_copied_counts_as_not_deployed(
    source: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a checkout that is edited meanwhile, when it was deployed, then a deployment is needed again."""
    deployment = _deployment(source, home, "1.0")
    copytree = shutil.copytree

    def copy_and_edit(*args: Any, **options: Any) -> None:
        copytree(*args, **options)
        if Path(args[0]) == source / "docker":
            _write(source / "docker" / "redis.conf", "two")

    monkeypatch.setattr(shutil, "copytree", copy_and_edit)
    deployment.run()

    assert _tree(home)["docker/redis.conf"] == "one"
    assert deployment.is_needed() is True


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a HOME that is no absolute path, when deployed, then DeploymentError says to set it."""
    monkeypatch.setenv("HOME", "~")

    with pytest.raises(DeploymentError, match="HOME"):
        deploy()
    with pytest.raises(DeploymentError, match="HOME"):
        check_deployment_status()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
