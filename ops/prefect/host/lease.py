"""The right to work on a dispatch: a delivery whose heartbeats the server confirms.

Invariants:
  L1 the lease counts as lost as soon as no heartbeat sent within the ack wait (less a margin) was confirmed: by then the
     message may be somebody else's;
  L2 a redelivery of the same message to this same host renews the lease instead of competing with it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Callable

from nats.aio.msg import Msg

from .link import Link

_MARGIN = 0.1


class Lease:
    """Heartbeats until closed. `on_lost` is called once, from the heartbeat's task."""

    def __init__(self, link: Link, msg: Msg, on_lost: Callable[[], None]) -> None:
        self._link = link
        self._msg = msg
        self._on_lost = on_lost
        self._confirmed = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self.lost = False

    @property
    def msg(self) -> Msg:
        return self._msg

    @property
    def sequence(self) -> int:
        return self._msg.metadata.sequence.stream

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat())

    def adopt(self, msg: Msg) -> None:
        """Takes a newer delivery of the same message (L2)."""
        self._msg = msg
        self._confirmed = time.monotonic()

    async def _beat(self) -> None:
        every = self._link.ack_wait / 3
        while True:
            await asyncio.sleep(min(every, max(0.05, self._left())))
            while self._left() > 0:
                sent = time.monotonic()
                if await self._link.confirm(self._msg, b"+WPI", within=min(every, max(0.05, self._left()))):
                    self._confirmed = max(self._confirmed, sent)
                    break
            else:
                self.lost = True
                self._on_lost()
                return

    def _left(self) -> float:
        return self._confirmed + self._link.ack_wait * (1 - _MARGIN) - time.monotonic()

    async def answer(self, verb: bytes) -> bool:
        """Ends the lease with the given answer (`+ACK`, `-NAK {…}`, `+TERM`); False when the server did not confirm it."""
        await self.close()
        for _ in range(3):
            if await self._link.confirm(self._msg, verb, within=2.0):
                return True
        return False

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
