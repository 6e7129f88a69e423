"""Figures of the host for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

_LATENCY = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One registry per host, so that two in one process (tests) do not share."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.dispatches = Counter(
            "millrace_host_dispatches", "Dispatches taken, by how they ended here", ["outcome"], registry=self.registry
        )
        self.flow_states = Counter(
            "millrace_host_flow_states", "Flow states reported and stored", ["type"], registry=self.registry
        )
        self.to_running = Histogram(
            "millrace_host_dispatch_to_running_seconds",
            "From the dispatch stored to the RUNNING report stored",
            buckets=_LATENCY,
            registry=self.registry,
        )
        self.duration = Histogram(
            "millrace_host_slot_busy_seconds", "How long a dispatch held a pool process", buckets=_LATENCY, registry=self.registry
        )
        self.busy = Gauge("millrace_host_busy_processes", "Pool processes that run a flow", registry=self.registry)
        self.warm = Gauge("millrace_host_warm_processes", "Pool processes that are ready or busy", registry=self.registry)
        self.started = Counter("millrace_host_processes_started", "Pool processes started", registry=self.registry)
        self.fenced = Counter(
            "millrace_host_fenced", "Flow runs ended because NATS was away longer than the ack wait", registry=self.registry
        )
        self.connected = Gauge("millrace_host_nats_connected", "1 while connected to NATS", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
