"""What a server has done, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from organza.web.served import Served

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Counters of one server."""

    def __init__(self, networks: Mapping[str, Served]) -> None:
        self._registry = here = CollectorRegistry()
        ProcessCollector(registry=here)
        by = ["network", "status"]
        self.requests = Counter("organza_requests", "Requests by network and status.", by, registry=here)
        self.images = Counter("organza_images", "Images that were sent.", ["network"], registry=here)
        self.gone = Counter("organza_gone", "Requests whose client went away.", ["network"], registry=here)
        edges = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
        about = "Seconds from a request to its answer."
        self.seconds = Histogram("organza_seconds", about, ["network"], buckets=edges, registry=here)
        waiting = Gauge("organza_waiting", "Images in the queue.", ["network"], registry=here)
        for name, served in networks.items():
            waiting.labels(name).set_function(partial(_waiting, served))
            self.images.labels(name)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)


def _waiting(served: Served) -> float:
    return served.lanes.waiting
