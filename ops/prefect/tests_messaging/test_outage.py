"""The broker away, at the start and in the middle: calls come back in time, and nothing that was accepted is lost.

PREFECT_TEST_NATS_SERVER names the nats-server binary that these tests start and kill.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect.server.utilities.messaging import StopConsumer

from prefect_nats import connection as connections
from prefect_nats.messaging import Cache, Consumer, Publisher, ephemeral_subscription
from prefect_nats.settings import NatsMessagingSettings

BINARY = os.environ.get("PREFECT_TEST_NATS_SERVER", "nats-server")
SECONDS = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A nats-server that can be killed and started again on what it had stored."""

    def __init__(self) -> None:
        self.port = free_port()
        self._dir = tempfile.TemporaryDirectory()
        self._conf = Path(self._dir.name) / "nats.conf"
        store = Path(self._dir.name) / "jetstream"
        self._conf.write_text(f'port: {self.port}\nhost: "127.0.0.1"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([BINARY, "-c", str(self._conf)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.kill()
        self._dir.cleanup()


class Outage(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = Server()
        self.use(outbox_size=1_000)

    def use(self, **changes: Any) -> connections.Connection:
        """The loop's connection, with settings of this test."""
        made = NatsMessagingSettings(url=f"nats://127.0.0.1:{self.server.port}", publish_timeout=1, ack_wait=2, **changes)
        return connections.connection(lambda: made)

    async def asyncTearDown(self) -> None:
        await connections.close_connection()
        self.server.remove()

    async def heard(self, topic: str, group: str, enough: int) -> list[bytes]:
        found: list[bytes] = []

        async def handler(message: Any) -> None:
            found.append(message.data)
            if len(found) >= enough:
                raise StopConsumer(ack=True)

        await asyncio.wait_for(Consumer(topic, group=group).run(handler), SECONDS)
        return found

    async def test_away_at_the_start_publishing_comes_back_and_the_message_arrives(self) -> None:
        begun = time.monotonic()
        publisher = Publisher("t", Cache(), deduplicate_by="id")
        for n in range(3):
            await publisher.publish_data(str(n).encode(), {"id": str(n)})
        self.assertLess(time.monotonic() - begun, 3)
        self.assertEqual(connections.connection().waiting, 3)
        self.server.start()
        self.assertEqual(await self.heard("t", "g", 3), [b"0", b"1", b"2"])

    async def test_without_an_outbox_it_says_what_is_wrong(self) -> None:
        await connections.close_connection()
        self.use(outbox_size=0)
        with self.assertRaisesRegex(connections.NotStored, "PREFECT_NATS_OUTBOX_SIZE"):
            await Publisher("t", Cache()).publish_data(b"x", {})

    async def test_killed_in_the_middle_each_message_comes_once_and_in_order(self) -> None:
        self.server.start()
        topic, total = f"t{uuid4().hex[:8]}", 400
        listening = asyncio.create_task(self.heard(topic, "g", total))

        async def publish() -> None:
            publisher = Publisher(topic, Cache(), deduplicate_by="id")
            for n in range(total):
                await publisher.publish_data(str(n).encode(), {"id": f"{topic}-{n}"})
                if n in (100, 250):
                    self.server.kill()
                if n in (140, 251):
                    self.server.start()

        await publish()
        found = await listening
        # A message that was handled as the server died comes again: at least once. The first time they come in order.
        firsts = list(dict.fromkeys(found))
        late = await self.heard_until_quiet(topic, set(firsts), total)
        self.assertEqual([int(data) for data in firsts + late], list(range(total)))

    async def heard_until_quiet(self, topic: str, known: set[bytes], total: int) -> list[bytes]:
        """What is still to come when repeated deliveries have used up the count."""
        missing = total - len(known)
        late: list[bytes] = []
        while missing > 0:
            (data,) = await self.heard(topic, "g", 1)
            if data not in known:
                known.add(data)
                late.append(data)
                missing -= 1
        return late

    async def test_an_ephemeral_subscription_outlives_the_server(self) -> None:
        self.server.start()
        async with ephemeral_subscription("t") as kwargs:
            publisher = Publisher("t", Cache(), deduplicate_by="id")
            found: list[bytes] = []
            first = asyncio.Event()

            async def handler(message: Any) -> None:
                found.append(message.data)
                first.set()
                if message.data == b"last":
                    raise StopConsumer(ack=True)

            running = asyncio.create_task(Consumer(**kwargs).run(handler))
            await publisher.publish_data(b"first", {"id": "1"})
            await asyncio.wait_for(first.wait(), SECONDS)
            self.server.kill()
            self.server.start()
            await publisher.publish_data(b"last", {"id": "2"})
            await asyncio.wait_for(running, SECONDS)
        self.assertEqual(list(dict.fromkeys(found)), [b"first", b"last"])


if __name__ == "__main__":
    unittest.main()
