"""The one place that reaches into Prefect: its shape is checked, and what it adds is right."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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

    def test_a_client_of_another_shape_is_refused_too(self) -> None:
        broken = "import prefect.client.orchestration as o; o.SyncPrefectClient.update_flow_run = lambda self: None; "
        ended = _python(broken + _INSTALL)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("SyncPrefectClient.update_flow_run(flow_run_id)", ended.stderr)


class NameInPrefect(unittest.TestCase):
    running = SimpleNamespace(name="Running", is_running=lambda: True)

    def name(self, run_count: int, before: str) -> str:
        return watch.name_in_prefect(SimpleNamespace(run_count=run_count), SimpleNamespace(name=before), self.running)

    def test_is_the_one_the_server_gives(self) -> None:
        self.assertEqual(self.name(0, "Pending"), "Running")
        self.assertEqual(self.name(1, "AwaitingRetry"), "Retrying")
        self.assertEqual(self.name(1, "Pending"), "Rerunning")


def _watched(flow_run_id: str = "f1", *, first_run: bool = True) -> watch.Watched:
    return watch.Watched(flow_run_id, Path("/nowhere"), lambda frame: None, first_run=first_run)


class Updates(unittest.TestCase):
    """What the engine says of a flow run before its first state is said after it."""

    def setUp(self) -> None:
        self.calls: list[Any] = []
        self.update = watch._wrap_update(lambda client, flow_run_id, **more: self.calls.append((flow_run_id, more)))

    def test_wait_for_the_first_state_and_are_made_once(self) -> None:
        watched = _watched()
        with watch.watching(watched):
            self.assertIsNone(self.update(None, "f1", flow_version="2"))
            self.assertEqual(self.calls, [])
            put_off = watched.take_update()
            assert put_off is not None
            put_off()
            self.assertIsNone(watched.take_update())
            self.update(None, "f1", name="later")
        self.assertEqual(self.calls, [("f1", {"flow_version": "2"}), ("f1", {"name": "later"})])

    def test_of_other_flow_runs_are_made_at_once(self) -> None:
        with watch.watching(_watched()):
            self.update(None, "f2", flow_version="2")
        self.update(None, "f1", flow_version="2")
        self.assertEqual([flow_run_id for flow_run_id, _ in self.calls], ["f2", "f1"])


class FirstRunning(unittest.TestCase):
    """W5, and what it must not be mistaken for."""

    def propose(self, watched: watch.Watched, name: str, status: str = "ACCEPT") -> Any:
        state = SimpleNamespace(name=name, is_running=lambda: True)
        answer = SimpleNamespace(status=SimpleNamespace(value=status), state=state)
        with watch.watching(watched):
            return watch._wrap_propose(lambda client, flow_run_id, state: answer)(None, "f1", None)

    def test_of_a_flow_run_that_ran_elsewhere_is_refused(self) -> None:
        for name in ("Rerunning", "Retrying"):
            with self.subTest(name=name), self.assertRaisesRegex(RuntimeError, "another host ran"):
                self.propose(_watched(), name)

    def test_of_one_that_never_ran_goes_on(self) -> None:
        self.assertEqual(self.propose(_watched(), "Running").state.name, "Running")

    def test_of_one_that_ran_before_as_the_host_knows_goes_on(self) -> None:
        self.propose(_watched(first_run=False), "Rerunning")

    def test_proposed_again_after_a_lost_answer_goes_on(self) -> None:
        watched = _watched()

        def lost(client: Any, flow_run_id: str, state: Any) -> Any:
            raise OSError("the answer got lost")

        with watch.watching(watched), self.assertRaises(OSError):
            watch._wrap_propose(lost)(None, "f1", None)
        self.propose(watched, "Rerunning")


if __name__ == "__main__":
    unittest.main()
