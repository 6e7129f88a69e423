"""The flow host: slots that each take a dispatch, run it in a warm process and answer it.

Invariants:
  H1 a slot fetches only while it has an idle, ready process: the host never holds more dispatches than it can run;
  H2 a flow run is worked on once in this host: a second delivery of the same message renews the first one's lease, a
     second message about it is dropped;
  H3 a message nobody can work on becomes a dead letter before it is terminated.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from nats.aio.msg import Msg

from . import protocol, results
from .attempt import Attempt
from .config import Config, child_env
from .context import Context
from .frames import Frame
from .http import Answer, HttpServer, as_json
from .link import Link, NotStored, PullSubscription
from .log import Log
from .metrics import Metrics
from .pool import Pool, Worker
from .prefect_api import PrefectApi, PrefectAway, PrefectRefused

_RUNS_PER_PROCESS = 1_000
"""Then a process is replaced: user code and Prefect's caches may leak."""
_SWEEP_SECONDS = 3_600.0


class Host:
    """One flow host process."""

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self._metrics = Metrics()
        self._context = Context(
            link=Link(config, log),
            prefect=PrefectApi(config.prefect_url, config.prefect_api_key, os.environ.get("PREFECT_API_AUTH_STRING")),
            log=log,
            metrics=self._metrics,
            results=config.home / "results",
        )
        self._pool = Pool(child_env(config), log, self._on_ready)
        self._running: dict[str, Attempt] = {}
        self._registered: dict[str, Frame] = {}
        self._to_register: asyncio.Queue[Frame] = asyncio.Queue()
        self._consuming = asyncio.Event()
        self._http = HttpServer({"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics_text})

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT. Raises ConfigError."""
        for folder in (self._context.results, self._config.home / "prefect"):
            folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        port = await self._http.start(self._config.http_port)
        self._log.info("flow host started", http=port, pool=self._config.pool, processes=self._config.processes)
        background = [asyncio.create_task(work) for work in (self._register(), self._sweep())]
        slots = [asyncio.create_task(self._slot(index)) for index in range(self._config.processes)]
        connect = asyncio.create_task(self._connect())
        try:
            await self._until_stopped([connect, *slots, *background])
            await self._drain(slots)
        finally:
            for task in [connect, *background, *slots]:
                task.cancel()
            await asyncio.gather(connect, *background, *slots, return_exceptions=True)
            await self._pool.close()
            await self._context.link.close()
            await self._context.prefect.close()
            await self._http.close()
        self._log.info("flow host stopped")

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._context.stopping.wait())
        pending: set[asyncio.Task[Any]] = {stopping, *tasks}
        while not stopping.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def _on_signal(self, number: int) -> None:
        if self._context.stopping.is_set():
            self._context.stop_now.set()
            return
        self._log.info("stopping: running flows may finish", signal=signal.Signals(number).name, running=len(self._running))
        self._context.stopping.set()

    async def _drain(self, slots: list[asyncio.Task[None]]) -> None:
        """Lets running flows finish up to the deadline; those that do not are ended as lost, so that they run elsewhere."""
        busy = asyncio.create_task(self._idle())
        now = asyncio.create_task(self._context.stop_now.wait())
        await asyncio.wait({busy, now}, timeout=self._config.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        now.cancel()
        for attempt in list(self._running.values()):
            attempt.stop()
        await asyncio.wait({busy}, timeout=10.0)
        busy.cancel()

    async def _idle(self) -> None:
        while self._running:
            await asyncio.sleep(0.02)

    async def _connect(self) -> None:
        link = self._context.link
        await link.connect()
        await link.ensure_consumer()
        await link.on_cancel(protocol.CANCEL_SUBJECTS, self._on_cancel)
        self._log.info("takes flow runs", consumer=link.consumer, ackWaitSeconds=link.ack_wait)
        self._consuming.set()

    def _on_cancel(self, data: bytes) -> None:
        try:
            key, reason = protocol.parse_cancel(data)
        except protocol.MalformedMessage as error:
            return self._log.warn("a cancel message was ignored", error=str(error))
        for attempt in self._running.values():
            if attempt.dispatch.key == key:
                attempt.log.info("cancelling", reason=reason)
                attempt.cancel(reason)

    async def _slot(self, index: int) -> None:
        """Takes one dispatch after another (H1)."""
        worker: Worker | None = None
        pull: PullSubscription | None = None
        while not self._context.stopping.is_set():
            if worker is None or not worker.alive:
                worker = await self._pool.start()
                if worker is None:
                    await asyncio.sleep(2.0)
                    continue
            await self._consuming.wait()
            pull = pull or await self._context.link.pull()
            msg = await self._context.link.next(pull)
            if msg is None:
                continue
            if not worker.alive:
                # It died while idle; another slot or host takes the message at once.
                await self._context.link.confirm(msg, b"-NAK", within=1.0)
                continue
            await self._handle(msg, worker, index)
            if worker.alive and worker.runs >= _RUNS_PER_PROCESS:
                await worker.stop()

    async def _handle(self, msg: Msg, worker: Worker, index: int) -> None:
        try:
            dispatch = protocol.parse_dispatch(msg.data)
        except protocol.MalformedMessage as problem:
            return await self._bury(msg, problem)
        known = self._running.get(dispatch.flow_run_id)
        if known is not None:
            return await self._again(known, msg)
        attempt = Attempt(self._context, dispatch, msg, worker)
        self._running[dispatch.flow_run_id] = attempt
        self._metrics.busy.inc()
        began = time.monotonic()
        try:
            outcome = await attempt.execute()
            self._metrics.dispatches.labels(outcome).inc()
            self._metrics.duration.observe(time.monotonic() - began)
            attempt.log.debug("dispatch done", outcome=outcome, slot=index, ms=round((time.monotonic() - began) * 1000))
        except Exception as error:
            # One flow run must not take the host down; its lease ends and it is delivered again.
            attempt.log.error("dispatch failed", error=f"{type(error).__name__}: {error}")
            self._metrics.dispatches.labels("error").inc()
            worker.kill()
            await worker.ended.wait()
        finally:
            self._metrics.busy.dec()
            del self._running[dispatch.flow_run_id]

    async def _again(self, known: Attempt, msg: Msg) -> None:
        """A flow run that this host is working on was delivered once more (H2)."""
        if msg.metadata.sequence.stream == known.lease.sequence:
            known.log.info("delivered again while it runs here; heartbeats were late")
            known.lease.adopt(msg)
        else:
            await self._context.link.confirm(msg, b"+ACK", within=2.0)
        self._metrics.dispatches.labels("duplicate").inc()

    async def _bury(self, msg: Msg, problem: protocol.MalformedMessage) -> None:
        sequence = msg.metadata.sequence.stream
        letter, headers = protocol.dead_letter(msg.data, msg.headers or {}, sequence, msg.subject, problem)
        self._log.warn("a dispatch is malformed; it becomes a dead letter", error=str(problem), sequence=sequence)
        self._metrics.dispatches.labels("malformed").inc()
        try:
            await self._context.link.store(letter, headers, within=30.0)
            await self._context.link.confirm(msg, b"+TERM", within=2.0)
        except NotStored as error:
            self._log.error("a dead letter could not be stored; trying again", error=str(error))

    def _on_ready(self, frame: Frame) -> None:
        self._metrics.started.inc()
        for problem in frame["problems"]:
            self._log.error("a flow module cannot be used", problem=problem)
        for found in frame["flows"]:
            if self._registered.get(found["flow"]) != found:
                self._registered[found["flow"]] = found
                self._to_register.put_nowait(found)

    async def _register(self) -> None:
        """Makes a deployment of each flow found; waits for Prefect as long as it takes."""
        while True:
            found = await self._to_register.get()
            pause, name = 0.25, f"{found['flow']}/{self._config.deployment}"
            while True:
                try:
                    deployment_id = await self._context.prefect.register(found, self._config.deployment)
                    self._log.info("deployment registered", deployment=name, deploymentId=deployment_id)
                    break
                except PrefectAway as error:
                    if pause == 0.25:
                        hint = "start it or set MILLRACE_PREFECT_URL"
                        self._log.warn(f"Prefect does not answer: {hint}; trying again", error=str(error))
                except PrefectRefused as error:
                    self._log.error("Prefect refuses a deployment", deployment=name, error=str(error))
                    break
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            self._to_register.task_done()

    async def _sweep(self) -> None:
        while True:
            deleted = await asyncio.to_thread(results.sweep, self._context.results)
            if deleted:
                self._log.info("old results deleted", files=deleted)
            await asyncio.sleep(_SWEEP_SECONDS)

    def _healthz(self) -> Answer:
        return as_json(200, {"status": "ok"})

    def _readyz(self) -> Answer:
        warm = sum(worker.alive and worker.ready.done() for worker in self._pool.workers)
        parts = {
            "nats": self._context.link.connected and self._consuming.is_set(),
            "processes": warm > 0,
            "flows": bool(self._registered) or not self._config.flows,
            "registered": self._to_register.qsize() == 0 and self._context.prefect.reachable,
        }
        ready = all(parts.values()) and not self._context.stopping.is_set()
        return as_json(200 if ready else 503, {"status": "ready" if ready else "not ready", "parts": parts, "warm": warm})

    def _metrics_text(self) -> Answer:
        self._metrics.connected.set(1 if self._context.link.connected else 0)
        self._metrics.warm.set(sum(worker.alive for worker in self._pool.workers))
        return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.text()
