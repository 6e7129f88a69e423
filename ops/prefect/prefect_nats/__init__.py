"""Prefect's message bus on NATS JetStream.

Prefect loads it by settings alone::

    PREFECT_MESSAGING_BROKER=prefect_nats.messaging
    PREFECT_MESSAGING_CACHE=prefect_nats.messaging
    PREFECT_NATS_URL=nats://localhost:4222

See docs/prefect-nats.md.
"""
