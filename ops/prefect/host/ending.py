"""How a flow run ends that did not end by itself here, and how an end seen later is told.

Both sides must say the same afterwards: Prefect is told first, then the run.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Awaitable, Callable, TypeVar
from uuid import NAMESPACE_URL, uuid5

from . import results
from .context import Context
from .frames import Frame
from .pool import Worker
from .prefect_api import FlowRunMissing, PrefectAway
from .protocol import Dispatch, State, failure
from .reports import Reports, now_state

ACK = b"+ACK"
_COLLECT_SECONDS = 30.0
_RESULT_TRIES = 4
"""Deliveries before a result counts as lost: the host that ran the flow may be about to report, or hold the file."""
T = TypeVar("T")


def nak(delay_seconds: float) -> bytes:
    return b'-NAK {"delay":%d}' % int(delay_seconds * 1e9)


class Interrupted(Exception):
    """The host stops, or the lease is lost, before Prefect answered."""


class Ending:
    """Ends and collects one flow run. `interrupted` says when to stop waiting for Prefect."""

    def __init__(
        self, context: Context, dispatch: Dispatch, reports: Reports, interrupted: Callable[[], bool], delivered: int
    ) -> None:
        self._context = context
        self._dispatch = dispatch
        self._reports = reports
        self._interrupted = interrupted
        self._delivered = delivered

    def report(self, state: State, **more: Any) -> None:
        self._reports.flow(state, **more)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Prefect's answer, however long it takes. Raises Interrupted, FlowRunMissing and PrefectRefused."""
        pause, told = 0.2, False
        while True:
            try:
                return await call()
            except PrefectAway as error:
                if not told:
                    told = True
                    self._context.log.warn("Prefect does not answer; trying again", error=str(error))
            if self._interrupted():
                raise Interrupted
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _id(self, purpose: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"millrace:{self._dispatch.flow_run_id}:{purpose}"))

    async def force(self, type_: str, message: str) -> State:
        """Sets the state in Prefect whatever it was, and returns it."""
        prefect, flow_run_id = self._context.prefect, self._dispatch.flow_run_id
        transition_id = self._id(f"{type_}:{message}")
        made = await self.ask(lambda: prefect.propose(flow_run_id, type_, transition_id, message, force=True))
        return made.state or (await self.ask(lambda: prefect.read(flow_run_id))).state

    async def lost(self, message: str) -> None:
        """The flow run's process or host is gone: CRASHED on both sides, counted as lost."""
        state = await self.force("CRASHED", message)
        self.report(state, error=failure("MR_STEP_LOST", message, lost=True))

    def missing(self) -> bytes:
        """Prefect does not know the flow run: its database was replaced, or somebody deleted it."""
        message = f"Prefect does not know flow run {self._dispatch.flow_run_id}"
        state = now_state("CRASHED", message, "Missing")
        self.report(state, error=failure("MR_STEP_LOST", message, lost=True))
        return ACK

    async def settle(self, why: str, cancel_reason: str | None, worker: Worker | None) -> bytes:
        """Ends a flow run whose process stopped without a terminal state; `why` is for people."""
        try:
            state = (await self.ask(lambda: self._context.prefect.read(self._dispatch.flow_run_id))).state
        except FlowRunMissing:
            return self.missing()
        if state.terminal:
            return await self.collect(state, worker)
        if cancel_reason is not None or state.type == "CANCELLING":
            self.report(await self.force("CANCELLED", cancel_reason or state.message or "cancelled in Prefect"))
        elif state.type in ("PENDING", "RUNNING"):
            await self.lost(why)
        else:
            # Suspended or waiting for a retry: Prefect will schedule it, and the reconciler dispatches it again.
            self.report(state)
        return ACK

    async def collect(self, state: State, worker: Worker | None) -> bytes:
        """Reports a state that Prefect holds, with the result when it is COMPLETED."""
        if state.type != "COMPLETED":
            self.report(state)
            return ACK
        try:
            self.report(state, result=await self._result(worker))
            return ACK
        except LookupError as error:
            if self._delivered < _RESULT_TRIES:
                return nak(2.0)
            await self.lost(f"the flow run completed, but its result is lost: {error}")
            return ACK

    async def _result(self, worker: Worker | None) -> Any:
        """Raises LookupError."""
        try:
            return results.read(self._context.results, self._dispatch.flow_run_id)
        except (OSError, ValueError):
            pass
        if worker is None or not worker.alive:
            raise LookupError("this host has no file of it")
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        worker.listen(lambda frame: None if answer.done() else answer.set_result(frame))
        worker.send({"do": "collect", "flowRunId": self._dispatch.flow_run_id})
        try:
            frame = await asyncio.wait_for(answer, _COLLECT_SECONDS)
        except TimeoutError:
            worker.kill()
            raise LookupError("reading it took too long") from None
        finally:
            worker.listen(None)
        if "result" not in frame:
            raise LookupError(frame.get("message", "the pool process ended"))
        return json.loads(frame["result"])
