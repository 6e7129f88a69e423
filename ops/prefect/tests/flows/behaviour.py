"""Flows that behave in each of the ways a flow host must cope with. For tests only."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from prefect import flow, task


def note(file: str, text: str) -> None:
    """One line at the end of a file that the test reads."""
    with open(file, "a", encoding="utf8") as out:
        out.write(f"{text}\n")


@task(name="double")
def double(number: int) -> int:
    return number * 2


@task(name="total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@flow(name="sum-of-doubles")
def sum_of_doubles(numbers: list[int], file: str | None = None) -> dict[str, Any]:
    """Ends well, with tasks."""
    if file is not None:
        note(file, "began")
    return {"total": total([double(number) for number in numbers])}


@flow(name="holds")
def holds(file: str, until: str) -> str:
    """Runs until the file `until` is there; tells its process."""
    note(file, str(os.getpid()))
    try:
        while not Path(until).exists():
            time.sleep(0.02)
    finally:
        note(file, "left")
    return "released"


@flow(name="steps-on")
def steps_on(file: str) -> None:
    """One task after another, for ever."""
    while True:
        note(file, str(double(1)))
        time.sleep(0.2)


@flow(name="async-sum")
async def async_sum(numbers: list[int]) -> int:
    """A coroutine."""
    return sum(numbers)


@flow(name="fails")
def fails() -> None:
    raise ValueError("there is no such airport")


@flow(name="kills-itself")
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@flow(name="not-json")
def not_json() -> object:
    return {"socket": object()}


@flow(name="too-large")
def too_large() -> str:
    return "x" * 2_000_000


_attempts: dict[str, int] = {}


@flow(name="retries-once", retries=1, retry_delay_seconds=0)
def retries_once(key: str) -> str:
    """Fails the first time it is run in a process."""
    _attempts[key] = _attempts.get(key, 0) + 1
    if _attempts[key] == 1:
        raise RuntimeError("the first time")
    return "the second time"
