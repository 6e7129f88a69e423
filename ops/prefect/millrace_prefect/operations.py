"""publish, subscribe, wait_for_message, request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from opentelemetry import propagate

from .errors import MessageTimeout, NotStored
from .link import link
from .messages import Match, Message, Payload, encode, matches
from .run_context import here, next_id

PUBLISH_SECONDS = 5.0
_FETCH_SECONDS = 2.0
_ACK_WAIT_SECONDS = 30.0
_FAULTS = (nats.errors.Error, nats.js.errors.Error, OSError, asyncio.TimeoutError)


def headers_here(headers: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """The headers with the trace context of the current span."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {**carrier, **(headers or {})}


async def store(subject: str, data: bytes, headers: Mapping[str, str], within: float) -> Message:
    """Stores a message: tries for as long as it may, under the same id, so that it is stored once."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        left = deadline - asyncio.get_running_loop().time()
        try:
            js = await link().jetstream()
            ack = await js.publish(subject, data, headers=dict(headers), timeout=max(0.1, min(left, PUBLISH_SECONDS)))
            return Message(subject, data, headers, ack.stream, ack.seq)
        except nats.js.errors.NoStreamResponseError as error:
            raise NotStored(
                f"no stream listens on {subject}: declare one in a manifest, or publish with stored=False"
            ) from error
        except nats.js.errors.APIError as error:
            if (error.code or 0) < 500:
                raise NotStored(f"the server refuses a message on {subject}: {error.description}") from error
            fault: BaseException = error
        except _FAULTS as error:
            fault = error
        if asyncio.get_running_loop().time() + 0.25 >= deadline:
            raise NotStored(f"a message on {subject} was not stored within {within:g} s: {fault!r}") from fault
        await asyncio.sleep(0.25)


async def _send(subject: str, data: bytes, headers: Mapping[str, str]) -> Message:
    client = await link().client()
    await client.publish(subject, data, headers=dict(headers))
    await client.flush(timeout=PUBLISH_SECONDS)
    return Message(subject, data, headers)


def _publishing(
    subject: str, payload: Payload, headers: Optional[Mapping[str, str]], msg_id: Optional[str], stored: bool, within: float
) -> Any:
    data = encode(payload)
    said = headers_here(headers)
    if not stored:
        return _send(subject, data, said)
    unique = msg_id or next_id("publish")
    if unique is not None:
        said["Nats-Msg-Id"] = unique
    return store(subject, data, said, within)


def publish(
    subject: str,
    payload: Payload = None,
    *,
    headers: Optional[Mapping[str, str]] = None,
    msg_id: Optional[str] = None,
    stored: bool = True,
    within: float = 30.0,
) -> Message:
    """Publishes a message and waits until a stream has stored it.

    Inside of a task or flow a retried attempt does not publish it a second time: the message's id is made of the run and
    the number of the message in it. That holds within the stream's duplicate window (two minutes unless it is set).

    :param payload: bytes and text as they are, anything else as JSON
    :param msg_id: an id of your own, instead of the one made here
    :param stored: False sends it to whoever listens now, and to no stream
    :param within: longest wait in seconds, also through an outage
    :raises NotStored: no stream has it
    :raises TypeError: JSON cannot say the payload
    """
    return link().run(_publishing(subject, payload, headers, msg_id, stored, within))


async def apublish(
    subject: str,
    payload: Payload = None,
    *,
    headers: Optional[Mapping[str, str]] = None,
    msg_id: Optional[str] = None,
    stored: bool = True,
    within: float = 30.0,
) -> Message:
    """:func:`publish` for async code."""
    return await link().arun(_publishing(subject, payload, headers, msg_id, stored, within))


async def _request(subject: str, data: bytes, headers: Mapping[str, str], timeout: float) -> Message:
    client = await link().client()
    try:
        msg = await client.request(subject, data, timeout=timeout, headers=dict(headers))
    except nats.errors.NoRespondersError as error:
        raise MessageTimeout(f"nobody answers requests on {subject}") from error
    except asyncio.TimeoutError as error:
        raise MessageTimeout(f"no answer on {subject} within {timeout:g} s") from error
    return Message(msg.subject, msg.data, dict(msg.headers or {}))


def request(subject: str, payload: Payload = None, *, timeout: float = 5.0) -> Message:
    """Asks whoever answers on the subject.

    :raises MessageTimeout: nobody answered
    """
    return link().run(_request(subject, encode(payload), headers_here(), timeout))


async def arequest(subject: str, payload: Payload = None, *, timeout: float = 5.0) -> Message:
    """:func:`request` for async code."""
    return await link().arun(_request(subject, encode(payload), headers_here(), timeout))


def _received(msg: Msg, stream: Optional[str]) -> Message:
    return Message(msg.subject, msg.data, dict(msg.headers or {}), stream, msg.metadata.sequence.stream)


class _Source:
    """A consumer of the stream that has the subject; lost ones are made again where they were."""

    def __init__(self, subject: str, durable: Optional[str], since: Optional[datetime]) -> None:
        self.subject = subject
        self.durable = durable
        self.since = since
        self.stream: Optional[str] = None
        self._last: Optional[int] = None
        self._pulling: Optional[JetStreamContext.PullSubscription] = None
        self._held: Optional[Msg] = None

    def _config(self) -> ConsumerConfig:
        config = ConsumerConfig(filter_subject=self.subject, ack_policy=AckPolicy.EXPLICIT, ack_wait=_ACK_WAIT_SECONDS)
        if self.durable is not None:
            config.durable_name = self.durable
        else:
            config.inactive_threshold = 60.0
        if self._last is not None and self.durable is None:
            config.deliver_policy, config.opt_start_seq = DeliverPolicy.BY_START_SEQUENCE, self._last + 1
        elif self.since is not None:
            config.deliver_policy, config.opt_start_time = DeliverPolicy.BY_START_TIME, self.since
        else:
            config.deliver_policy = DeliverPolicy.NEW
        return config

    async def open(self) -> None:
        """Finds the stream and the consumer.

        :raises NotStored: no stream has the subject
        """
        js = await link().jetstream()
        try:
            self.stream = self.stream or await js.find_stream_name_by_subject(self.subject)
        except nats.js.errors.NotFoundError as error:
            raise NotStored(f"no stream listens on {self.subject}: declare one in a manifest") from error
        name = self.durable
        if name is not None:
            try:
                await js.consumer_info(self.stream, name)
            except nats.js.errors.NotFoundError:
                await js.add_consumer(self.stream, self._config())
        else:
            name = (await js.add_consumer(self.stream, self._config())).name
        self._pulling = await js.pull_subscribe_bind(consumer=name, stream=self.stream)

    async def next(self, deadline: Optional[float]) -> Optional[Message]:
        """The next message; the one before it is acknowledged by that. None when the deadline (the loop's time) is over."""
        await self.done()
        loop = asyncio.get_running_loop()
        while deadline is None or loop.time() < deadline:
            left = _FETCH_SECONDS if deadline is None else min(_FETCH_SECONDS, deadline - loop.time())
            try:
                if self._pulling is None:
                    await self.open()
                assert self._pulling is not None
                (msg,) = await self._pulling.fetch(1, timeout=max(0.05, left))
            except asyncio.TimeoutError:
                await self._look()
                continue
            except _FAULTS:
                self._pulling = None
                await asyncio.sleep(0.25)
                continue
            self._held = msg
            self._last = msg.metadata.sequence.stream
            return _received(msg, self.stream)
        return None

    async def _look(self) -> None:
        """Nothing came: there may be nothing, or the consumer is gone, which nobody tells."""
        try:
            if self._pulling is not None:
                await self._pulling.consumer_info()
        except _FAULTS:
            self._pulling = None

    async def done(self) -> None:
        """Acknowledges the message that was given last."""
        held, self._held = self._held, None
        if held is not None:
            await held.ack()

    async def close(self) -> None:
        """Gives back what is not done, and lets go of the consumer; a durable one stays on the server."""
        held, self._held = self._held, None
        try:
            if held is not None:
                await held.nak()
        except _FAULTS:
            pass  # it comes again after the ack wait
        if self._pulling is not None:
            try:
                await self._pulling.unsubscribe()
            except _FAULTS:
                pass
            self._pulling = None


class Subscription:
    """Messages of a subject, to iterate over: ``for`` and ``async for``.

    A message is done when the next one is asked for. Whoever leaves the loop before, by ``break`` or by an exception, or dies,
    gets it again from a durable subscription; ``done()`` (``adone()``) before a ``break`` says that it is done, too.
    """

    def __init__(self, subject: str, durable: Optional[str], since: Optional[datetime], timeout: Optional[float]) -> None:
        self._source = _Source(subject, durable, since)
        self._timeout = timeout

    async def _next(self) -> Optional[Message]:
        loop = asyncio.get_running_loop()
        return await self._source.next(None if self._timeout is None else loop.time() + self._timeout)

    async def _open(self) -> "Subscription":
        await self._source.open()
        return self

    def done(self) -> None:
        """The message that was given last needs not come again."""
        link().run(self._source.done())

    async def adone(self) -> None:
        """:meth:`done` for async code."""
        await link().arun(self._source.done())

    def __iter__(self) -> Iterator[Message]:
        try:
            while (message := link().run(self._next())) is not None:
                yield message
        finally:
            link().run(self._source.close())

    async def __aiter__(self) -> AsyncIterator[Message]:
        try:
            while (message := await link().arun(self._next())) is not None:
                yield message
        finally:
            await link().arun(self._source.close())


def _since(since: Optional[timedelta]) -> Optional[datetime]:
    return None if since is None else datetime.now(timezone.utc) - since


def subscribe(
    subject: str,
    *,
    durable: Optional[str] = None,
    since: Optional[timedelta] = None,
    timeout: Optional[float] = None,
) -> Subscription:
    """Messages that are stored on the subject from now on.

    :param durable: a name under which the server remembers what was acknowledged, across flow runs
    :param since: begin so far back (of a durable subscription: when it is made for the first time)
    :param timeout: end after so many seconds without a message; for ever by default
    :raises NotStored: (when iterating) no stream has the subject
    """
    return Subscription(subject, durable, _since(since), timeout)


async def _wait(subject: str, match: Match, timeout: float, since: Optional[datetime]) -> Message:
    source = _Source(subject, None, since)
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        await source.open()
        while (message := await source.next(deadline)) is not None:
            if matches(message, match):
                await source.done()
                return message
            await source.done()
    finally:
        await source.close()
    raise MessageTimeout(f"no message that matches came on {subject} within {timeout:g} s")


def _waiting(subject: str, match: Match, timeout: float, since: Optional[timedelta]) -> Any:
    at = here()
    begin = _since(since)
    if begin is None and at is not None and at.began is not None:
        begin = at.began
    return _wait(subject, match, timeout, begin)


def wait_for_message(
    subject: str, match: Match = None, timeout: float = 60.0, *, since: Optional[timedelta] = None
) -> Message:
    """Waits for a stored message.

    One that came after the flow run began counts, so an answer that is quicker than the wait is not missed, and a
    retried task finds the message that its first attempt found.

    :param match: members that its JSON must have, or a function of the message
    :param timeout: seconds
    :param since: look so far back instead
    :raises MessageTimeout: none came
    :raises NotStored: no stream has the subject
    """
    return link().run(_waiting(subject, match, timeout, since))


async def await_for_message(
    subject: str, match: Match = None, timeout: float = 60.0, *, since: Optional[timedelta] = None
) -> Message:
    """:func:`wait_for_message` for async code."""
    return await link().arun(_waiting(subject, match, timeout, since))
