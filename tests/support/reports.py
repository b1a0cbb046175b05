"""What a workload's component reports as lines of JSON, over all its starts, read while it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from maro.testbed.launcher import LocalComponent, LocalGroup
from tests.support.waiting import eventually

WITHIN_S = 200.0
"""How long a test waits for a report; far above what it takes, for the machine may be busy."""

Report = dict[str, Any]


class Reports:
    """Follows a component that was added to its group with `piped=True` and runs with `--json`.

    Args:
        group: whose logs are told when a wait fails.
        component: running already.
    """

    def __init__(self, group: LocalGroup, component: LocalComponent) -> None:
        self.component = component
        self._group = group
        self._reports: list[Report] = []
        self._reader = self._follow()

    def __repr__(self) -> str:
        return f"Reports({self.component!r}, {len(self._reports)} reports)"

    @property
    def all(self) -> list[Report]:
        """The reports of all its starts so far."""
        return list(self._reports)

    @property
    def last(self) -> Report:
        """The latest report, empty before the first one."""
        return self._reports[-1] if self._reports else {}

    def until(self, predicate: Callable[[Report], Any]) -> Report:
        """Wait for a report for which something holds, also among those that came before."""
        seen = 0

        def look() -> Report | None:
            nonlocal seen
            reports = self._reports[seen:]
            seen += len(reports)
            return next((report for report in reports if predicate(report)), None)

        found = eventually(lambda: look() or not self._reader.is_alive(), WITHIN_S, self.logs)
        found = found if isinstance(found, dict) else look()
        assert found, f"{self.component.name} ended before\n{self.logs()}"
        return found

    def restart(self) -> None:
        """Kill the component, and start it again at once."""
        self.component.kill()
        self._reader.join()
        self._reports.append({"event": "killed by the test"})
        self.component.start()
        self._reader = self._follow()

    def exit_code(self) -> int:
        """Wait for the end of the reports, and of the process."""
        self._reader.join(WITHIN_S)
        return self.component.wait()

    def logs(self) -> str:
        """The last report, and the end of everybody's log."""
        parts = [f"last report of {self.component.name}: {self.last}"]
        return "\n".join(parts + [f"--- {one.name}\n{one.last_lines()}" for one in self._group.components.values()])

    def _follow(self) -> threading.Thread:
        output = self.component.process.stdout
        assert output is not None, "add the component with piped=True"

        def read() -> None:
            for line in output:
                if line.startswith("{"):  # the library shows its warnings there as well
                    self._reports.append(json.loads(line))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader
