"""Return values of flow runs as files, so that a host that did not see the end can still report it.

Not Prefect's own result persistence: turned on for a flow it is inherited by its tasks, whose values need not be JSON.
A flow that persists its result itself is read through Prefect when there is no file (`child.collect`).

Invariants:
  F1 a file is whole or absent: written aside, then renamed;
  F2 the file is there before Prefect is asked for COMPLETED, so a COMPLETED flow run of this host has one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from .protocol import MAX_RESULT_BYTES

KEEP_SECONDS = 7 * 86_400


class InvalidOutput(Exception):
    """A return value that cannot be reported; `code` is one of src/kernel/errors.ts."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def encode(value: Any) -> bytes:
    """The value as JSON.

    Raises:
        InvalidOutput: when it is not JSON or larger than a message may be.
    """
    try:
        data = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        hint = "return dictionaries, lists, texts, numbers, booleans and None; NaN is not JSON"
        raise InvalidOutput("MR_OUTPUT_INVALID", f"the flow's return value is not JSON: {error}", hint) from error
    if len(data) > MAX_RESULT_BYTES:
        message = f"the flow's return value has {len(data)} bytes of JSON, more than {MAX_RESULT_BYTES}"
        raise InvalidOutput("MR_PAYLOAD_TOO_LARGE", message, "store it elsewhere and return where it is")
    return data


def _file(folder: Path, flow_run_id: str) -> Path:
    return folder / f"{flow_run_id}.json"


def write(folder: Path, flow_run_id: str, data: bytes) -> None:
    """Stores a result. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{flow_run_id}.{os.getpid()}"
    aside.write_bytes(data)
    aside.replace(_file(folder, flow_run_id))


def read(folder: Path, flow_run_id: str) -> Any:
    """A stored result.

    Raises:
        FileNotFoundError: when there is none.
    """
    return json.loads(_file(folder, flow_run_id).read_bytes())


def sweep(folder: Path, now: float | None = None) -> int:
    """Deletes results older than a week; returns how many."""
    limit = (time.time() if now is None else now) - KEEP_SECONDS
    old = [file for file in folder.glob("*.json") if file.stat().st_mtime < limit]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)
