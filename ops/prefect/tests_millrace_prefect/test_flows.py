"""Inside real flows, on a real Prefect (PREFECT_API_URL) and nats-server (MILLRACE_NATS_URL) with a stream on ``shop.>``
and ``states.>``, and a controller of the workflow ``approval``. test/integration/millrace-prefect.test.ts starts them.
"""

from __future__ import annotations

import asyncio
import threading
import unittest
from datetime import timedelta
from typing import Any
from uuid import uuid4

from prefect import flow, task

import millrace_prefect as mr
from millrace_prefect.link import link


def stored(subject: str) -> list[mr.Message]:
    """What the stream has on the subject."""
    return list(mr.subscribe(subject, since=timedelta(hours=1), timeout=1))


class Flows(unittest.TestCase):
    def setUp(self) -> None:
        self.id = uuid4().hex[:8]

    def test_a_retried_task_publishes_once(self) -> None:
        subject, tries = f"shop.{self.id}.orders", []

        @task(retries=2, retry_delay_seconds=0)
        def order() -> None:
            mr.publish(subject, {"n": 1})
            mr.publish(subject, {"n": 2})
            tries.append(1)
            if len(tries) < 3:
                raise ValueError("again")

        @flow
        def shop() -> None:
            order()
            mr.publish(subject, {"n": 3})

        shop()
        self.assertEqual(len(tries), 3)
        self.assertEqual([message.json()["n"] for message in stored(subject)], [1, 2, 3])

    def test_two_runs_of_a_task_publish_twice(self) -> None:
        subject = f"shop.{self.id}.twice"

        @task
        def order() -> None:
            mr.publish(subject, "x")

        @flow
        def shop() -> None:
            order()
            order()

        shop()
        self.assertEqual(len(stored(subject)), 2)

    def test_async_flows_and_tasks(self) -> None:
        subject = f"shop.{self.id}.async"

        @task
        async def order(n: int) -> None:
            await mr.apublish(subject, {"n": n})

        @flow
        async def shop() -> list[int]:
            await asyncio.gather(*(order(n) for n in range(3)))
            found: list[int] = []
            async for message in mr.subscribe(subject, since=timedelta(minutes=1), timeout=1):
                found.append(message.json()["n"])
            return sorted(found)

        self.assertEqual(asyncio.run(shop()), [0, 1, 2])

    def test_a_message_that_came_before_the_wait_counts(self) -> None:
        subject = f"shop.{self.id}.answers"

        @flow
        def shop() -> Any:
            mr.publish(subject, {"order": 1, "ok": False})
            mr.publish(subject, {"order": 2, "ok": True})
            return mr.wait_for_message(subject, {"ok": True}, timeout=10).json()["order"]

        self.assertEqual(shop(), 2)

    def test_waiting_ends_with_a_class(self) -> None:
        with self.assertRaises(mr.MessageTimeout):
            mr.wait_for_message(f"shop.{self.id}.never", timeout=0.3)
        with self.assertRaisesRegex(mr.NotStored, "no stream listens on nowhere"):
            mr.wait_for_message("nowhere.x", timeout=0.3)
        with self.assertRaisesRegex(mr.NotStored, "no stream listens on nowhere"):
            mr.publish("nowhere.x", {}, within=2)

    def test_a_durable_subscription_goes_on_where_it_was(self) -> None:
        subject, name = f"shop.{self.id}.durable", f"d{self.id}"
        for n in range(3):
            mr.publish(subject, {"n": n})
        for message in mr.subscribe(subject, durable=name, since=timedelta(hours=1), timeout=2):
            if message.json()["n"] == 1:
                break  # n = 1 was not done: it comes again
        again = mr.subscribe(subject, durable=name, timeout=10)
        found = []
        for message in again:
            found.append(message.json()["n"])
            if len(found) == 2:
                again.done()
                break
        self.assertEqual(sorted(found), [1, 2])
        self.assertEqual(list(mr.subscribe(subject, durable=name, timeout=1)), [])

    def test_a_request_is_answered(self) -> None:
        subject = f"ask.{self.id}"

        async def answer() -> None:
            client = await link().client()

            async def reply(msg: Any) -> None:
                await msg.respond(b'{"sum": 3}')

            await client.subscribe(subject, cb=reply)
            await client.flush()

        link().run(answer())
        self.assertEqual(mr.request(subject, {"a": 1, "b": 2}).json(), {"sum": 3})
        with self.assertRaisesRegex(mr.MessageTimeout, "nobody answers"):
            mr.request(f"ask.nobody.{self.id}")

    def test_a_flow_runs_a_workflow_and_a_retry_finds_the_same_run(self) -> None:
        tries: list[str] = []

        @task(retries=1, retry_delay_seconds=0)
        def approved() -> Any:
            run_id = mr.run_workflow("approval", {"order": self.id}, wait=None)
            tries.append(run_id)
            if len(tries) == 1:
                raise ValueError("again")
            mr.signal("approval", run_id, "go", {"by": "desk"})
            return mr.run_workflow("approval", {"order": self.id}, run_id=run_id, wait=30)

        @flow
        def shop() -> Any:
            return approved()

        self.assertEqual(shop(), {"by": "desk", "order": self.id})
        self.assertEqual(len(set(tries)), 1)

    def test_a_run_that_fails_is_an_error_of_a_class(self) -> None:
        @flow
        def shop() -> None:
            run_id = mr.run_workflow("approval", {"order": self.id}, wait=None)
            mr.signal("approval", run_id, "go", {})  # its output names who it was by
            mr.run_workflow("approval", {"order": self.id}, run_id=run_id, wait=30)

        with self.assertRaises(mr.RunEnded) as caught:
            shop()
        self.assertEqual((caught.exception.status, caught.exception.code), ("failed", "MR_EXPRESSION"))
        with self.assertRaisesRegex(mr.WorkflowMissing, "no workflow nothing was applied"):
            mr.run_workflow("nothing")
        with self.assertRaisesRegex(ValueError, "cannot be a workflow"):
            mr.run_workflow("a.b")

    def test_states_are_told(self) -> None:
        subject = "states.task-run.>"

        @mr.emit_states
        @task(name=f"told-{self.id}")
        def told() -> int:
            return 1

        @flow
        def shop() -> None:
            told()

        shop()
        states = [m.json()["state"]["type"] for m in stored(subject) if m.json()["name"].startswith(f"told-{self.id}")]
        self.assertEqual(states, ["RUNNING", "COMPLETED"])

    def test_many_threads_share_a_connection(self) -> None:
        subject = f"shop.{self.id}.threads"
        threads = [threading.Thread(target=mr.publish, args=(subject, {"n": n})) for n in range(20)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(sorted(m.json()["n"] for m in stored(subject)), list(range(20)))


if __name__ == "__main__":
    unittest.main()
