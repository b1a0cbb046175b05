"""The README's example runs as it stands."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.support.programs import ROOT, started
from tests.support.redis_servers import start_redis


def test_the_example_squares_numbers(tmp_path: Path) -> None:
    """Given a Redis, when a learner and two actors of the README start, the learner prints both squares."""
    [code] = re.findall(r"```python\n(import sys\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = tmp_path / "squares.py"
    with start_redis() as redis, ExitStack() as stack:
        # Only the address is changed: the port that the README means may be taken.
        program.write_text(re.sub(r"(Proxy\(.*?\})\)", rf"\1, redis_address={redis.address!r})", code))
        components = [
            stack.enter_context(started([sys.executable, program, role], tmp_path))
            for role in ("learner", "actor", "actor")
        ]
        assert [component.exit_code(60) for component in components] == [0, 0, 0], components[0].output()
        assert sorted(re.findall(r"says (\d+)", components[0].stdout)) == ["16", "9"]
