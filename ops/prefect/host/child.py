"""A pool process: imports Prefect and the flow modules once, then runs one flow run after another.

It speaks with the host over a socket pair (frames.py):
  host → child  {"do": "prepare", "flowRun"} | {"do": "run", "flowRunId", "deployment", "runCount", "claimed"}
                | {"do": "collect", "flowRunId"} | {"do": "cancel", "reason"} | {"do": "suspended"} | {"do": "stop"}
  child → host  {"is": "ready", "flows", "problems"} | {"is": "flow", "state", "result"?, "error"?} | {"is": "task", …}
                | {"is": "idle", "outcome", "message", "leaving"} | {"is": "collected", "result"?, "message"?}

Invariants:
  C1 the process does not outlive its host: end of the socket ends its whole process group at once;
  C2 a flow runs in the main thread, where signals arrive; the socket is read in another;
  C3 a process that was told to cancel ends: what user code left behind is not handed to the next flow run;
  C4 user code begins only when nobody else has run the flow run since the host's look: the run count is compared after
     the claim, by reading it, or, for one that never ran, by what Prefect makes of its first RUNNING (watch.py, W5).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import inspect
import logging
import os
import queue
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from . import frames, results, tracing


def _die_with_host() -> None:
    """Linux: the kernel kills us when the host ends. Elsewhere the end of the socket does (C1), a moment later."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _end_group() -> NoReturn:
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


class Link:
    """The child's end of the socket pair."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._lock = threading.Lock()
        self.commands: queue.Queue[frames.Frame] = queue.Queue()

    def send(self, frame: frames.Frame) -> None:
        data = frames.pack(frame)
        with self._lock:
            self._socket.sendall(data)

    def listen(self) -> None:
        threading.Thread(target=self._listen, name="millrace-host", daemon=True).start()

    def _listen(self) -> None:
        while (frame := frames.receive(self._socket)) is not None:
            if frame["do"] == "cancel":
                self._cancel(frame["reason"])
            elif frame["do"] == "suspended":
                _mark_suspended()
            else:
                self.commands.put(frame)
        _end_group()

    def _cancel(self, reason: str) -> None:
        from . import watch

        watched = watch.current()
        if watched is not None:
            watched.cancel_reason = reason
            # Prefect's engine turns it into an exception in the main thread; before it does so, it ends the process.
            os.kill(os.getpid(), signal.SIGTERM)


def _mark_suspended() -> None:
    """Tells the engine that the flow run was suspended from outside; it stops at the next task."""
    from prefect._flow_run_suspension import mark_flow_run_suspension_requested
    from prefect.client.orchestration import get_client

    from . import watch

    watched = watch.current()
    if watched is None:
        return
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(watched.flow_run_id))
        if flow_run.state is not None and flow_run.state.is_paused():
            mark_flow_run_suspension_requested(flow_run.id, flow_run.state)


class Child:
    """Runs what the host asks for."""

    def __init__(self, link: Link, client: Any, flows: dict[str, Any], folder: Path, deployment: str) -> None:
        self._link = link
        self._client = client
        self._flows = flows
        self._deployment = deployment
        self._folder = folder
        self._prepared: Any = None

    def serve(self) -> None:
        while True:
            command = self._link.commands.get()
            if command["do"] == "stop":
                return
            if command["do"] == "collect":
                self._collect(command["flowRunId"])
            elif command["do"] == "prepare":
                self._prepare(command["flowRun"])
            elif not self._run(command):
                return

    def _prepare(self, body: Any) -> None:
        """Makes the flow run of what the host read, while the host claims it."""
        from prefect.client.schemas.objects import FlowRun

        try:
            self._prepared = FlowRun.model_validate(body)
        except ValueError:
            self._prepared = None  # then it is read, and Prefect's own client says what is wrong with it

    def _claimed(self, command: frames.Frame) -> Any:
        """The flow run as the host claimed it; None when it must be read: it ran before, or the claim's answer got lost."""
        from prefect.client.schemas.objects import State

        flow_run, self._prepared = self._prepared, None
        if flow_run is None or str(flow_run.id) != command["flowRunId"] or command["claimed"] is None:
            return None
        if flow_run.run_count != 0 or command["runCount"] != 0:
            return None
        state: State[Any] = State.model_validate(command["claimed"])
        flow_run.state, flow_run.state_type, flow_run.state_name = state, state.type, state.name
        return flow_run

    def _run(self, command: frames.Frame) -> bool:
        """Runs a flow run; False when this process must not be used again."""
        from prefect.exceptions import Abort, Pause

        from . import watch

        flow_run = self._claimed(command)
        watched = watch.Watched(command["flowRunId"], self._folder, self._link.send, first_run=flow_run is not None)
        outcome, message = "ended", None
        with watch.watching(watched):
            try:
                self._execute(watched, flow_run, command)
            except (Abort, Pause) as stop:
                outcome, message = type(stop).__name__.lower(), str(stop)
            except BaseException as error:
                outcome, message = "error", f"{type(error).__name__}: {error}"
        reusable = outcome != "error" and watched.cancel_reason is None
        self._link.send({"is": "idle", "outcome": outcome, "message": message, "leaving": not reusable})
        return reusable

    def _execute(self, watched: Any, flow_run: Any, command: frames.Frame) -> None:
        from prefect.flow_engine import run_flow
        from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

        from . import watch

        deployment: str = command["deployment"]
        if flow_run is None:
            flow_run = watch.until_answered(lambda: self._client.read_flow_run(UUID(watched.flow_run_id)))
            if flow_run.run_count != command["runCount"]:
                raise RuntimeError(watch.RAN_ELSEWHERE)
        try:
            flow = self._flow_of(flow_run, deployment)
        except Exception as error:
            return self._fail(watched, f"the flow of {deployment} cannot be loaded: {type(error).__name__}: {error}")
        # Prefect asks the same before its engine exists, so nobody would set a state: it would look like a crash.
        try:
            get_call_parameters(flow.fn, *parameters_to_args_kwargs(flow.fn, flow_run.parameters))
        except TypeError as error:
            return self._fail(watched, f"the flow of {deployment} does not take these parameters: {error}")
        _drive(run_flow(flow, flow_run=flow_run, return_type="result" if flow.isgenerator else "state"))

    def _flow_of(self, flow_run: Any, deployment: str) -> Any:
        name, _, deployed = deployment.partition("/")
        if deployed == self._deployment and name in self._flows:
            return self._flows[name].flow
        # A deployment somebody else made: from where it says, new each time, since its code may have changed.
        from prefect.flows import load_flow_from_flow_run
        from prefect.utilities.asyncutils import run_coro_as_sync

        return run_coro_as_sync(load_flow_from_flow_run(flow_run, use_placeholder_flow=False))

    def _fail(self, watched: Any, message: str) -> None:
        from prefect.states import Failed

        response = self._client.set_flow_run_state(UUID(watched.flow_run_id), Failed(message=message), force=True)
        watched.flow(response.state)

    def _collect(self, flow_run_id: str) -> None:
        """Return value of a COMPLETED flow run of which this host has no file: what the flow persisted itself."""
        try:
            state = self._client.read_flow_run(UUID(flow_run_id)).state
            value = state.result(raise_on_failure=False, _sync=True)
            self._link.send({"is": "collected", "result": results.encode(value).decode()})
        except Exception as error:
            self._link.send({"is": "collected", "message": f"{type(error).__name__}: {error}"})


