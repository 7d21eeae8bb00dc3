"""The record stage: from the scored log to the history and the windows."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.ports import History, Telemetry, TopicIds, Windows
from stream.intake import Intake, IntakePolicy
from stream.kafka import KafkaConnection


@dataclass(frozen=True, kw_only=True)
class RecordPolicy:
    """Bounds of the record stage. Times are in seconds."""

    reconcile_every: float = 5.0
    """How often the windows of all assigned partitions are compared with the history."""
    intake: IntakePolicy = field(default_factory=lambda: IntakePolicy(max_batch=1000, max_batch_bytes=4 << 20))


def build_record(
    *,
    connection: KafkaConnection,
    scored_topic: str,
    dead_letters_topic: str,
    group: str,
    history: History,
    windows: Windows,
    topic_ids: TopicIds,
    policy: RecordPolicy,
    telemetry: Telemetry,
) -> Intake:
    """The record stage, ready for stream.runner.run."""
    raise NotImplementedError
