"""Records that aiokafka alone would not read."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as PlainBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from support.kafka_world import RawName

from stream.header_names import Records

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def builder(codec: int = 0) -> Any:
    return PlainBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip


def batch(*names: str, first: int = 0, codec: int = 0) -> bytes:
    """A batch with a record for each header name."""
    made = builder(codec)
    for number, name in enumerate(names):
        made.append(number, 1000 + number, b"key %d" % number, b"value %d" % number, [(name, b"v")])
    data = made.build()
    data[:8] = first.to_bytes(8, "big")
    return bytes(data)


def read(data: bytes) -> list[tuple[Any, ...]]:
    records, found = Records(data), []
    while records.has_next():
        one = records.next_batch()
        assert one.validate_crc()
        found += [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in one]
        assert one.next_offset == found[-1][0] + 1
    return found


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_name_that_is_not_utf8_is_escaped_and_all_else_is_as_it_was(codec: int) -> None:
    data = batch("plain", RawName(b"caf\xe9"), "café", codec=codec) + batch("next", first=3, codec=codec)
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(data).next_batch())
    assert read(data) == [
        (0, 1000, b"key 0", b"value 0", [("plain", b"v")]),
        (1, 1001, b"key 1", b"value 1", [("caf\\xe9", b"v")]),
        (2, 1002, b"key 2", b"value 2", [("café", b"v")]),
        (3, 1000, b"key 0", b"value 0", [("next", b"v")]),
    ]


def test_batches_of_the_old_format_are_read() -> None:
    old = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1 << 20)
    old.append(0, timestamp=1000, key=b"key", value=b"one")
    old.append(1, timestamp=1001, key=b"key", value=b"two")
    records = Records(bytes(old.build()))
    assert [record.value for record in records.next_batch()] == [b"one"]
    assert [record.value for record in records.next_batch()] == [b"two"]
    assert not records.has_next()


def test_a_batch_that_is_cut_short_is_none() -> None:
    data = batch("a", "b")
    records = Records(data[:-1])
    assert not records.has_next()
    assert records.size_in_bytes() == len(data) - 1


def test_control_records_are_asked_for_one_at_a_time() -> None:
    made = builder()
    made.append(0, 1000, b"\0\0\0\1", b"", [])
    assert next(Records(bytes(made.build())).next_batch()).key == b"\0\0\0\1"
