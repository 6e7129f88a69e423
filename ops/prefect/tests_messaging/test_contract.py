"""What Prefect expects of a message broker, asked of its own memory broker and of ours over a real nats-server.

PREFECT_NATS_URL names the server; test/integration/prefect-nats.test.ts starts one and runs this.
"""

from __future__ import annotations

import asyncio
import importlib
import unittest
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from prefect.server.utilities.messaging import StopConsumer

from prefect_nats.connection import close_connection, connection
from prefect_nats.settings import settings

SECONDS = 20.0


class Heard:
    """Gathers what a handler was given; stops its consumer when that is enough."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.data: list[bytes] = []
        self.attributes: list[dict[str, Any]] = []

    async def __call__(self, message: Any) -> None:
        self.data.append(message.data)
        self.attributes.append(dict(message.attributes))
        if len(self.data) >= self.enough:
            raise StopConsumer(ack=True)


async def within(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, SECONDS)


class Contract:
    """The cases; a subclass says which broker."""

    broker: Any
    #: Groups are known by their name; the memory broker has a subscription for each consumer instead.
    has_groups = False

    def topic(self) -> str:
        return f"t{uuid4().hex[:12]}"

    async def published(self, topic: str, *items: bytes, deduplicate_by: str | None = None, **attributes: str) -> None:
        cache = self.broker.Cache()
        async with self.broker.Publisher(topic, cache, deduplicate_by=deduplicate_by) as publisher:
            for data in items:
                await publisher.publish_data(data, {"k": "v", **attributes})

    async def consumer(self, topic: str, group: str) -> Any:
        """A consumer that sees what is published from now on."""
        return self.broker.Consumer(topic, group=group) if self.has_groups else self.broker.Consumer(topic, concurrency=1)

    async def test_a_message_comes_with_its_attributes(self) -> None:
        topic = self.topic()
        consumer, heard = await self.consumer(topic, "a"), Heard(1)
        await self.published(topic, b"one")
        await within(consumer.run(heard))
        self.assertEqual(heard.data, [b"one"])
        self.assertEqual(heard.attributes[0]["k"], "v")

    async def test_messages_come_in_their_order(self) -> None:
        topic = self.topic()
        consumer, heard = await self.consumer(topic, "a"), Heard(50)
        await self.published(topic, *[str(n).encode() for n in range(50)])
        await within(consumer.run(heard))
        self.assertEqual(heard.data, [str(n).encode() for n in range(50)])

    async def test_each_group_gets_all(self) -> None:
        topic = self.topic()
        first, second = await self.consumer(topic, "a"), await self.consumer(topic, "b")
        await self.published(topic, b"one", b"two")
        for consumer in (first, second):
            heard = Heard(2)
            await within(consumer.run(heard))
            self.assertEqual(heard.data, [b"one", b"two"])

    async def test_the_same_id_is_heard_once(self) -> None:
        topic = self.topic()
        consumer, heard = await self.consumer(topic, "a"), Heard(2)
        one = uuid4().hex
        await self.published(topic, b"first", b"again", deduplicate_by="id", id=one)
        await self.published(topic, b"other", deduplicate_by="id", id=uuid4().hex)
        await within(consumer.run(heard))
        self.assertEqual(heard.data, [b"first", b"other"])

    async def test_a_handler_that_fails_gets_it_again(self) -> None:
        topic = self.topic()
        consumer = await self.consumer(topic, "a")
        await self.published(topic, b"one")
        tries: list[bytes] = []

        async def handler(message: Any) -> None:
            tries.append(message.data)
            if len(tries) < 3:
                raise ValueError("not yet")
            raise StopConsumer(ack=True)

        await within(consumer.run(handler))
        self.assertEqual(tries, [b"one"] * 3)

    async def test_stopping_without_ack_leaves_the_message_to_the_next(self) -> None:
        topic = self.topic()
        consumer = await self.consumer(topic, "a")
        await self.published(topic, b"one")

        async def handler(message: Any) -> None:
            raise StopConsumer(ack=False)

        await within(consumer.run(handler))
        heard = Heard(1)
        await within(consumer.run(heard))
        self.assertEqual(heard.data, [b"one"])

    async def test_an_ephemeral_subscription_sees_what_comes_after_it(self) -> None:
        topic = self.topic()
        keep = await self.consumer(topic, "keep")
        await self.published(topic, b"before")
        async with self.broker.ephemeral_subscription(topic) as kwargs:
            await self.published(topic, b"after")
            heard = Heard(1)
            await within(self.broker.Consumer(**kwargs).run(heard))
        self.assertEqual(heard.data, [b"after"])
        await keep.cleanup()

    async def test_a_broken_topic_raises_and_forgets(self) -> None:
        topic = self.topic()
        consumer, heard = await self.consumer(topic, "a"), Heard(1)
        one = uuid4().hex
        async with self.broker.break_topic():
            with self.assertRaisesRegex(ValueError, "oops"):
                await self.published(topic, b"lost", deduplicate_by="id", id=one)
        await self.published(topic, b"kept", deduplicate_by="id", id=one)
        await within(consumer.run(heard))
        self.assertEqual(heard.data, [b"kept"])

    async def test_the_cache_tells_what_it_has_seen(self) -> None:
        cache = self.broker.Cache()
        message = type("Message", (), {"data": b"", "attributes": {"id": uuid4().hex}})()
        without = type("Message", (), {"data": b"", "attributes": {}})()
        self.assertEqual(await cache.without_duplicates("id", [message, without]), [message, without])
        self.assertEqual(await cache.without_duplicates("id", [message, without]), [without])
        await cache.forget_duplicates("id", [message])
        self.assertEqual(await cache.without_duplicates("id", [message]), [message])


class MemoryBroker(Contract, unittest.IsolatedAsyncioTestCase):
    broker = importlib.import_module("prefect.server.utilities.messaging.memory")


class NatsBroker(Contract, unittest.IsolatedAsyncioTestCase):
    broker = importlib.import_module("prefect_nats.messaging")
    has_groups = True

    async def asyncTearDown(self) -> None:
        await close_connection()

    async def test_consumers_of_a_group_share(self) -> None:
        topic = self.topic()
        await self.published(topic, *[str(n).encode() for n in range(40)])
        heard: list[bytes] = []
        by: set[int] = set()
        two, enough = asyncio.Event(), asyncio.Event()

        def handler(who: int) -> Callable[[Any], Awaitable[None]]:
            async def handle(message: Any) -> None:
                heard.append(message.data)
                by.add(who)
                if len(by) > 1:
                    two.set()
                await two.wait()  # one that is quick must not have all before another has begun
                if len(heard) >= 40:
                    enough.set()

            return handle

        tasks = [
            asyncio.create_task(self.broker.Consumer(topic, group="g", name=f"c{n}").run(handler(n))) for n in range(3)
        ]
        await within(enough.wait())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.assertEqual(sorted(heard), sorted(str(n).encode() for n in range(40)))
        self.assertGreater(len(by), 1)

    async def test_what_fails_for_good_becomes_a_dead_letter(self) -> None:
        topic = self.topic()
        await self.published(topic, b"bad", b"good")
        tries: list[bytes] = []

        async def handler(message: Any) -> None:
            tries.append(message.data)
            if message.data == b"bad":
                raise ValueError("cannot be done")
            if tries.count(b"bad") > settings().max_retries:
                raise StopConsumer(ack=True)
            raise ValueError("wait for the other")

        link = connection()
        await link.ready()
        letters = await link.nc.subscribe(f"prefect.dead.{topic}.g")
        task = asyncio.create_task(self.broker.Consumer(topic, group="g").run(handler))
        msg = await letters.next_msg(timeout=SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.assertEqual(msg.headers["Prefect-Error"], "ValueError: cannot be done")
        self.assertEqual(msg.data, b"bad")
        self.assertEqual(tries.count(b"bad"), settings().max_retries + 1)

    async def test_a_late_group_of_a_quiet_topic_has_all_of_the_last_minute(self) -> None:
        topic = self.topic()
        await self.published(topic, b"one")
        heard = Heard(1)
        await within(self.broker.Consumer(topic, group="late").run(heard))
        self.assertEqual(heard.data, [b"one"])


if __name__ == "__main__":
    unittest.main()
