"""One connection per process, on a thread of its own: sync and async code, flows and tasks in threads all share it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, Optional, TypeVar

from nats.aio.client import Client
from nats.js.client import JetStreamContext

T = TypeVar("T")

CONNECT_SECONDS = 10.0


class Link:
    """The connection; made on first use, reconnects for ever."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="millrace-prefect", daemon=True)
        self._thread.start()
        self._client: Optional[Client] = None
        self._lock = asyncio.Lock()
        self.pid = os.getpid()

    async def client(self) -> Client:
        """The connected client. Runs on the link's own loop.

        :raises ConnectionError: the server cannot be reached
        """
        async with self._lock:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def jetstream(self) -> JetStreamContext:
        """JetStream over :meth:`client`."""
        return (await self.client()).jetstream()

    async def _connect(self) -> Client:
        env = os.environ
        urls = env.get("MILLRACE_NATS_URL") or "nats://127.0.0.1:4222"
        client = Client()
        try:
            await asyncio.wait_for(
                client.connect(
                    servers=[url.strip() for url in urls.split(",")],
                    name="millrace-prefect",
                    token=env.get("MILLRACE_NATS_TOKEN") or None,
                    user_credentials=env.get("MILLRACE_NATS_CREDS") or None,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,
                    connect_timeout=2,
                    error_cb=_quiet,
                ),
                CONNECT_SECONDS,
            )
        except Exception as error:
            raise ConnectionError(
                f"no NATS server answers at {urls} ({error or type(error).__name__}); set MILLRACE_NATS_URL"
            ) from error
        return client

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work in sync code."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work in async code, whatever its loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """Ends the connection and the thread."""

        async def end() -> None:
            if self._client is not None:
                await self._client.close()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _quiet(_error: Exception) -> None:
    """Outages are waited out; who waits too long says so itself."""


_link: Optional[Link] = None
_guard = threading.Lock()


def link() -> Link:
    """This process's link. A forked child makes its own: threads do not survive a fork."""
    global _link
    with _guard:
        if _link is None or _link.pid != os.getpid():
            _link = Link()
        return _link


def close() -> None:
    """Closes this process's link, if there is one."""
    global _link
    with _guard:
        if _link is not None and _link.pid == os.getpid():
            _link.close()
        _link = None
