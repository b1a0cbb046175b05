"""What a run in containers adds to its compose file, as Compose itself reads it."""

from __future__ import annotations

import json
from pathlib import Path

from maro.testbed.compose_file import find_topology, read_compose_file
from maro.testbed.runners.compose import overlay_of
from tests.support.compose_config import compose_config


def test_the_overlay_adds_to_every_component_and_changes_nothing_else(tmp_path: Path) -> None:
    """Journals, a first process, labels; Redis only gets the labels."""
    # Given the overlay of a run, in whose environment a dollar sign stands
    file = find_topology("pipeline")
    content = overlay_of(read_compose_file(file, environment={}), tmp_path, "r1", "1/2/$x/3", {"MORE": "a$b ${C}"})
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(json.dumps(content))
    # When Compose reads both
    before = compose_config(file)["services"]
    after = compose_config(file, overlay)["services"]
    # Then each service has the labels, and each component the rest
    assert set(after) == set(before)
    for name, service in after.items():
        labels = service.pop("labels")
        assert labels == {**before[name].pop("labels"), "maro.run": "r1", "maro.run.owner": "1/2/$x/3"}
        if name != "redis":
            environment = service.pop("environment")
            assert environment == {
                **before[name].pop("environment"),
                "MORE": "a$b ${C}",
                "MARO_JOURNAL": "/maro-journals",
                "MARO_FAIL_POINT_FILE": "/tmp/maro-fail-points",
            }
            (mount,) = service.pop("volumes")
            assert (mount["type"], mount["source"]) == ("bind", str(tmp_path / "journals"))
            assert mount["target"] == "/maro-journals"
        assert service == before[name]
