"""Where in Prefect we are: which run, which attempt, which message of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Optional

from prefect.context import FlowRunContext, TaskRunContext


@dataclass(frozen=True)
class Here:
    """The innermost run that the code is in.

    :ivar run_id: of the task run, or of the flow run outside of tasks; the same in every attempt
    :ivar attempt: which of its attempts
    :ivar began: when the flow run began
    """

    kind: str
    run_id: str
    attempt: int
    flow_run_id: Optional[str]
    deployment: Optional[str]
    began: Optional[datetime]


def here() -> Optional[Here]:
    """The innermost run; None outside of Prefect."""
    flow = FlowRunContext.get()
    flow_run = None if flow is None else flow.flow_run
    flow_run_id = None if flow_run is None else str(flow_run.id)
    began = None if flow_run is None else flow_run.start_time
    deployment = None if flow_run is None or flow_run.deployment_id is None else str(flow_run.deployment_id)
    task = TaskRunContext.get()
    if task is not None:
        run = task.task_run
        flow_run_id = flow_run_id or (None if run.flow_run_id is None else str(run.flow_run_id))
        return Here("task-run", str(run.id), run.run_count, flow_run_id, deployment, began or run.start_time)
    if flow_run is not None:
        return Here("flow-run", str(flow_run.id), flow_run.run_count, flow_run_id, deployment, began)
    return None


_numbers: MutableMapping[tuple[str, int], int] = defaultdict(int)
_lock = threading.Lock()


def next_id(what: str) -> Optional[str]:
    """An id for the next message of this run, the same in each of its attempts; None outside of Prefect.

    It counts the messages of an attempt: an attempt that publishes what the one before it published, in the same order,
    publishes nothing twice within the stream's duplicate window.
    """
    at = here()
    if at is None:
        return None
    key = (at.run_id, at.attempt)
    with _lock:
        number = _numbers[key]
        _numbers[key] = number + 1
        for old in [known for known in _numbers if known[0] == at.run_id and known[1] < at.attempt]:
            del _numbers[old]
    return f"{what}:{at.kind}:{at.run_id}:{number}"
