"""Sees every state that Prefect's engines set in this process, as it is set.

How: `set_state` of the four run engines (flow and task, sync and async) is wrapped. Of what 3.8.8 offers it is the least
brittle: hooks miss states (a task's Retrying, a flow's Cached, all of them on a crash) and run as if they were the user's;
Prefect's own events come after a round trip through the server, can be dropped, and lack the return value.
`install` refuses to start when an engine is not shaped as expected, so another Prefect version fails loudly, not silently.

Invariants:
  W1 a flow state is reported after Prefect's API accepted it, never before;
  W2 a state is reported once, whatever the engine repeats;
  W3 a return value that cannot be reported fails the flow run in Prefect too: both sides say the same;
  W4 Prefect being away delays a flow run's state, it does not change it;
  W5 a flow run that never ran and whose first RUNNING Prefect calls another name was run elsewhere: its flow does not begin.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator
from uuid import uuid4

import httpx
import prefect.client.orchestration as orchestration
import prefect.flow_engine as flow_engine
import prefect.task_engine as task_engine
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling

from . import results
from .frames import Frame
from .protocol import LONGEST_MESSAGE

Send = Callable[[Frame], None]
_NAMES_OF_RERUNS = frozenset({"Rerunning", "Retrying"})
RAN_ELSEWHERE = "another host ran this flow run while this one claimed it"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0


def state_frame(state: Any, name: str | None = None) -> Frame:
    """A Prefect state for the host."""
    at = int(state.timestamp.timestamp() * 1000)
    message = None if state.message is None else state.message[:LONGEST_MESSAGE]
    return {"id": str(state.id), "type": state.type.value, "name": name or state.name, "message": message, "at": at}


def name_in_prefect(flow_run: Any, before: Any, accepted: Any) -> str:
    """The server renames RUNNING of what ran before, and the engine does not take that name over."""
    if not accepted.is_running() or flow_run.run_count == 0 or accepted.name != "Running":
        return accepted.name
    return "Retrying" if before is not None and before.name == "AwaitingRetry" else "Rerunning"


class Watched:
    """The flow run that runs in this process."""

    def __init__(self, flow_run_id: str, folder: Path, send: Send, *, first_run: bool = False) -> None:
        self.flow_run_id = flow_run_id
        self.cancel_reason: str | None = None
        self.update: Callable[[], Any] | None = None
        """What the engine wants to tell Prefect of the flow run before its first state; done right after that state."""
        self.proposed = False
        self._first_run = first_run
        self._folder = folder
        self._send = send
        self._seen: set[str] = set()
        self._data: bytes = b"null"
        self._invalid: results.InvalidOutput | None = None

    def take_update(self) -> Callable[[], Any] | None:
        """What was put off until Prefect has accepted a state, once."""
        self.proposed = True
        update, self.update = self.update, None
        return update

    def wants_look(self) -> bool:
        """True once, for the first proposal of a flow run that never ran."""
        first, self._first_run = self._first_run, False
        return first

    def check_output(self, state: Any) -> None:
        """Stores the return value that comes with COMPLETED. Raises InvalidOutput."""
        value = getattr(state.data, "result", state.data)
        self._invalid = None
        try:
            self._data = results.encode(value)
        except results.InvalidOutput as error:
            self._invalid = error
            raise
        results.write(self._folder, self.flow_run_id, self._data)

    def flow(self, state: Any, name: str | None = None) -> None:
        if self._news(state):
            frame: Frame = {"is": "flow", "state": state_frame(state, name)}
            if state.is_completed():
                frame["result"] = self._data.decode()
            if state.is_failed() and self._invalid is not None:
                invalid = self._invalid
                frame["error"] = {"code": invalid.code, "message": str(invalid), "hint": invalid.hint}
            self._send(frame)

    def task(self, task_run: Any, name: str, state: Any) -> None:
        if self._news(state):
            self._send({"is": "task", "taskRunId": str(task_run.id), "taskName": name, "state": state_frame(state)})

    def _news(self, state: Any) -> bool:
        key = str(state.id)
        fresh = key not in self._seen
        self._seen.add(key)
        return fresh


_watched: Watched | None = None


@contextmanager
def watching(watched: Watched) -> Iterator[None]:
    """Reports the states of this flow run, and of no other (not of its subflows), while the block runs."""
    global _watched
    _watched = watched
    try:
        yield
    finally:
        _watched = None


def current() -> Watched | None:
    return _watched


def _is_outage(error: Exception) -> bool:
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)


def _repeatable(state: Any) -> None:
    """A repeat of a proposal that Prefect had taken is answered with the state it made, by this id."""
    if state.state_details.transition_id is None:
        state.state_details.transition_id = uuid4()


def until_answered(call: Callable[[], Any]) -> Any:
    """The call's value, as soon as Prefect can be reached; what Prefect then refuses is raised."""
    for pause in _pauses():
        try:
            return call()
        except Exception as error:
            if not _is_outage(error):
                raise
            time.sleep(pause)


