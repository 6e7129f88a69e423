"""Warm processes: started ahead, used for one flow run after another, replaced when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Callable, Mapping

from . import frames
from .log import Log

_STARTUP_SECONDS = 120.0
_STOP_SECONDS = 5.0
OnFrame = Callable[[frames.Frame], None]


class Worker:
    """One pool process as the host sees it."""

    def __init__(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter, log: Log) -> None:
        self._process = process
        self._writer = writer
        self._log = log
        self._listener: OnFrame | None = None
        self.ready: asyncio.Future[frames.Frame] = asyncio.get_running_loop().create_future()
        self._leaving: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self.runs = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be given something to do."""
        return not self.ended.is_set() and self._leaving is None

    @property
    def ending(self) -> str:
        """How the process ended, for people."""
        code = self._process.returncode
        if code is None:
            return "is running"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def listen(self, listener: OnFrame | None) -> None:
        """Where frames go from now on; `{"is": "gone"}` is the last when the process ends."""
        self._listener = listener
        if listener is not None and not self.alive:
            listener({"is": "gone"})

    def send(self, frame: frames.Frame) -> None:
        if not self.ended.is_set():
            self._writer.write(frames.pack(frame))

    def leave(self) -> None:
        """It is not used again: it ends by itself, in bounded time, while its successor starts."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self.stop())

    def kill(self) -> None:
        """Ends the process and all it started, now."""
        if self.ended.is_set():
            return  # its number may be somebody else's by now
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    async def stop(self) -> None:
        """Ends an idle process in order, in bounded time."""
        self.send({"do": "stop"})
        try:
            await asyncio.wait_for(self.ended.wait(), _STOP_SECONDS)
        except TimeoutError:
            self.kill()
            await self.ended.wait()

    async def follow(self, reader: asyncio.StreamReader) -> None:
        while (frame := await frames.read(reader)) is not None:
            if frame["is"] == "ready" and not self.ready.done():
                self.ready.set_result(frame)
            elif self._listener is not None:
                self._listener(frame)
        # The end of the socket comes first; a process that only closed it is of no use either.
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        # What user code started must not go on without it.
        self.kill()
        self._writer.close()
        self.ended.set()
        if not self.ready.done():
            self.ready.cancel()
        if self._listener is not None:
            self._listener({"is": "gone"})


class Pool:
    """Starts workers. `on_ready` gets what the first frame of each says."""

    def __init__(self, env: Mapping[str, str], log: Log, on_ready: Callable[[frames.Frame], None]) -> None:
        self._env = dict(env)
        self._log = log
        self._on_ready = on_ready
        self._followers: set[asyncio.Task[None]] = set()
        self.workers: set[Worker] = set()
        self.started = 0

    async def _launch(self) -> Worker:
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "host.child"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                pass_fds=(theirs.fileno(),),
                env={**self._env, "MILLRACE_CHILD_FD": str(theirs.fileno())},
                cwd=Path(__file__).resolve().parent.parent,
                # Its own group: a flow's subprocesses end with it, and Ctrl-C at a terminal reaches the host alone.
                start_new_session=True,
            )
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = Worker(process, writer, self._log)
        self.workers.add(worker)
        self.started += 1
        task = asyncio.create_task(worker.follow(reader))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)
        task.add_done_callback(lambda _: self.workers.discard(worker))
        return worker

    async def start(self) -> Worker | None:
        """A new worker that is ready; None, with a line in the log, when it did not get so far."""
        worker = await self._launch()
        try:
            frame: dict[str, Any] = await asyncio.wait_for(asyncio.shield(worker.ready), _STARTUP_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            if worker.alive and not worker.ready.cancelled():
                worker.kill()
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            await worker.ended.wait()
            self._log.error(f"a pool process {worker.ending} before it was ready; see the lines above", child=worker.pid)
            return None
        self._on_ready(frame)
        return worker

    async def close(self) -> None:
        """Ends all workers; idle ones in order."""
        await asyncio.gather(*(worker.stop() for worker in list(self.workers)))
        await asyncio.gather(*self._followers, return_exceptions=True)
