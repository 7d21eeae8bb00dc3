"""The metrics of every process: declared here in one table, measured through domain.ports.Telemetry.

Conventions are Prometheus's: one prefix, base units, `_total` on counters, and no label whose values are not bounded
by the settings or the code (never an id, a subject or a URL).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

PREFIX = "groundswell_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Merge = Literal["liveall", "livemax", "livemin", "livesum", "livemostrecent"]
"""How one gauge of several processes becomes one series in multiprocess mode; a dead process's values go with it."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_LATENCY = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200)
_DELIVERY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


@dataclass(frozen=True, kw_only=True)
class CounterSpec:
    """A number that only grows."""

    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HistogramSpec:
    """A distribution; buckets are upper bounds in the metric's unit."""

    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GaugeSpec:
    """A number that goes up and down."""

    help: str
    merge: Merge
    labels: tuple[str, ...] = ()


COUNTERS: Mapping[str, CounterSpec] = {
    "documents_total": CounterSpec(help="Documents by stage and what became of them.", labels=("stage", "outcome")),
    "dead_letters_total": CounterSpec(
        help="Messages sent to the dead-letter topic, by reason.", labels=("stage", "reason")
    ),
    "marks_total": CounterSpec(help="Marks of event time sent to the scored topic, by status.", labels=("status",)),
    "alerts_total": CounterSpec(help="Changes of alerts, by rule and transition.", labels=("rule", "transition")),
    "deliveries_total": CounterSpec(
        help="Attempts to call a receiver's webhook, by outcome.", labels=("receiver", "outcome")
    ),
    "windows_repairs_total": CounterSpec(
        help="Times the windows in Redis were not where the history says and were put right.", labels=("reason",)
    ),
    "boundaries_evaluated_total": CounterSpec(help="Minute boundaries at which the rules were evaluated."),
    "model_swaps_total": CounterSpec(
        help="Times a worker was to take another model up, by what came of it.", labels=("outcome",)
    ),
    "shadow_documents_total": CounterSpec(
        help="Documents that the challenger was to see, by what became of them.", labels=("outcome",)
    ),
    "http_requests_total": CounterSpec(
        help="HTTP requests by route template and status.", labels=("method", "route", "status")
    ),
}

HISTOGRAMS: Mapping[str, HistogramSpec] = {
    "batch_documents": HistogramSpec(help="Documents in a batch.", buckets=_SIZES, labels=("stage",)),
    "step_seconds": HistogramSpec(
        help="Seconds that one step of a stage took for a batch.", buckets=_FAST, labels=("stage", "step")
    ),
    "end_to_end_seconds": HistogramSpec(
        help="Seconds from the source record's timestamp until the document was counted in the windows.",
        buckets=_LATENCY,
    ),
    "delivery_seconds": HistogramSpec(
        help="Seconds that one attempt to call a receiver's webhook took.", buckets=_DELIVERY, labels=("receiver",)
    ),
    "http_request_seconds": HistogramSpec(
        help="Seconds that HTTP requests took, by route template.", buckets=_FAST, labels=("method", "route")
    ),
}

GAUGES: Mapping[str, GaugeSpec] = {
    "last_record_timestamp_seconds": GaugeSpec(
        help="Timestamp of the newest Kafka record that a stage has finished.",
        merge="livemax",
        labels=("stage",),
    ),
    "lag_messages": GaugeSpec(
        help="Messages between what a stage has committed and the end of the partition.",
        merge="livemostrecent",
        labels=("stage", "topic", "partition"),
    ),
    "watermark_timestamp_seconds": GaugeSpec(
        help="Event time up to which everything is recorded, as the watcher sees it.", merge="livemax"
    ),
    "evaluated_through_timestamp_seconds": GaugeSpec(
        help="Event time up to which the rules have been evaluated.", merge="livemax"
    ),
    "alerts_open": GaugeSpec(help="Open alerts by rule and status.", merge="livemostrecent", labels=("rule", "status")),
    "outbox_pending": GaugeSpec(help="Notifications waiting to be delivered.", merge="livemostrecent"),
    "queue_documents": GaugeSpec(
        help="Documents waiting in a stage's bounded queue.", merge="livesum", labels=("stage",)
    ),
    "model_info": GaugeSpec(
        help="How many workers score with this model.", merge="livesum", labels=("model", "version")
    ),
    "model_label_share": GaugeSpec(
        help="Share of the newest documents that a model gives a label.",
        merge="livemostrecent",
        labels=("role", "task", "label"),
    ),
    "model_confidence": GaugeSpec(
        help="Mean of a model's greatest probabilities over the newest documents.",
        merge="livemostrecent",
        labels=("role", "task"),
    ),
    "model_psi": GaugeSpec(
        help="Population stability index of labels or confidence: the champion against its evaluation, the challenger "
        "against the champion.",
        merge="livemostrecent",
        labels=("role", "task", "of"),
    ),
    "shadow_agreement": GaugeSpec(
        help="Share of the newest documents that challenger and champion give the same label.",
        merge="livemostrecent",
        labels=("task",),
    ),
}


class PrometheusTelemetry:
    """Implements domain.ports.Telemetry. An undeclared name or label raises KeyError or ValueError: a bug of ours.

    In multiprocess mode (`directory`; the same one that PROMETHEUS_MULTIPROC_DIR named when the process started) all
    processes write into one folder, and each renders the sum of all.
    """

    def __init__(self, *, directory: Path | None = None) -> None:
        self._directory = directory
        self._registry = CollectorRegistry()
        self._counters = {
            name: Counter(PREFIX + name, spec.help, spec.labels, registry=self._registry)
            for name, spec in COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(PREFIX + name, spec.help, spec.labels, registry=self._registry, buckets=spec.buckets)
            for name, spec in HISTOGRAMS.items()
        }
        self._gauges: dict[str, Gauge] = {}
        self._lock = threading.Lock()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauge(name)
        (gauge.labels(**labels) if labels else gauge).set(value)

    @contextmanager
    def timed(self, name: str, **labels: str) -> Iterator[None]:
        """Observe the seconds that the block took, also when it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe(name, time.perf_counter() - started, **labels)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format (CONTENT_TYPE): of all processes in multiprocess mode."""
        return generate_latest(self._registry) if self._directory is None else render_shared(self._directory)

    def _gauge(self, name: str) -> Gauge:
        # Made when first set: a gauge without labels would be exported as 0 from the start, and unknown is not zero.
        with self._lock:
            if name not in self._gauges:
                spec = GAUGES[name]
                self._gauges[name] = Gauge(
                    PREFIX + name, spec.help, spec.labels, registry=self._registry, multiprocess_mode=spec.merge
                )
            return self._gauges[name]


def render_shared(directory: Path) -> bytes:
    """The metrics that several processes write into one folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_process(pid: int, directory: Path) -> None:
    """Drop the gauges of a process that has ended; its counters and histograms stay."""
    mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]
