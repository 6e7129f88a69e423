"""Payloads and matches: no server needed."""

from __future__ import annotations

import pickle
import unittest

from millrace_prefect.errors import RunEnded
from millrace_prefect.messages import Message, encode, matches


class Payloads(unittest.TestCase):
    def test_what_json_can_say(self) -> None:
        self.assertEqual(encode(b"\x00"), b"\x00")
        self.assertEqual(encode("é"), "é".encode())
        self.assertEqual(encode({"a": [1, None, True]}), b'{"a":[1,null,true]}')

    def test_what_it_cannot_names_its_place(self) -> None:
        for payload, place in (
            ({"a": {"b": [1, {2}]}}, r"payload\.a\.b\[1\] is a set"),
            ({"n": float("nan")}, r"payload\.n is nan"),
            ({"m": {1: 2}}, r"payload\.m has the key 1"),
            (object(), "payload is a object"),
        ):
            with self.assertRaisesRegex(TypeError, place):
                encode(payload)  # type: ignore[arg-type]

    def test_matches(self) -> None:
        message = Message("s", b'{"a": {"b": 1, "c": 2}}')
        self.assertTrue(matches(message, None))
        self.assertTrue(matches(message, {"a": {"b": 1}}))
        self.assertFalse(matches(message, {"a": {"b": 2}}))
        self.assertFalse(matches(message, {"x": None}))
        self.assertTrue(matches(message, lambda m: m.json()["a"]["c"] == 2))
        self.assertFalse(matches(Message("s", b"no json"), {"a": 1}))

    def test_an_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(RunEnded("r", "failed", "a: b", "MR_X")))
        self.assertEqual((error.run_id, error.status, error.code, str(error)), ("r", "failed", "MR_X", "run r failed: a: b"))


if __name__ == "__main__":
    unittest.main()
