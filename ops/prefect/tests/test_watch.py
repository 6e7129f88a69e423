"""The one place that reaches into Prefect: its shape is checked, and what it adds is right."""

from __future__ import annotations

import subprocess
import sys
import unittest
from types import SimpleNamespace

from host import watch

_INSTALL = "from host import watch; watch.install()"


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


class Install(unittest.TestCase):
    def test_this_prefect_has_the_shape_we_wrap(self) -> None:
        self.assertEqual(_python(_INSTALL).returncode, 0)

    def test_another_shape_is_refused_with_a_sentence(self) -> None:
        broken = "import prefect.task_engine as t; t.SyncTaskRunEngine.set_state = lambda self, state: state; "
        ended = _python(broken + _INSTALL)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("requirements.lock", ended.stderr)


class NameInPrefect(unittest.TestCase):
    running = SimpleNamespace(name="Running", is_running=lambda: True)

    def name(self, run_count: int, before: str) -> str:
        return watch.name_in_prefect(SimpleNamespace(run_count=run_count), SimpleNamespace(name=before), self.running)

    def test_is_the_one_the_server_gives(self) -> None:
        self.assertEqual(self.name(0, "Pending"), "Running")
        self.assertEqual(self.name(1, "AwaitingRetry"), "Retrying")
        self.assertEqual(self.name(1, "Pending"), "Rerunning")


if __name__ == "__main__":
    unittest.main()
