"""Workflows of Millrace from inside a flow: start a run (and wait for it), send it a signal. docs/protocol.md has the messages."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import Any, Optional
from uuid import uuid4

import nats.js.errors
from nats.js.api import ConsumerConfig, DeliverPolicy

from .errors import MessageTimeout, RunEnded, WorkflowMissing
from .link import link
from .messages import Payload, encode
from .operations import headers_here, store
from .run_context import here, next_id

_TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_ENDS = ("RunCompleted", "RunFailed", "RunCancelled")


def _token(text: str, what: str) -> str:
    if _TOKEN.match(text):
        return text
    raise ValueError(f'"{text}" cannot be {what}: use letters, digits, "-" and "_", at most 64 characters')


def _by() -> str:
    at = here()
    return "prefect" if at is None else f"prefect:{at.flow_run_id or at.run_id}"


async def _digest(workflow: str) -> str:
    js = await link().jetstream()
    try:
        bucket = await js.key_value("millrace_definitions")
        entry = await bucket.get(f"workflow.{workflow}")
    except nats.js.errors.NotFoundError as error:
        raise WorkflowMissing(f"no workflow {workflow} was applied; see `millrace apply`") from error
    return str(json.loads(entry.value or b"{}")["digest"])


def _parsed(payload: Payload) -> Any:
    """The payload as the JSON value that goes into an input; bytes must be JSON already."""
    return payload if isinstance(payload, str) else json.loads(encode(payload))


async def _run(workflow: str, payload: Any, run_id: str, headers: dict[str, str], by: str, wait: Optional[float]) -> Any:
    digest = await _digest(workflow)
    body = {"v": 1, "kind": "start", "digest": digest, "payload": payload, "by": by}
    trace = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    if "traceparent" in trace:
        body["trace"] = trace
    data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    await store(f"wf.{workflow}.in.{run_id}", data, {**headers, "Nats-Msg-Id": f"start:{run_id}"}, 30.0)
    if wait is None:
        return run_id
    return await _end(workflow, run_id, wait)


async def _end(workflow: str, run_id: str, within: float) -> Any:
    """Reads the run's log until it has ended; a retry by hand goes on where a failure was."""
    js = await link().jetstream()
    stream = f"WF_{workflow}"
    deadline = asyncio.get_running_loop().time() + within
    last = 0
    end: Optional[dict[str, Any]] = None
    while asyncio.get_running_loop().time() < deadline:
        config = ConsumerConfig(
            filter_subject=f"wf.{workflow}.log.{run_id}",
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=last + 1,
            inactive_threshold=60.0,
        )
        pulling = await js.pull_subscribe_bind(consumer=(await js.add_consumer(stream, config)).name, stream=stream)
        try:
            while end is None:
                left = deadline - asyncio.get_running_loop().time()
                for msg in await pulling.fetch(50, timeout=max(0.05, min(left, 2.0))):
                    last = msg.metadata.sequence.stream
                    for transition in json.loads(msg.data)["transitions"]:
                        end = transition if transition["type"] in _ENDS else end
        except asyncio.TimeoutError:
            continue
        finally:
            await pulling.unsubscribe()
        return _outcome(run_id, end)
    raise MessageTimeout(f"run {run_id} of {workflow} did not end within {within:g} s")


def _outcome(run_id: str, end: dict[str, Any]) -> Any:
    if end["type"] == "RunCompleted":
        return end.get("output")
    if end["type"] == "RunCancelled":
        raise RunEnded(run_id, "cancelled", str(end["reason"]))
    error = end["error"]
    raise RunEnded(run_id, "failed", str(error["message"]), str(error["code"]))


def _starting(workflow: str, payload: Payload, run_id: Optional[str], wait: Optional[float]) -> Any:
    name = _token(workflow, "a workflow")
    own = next_id(f"run:{workflow}")
    # The same in each attempt of a task: a retry finds the run that the first attempt started.
    made = uuid4().hex if own is None else hashlib.sha256(own.encode()).hexdigest()[:32]
    chosen = _token(run_id, "a run's id") if run_id is not None else made
    return _run(name, _parsed(payload), chosen, headers_here(), _by(), wait)


def run_workflow(
    workflow: str, payload: Payload = None, *, run_id: Optional[str] = None, wait: Optional[float] = 600.0
) -> Any:
    """Starts a run and waits for its end.

    :param run_id: the run's own; without it a retried task finds the run that its first attempt started
    :param wait: longest wait in seconds; None does not wait
    :returns: what the run gave, or the run's id when it was not waited for
    :raises RunEnded: the run failed or was cancelled
    :raises MessageTimeout: it did not end in time; it goes on
    :raises WorkflowMissing: no such workflow
    """
    return link().run(_starting(workflow, payload, run_id, wait))


async def arun_workflow(
    workflow: str, payload: Payload = None, *, run_id: Optional[str] = None, wait: Optional[float] = 600.0
) -> Any:
    """:func:`run_workflow` for async code."""
    return await link().arun(_starting(workflow, payload, run_id, wait))


def _signalling(workflow: str, run_id: str, name: str, payload: Payload) -> Any:
    subject = f"wf.{_token(workflow, 'a workflow')}.in.{_token(run_id, 'a run’s id')}"
    own = next_id("signal") or f"signal:{uuid4().hex}"
    body = {"v": 1, "kind": "signal", "name": name, "payload": _parsed(payload), "by": _by()}
    data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return store(subject, data, {**headers_here(), "Nats-Msg-Id": f"signal:{run_id}:{own}"}, 30.0)


def signal(workflow: str, run_id: str, name: str, payload: Payload = None) -> None:
    """Sends a signal to a run; one that comes before the run waits for it is kept.

    :raises NotStored: there is no such workflow
    """
    link().run(_signalling(workflow, run_id, name, payload))


async def asignal(workflow: str, run_id: str, name: str, payload: Payload = None) -> None:
    """:func:`signal` for async code."""
    await link().arun(_signalling(workflow, run_id, name, payload))
