"""How Compose itself reads a compose file, to compare with how we do. Needs its command, and no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_CLIENT = {
    name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ
}  # taken before the tests get a home of their own: Compose is found in that of the user


def compose_config(
    *files: Path, environment: Mapping[str, str] | None = None, arguments: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What `docker compose config` prints, its dollar signs plain; skips where there is no Compose.

    Raises:
        ValueError: Compose refuses the files; the text has its words.
    """
    if shutil.which("docker") is None or _run(["version"], {}).returncode:
        pytest.skip("there is no `docker compose`: see https://docs.docker.com/compose/install/")
    named = [argument for file in files for argument in ("--file", str(file))]
    done = _run([*arguments, *named, "config", "--format", "json"], environment or {})
    if done.returncode:
        raise ValueError(done.stderr)
    config: dict[str, Any] = json.loads(done.stdout.replace("$$", "$"))
    return config


def _run(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", *arguments],
        env={**_CLIENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
