"""The host's connection to NATS: reconnects for ever, waits for what is missing, and says so in a sentence."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Mapping

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext

from .config import Config
from .log import Log
from .protocol import FLOWS_STREAM, Outgoing

ACK_WAIT_SECONDS = 10.0
_MAX_DELIVER = 10
_FETCH_SECONDS = 2.0
_PUBLISH_SECONDS = 5.0
_LONGEST_PAUSE = 2.0
PullSubscription = JetStreamContext.PullSubscription
_FAULTS = (nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError)


class NotStored(Exception):
    """A message could not be stored in the time given."""


class Link:
    """One connection. `ack_wait` is the consumer's own, which may differ from ours when somebody else made it."""

    def __init__(self, config: Config, log: Log) -> None:
        self._config = config
        self._log = log
        self._nc = Client()
        self._js: JetStreamContext | None = None
        self._said: str | None = None
        self._closing = False
        self.consumer = f"HOST_{config.pool}"
        self.ack_wait = ACK_WAIT_SECONDS
        self.reconnects = 0

    @property
    def connected(self) -> bool:
        return self._nc.is_connected

    def _say(self, sentence: str) -> None:
        """An outage is told once, not at every try."""
        if sentence != self._said:
            self._said = sentence
            self._log.warn(sentence)

    async def connect(self) -> None:
        """Connects; tries until it can."""
        servers = ", ".join(self._config.nats_urls)

        async def on_error(error: Exception) -> None:
            text = str(error) or type(error).__name__
            if "authorization" in text.lower():
                return self._say(f"NATS at {servers} refuses this host: check MILLRACE_NATS_TOKEN; trying again")
            self._say(f"NATS at {servers} does not answer ({text}): start it or set MILLRACE_NATS_URL; trying again")

        async def on_disconnected() -> None:
            if not self._closing:
                self._log.warn("connection to NATS lost; trying again")

        async def on_reconnected() -> None:
            self.reconnects += 1
            self._said = None
            self._log.info("connected to NATS again")

        options: dict[str, Any] = {"token": self._config.nats_token} if self._config.nats_token else {}
        if self._config.nats_creds:
            options["user_credentials"] = self._config.nats_creds
        await self._nc.connect(
            servers=list(self._config.nats_urls),
            name=f"millrace-flow-host {self._config.pool}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            connect_timeout=2,
            ping_interval=3,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
            **options,
        )
        self._js = self._nc.jetstream(timeout=_PUBLISH_SECONDS)
        self._said = None

    @property
    def js(self) -> JetStreamContext:
        if self._js is None:
            raise RuntimeError("not connected yet")
        return self._js

    async def ensure_consumer(self) -> None:
        """Makes the durable consumer of the pool when it is not there; waits for its stream."""
        pause = 0.25
        while True:
            try:
                info = await self._consumer_info()
                self.ack_wait = info.config.ack_wait or ACK_WAIT_SECONDS
                return
            except nats.js.errors.NotFoundError:
                self._say(f"there is no stream {FLOWS_STREAM} yet: run `millrace apply`; waiting for it")
            except _FAULTS as error:
                self._say(f"consumer {self.consumer} cannot be read ({error or type(error).__name__}); trying again")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _consumer_info(self) -> Any:
        try:
            return await self.js.consumer_info(FLOWS_STREAM, self.consumer)
        except nats.js.errors.NotFoundError:
            config = ConsumerConfig(
                durable_name=self.consumer,
                description=f"Flow runs on their way to hosts of pool {self._config.pool}",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_deliver=_MAX_DELIVER,
                filter_subject=f"flow.dispatch.{self._config.pool}",
                max_ack_pending=1_000,
            )
            return await self.js.add_consumer(FLOWS_STREAM, config)

    async def pull(self) -> PullSubscription:
        """A subscription of its own for each slot: two fetches on one would read each other's status messages."""
        return await self.js.pull_subscribe_bind(consumer=self.consumer, stream=FLOWS_STREAM)

    async def next(self, pull: PullSubscription) -> Msg | None:
        """The next dispatch, or None after a moment without one."""
        try:
            return (await pull.fetch(1, timeout=_FETCH_SECONDS))[0]
        except nats.errors.TimeoutError:
            return None
        except nats.js.errors.NotFoundError:
            await self.ensure_consumer()
        except _FAULTS as error:
            self._log.debug("fetch failed", error=str(error) or type(error).__name__)
            if isinstance(error, nats.js.errors.APIError) and error.code == 409:
                await self.ensure_consumer()
            await asyncio.sleep(0.25)
        return None

    async def on_cancel(self, subject: str, handle: Callable[[bytes], None]) -> None:
        async def receive(msg: Msg) -> None:
            handle(msg.data)

        await self._nc.subscribe(subject, cb=receive)

    async def store(self, out: Outgoing, headers: Mapping[str, str], within: float) -> None:
        """Publishes until a stream has it: the same message id each time, so it is stored once.

        Raises:
            NotStored: when that took longer than `within` seconds.
        """
        until = time.monotonic() + within
        pause = 0.1
        while True:
            try:
                await self.js.publish(out.subject, out.payload, headers={**headers, "Nats-Msg-Id": out.id})
                return
            except _FAULTS as error:
                reason = str(error) or type(error).__name__
                if isinstance(error, nats.js.errors.NoStreamResponseError):
                    reason = "no stream takes it"
                if time.monotonic() > until:
                    raise NotStored(f"{out.subject}: {reason}") from error
                self._log.debug("publish failed; trying again", subject=out.subject, error=reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def confirm(self, msg: Msg, verb: bytes, within: float) -> bool:
        """Answers a delivery (`+ACK`, `+WPI`, …) and waits for the server's word; False when none came."""
        if not self.connected:
            # A buffered answer would be sent after the reconnect, when it may be about somebody else's delivery.
            await asyncio.sleep(min(within, 0.2))
            return False
        try:
            await self._nc.request(msg.reply, verb, timeout=within)
            return True
        except _FAULTS:
            return False

    async def close(self) -> None:
        self._closing = True
        if self._js is not None and not self._nc.is_closed:
            await self._nc.close()
