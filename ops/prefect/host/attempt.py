"""One dispatch from its delivery to its answer.

Invariants:
  A1 a flow run is run by whom Prefect accepted PENDING from, and by nobody else;
  A2 a dispatch is acknowledged only after the flow run's terminal state is stored as an input;
  A3 with the lease lost the process that runs the flow is killed before anything else happens;
  A4 a flow run that ended without a terminal state gets one in Prefect before it is reported.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Mapping
from uuid import NAMESPACE_URL, uuid5

from nats.aio.msg import Msg

from .context import Context
from .ending import ACK, Ending, Interrupted, nak
from .frames import Frame
from .lease import Lease
from .pool import Worker
from .prefect_api import FlowRunMissing, PrefectAway, PrefectRefused
from .protocol import NO_RESULT, Dispatch, State, failure
from .reports import Reports

_CANCEL_GRACE_SECONDS = 5.0
_IDLE_SECONDS = 30.0
_POLL_SECONDS = 3.0
_SETTLE_SECONDS = 60.0
"""How long a fenced or stopping host tries to tell Prefect of the end before it leaves that to the next holder."""


class Attempt:
    """Runs or collects one flow run with one worker."""

    def __init__(self, context: Context, dispatch: Dispatch, msg: Msg, worker: Worker) -> None:
        self._context = context
        self._worker = worker
        self._delivered: int = msg.metadata.num_delivered
        self._stored_at: float = msg.metadata.timestamp.timestamp()
        self._signals: asyncio.Queue[Frame] = asyncio.Queue()
        self._cancel_reason: str | None = None
        self._why: str | None = None
        self._deadline: float | None = None
        self._answered = False
        self._killed = False
        self._run_count = 0
        self._claimed: Mapping[str, Any] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self.dispatch = dispatch
        self.log = context.log.child(
            runId=dispatch.run_id, step=dispatch.step, attempt=dispatch.attempt, flowRunId=dispatch.flow_run_id
        )
        self.lease = Lease(context.link, msg, self._on_lost)
        self._reports = Reports(context.link, dispatch, self.log)
        self._ending = Ending(context, dispatch, self._reports, self._interrupted, self._delivered)

    def cancel(self, reason: str) -> None:
        """Somebody wants this attempt to stop."""
        if self._cancel_reason is None:
            self._cancel_reason = reason
            self._signals.put_nowait({"is": "cancel"})

    def stop(self) -> None:
        """The host ends and waits no longer."""
        self._deadline = time.monotonic() + 5.0
        self._signals.put_nowait({"is": "stop"})

    def _on_lost(self) -> None:
        self._deadline = time.monotonic() + _SETTLE_SECONDS
        self._signals.put_nowait({"is": "fence"})

    def _interrupted(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    async def execute(self) -> str:
        """Does it all; returns the outcome for the metrics."""
        self.lease.start()
        try:
            verb = await (self._collect() if self.dispatch.action == "collect" else self._run())
        except Interrupted:
            verb = nak(0.5)
        except FlowRunMissing:
            verb = self._ending.missing()
        except PrefectRefused as error:
            self.log.error("Prefect refuses what this host asks; trying again", error=str(error))
            verb = nak(5.0)
        try:
            await self._answer(verb)
        finally:
            await self._reports.close()
            await self.lease.close()
        last = self._reports.last
        return "retried" if verb != ACK else last.type.lower() if last is not None else "duplicate"

    async def _answer(self, verb: bytes) -> None:
        """Stores all reports, then answers the delivery (A2)."""
        stored = await self._reports.flush()
        if self._answered:
            return
        self._answered = True
        if not await self.lease.answer(verb if stored else nak(2.0)):
            self.log.warn("the answer to the dispatch was not confirmed; it will be delivered again")

    async def _collect(self) -> bytes:
        run = await self._ending.ask(lambda: self._context.prefect.read(self.dispatch.flow_run_id))
        return await self._ending.collect(run.state, self._worker)

    async def _run(self) -> bytes:
        claimed, state = await self._claim()
        if claimed:
            self._reports.flow(state)
            return await self._in_worker()
        if state.terminal:
            return await self._ending.collect(state, self._worker)
        if self._delivered == 1 and state.type in ("PENDING", "RUNNING"):
            self.log.info("another host runs this flow run; dropping a second dispatch of it")
            return ACK
        return await self._ending.settle("its flow host died", None, self._worker)

    async def _claim(self) -> tuple[bool, State]:
        """Whether this delivery may run the flow run (A1), and the state it is in.

        Prefect refuses PENDING to one that is PENDING or RUNNING, but not to one that has ended: hence the look before,
        and the child's look after (`runCount`, child.py). While Prefect is asked, the child gets ready with what the look
        gave.
        """
        name = f"millrace:{self._context.host_id}:{self.lease.sequence}:{self._delivered}"
        transition_id = str(uuid5(NAMESPACE_URL, name))
        prefect, flow_run_id = self._context.prefect, self.dispatch.flow_run_id
        while True:
            run = await self._ending.ask(lambda: prefect.read(flow_run_id))
            # An earlier proposal of ours may have been taken and its answer lost.
            if run.state.type == "PENDING" and run.transition_id == transition_id:
                return True, run.state
            if run.state.type != "SCHEDULED":
                return False, run.state
            if self.lease.lost or self._context.stopping.is_set():
                raise Interrupted
            self._run_count = run.run_count
            self._worker.send({"do": "prepare", "flowRun": run.body})
            made = await self._ending.ask(lambda: prefect.propose(flow_run_id, "PENDING", transition_id))
            if self.lease.lost:
                raise Interrupted
            if made.status == "ACCEPT" and made.state is not None:
                self._claimed = made.body
                return True, made.state
            if made.state is None or made.state.type == "SCHEDULED":
                # Prefect holds it back, e.g. for a concurrency limit.
                await asyncio.sleep(min(max(made.wait_seconds, 0.2), 10.0))

    async def _in_worker(self) -> bytes:
        """Runs the flow and follows it."""
        worker = self._worker
        worker.runs += 1
        worker.listen(self._signals.put_nowait)
        flow_run_id, deployment = self.dispatch.flow_run_id, self.dispatch.deployment
        claim = {"runCount": self._run_count, "claimed": self._claimed}
        worker.send({"do": "run", "flowRunId": flow_run_id, "deployment": deployment, **claim})
        poll = asyncio.create_task(self._poll())
        try:
            await self._follow()
        finally:
            poll.cancel()
            for timer in self._timers:
                timer.cancel()
            worker.listen(None)
        last = self._reports.last
        if last is not None and last.terminal:
            return ACK
        if self._killed:
            # It must be gone before anybody is told that it is (A3).
            await worker.ended.wait()
        why = self._why or f"the process that ran the flow {worker.ending}"
        return await self._ending.settle(why, self._cancel_reason, None)

    async def _follow(self) -> None:
        """Handles signals until the worker is idle or gone, or must be ended."""
        loop = asyncio.get_running_loop()
        while True:
            signal = await self._signals.get()
            kind = signal["is"]
            if kind == "flow":
                self._on_flow(signal)
                if self._ended:
                    # Not when the process is free: Prefect still sends logs and events for a while.
                    await self._answer(ACK)
                    self._timers.append(loop.call_later(_IDLE_SECONDS, self._signals.put_nowait, {"is": "overdue"}))
            elif kind == "task":
                self._reports.task(signal["taskRunId"], signal["taskName"], State(**signal["state"]))
            elif kind in ("idle", "gone"):
                return self._on_end(signal)
            elif kind == "overdue":
                return self._worker.kill()
            elif self._ended:
                continue
            elif kind == "cancel":
                self._worker.send({"do": "cancel", "reason": self._cancel_reason})
                self._timers.append(loop.call_later(_CANCEL_GRACE_SECONDS, self._worker.kill))
            elif kind == "suspended":
                self._worker.send({"do": "suspended"})
            else:
                return self._kill(kind, signal)

    @property
    def _ended(self) -> bool:
        return self._reports.last is not None and self._reports.last.terminal

    def _kill(self, kind: str, signal: Frame) -> None:
        """The flow must not go on: lease lost (A3), host stops, or it ended elsewhere."""
        self._killed = True
        self._worker.kill()
        self._worker.leave()
        if kind == "fence":
            self._context.metrics.fenced.inc()
            self.log.warn("NATS was away longer than the ack wait; the flow's process is killed")
        self._why = {
            "fence": "its flow host lost NATS for longer than the ack wait",
            "stop": "its flow host was stopped",
        }.get(kind, f"Prefect says {signal.get('type')} while it ran")

    def _on_end(self, signal: Frame) -> None:
        if signal.get("leaving"):
            self._worker.leave()
        if signal["is"] == "idle" and signal["outcome"] != "ended" and not self._ended:
            message = signal.get("message") or signal["outcome"]
            self._why = f"the flow's process gave up: {message}"
            self.log.info("flow stopped without an end of its own", outcome=signal["outcome"], message=message)

    def _on_flow(self, frame: Frame) -> None:
        state = State(**frame["state"])
        result: Any = json.loads(frame["result"]) if "result" in frame else NO_RESULT
        error = frame.get("error")
        invalid = None if error is None else failure(
            error["code"], error["message"], retryable=False, hint=error["hint"]
        )
        self._reports.flow(state, result, invalid, lambda: self._on_stored(state))

    def _on_stored(self, state: State) -> None:
        self._context.metrics.flow_states.labels(state.type).inc()
        if state.type == "RUNNING" and self._delivered == 1:
            seconds = max(0.0, time.time() - self._stored_at)
            self._context.metrics.to_running.observe(seconds)
            self.log.debug("running", latencyMs=round(seconds * 1000))

    async def _poll(self) -> None:
        """What somebody did to the flow run in Prefect while it runs here."""
        strikes = 0
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                state = (await self._context.prefect.read(self.dispatch.flow_run_id)).state
            except (PrefectAway, PrefectRefused):
                continue
            if state.type in ("CANCELLING", "CANCELLED"):
                self.cancel(state.message or "cancelled in Prefect")
            elif state.type == "PAUSED" and state.name == "Suspended":
                self._signals.put_nowait({"is": "suspended"})
            elif state.terminal:
                # Once may be our own end on its way through the socket; twice is somebody else's.
                strikes += 1
                if strikes == 2:
                    self._signals.put_nowait({"is": "ended", "type": state.type})
