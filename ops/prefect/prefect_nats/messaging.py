"""The module that Prefect's settings name: Publisher, Consumer, Cache, ephemeral_subscription, break_topic.

At least once: a message is acknowledged after its handler has returned. A handler that raises gets it again, after
``max_retries`` more times it becomes a dead letter. Consumers of one group share the messages (one durable consumer on
the topic's stream), each group has all of them. An ephemeral subscription sees what is published while it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Optional, TypeVar, Union

import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.kv import KeyValue
from typing_extensions import Self

from prefect.logging import get_logger
from prefect.server.utilities.messaging import Cache as _Cache
from prefect.server.utilities.messaging import Consumer as _Consumer
from prefect.server.utilities.messaging import Message, MessageHandler, StopConsumer
from prefect.server.utilities.messaging import Publisher as _Publisher

from .connection import FAULTS, Connection, Outgoing, connection
from .subjects import subject_of, token

logger = get_logger(__name__)

_ATTRIBUTE = "Prefect-Attribute-"
_ERROR = "Prefect-Error"
_MSG_ID = "Nats-Msg-Id"
_FETCH_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_EPHEMERAL_SECONDS = 60.0
_NEW_GROUP_SEES = timedelta(seconds=60)

M = TypeVar("M", bound=Message)
PullSubscription = JetStreamContext.PullSubscription


@dataclass
class NatsMessage:
    """A message as Prefect's handlers see it."""

    data: Union[bytes, str]
    attributes: Mapping[str, Any]


def _attributes(headers: Optional[Mapping[str, str]]) -> dict[str, str]:
    return {
        name.removeprefix(_ATTRIBUTE): value for name, value in (headers or {}).items() if name.startswith(_ATTRIBUTE)
    }


def _headers(attributes: Mapping[str, Any]) -> dict[str, str]:
    # A header's value is one line.
    return {f"{_ATTRIBUTE}{name}": " ".join(str(value).split()) for name, value in attributes.items()}


class Cache(_Cache):
    """Which messages were seen lately, in a key-value bucket that all replicas of a server share.

    The publisher of this module does not need it: the server itself knows message ids. It is here for whoever asks.
    """

    async def _bucket(self) -> KeyValue:
        link = connection()
        await link.ready()
        name = f"{link.config.stream_prefix}_SEEN"
        try:
            return await link.js.key_value(name)
        except nats.js.errors.BucketNotFoundError:
            try:
                return await link.js.create_key_value(
                    bucket=name, ttl=link.config.duplicate_window, replicas=link.config.replicas
                )
            except nats.js.errors.BadRequestError:
                return await link.js.key_value(name)  # another replica has just made it

    async def clear_recently_seen_messages(self) -> None:
        """Forgets all of them."""
        await connection().ready()
        link = connection()
        try:
            await link.js.delete_key_value(f"{link.config.stream_prefix}_SEEN")
        except nats.js.errors.NotFoundError:
            return

    @staticmethod
    def _key(attribute: str, message: Message) -> Optional[str]:
        value = message.attributes.get(attribute) if message.attributes else None
        if value is None:
            logger.warning("a message without the attribute %r cannot be told from others", attribute)
            return None
        return f"{token(attribute)}.{token(str(value))}"

    async def without_duplicates(self, attribute: str, messages: Iterable[M]) -> list[M]:
        """Those that were not seen before, and those that do not have the attribute behind them."""
        bucket = await self._bucket()
        fresh: list[M] = []
        unknown: list[M] = []
        for message in messages:
            key = self._key(attribute, message)
            if key is None:
                unknown.append(message)
                continue
            try:
                await bucket.create(key, b"")
            except nats.js.errors.KeyWrongLastSequenceError:
                continue
            fresh.append(message)
        return fresh + unknown

    async def forget_duplicates(self, attribute: str, messages: Iterable[Message]) -> None:
        """They may come again."""
        bucket = await self._bucket()
        for message in messages:
            key = self._key(attribute, message)
            if key is not None:
                await bucket.purge(key)


