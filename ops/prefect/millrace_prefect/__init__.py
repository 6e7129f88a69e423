"""Messages inside Prefect flows and tasks: publish, subscribe, wait, request, start workflows, send signals.

Each function has two names: ``publish`` for sync code and ``apublish`` to await in async code. They find the server by the
environment (``MILLRACE_NATS_URL``, ``MILLRACE_NATS_TOKEN``, ``MILLRACE_NATS_CREDS``), which the flow host hands to its flows.
See docs/prefect-nats.md.
"""

from __future__ import annotations

from .emit import emit_states
from .errors import MessageTimeout, NotStored, RunEnded, WorkflowMissing
from .messages import Message
from .operations import apublish, arequest, await_for_message, publish, request, subscribe, wait_for_message
from .workflows import arun_workflow, asignal, run_workflow, signal

__all__ = [
    "Message",
    "MessageTimeout",
    "NotStored",
    "RunEnded",
    "WorkflowMissing",
    "apublish",
    "arequest",
    "arun_workflow",
    "asignal",
    "await_for_message",
    "emit_states",
    "publish",
    "request",
    "run_workflow",
    "signal",
    "subscribe",
    "wait_for_message",
]