def _drive(value: Any) -> None:
    """Runs what `run_flow` returned to its end: nothing, a coroutine or a generator."""

    async def exhaust() -> None:
        async for _ in value:
            pass

    if inspect.iscoroutine(value):
        asyncio.run(value)
    elif inspect.isasyncgen(value):
        asyncio.run(exhaust())
    elif inspect.isgenerator(value):
        for _ in value:
            pass


def _quiet_console() -> None:
    """Flow logs go to Prefect's API; on the host's stderr only its own JSON lines and what flows print."""
    if os.environ.get("MILLRACE_LOG_LEVEL") in ("debug", "trace"):
        return
    from prefect.logging.handlers import PrefectConsoleHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.setLevel(logging.CRITICAL)


def main() -> int:
    _die_with_host()
    link = Link(socket.socket(fileno=int(os.environ.pop("MILLRACE_CHILD_FD"))))
    link.listen()
    finish = tracing.configure(os.environ.get("MILLRACE_OTLP_URL"))
    from prefect.client.orchestration import get_client
    from prefect.context import SyncClientContext
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from . import flows, watch

    watch.install()
    folders = [Path(text) for text in os.environ.get("MILLRACE_FLOWS", "").split(os.pathsep) if text]
    found, problems = flows.discover(folders)
    link.send({"is": "ready", "flows": [each.describe() for each in found.values()], "problems": problems})
    # Prefect's heartbeat is a thread per flow run, whose end takes a second of each; the host has its own (lease.py).
    # Engines take the client of the context they find: one connection for all flow runs of this process.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), SyncClientContext.get_or_create() as context:
        setup_logging()
        _quiet_console()
        # What is loaded by now stays: no collection needs to walk through it again, least of all while a flow starts.
        gc.collect()
        gc.freeze()
        folder = Path(os.environ["MILLRACE_HOST_RESULTS"])
        Child(link, context.client, found, folder, os.environ["MILLRACE_DEPLOYMENT"]).serve()
    finish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
