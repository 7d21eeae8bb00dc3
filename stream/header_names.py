"""Lets aiokafka read records with a header whose name is not UTF-8.

Kafka's protocol says that a header's name is UTF-8; no broker checks it, and clients that take names as bytes write
what they are given. aiokafka 0.14 ends such a fetch with UnicodeDecodeError, at the same offset for ever, and has no
setting for it. So what its fetcher reads records with is replaced; what can't be decoded is escaped (`caf\\xe9`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy as PlainBatch
from aiokafka.record.memory_records import MemoryRecords

_LENGTH: Final = struct.Struct(">8xi")
"""What a batch begins with, in each version of the format: its first offset, and the length of what follows."""


def read_any_header_name() -> None:
    """For every consumer that this process starts from now on."""
    fetcher.MemoryRecords = Records


class Records:
    """aiokafka's MemoryRecords: the batches that a fetch brought of a partition."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> RecordBatch:
        """The next; only where there is one."""
        [length] = _LENGTH.unpack_from(self._data, self._at)
        start, self._at = self._at, self._at + _LENGTH.size + length
        return RecordBatch(self._records.next_batch(), self._data[start : self._at])


class RecordBatch:
    """A batch as aiokafka's compiled parser reads it, and from a record on that it can't, as its plain one does."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except UnicodeDecodeError:
            yield from islice(_EscapingBatch(self._data), read, None)

    def __next__(self) -> Any:
        return next(self._batch)


class _EscapingBatch(PlainBatch):  # type: ignore[misc]
    _buffer: bytes | bytearray | memoryview

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _EscapingBytes(self._buffer)


class _EscapingBytes(bytes):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _EscapingBytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
