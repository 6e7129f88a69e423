"""Which subject a message has. Pure.

========================================================================  ==========================================
subject                                                                   what
========================================================================  ==========================================
``prefect.flow-run.<STATE TYPE>.<deployment>.<flow run id>``               a flow run's state has changed
``prefect.task-run.<STATE TYPE>.<deployment>.<task run id>``               a task run's state has changed
``prefect.events.<parts of the event's name>.<id of the resource>``        any other event
``prefect.actions.<action type>``                                          an automation's action that is to be done
``prefect.logs.<flow run id>``                                             a line of a log
``prefect.topic.<topic>``                                                  anything that this module does not know
========================================================================  ==========================================

The deployment is ``_`` where there is none. A character that may not stand in a subject's token becomes ``_``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_TOKEN = 64
_RUNS = ("flow-run", "task-run")


def token(text: str) -> str:
    """One subject token of any text."""
    return _NOT_A_TOKEN.sub("_", text)[:_LONGEST_TOKEN] or "_"


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _deployment(related: Sequence[Any]) -> str:
    for one in related:
        if isinstance(one, dict) and one.get("prefect.resource.role") == "deployment":
            name = one.get("prefect.resource.name") or one.get("prefect.resource.id") or ""
            return token(str(name).removeprefix("prefect.deployment."))
    return "_"


def _event(prefix: str, data: bytes, attributes: Mapping[str, Any]) -> str:
    event = _object(data)
    name = str(event.get("event") or attributes.get("event") or "_").removeprefix("prefect.")
    found = event.get("resource")
    resource: Mapping[str, Any] = found if isinstance(found, dict) else {}
    resource_id = str(resource.get("prefect.resource.id") or "_")
    kind = name.split(".", 1)[0]
    state = resource.get("prefect.state-type")
    if kind in _RUNS and isinstance(state, str) and resource_id.startswith(f"prefect.{kind}."):
        run_id = resource_id.removeprefix(f"prefect.{kind}.")
        related = event.get("related")
        deployment = _deployment(related if isinstance(related, list) else [])
        return f"{prefix}.{kind}.{token(state)}.{deployment}.{token(run_id)}"
    parts = ".".join(token(part) for part in name.split(".")[:8])
    return f"{prefix}.events.{parts}.{token(resource_id.rsplit('.', 1)[-1])}"


def subject_of(prefix: str, topic: str, data: bytes, attributes: Mapping[str, Any]) -> str:
    """The literal subject of a message of a Prefect topic."""
    if topic == "events":
        return _event(prefix, data, attributes)
    if topic == "actions":
        action = _object(data).get("action")
        kind = action.get("type") if isinstance(action, dict) else None
        return f"{prefix}.actions.{token(str(kind or '_'))}"
    if topic == "logs":
        return f"{prefix}.logs.{token(str(_object(data).get('flow_run_id') or '_'))}"
    return f"{prefix}.topic.{token(topic)}"


def subjects_of(prefix: str, topic: str) -> list[str]:
    """The subjects that the stream of a topic takes in."""
    if topic == "events":
        return [f"{prefix}.{kind}.>" for kind in (*_RUNS, "events")]
    if topic in ("actions", "logs"):
        return [f"{prefix}.{topic}.>"]
    return [f"{prefix}.topic.{token(topic)}"]


def stream_of(prefix: str, topic: str) -> str:
    """The stream of a topic, e.g. ``PREFECT_EVENTS``."""
    name = topic if topic in ("events", "actions", "logs") else f"topic_{token(topic)}"
    return f"{prefix}_{name.upper() if topic in ('events', 'actions', 'logs') else name}"
