"""One connection per event loop, shared by all publishers and consumers in it; it reconnects for ever.

Publishing waits a bounded time. What the server could not be told in that time is kept in memory, in order, and told when
it is back: an API call of Prefect's does not fail, nor hang, because the broker is away. What a process holds so when it
is killed is lost: PREFECT_NATS_OUTBOX_SIZE=0 makes publishing raise instead.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from prefect.logging import get_logger

from .settings import NatsMessagingSettings, settings
from .subjects import stream_of, subjects_of, token

logger = get_logger(__name__)

FAULTS = (nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError)
_RETRY_SECONDS = 0.5


class NotStored(Exception):
    """The server did not say in time that the message is stored."""


@dataclass(frozen=True)
class Outgoing:
    """A message on its way."""

    topic: str
    subject: str
    data: bytes
    headers: Mapping[str, str]


def _server_error(error: BaseException) -> bool:
    """Whether the server has refused the message itself: sending it again cannot help."""
    return isinstance(error, nats.js.errors.APIError) and (error.code or 0) < 500


class Connection:
    """The connection of one event loop. Made by :func:`connection`."""

    def __init__(self, config: NatsMessagingSettings) -> None:
        self.config = config
        self.nc = Client()
        self.js: JetStreamContext = self.nc.jetstream()
        self._connecting: Optional[asyncio.Task[None]] = None
        self._streams: dict[str, asyncio.Task[str]] = {}
        self._outbox: deque[Outgoing] = deque()
        self._sending: Optional[asyncio.Task[None]] = None
        self._away = False
        self._closing = False

    async def ready(self) -> None:
        """Waits until it is connected for the first time."""
        if self._connecting is None or (self._connecting.done() and self._connecting.exception() is not None):
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        config = self.config
        while True:
            try:
                await self.nc.connect(
                    servers=[url.strip() for url in config.url.split(",")],
                    name="prefect-nats",
                    user=config.user,
                    password=None if config.password is None else config.password.get_secret_value(),
                    token=None if config.token is None else config.token.get_secret_value(),
                    user_credentials=None if config.creds_file is None else str(config.creds_file),
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.25,
                    connect_timeout=2,
                    ping_interval=10,
                    max_outstanding_pings=2,
                    error_cb=self._says,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._back,
                )
                return
            except FAULTS as error:
                await self._says(error)
                self.nc = Client()
                self.js = self.nc.jetstream()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _says(self, error: Exception) -> None:
        if not self._away and not self._closing:
            self._away = True
            logger.warning("NATS at %s is away: %s; trying again for ever", self.config.url, error or type(error).__name__)

    async def _lost(self) -> None:
        await self._says(ConnectionError("the connection was lost"))

    async def _back(self) -> None:
        self._away = False
        logger.info("NATS at %s is back", self.config.url)

    async def stream(self, topic: str) -> str:
        """The name of the topic's stream, which exists afterwards."""
        making = self._streams.get(topic)
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = self._streams[topic] = asyncio.create_task(self._ensure(topic))
        return await asyncio.shield(making)

    def forget_stream(self, topic: str) -> None:
        """It may have been deleted: it is looked for again."""
        self._streams.pop(topic, None)

    async def _ensure(self, topic: str) -> str:
        config = self.config
        name = stream_of(config.stream_prefix, topic)
        await self.ready()
        wanted = StreamConfig(
            name=name,
            description=f"Prefect's topic {topic}",
            subjects=subjects_of(config.subject_prefix, topic),
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=config.logs_max_age if topic == "logs" else config.events_max_age,
            duplicate_window=config.duplicate_window,
            num_replicas=config.replicas,
            allow_direct=True,
        )
        await self._create(name, wanted)
        return name

    async def _create(self, name: str, wanted: StreamConfig) -> None:
        try:
            await self.js.stream_info(name)
        except nats.js.errors.NotFoundError:
            try:
                await self.js.add_stream(wanted)
            except nats.js.errors.BadRequestError:
                await self.js.stream_info(name)  # another process has just made it; if not, this says what is wrong

    async def dead_letter(self, topic: str, group: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Keeps a message that no handler could take, in ``<prefix>_DEAD``. Raises one of ``FAULTS``."""
        config = self.config
        name = f"{config.stream_prefix}_DEAD"
        await self._create(
            name,
            StreamConfig(
                name=name,
                description="Messages of Prefect's topics that no handler could take",
                subjects=[f"{config.subject_prefix}.dead.>"],
                num_replicas=config.replicas,
                duplicate_window=config.duplicate_window,
            ),
        )
        subject = f"{config.subject_prefix}.dead.{token(topic)}.{token(group)}"
        await self.js.publish(subject, data, headers=dict(headers), timeout=config.publish_timeout)

    async def publish(self, message: Outgoing) -> None:
        """Stores the message, or keeps it until the server is back.

        :raises NotStored: the server is away and the outbox is full, or has no place at all
        :raises nats.js.errors.APIError: the server refuses the message
        """
        if self._outbox or (self._connecting is not None and self._away and not self.nc.is_connected):
            return self._keep(message, ConnectionError("the server is away"))
        try:
            await asyncio.wait_for(self._store(message), self.config.publish_timeout)
        except FAULTS as error:
            if _server_error(error):
                raise
            self._keep(message, error)

    async def _store(self, message: Outgoing) -> None:
        await self.stream(message.topic)
        try:
            await self._send(message)
        except nats.js.errors.NoStreamResponseError:
            self.forget_stream(message.topic)
            await self.stream(message.topic)
            await self._send(message)

    async def _send(self, message: Outgoing) -> None:
        await self.js.publish(
            message.subject, message.data, headers=dict(message.headers), timeout=self.config.publish_timeout
        )

    def _keep(self, message: Outgoing, error: BaseException) -> None:
        if len(self._outbox) >= self.config.outbox_size:
            what = f"{len(self._outbox)} messages wait for it already" if self._outbox else "no message may wait for it"
            raise NotStored(
                f"NATS at {self.config.url} did not store a message on {message.subject}, and {what}; "
                "see PREFECT_NATS_OUTBOX_SIZE"
            ) from error
        self._outbox.append(message)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._empty_outbox())

    async def _empty_outbox(self) -> None:
        """In order; a message may be stored twice only under its id, which the server knows."""
        while self._outbox:
            try:
                await asyncio.wait_for(self._store(self._outbox[0]), self.config.publish_timeout)
            except FAULTS as error:
                if not _server_error(error):
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                logger.error("NATS refuses a message on %s: %s", self._outbox[0].subject, error)
            self._outbox.popleft()
        logger.info("the outbox is empty again")

    @property
    def waiting(self) -> int:
        """Messages in the outbox."""
        return len(self._outbox)

    async def close(self) -> None:
        """Sends what waits as far as that is possible in the publish timeout, and disconnects."""
        if self._sending is not None and not self._sending.done():
            await asyncio.wait([self._sending], timeout=self.config.publish_timeout)
            self._sending.cancel()
        self._closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self.nc.is_connected or self.nc.is_reconnecting:
            await self.nc.close()


_connections: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Connection]" = weakref.WeakKeyDictionary()


def connection(make: Callable[[], NatsMessagingSettings] = settings) -> Connection:
    """The connection of the running event loop: Prefect runs its services in more than one."""
    loop = asyncio.get_running_loop()
    known = _connections.get(loop)
    if known is None:
        known = _connections[loop] = Connection(make())
    return known


async def close_connection() -> None:
    """Closes the running loop's connection, if it has one."""
    known = _connections.pop(asyncio.get_running_loop(), None)
    if known is not None:
        await known.close()
