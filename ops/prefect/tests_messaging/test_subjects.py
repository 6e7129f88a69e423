"""Subjects of messages: literal, and safe whatever others have named."""

from __future__ import annotations

import json
import unittest

from prefect_nats.subjects import stream_of, subject_of, subjects_of, token


def event(name: str, resource: dict[str, str], related: list[dict[str, str]] | None = None) -> bytes:
    return json.dumps({"event": name, "resource": resource, "related": related or []}).encode()


class Subjects(unittest.TestCase):
    def test_a_state_change_names_type_deployment_and_run(self) -> None:
        data = event(
            "prefect.flow-run.Late",
            {"prefect.resource.id": "prefect.flow-run.5c1e", "prefect.state-type": "SCHEDULED"},
            [
                {"prefect.resource.id": "prefect.flow.1", "prefect.resource.role": "flow"},
                {
                    "prefect.resource.id": "prefect.deployment.9",
                    "prefect.resource.role": "deployment",
                    "prefect.resource.name": "nightly. run",
                },
            ],
        )
        self.assertEqual(subject_of("prefect", "events", data, {}), "prefect.flow-run.SCHEDULED.nightly_run.5c1e")

    def test_a_task_run_without_deployment(self) -> None:
        resource = {"prefect.resource.id": "prefect.task-run.7", "prefect.state-type": "COMPLETED"}
        self.assertEqual(
            subject_of("prefect", "events", event("prefect.task-run.Completed", resource), {}),
            "prefect.task-run.COMPLETED._.7",
        )

    def test_any_other_event(self) -> None:
        data = event("prefect.work-pool.ready", {"prefect.resource.id": "prefect.work-pool.a b"})
        self.assertEqual(subject_of("prefect", "events", data, {}), "prefect.events.work-pool.ready.a_b")

    def test_what_is_no_event_still_has_a_subject_of_the_stream(self) -> None:
        for data in (b"", b"[]", b"\xff", b'{"resource": 3, "event": ""}', b'{"event": "prefect.flow-run.x", "resource": {}}'):
            subject = subject_of("prefect", "events", data, {"event": "a..b.>"})
            self.assertRegex(subject, r"^prefect\.events(\.[A-Za-z0-9_-]+)+$")

    def test_the_other_topics(self) -> None:
        self.assertEqual(subject_of("p", "actions", b'{"action": {"type": "run-deployment"}}', {}), "p.actions.run-deployment")
        self.assertEqual(subject_of("p", "logs", b'{"flow_run_id": "1"}', {}), "p.logs.1")
        self.assertEqual(subject_of("p", "mine", b"", {}), "p.topic.mine")
        self.assertEqual(stream_of("PREFECT", "events"), "PREFECT_EVENTS")
        self.assertEqual(stream_of("PREFECT", "mine"), "PREFECT_topic_mine")
        self.assertEqual(subjects_of("p", "mine"), ["p.topic.mine"])

    def test_tokens(self) -> None:
        self.assertEqual(token("a.b *>"), "a_b_")
        self.assertEqual(token(""), "_")
        self.assertEqual(len(token("x" * 100)), 64)


if __name__ == "__main__":
    unittest.main()
