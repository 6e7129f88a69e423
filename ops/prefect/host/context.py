"""What every attempt of this host shares."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from .link import Link
from .log import Log
from .metrics import Metrics
from .prefect_api import PrefectApi


@dataclass
class Context:
    link: Link
    prefect: PrefectApi
    log: Log
    metrics: Metrics
    results: Path
    host_id: str = field(default_factory=lambda: str(uuid4()))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """No new dispatches; running flows may finish."""
    stop_now: asyncio.Event = field(default_factory=asyncio.Event)
    """The deadline of the drain is over."""
