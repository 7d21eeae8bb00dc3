"""Telemetry that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.ports import NoTelemetry

Key = tuple[str, ...]
"""A metric's name, then its labels' values in alphabetical order of the labels."""


@dataclass
class RecordingTelemetry(NoTelemetry):
    """Counters as they stand, gauges as they were set last."""

    counts: dict[Key, float] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = _key(name, labels)
        self.counts[key] = self.counts.get(key, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[_key(name, labels)] = value


def _key(name: str, labels: dict[str, str]) -> Key:
    return (name, *(value for _, value in sorted(labels.items())))
