"""How partitions, marks, buckets and minutes are written in Redis; only this room reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

import msgspec

from domain.log import MarkStatus, Partition
from domain.subject import Subject
from domain.timeline import EPOCH, Minute, to_epoch_us
from domain.watermark import MarkState
from domain.window import Counts

GROUP_LIMIT = 500
"""Subjects of one minute, or publishers of one bucket, that one command in a script is given: Lua's stack ends at
8,000 arguments (LUAI_MAXCSTACK)."""

Speakers = tuple[str, list[str]]
"""A subject, and publishers of negative documents on it."""

Group = tuple[Minute, list[str], list[int], list[Speakers]]
"""One minute's subjects, their six numbers one after another, and who spoke: what `add` in common.lua takes."""


class _Mark(msgspec.Struct, array_like=True):
    scored: str
    source: str
    status: MarkStatus
    next_offset: int
    high_us: int | None
    ended_us: int | None
    fan_out: int


_mark_decoder = msgspec.json.Decoder(_Mark)
_bucket_decoder = msgspec.msgpack.Decoder(list[str])


def topic_prefix(partition: Partition) -> str:
    """What the fields of all partitions of all topics of this name begin with. Topic names hold no colon."""
    return f"{partition.topic}:"


def topic_id_prefix(partition: Partition) -> str:
    """What the fields of all partitions of this very topic begin with."""
    return f"{partition.topic}:{partition.topic_id}:"


def encode_partition(partition: Partition) -> str:
    """The field that stands for a partition: `topic:topic-id:number`."""
    return f"{topic_id_prefix(partition)}{partition.number}"


@lru_cache(maxsize=4096)
def decode_partition(field: str) -> Partition:
    """The inverse of `encode_partition`."""
    topic, topic_id, number = field.split(":")
    return Partition(topic=topic, topic_id=UUID(topic_id), number=int(number))


def encode_marks(states: Iterable[MarkState]) -> dict[str, str]:
    """Marks as JSON, each in a field of its own: `scored source`, both as `encode_partition` writes them."""
    marks = (
        _Mark(
            scored=encode_partition(state.scored),
            source=encode_partition(state.source),
            status=state.status,
            next_offset=state.next_offset,
            high_us=_to_us(state.high_time),
            ended_us=_to_us(state.ended_at),
            fan_out=state.fan_out,
        )
        for state in states
    )
    return {f"{mark.scored} {mark.source}": msgspec.json.encode(mark).decode() for mark in marks}


def decode_marks(texts: Iterable[bytes]) -> tuple[MarkState, ...]:
    """The inverse, of the fields' values."""
    return tuple(
        MarkState(
            scored=decode_partition(mark.scored),
            source=decode_partition(mark.source),
            status=mark.status,
            next_offset=mark.next_offset,
            high_time=_from_us(mark.high_us),
            ended_at=_from_us(mark.ended_us),
            fan_out=mark.fan_out,
        )
        for mark in map(_mark_decoder.decode, texts)
    )


def encode_groups(increments: Iterable[tuple[Subject, Minute, Counts, Iterable[str]]]) -> list[Group]:
    """Group increments by minute. A (subject, minute) may be given once."""
    by_minute: dict[Minute, list[Group]] = defaultdict(list)
    for subject, minute, counts, publishers in increments:
        groups = by_minute[minute]
        if not groups or len(groups[-1][1]) == GROUP_LIMIT:
            groups.append((minute, [], [], []))
        _, subjects, numbers, speakers = groups[-1]
        name = str(subject)
        subjects.append(name)
        numbers += (
            counts.count,
            counts.negative,
            counts.neutral,
            counts.positive,
            counts.polarity_sum,
            counts.polarity_squares,
        )
        speakers += ((name, part) for part in _parts(publishers))
    return [group for groups in by_minute.values() for group in groups]


def decode_buckets(packed: bytes) -> dict[Subject, Counts]:
    """One minute's buckets, as buckets.lua packs them."""
    flat = iter(_bucket_decoder.decode(packed))
    return {decode_subject(subject): decode_bucket(bucket) for subject, bucket in zip(flat, flat, strict=True)}


def decode_bucket(bucket: str) -> Counts:
    """A bucket as common.lua writes it: six whole numbers."""
    return Counts(*map(int, bucket.split()))


@lru_cache(maxsize=65_536)
def decode_subject(text: str) -> Subject:
    """Subject.parse, remembered: the same few subjects fill every minute."""
    return Subject.parse(text)


def _parts(publishers: Iterable[str]) -> Iterator[list[str]]:
    names = list(publishers)
    for begin in range(0, len(names), GROUP_LIMIT):
        yield names[begin : begin + GROUP_LIMIT]


def _to_us(at: datetime | None) -> int | None:
    return None if at is None else to_epoch_us(at)


def _from_us(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
