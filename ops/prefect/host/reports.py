"""Reports of one flow run, in order, each stored before the next is sent.

Inputs and events go in two lanes: what drives the run does not wait for what is merely told about it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Callable

from . import protocol
from .link import Link, NotStored
from .log import Log
from .protocol import Dispatch, Failure, Outgoing, State

_INPUT_SECONDS = 120.0
_EVENT_SECONDS = 30.0


class Lane:
    """Messages that are stored one after another."""

    def __init__(self, link: Link, headers: dict[str, str], within: float, log: Log) -> None:
        self._link = link
        self._headers = headers
        self._within = within
        self._log = log
        self._queue: asyncio.Queue[tuple[Outgoing, Callable[[], None] | None]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.failed = False

    def put(self, out: Outgoing, stored: Callable[[], None] | None = None) -> None:
        self._queue.put_nowait((out, stored))
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            out, stored = await self._queue.get()
            try:
                # What follows a lost report would be out of order; it is not sent, and the dispatch is not acknowledged.
                if not self.failed:
                    await self._link.store(out, self._headers, self._within)
                    if stored is not None:
                        stored()
            except NotStored as error:
                self.failed = True
                self._log.error("a report could not be stored", error=str(error), messageId=out.id)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        await self._queue.join()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Reports:
    """What this host tells about one flow run."""

    def __init__(self, link: Link, dispatch: Dispatch, log: Log) -> None:
        self._dispatch = dispatch
        headers = {"traceparent": dispatch.traceparent} if dispatch.traceparent else {}
        self._inputs = Lane(link, headers, _INPUT_SECONDS, log)
        self._events = Lane(link, headers, _EVENT_SECONDS, log)
        self.last: State | None = None

    def flow(
        self,
        state: State,
        result: object = protocol.NO_RESULT,
        error: Failure | None = None,
        stored: Callable[[], None] | None = None,
    ) -> None:
        """A state of the flow run; `stored` is called when its input is in the workflow's stream."""
        self.last = state
        self._inputs.put(protocol.flow_input(self._dispatch, state, result, error), stored)
        self._events.put(protocol.flow_event(self._dispatch, state))

    def task(self, task_run_id: str, task_name: str, state: State) -> None:
        self._events.put(protocol.task_event(self._dispatch, task_run_id, task_name, state))

    async def flush(self) -> bool:
        """Waits until all is stored; False when an input could not be."""
        await self._inputs.flush()
        await self._events.flush()
        return not self._inputs.failed

    async def close(self) -> None:
        await self._inputs.close()
        await self._events.close()


def now_state(type_: str, message: str, name: str | None = None) -> State:
    """A state that Prefect does not hold, because it cannot be told there."""
    at = time.time()
    return State(f"local-{at}", type_, name or type_.capitalize(), message, int(at * 1000))
