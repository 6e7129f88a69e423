"""Settings, result files and the frames between host and pool processes."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import unittest
from pathlib import Path

from host import frames, results
from host.config import ConfigError, child_env, load
from host.http import HttpServer

URL = {"MILLRACE_PREFECT_URL": "http://127.0.0.1:4200/api/"}


class Settings(unittest.TestCase):
    def test_have_defaults(self) -> None:
        config = load([], URL)
        self.assertEqual((config.pool, config.processes, config.http_port), ("default", 2, 0))
        self.assertEqual(config.prefect_url, "http://127.0.0.1:4200/api")

    def test_that_cannot_be_are_named(self) -> None:
        for extra, name in [
            ({"MILLRACE_PREFECT_URL": ""}, "MILLRACE_PREFECT_URL"),
            ({"MILLRACE_POOL": "a.b"}, "MILLRACE_POOL"),
            ({"MILLRACE_HOST_PROCESSES": "0"}, "MILLRACE_HOST_PROCESSES"),
            ({"MILLRACE_HTTP_PORT": "x"}, "MILLRACE_HTTP_PORT"),
        ]:
            with self.subTest(name=name), self.assertRaisesRegex(ConfigError, name):
                load([], {**URL, **extra})
        with self.assertRaisesRegex(ConfigError, "no such folder"):
            load(["--flows", "/nowhere/at/all"], URL)

    def test_pool_processes_have_a_prefect_home_of_their_own(self) -> None:
        env = child_env(load([], {**URL, "MILLRACE_HOST_HOME": "/h"}), {"PREFECT_HOME": "/theirs", "PREFECT_X": "kept"})
        self.assertEqual((env["PREFECT_HOME"], env["PREFECT_X"]), ("/h/prefect", "kept"))
        self.assertEqual(env["PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY"], "false")


class Results(unittest.TestCase):
    def test_are_read_back(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "results"
            results.write(folder, "f1", results.encode({"ä": [1, None]}))
            self.assertEqual(results.read(folder, "f1"), {"ä": [1, None]})
            self.assertEqual([file.name for file in folder.iterdir()], ["f1.json"])

    def test_that_are_old_are_swept_and_others_stay(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for flow_run in ("old", "new"):
                results.write(folder, flow_run, b"1")
            os.utime(folder / "old.json", (0, 0))
            self.assertEqual(results.sweep(folder), 1)
            self.assertEqual(results.read(folder, "new"), 1)
            with self.assertRaises(FileNotFoundError):
                results.read(folder, "old")

    def test_that_cannot_be_told_are_refused(self) -> None:
        looped: list[object] = []
        looped.append(looped)
        for value, code in [
            ({1, 2}, "MR_OUTPUT_INVALID"),
            (float("nan"), "MR_OUTPUT_INVALID"),
            (looped, "MR_OUTPUT_INVALID"),
            ("x" * 1_000_000, "MR_PAYLOAD_TOO_LARGE"),
        ]:
            with self.subTest(code=code), self.assertRaises(results.InvalidOutput) as caught:
                results.encode(value)
            self.assertEqual(caught.exception.code, code)


class Health(unittest.IsolatedAsyncioTestCase):
    async def test_a_port_in_use_is_named_and_only_this_machine_is_answered(self) -> None:
        first, second = HttpServer({}), HttpServer({})
        port = await first.start(0)
        with self.assertRaisesRegex(ConfigError, f"port {port} is in use: set MILLRACE_HTTP_PORT"):
            await second.start(port)
        await first.close()
        self.assertEqual(await second.start(port), port)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        with self.assertRaises(OSError):
            await asyncio.open_connection("127.0.0.2", port)
        await second.close()


class Frames(unittest.TestCase):
    def test_arrive_whole_and_the_end_is_seen(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.sendall(frames.pack({"is": "task"}) + frames.pack({"is": "idle", "message": "ü"}))
            ours.sendall(frames.pack({"is": "cut"})[:5])
            ours.close()
            received = [frames.receive(theirs) for _ in range(3)]
        self.assertEqual(received, [{"is": "task"}, {"is": "idle", "message": "ü"}, None])


if __name__ == "__main__":
    unittest.main()
