"""Which marks count, said once more, for the histories in memory."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from domain.log import Partition
from domain.watermark import MarkState


def counting(marks: Iterable[MarkState]) -> tuple[MarkState, ...]:
    """Of marks in the order in which they were last heard of: those of the incarnation of each source topic that was
    last heard of, through the incarnation of `scored` in which their source was."""
    marks = tuple(marks)
    source_ids: dict[str, UUID] = {}
    scored_ids: dict[Partition, UUID] = {}
    for mark in marks:
        source_ids[mark.source.topic] = mark.source.topic_id
        scored_ids[mark.source] = mark.scored.topic_id
    return tuple(
        mark
        for mark in marks
        if source_ids[mark.source.topic] == mark.source.topic_id and scored_ids[mark.source] == mark.scored.topic_id
    )