async def until_answered_async(call: Callable[[], Any]) -> Any:
    for pause in _pauses():
        try:
            return await call()
        except Exception as error:
            if not _is_outage(error):
                raise
            await asyncio.sleep(pause)


def _of(engine: Any) -> Watched | None:
    watched = _watched
    flow_run = engine.flow_run
    return watched if watched and flow_run and str(flow_run.id) == watched.flow_run_id else None


def _steps(watched: Watched, state: Any, force: bool) -> list[tuple[Any, bool]]:
    """The states to propose for one. Ended by our SIGTERM the engine says Crashed; when it was a cancel, it is one."""
    if watched.cancel_reason is not None and state.is_crashed():
        message = watched.cancel_reason
        return [(Cancelling(message=message), True), (Cancelled(message=message), True)]
    if state.is_completed():
        watched.check_output(state)
    return [(state, force)]


def _wrap_flow(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_state(self: Any, state: Any, force: bool = False) -> Any:
        watched = _of(self)
        if watched is None or self.short_circuit:
            return original(self, state, force=force)
        accepted = None
        for step, forced in _steps(watched, state, force):
            _repeatable(step)
            before = self.flow_run.state
            accepted = until_answered(lambda: original(self, step, force=forced))
            watched.flow(accepted, name_in_prefect(self.flow_run, before, accepted))
            if (update := watched.take_update()) is not None:
                until_answered(update)
        return accepted

    return set_state


def _wrap_flow_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def set_state(self: Any, state: Any, force: bool = False) -> Any:
        watched = _of(self)
        if watched is None or self.short_circuit:
            return await original(self, state, force=force)
        accepted = None
        for step, forced in _steps(watched, state, force):
            _repeatable(step)
            before = self.flow_run.state
            accepted = await until_answered_async(lambda: original(self, step, force=forced))
            watched.flow(accepted, name_in_prefect(self.flow_run, before, accepted))
            if (update := watched.take_update()) is not None:
                await until_answered_async(update)
        return accepted

    return set_state


def _report_task(engine: Any, state: Any) -> None:
    watched, task_run = _watched, engine.task_run
    if watched and task_run and str(task_run.flow_run_id) == watched.flow_run_id:
        watched.task(task_run, engine.task.name, state)


def _wrap_task(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_state(self: Any, state: Any, force: bool = False) -> Any:
        accepted = original(self, state, force=force)
        _report_task(self, accepted)
        return accepted

    return set_state


def _wrap_task_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def set_state(self: Any, state: Any, force: bool = False) -> Any:
        accepted = await original(self, state, force=force)
        _report_task(self, accepted)
        return accepted

    return set_state


def _put_off(client: Any, flow_run_id: Any, update: Callable[[], Any]) -> bool:
    """Whether an update of the flow run is done later: before its first state it would only delay that one.

    What it tells, the flow's version and how often it may be retried, counts when the flow run ends.
    """
    watched = _watched
    if watched is None or watched.proposed or str(flow_run_id) != watched.flow_run_id:
        return False
    watched.update = update
    return True


def _wrap_update(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def update_flow_run(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        update = functools.partial(original, self, flow_run_id, *args, **kwargs)
        return None if _put_off(self, flow_run_id, update) else update()

    return update_flow_run


def _wrap_update_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def update_flow_run(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        update = functools.partial(original, self, flow_run_id, *args, **kwargs)
        return None if _put_off(self, flow_run_id, update) else await update()

    return update_flow_run


def _looked_at(flow_run_id: Any) -> bool:
    watched = _watched
    return watched is not None and str(flow_run_id) == watched.flow_run_id and watched.wants_look()


def refuse_rerun(answer: Any) -> None:
    """Raises RuntimeError when Prefect says of a first RUNNING that the flow run had run before (W5)."""
    state = answer.state
    if answer.status.value == "ACCEPT" and state is not None and state.is_running() and state.name in _NAMES_OF_RERUNS:
        raise RuntimeError(RAN_ELSEWHERE)


def _wrap_propose(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_flow_run_state(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        # Asked before the call: should its answer get lost, the next one is about our own RUNNING.
        look = _looked_at(flow_run_id)
        answer = original(self, flow_run_id, *args, **kwargs)
        if look:
            refuse_rerun(answer)
        return answer

    return set_flow_run_state


def _wrap_propose_async(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def set_flow_run_state(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        look = _looked_at(flow_run_id)
        answer = await original(self, flow_run_id, *args, **kwargs)
        if look:
            refuse_rerun(answer)
        return answer

    return set_flow_run_state


_ENGINES = (
    (flow_engine, "FlowRunEngine", False, _wrap_flow),
    (flow_engine, "AsyncFlowRunEngine", True, _wrap_flow_async),
    (task_engine, "SyncTaskRunEngine", False, _wrap_task),
    (task_engine, "AsyncTaskRunEngine", True, _wrap_task_async),
)


_CLIENTS = (
    ("SyncPrefectClient", False, _wrap_update, _wrap_propose),
    ("PrefectClient", True, _wrap_update_async, _wrap_propose_async),
)


@contextmanager
def _no_observer(*_args: Any, **_kwargs: Any) -> Iterator[None]:
    """In place of Prefect's websocket and thread per flow run, which cost a second each: the host watches the state."""
    yield


def install() -> None:
    """Wraps the engines of this process.

    Raises:
        RuntimeError: when this Prefect's engines are not shaped as those of 3.8.8.
    """
    for module, name, is_async, _ in _ENGINES:
        _check(getattr(module, name, None), "set_state", ["self", "state", "force"], is_async)
    for name, is_async, _, _ in _CLIENTS:
        client = getattr(orchestration, name, None)
        _check(client, "update_flow_run", ["self", "flow_run_id"], is_async)
        _check(client, "set_flow_run_state", ["self", "flow_run_id", "state", "force"], is_async)
    for module, name, _, wrap in _ENGINES:
        engine = getattr(module, name)
        engine.set_state = wrap(engine.set_state)
    for name, _, update, propose in _CLIENTS:
        client = getattr(orchestration, name)
        client.update_flow_run = update(client.update_flow_run)
        client.set_flow_run_state = propose(client.set_flow_run_state)
    if hasattr(flow_engine, "observe_flow_run_suspension"):
        flow_engine.observe_flow_run_suspension = _no_observer


def _check(owner: Any, name: str, parameters: list[str], is_async: bool) -> None:
    """Raises RuntimeError unless the method begins with these parameters and is (not) a coroutine function."""
    import prefect

    method = getattr(owner, name, None)
    shaped = method is not None and list(inspect.signature(method).parameters)[: len(parameters)] == parameters
    if not shaped or inspect.iscoroutinefunction(method) is not is_async:
        where = getattr(owner, "__name__", "engine or client")
        raise RuntimeError(
            f"Prefect {prefect.__version__} has no {where}.{name}({', '.join(parameters[1:])}) to watch: use the version "
            "that ops/prefect/requirements.lock names"
        )
