"""The wire: what is read, what is refused, what is written."""

from __future__ import annotations

import json
import unittest

from host import protocol
from host.protocol import MalformedMessage, State

GOOD = {
    "v": 1,
    "action": "run",
    "workflow": "delay-report",
    "runId": "r1",
    "step": "compute",
    "attempt": 2,
    "flowRunId": "0f0e0d0c-0000-4000-8000-000000000001",
    "deployment": "delay-report/main",
    "parameters": {},
    "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
}


def state(type_: str, name: str | None = None) -> State:
    return State("s1", type_, name or type_.capitalize(), None, 1_700_000_000_000)


class Dispatches(unittest.TestCase):
    def test_a_good_one_is_read(self) -> None:
        dispatch = protocol.parse_dispatch(json.dumps(GOOD).encode())
        self.assertEqual(dispatch.key, ("delay-report", "r1", "compute", 2))
        self.assertEqual(dispatch.action, "run")

    def test_others_are_refused_with_the_field(self) -> None:
        bad = {
            "v": 2,
            "action": "walk",
            "workflow": "a.b",
            "runId": "",
            "step": None,
            "attempt": 0,
            "flowRunId": "../etc",
            "deployment": 7,
        }
        for field, value in bad.items():
            with self.subTest(field=field), self.assertRaises(MalformedMessage) as caught:
                protocol.parse_dispatch(json.dumps({**GOOD, field: value}).encode())
            self.assertTrue(str(caught.exception).startswith(field), str(caught.exception))
            self.assertEqual(caught.exception.code, "MR_INPUT_INVALID")

    def test_what_is_not_json_says_so(self) -> None:
        with self.assertRaises(MalformedMessage) as caught:
            protocol.parse_dispatch(b"\xff{")
        self.assertEqual(caught.exception.code, "MR_NOT_JSON")


class Reports(unittest.TestCase):
    dispatch = protocol.parse_dispatch(json.dumps(GOOD).encode())

    def test_the_message_id_names_the_state_when_it_is_not_the_types_own(self) -> None:
        identity = f"flow:{GOOD['flowRunId']}"
        self.assertEqual(protocol.flow_input(self.dispatch, state("RUNNING")).id, f"{identity}:RUNNING")
        named = protocol.flow_input(self.dispatch, state("RUNNING", "Retrying"))
        self.assertEqual(named.id, f"{identity}:RUNNING:Retrying")

    def test_a_result_of_none_is_told_and_an_absent_one_is_not(self) -> None:
        told = json.loads(protocol.flow_input(self.dispatch, state("COMPLETED"), None).payload)
        self.assertIn("result", told)
        self.assertNotIn("result", json.loads(protocol.flow_input(self.dispatch, state("RUNNING")).payload))

    def test_events_go_where_names_lead(self) -> None:
        event = protocol.task_event(self.dispatch, "t1", "by airport.x", state("RUNNING"))
        self.assertEqual(event.subject, "evt.task.delay-report.r1.compute.by_airport_x.RUNNING")


class DeadLetters(unittest.TestCase):
    def test_keep_the_message_and_say_why(self) -> None:
        problem = MalformedMessage("MR_NOT_JSON", "two\nlines")
        headers = {"traceparent": "t", "Nats-Msg-Id": "x"}
        letter, told = protocol.dead_letter(b"{", headers, 9, "flow.dispatch.default", problem)
        self.assertEqual((letter.subject, letter.id, letter.payload), ("dead.flow._.9", "dead:MR_FLOWS:9", b"{"))
        self.assertEqual(told["Millrace-Reason"], "two lines")
        self.assertEqual(told["traceparent"], "t")
        self.assertNotIn("Nats-Msg-Id", told)


if __name__ == "__main__":
    unittest.main()
