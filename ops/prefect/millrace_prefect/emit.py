"""State changes as messages without code in the flow, where Prefect's own bus is not JetStream (prefect_nats)."""

from __future__ import annotations

import logging
from typing import Any, TypeVar, Union

from prefect import Flow, Task

from .operations import publish

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Union[Flow[Any, Any], Task[Any, Any]])

_TASK_HOOKS = ("on_running", "on_completion", "on_failure")
_FLOW_HOOKS = (*_TASK_HOOKS, "on_cancellation", "on_crashed")


def _told(_owner: Any, run: Any, state: Any) -> None:
    """A hook: tells the state. An outage costs the message, never the flow: Prefect has the state anyway."""
    kind = "task-run" if hasattr(run, "task_key") else "flow-run"
    subject = f"states.{kind}.{state.type.value}.{run.id}"
    body = {
        "v": 1,
        "kind": kind,
        "id": str(run.id),
        "name": run.name,
        "flowRunId": str(run.id if kind == "flow-run" else run.flow_run_id),
        "state": {"type": state.type.value, "name": state.name, "message": state.message},
        "at": state.timestamp.isoformat(),
    }
    try:
        publish(subject, body, msg_id=f"state:{run.id}:{state.id}", within=5.0)
    except Exception as error:
        logger.warning("the state %s of %s %s was not published: %s", state.name, kind, run.id, error)


def emit_states(owner: T) -> T:
    """Makes a flow or task tell its states on ``states.<flow-run|task-run>.<STATE TYPE>.<id>``::

        @emit_states
        @task
        def charge(order): ...

    A stream must listen on ``states.>``. With prefect_nats on the server nothing of this is needed.
    """
    for name in _FLOW_HOOKS if isinstance(owner, Flow) else _TASK_HOOKS:
        getattr(owner, name)(_told)
    return owner