class Publisher(_Publisher):
    """Publishes to one topic. Returns when the message is stored, or kept for a server that is away."""

    def __init__(self, topic: str, cache: Optional[_Cache] = None, deduplicate_by: Optional[str] = None) -> None:
        self.topic = topic
        self.deduplicate_by = deduplicate_by

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: Optional[type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> None:
        return None

    async def publish_data(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publishes a message; one whose id was published lately is not stored again.

        :raises prefect_nats.connection.NotStored: the server is away and the outbox is full
        """
        link = connection()
        headers = _headers(attributes)
        if self.deduplicate_by is not None:
            unique = attributes.get(self.deduplicate_by) if attributes else None
            if unique is None:
                logger.warning("a message without the attribute %r cannot be told from others", self.deduplicate_by)
            else:
                headers[_MSG_ID] = f"{self.topic}:{unique}"
        subject = subject_of(link.config.subject_prefix, self.topic, data, attributes)
        await _publish(link, Outgoing(self.topic, subject, data, headers))


async def _publish(link: Connection, message: Outgoing) -> None:
    await link.publish(message)


@asynccontextmanager
async def break_topic() -> AsyncGenerator[None, None]:
    """For tests: publishing raises ``ValueError("oops")`` meanwhile."""
    from unittest import mock

    with mock.patch(f"{__name__}._publish", mock.AsyncMock(side_effect=ValueError("oops"))):
        yield


class Subscription:
    """An ephemeral consumer of a topic: it begins where the stream ends now, and again where it was if it was lost."""

    def __init__(self, topic: str, stream: str, last: int) -> None:
        self.topic = topic
        self.stream = stream
        self.last = last

    def config(self) -> ConsumerConfig:
        """The consumer that goes on behind the last message seen."""
        return ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self.last + 1,
            inactive_threshold=_EPHEMERAL_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )


class Consumer(_Consumer):
    """Hands the messages of a topic to a handler, one after another.

    :param group: consumers of one group share the messages; by default there is one group per topic
    :param subscription: what :func:`ephemeral_subscription` gave, instead of a group
    :param read_batch_size: messages asked for at once
    """

    def __init__(
        self,
        topic: str,
        group: Optional[str] = None,
        name: Optional[str] = None,
        subscription: Optional[Subscription] = None,
        read_batch_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(topic)
        self.group = group or topic
        self.name = name or self.group
        self.subscription = subscription
        self.read_batch_size = max(1, min(read_batch_size, 256))

    async def run(self, handler: MessageHandler) -> None:
        """Runs until the handler raises :class:`StopConsumer` or the task is cancelled; outages are waited out."""
        link = connection()
        source: Optional[PullSubscription] = None
        while True:
            try:
                if source is None:
                    source = await self._open(link)
                messages = await source.fetch(self.read_batch_size, timeout=_FETCH_SECONDS)
            except asyncio.TimeoutError:
                source = await self._checked(source)
                continue
            except FAULTS as error:
                logger.debug("topic %s cannot be read yet: %s", self.topic, error)
                source = None
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            try:
                await self._handle_all(link, handler, messages)
            except StopConsumer:
                logger.debug("the consumer %s of topic %s was told to stop", self.name, self.topic)
                return

    async def _open(self, link: Connection) -> PullSubscription:
        await link.ready()
        link.forget_stream(self.topic)
        stream = await link.stream(self.topic)
        if self.subscription is not None:
            info = await link.js.add_consumer(stream, self.subscription.config())
            return await link.js.pull_subscribe_bind(consumer=info.name, stream=stream)
        durable = token(self.group)
        try:
            await link.js.consumer_info(stream, durable)
        except nats.js.errors.NotFoundError:
            await link.js.add_consumer(stream, self._durable(durable, link.config.ack_wait))
        return await link.js.pull_subscribe_bind(consumer=durable, stream=stream)

    def _durable(self, durable: str, ack_wait: float) -> ConsumerConfig:
        # A group that is new does not begin with a week of events, but with those of the server's own start.
        return ConsumerConfig(
            durable_name=durable,
            description=f"group {self.group} of Prefect's topic {self.topic}",
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=datetime.now(timezone.utc) - _NEW_GROUP_SEES,
            ack_wait=ack_wait,
            max_deliver=-1,
            max_ack_pending=1_000,
        )

    async def _checked(self, source: Optional[PullSubscription]) -> Optional[PullSubscription]:
        """Nothing came: there may be nothing, or the consumer is gone, which nobody tells."""
        if source is None:
            return None
        try:
            await source.consumer_info()
            return source
        except FAULTS:
            return None

    async def _handle_all(self, link: Connection, handler: MessageHandler, messages: list[Msg]) -> None:
        for index, msg in enumerate(messages):
            try:
                await self._handle(link, handler, msg)
            except StopConsumer:
                for rest in messages[index + 1 :]:
                    await rest.nak()
                raise
            if self.subscription is not None:
                self.subscription.last = msg.metadata.sequence.stream

    async def _handle(self, link: Connection, handler: MessageHandler, msg: Msg) -> None:
        beating = asyncio.create_task(_keep_hold(msg, link.config.ack_wait))
        try:
            await handler(NatsMessage(msg.data, _attributes(msg.headers)))
        except StopConsumer as stop:
            await (msg.ack() if stop.ack else msg.nak())
            raise
        except Exception as error:
            logger.exception("a handler of topic %s (group %s) failed", self.topic, self.group)
            await self._failed(link, msg, error)
        else:
            await msg.ack()
        finally:
            beating.cancel()

    async def _failed(self, link: Connection, msg: Msg, error: Exception) -> None:
        tries = msg.metadata.num_delivered or 1
        if tries <= link.config.max_retries:
            return await msg.nak()
        sequence = msg.metadata.sequence.stream
        headers = {
            **{name: value for name, value in (msg.headers or {}).items() if not name.startswith("Nats-")},
            _ERROR: " ".join(f"{type(error).__name__}: {error}".split())[:1_000],
            _MSG_ID: f"dead:{self.topic}:{self.group}:{sequence}",
        }
        try:
            await link.dead_letter(self.topic, self.group, msg.data, headers)
        except FAULTS as fault:
            logger.warning("a dead letter of topic %s could not be stored, so it comes again: %s", self.topic, fault)
            return await msg.nak(delay=_PAUSE_SECONDS)
        logger.warning("message %s of topic %s failed %s times and is a dead letter now", sequence, self.topic, tries)
        await msg.term()


async def _keep_hold(msg: Msg, ack_wait: float) -> None:
    """A handler may take long: only the dead lose their messages."""
    while True:
        await asyncio.sleep(ack_wait / 3)
        try:
            await msg.in_progress()
        except FAULTS:
            continue


@asynccontextmanager
async def ephemeral_subscription(topic: str) -> AsyncGenerator[Mapping[str, Any], None]:
    """What :class:`Consumer` needs to see all that is published from here on, for itself alone."""
    link = connection()
    while True:
        try:
            await link.ready()
            stream = await link.stream(topic)
            info = await link.js.stream_info(stream)
            break
        except FAULTS as error:
            logger.debug("topic %s cannot be subscribed yet: %s", topic, error)
            link.forget_stream(topic)
            await asyncio.sleep(_PAUSE_SECONDS)
    yield {"topic": topic, "subscription": Subscription(topic, stream, info.state.last_seq)}
