"""The wire as the flow host sees it (docs/protocol.md): subjects, message ids, payloads. Pure: values in, values out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping

FLOWS_STREAM = "MR_FLOWS"
CANCEL_SUBJECTS = "cancel.*.*"
MAX_RESULT_BYTES = 900 * 1024
"""Under the 1 MB that a NATS server takes by default, with room for the rest of the message."""

LONGEST_MESSAGE = 4_000
"""As much of a state's message as the bridge reports (src/bridge/prefect/translate.ts)."""

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})

_TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class MalformedMessage(Exception):
    """A message nobody can work on; `code` is one of src/kernel/errors.ts."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Dispatch:
    """A flow run for a host (`dispatchMessageSchema`)."""

    action: str
    workflow: str
    run_id: str
    step: str
    attempt: int
    flow_run_id: str
    deployment: str
    traceparent: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        return (self.workflow, self.run_id, self.step, self.attempt)


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise MalformedMessage("MR_NOT_JSON", f"the message is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedMessage("MR_INPUT_INVALID", "the message is not a JSON object")
    return value


def _text(value: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None) -> str:
    text = value.get(name)
    if not isinstance(text, str) or (pattern is not None and not pattern.match(text)):
        raise MalformedMessage("MR_INPUT_INVALID", f"{name}: {json.dumps(text)[:80]} is not what it should be")
    return text


def _attempt(value: Mapping[str, Any]) -> int:
    attempt = value.get("attempt")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
        raise MalformedMessage("MR_INPUT_INVALID", f"attempt: {json.dumps(attempt)[:80]} is not a whole number from 1")
    return attempt


def parse_dispatch(data: bytes) -> Dispatch:
    """Reads a dispatch.

    Raises:
        MalformedMessage: when it is not one of version 1.
    """
    value = _json_object(data)
    if value.get("v") != 1:
        raise MalformedMessage("MR_INPUT_INVALID", f"v: {json.dumps(value.get('v'))[:80]} is not 1, all this host knows")
    action = _text(value, "action")
    if action not in ("run", "collect"):
        raise MalformedMessage("MR_INPUT_INVALID", f"action: {action[:80]!r} is neither run nor collect")
    return Dispatch(
        action=action,
        workflow=_text(value, "workflow", _TOKEN),
        run_id=_text(value, "runId", _TOKEN),
        step=_text(value, "step", _TOKEN),
        attempt=_attempt(value),
        flow_run_id=_text(value, "flowRunId", _UUID),
        deployment=_text(value, "deployment"),
        traceparent=_text(value, "traceparent"),
    )


def parse_cancel(data: bytes) -> tuple[tuple[str, str, str, int], str]:
    """Key of the attempt to stop, and the reason.

    Raises:
        MalformedMessage: when it is not a cancel message.
    """
    value = _json_object(data)
    key = (_text(value, "workflow"), _text(value, "runId"), _text(value, "step"), _attempt(value))
    return key, _text(value, "reason")


@dataclass(frozen=True)
class State:
    """A state of a flow run or task run."""

    id: str
    type: str
    name: str
    message: str | None
    at: int
    """ms since the epoch, Prefect's own timestamp."""

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL

    def wire(self) -> dict[str, Any]:
        return {"type": self.type, "name": self.name, "message": self.message, "at": self.at}


def state_of(api: Mapping[str, Any]) -> State:
    """A state as Prefect's API gives it."""
    stamp = datetime.fromisoformat(str(api["timestamp"]).replace("Z", "+00:00"))
    name = api.get("name") or str(api["type"]).capitalize()
    message = None if api.get("message") is None else str(api["message"])[:LONGEST_MESSAGE]
    return State(str(api["id"]), api["type"], name, message, int(stamp.timestamp() * 1000))


Failure = dict[str, Any]


def failure(code: str, message: str, *, retryable: bool = True, lost: bool = False, hint: str | None = None) -> Failure:
    """A failure as `failureSchema` has it."""
    error: Failure = {"code": code, "message": message, "retryable": retryable, "lost": lost}
    return error if hint is None else {**error, "hint": hint}


def to_token(text: str) -> str:
    """One subject token of any text."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:64] or "_"


@dataclass(frozen=True)
class Outgoing:
    """A message to publish; `id` is its Nats-Msg-Id."""

    subject: str
    id: str
    payload: bytes


def _payload(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


NO_RESULT = object()


def flow_input(dispatch: Dispatch, state: State, result: Any = NO_RESULT, error: Failure | None = None) -> Outgoing:
    """The `flow` input that reports a flow run's state to its run."""
    body: dict[str, Any] = {
        "v": 1,
        "kind": "flow",
        "step": dispatch.step,
        "attempt": dispatch.attempt,
        "flowRunId": dispatch.flow_run_id,
        "state": state.wire(),
        "source": "host",
    }
    if result is not NO_RESULT:
        body["result"] = result
    if error is not None:
        body["error"] = error
    subject = f"wf.{dispatch.workflow}.in.{dispatch.run_id}"
    named = "" if state.name.upper() == state.type else f":{state.name}"
    return Outgoing(subject, f"flow:{dispatch.flow_run_id}:{state.type}{named}", _payload(body))


def _event_body(dispatch: Dispatch, state: State) -> dict[str, Any]:
    return {
        "v": 1,
        "workflow": dispatch.workflow,
        "runId": dispatch.run_id,
        "step": dispatch.step,
        "attempt": dispatch.attempt,
        "flowRunId": dispatch.flow_run_id,
        "state": state.wire(),
    }


def flow_event(dispatch: Dispatch, state: State) -> Outgoing:
    """`evt.flow…` of a flow run's state."""
    subject = f"evt.flow.{dispatch.workflow}.{dispatch.run_id}.{dispatch.step}.{to_token(state.type)}"
    return Outgoing(subject, f"evt:flow:{dispatch.flow_run_id}:{state.id}", _payload(_event_body(dispatch, state)))


def task_event(dispatch: Dispatch, task_run_id: str, task_name: str, state: State) -> Outgoing:
    """`evt.task…` of a task run's state."""
    run = f"{dispatch.workflow}.{dispatch.run_id}.{dispatch.step}"
    body = {**_event_body(dispatch, state), "taskRunId": task_run_id, "taskName": task_name}
    subject = f"evt.task.{run}.{to_token(task_name)}.{to_token(state.type)}"
    return Outgoing(subject, f"evt:task:{task_run_id}:{state.id}", _payload(body))


def dead_letter(
    data: bytes, headers: Mapping[str, str], sequence: int, subject: str, problem: MalformedMessage
) -> tuple[Outgoing, dict[str, str]]:
    """The dead letter of a dispatch: the message untouched, and the headers that say why."""
    workflow, run_id, name = "_", None, str(sequence)
    try:
        value = json.loads(data)
        if isinstance(value, dict):
            workflow = to_token(str(value.get("workflow") or "_"))
            run_id = value.get("runId")
            name = str(value.get("flowRunId") or name)
    except ValueError:
        pass
    kept = {key: text for key, text in headers.items() if not key.lower().startswith("nats-")}
    added = {
        "Millrace-Code": problem.code,
        "Millrace-Reason": " ".join(str(problem).split())[:500],
        "Millrace-Origin-Stream": FLOWS_STREAM,
        "Millrace-Origin-Sequence": str(sequence),
        "Millrace-Origin-Subject": subject,
    }
    if isinstance(run_id, str):
        added["Millrace-Run"] = to_token(run_id)
    letter = Outgoing(f"dead.flow.{workflow}.{to_token(name)}", f"dead:{FLOWS_STREAM}:{sequence}", data)
    return letter, {**kept, **added}
