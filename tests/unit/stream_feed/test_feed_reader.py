"""Reading what is to be fed: looked through, sorted, handed over."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.document import Kind
from domain.errors import InvalidInput
from stream.feed_reader import FeedReader, Item, Looking, Survey
from stream.feed_readers import BadRow
from stream.feed_rows import FeedDocument, RowPolicy, RowShaper
from stream.feed_source import FeedSource

T0 = datetime(2014, 1, 6, 14, tzinfo=UTC)


def row(number: int, seconds: float) -> bytes:
    at = (T0 + timedelta(seconds=seconds)).isoformat()
    return json.dumps({"id": str(number), "text": "x", "published_at": at}).encode() + b"\n"


def reader(path: Path, *, skip_bad: bool = False, look_first: bool = False) -> FeedReader:
    shaper = RowShaper(RowPolicy(kind=Kind.NEWS), now=datetime.now(UTC), may_be_ahead=False)
    return FeedReader(FeedSource(path=path), shaper, skip_bad=skip_bad, look_first=look_first)


async def items(path: Path, **options: Any) -> list[Item]:
    return [item async for batch in reader(path, **options).batches() for item in batch]


def ids(found: list[Item]) -> list[int]:
    return [int(item.key) for item in found if isinstance(item, FeedDocument)]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    os.mkfifo(path)
    return path


def write(fifo: Path, content: bytes) -> asyncio.Task[None]:
    """Write to the FIFO once somebody reads it."""

    async def later() -> None:
        await asyncio.to_thread(fifo.write_bytes, content)

    return asyncio.ensure_future(later())


async def test_a_file_in_order_is_looked_through_then_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(row(number, number) for number in range(5)))

    survey, *documents = await items(path)

    assert survey == Survey(total=5, last_us=_us(T0 + timedelta(seconds=4)))
    assert ids(documents) == [0, 1, 2, 3, 4]


async def test_a_file_out_of_order_is_sorted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(row(0, 50) + row(1, 10) + row(2, 90) + row(3, 10)))

    assert ids(await items(path)) == [1, 3, 0, 2]


async def test_a_bad_row_of_a_file_ends_it_before_any_document(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(row(0, 0) + row(1, 1) + b"not json\n")
    batches = reader(path).batches()
    assert ids(await anext(batches)) == []

    with pytest.raises(InvalidInput, match=r"rows\.jsonl, line 3: the line is not JSON"):
        await anext(batches)


async def test_bad_rows_are_told_once_and_left_out_when_they_are_to_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(row(0, 5) + b"not json\n" + b'{"text":"x"}\n' + row(1, 1))

    found = await items(path, skip_bad=True)

    assert [(item.line, item.reason) for item in found if isinstance(item, BadRow)] == [(2, "not_json"), (3, "no_date")]
    assert ids(found) == [1, 0]


async def test_a_long_look_says_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(row(number, number) for number in range(12_000)))

    found = await items(path)

    assert [item.rows for item in found if isinstance(item, Looking)] == [5000, 10_000]
    assert ids(found) == list(range(12_000))


async def test_a_stream_is_read_as_it_comes(fifo: Path) -> None:
    writing = write(fifo, row(0, 0) + row(1, 100) + row(2, 99))

    survey, *documents = await items(fifo)

    assert survey == Survey()
    assert ids(documents) == [0, 1, 2]
    await writing


async def test_rows_of_a_stream_come_through_before_it_ends(fifo: Path) -> None:
    batches = reader(fifo).batches()
    writer = await asyncio.to_thread(os.open, fifo, os.O_RDWR)
    try:
        os.write(writer, row(0, 0))
        found: list[Item] = []
        async with asyncio.timeout(10):
            while not ids(found):
                found.extend(await anext(batches))
    finally:
        os.close(writer)
        await batches.aclose()


async def test_a_stream_far_out_of_order_ends_with_what_to_do(fifo: Path) -> None:
    writing = write(fifo, row(0, 0) + row(1, 1000) + row(2, 600))

    with pytest.raises(InvalidInput, match="line 3: the document is 0:06:40 older") as raised:
        await items(fifo)
    assert raised.value.reason == "out_of_order"
    await writing


async def test_a_stream_to_be_looked_through_first_is_kept_and_sorted(fifo: Path) -> None:
    writing = write(fifo, row(0, 1000) + row(1, 0))

    found = await items(fifo, look_first=True)

    assert isinstance(found[0], Survey)
    assert found[0].total == 2
    assert ids(found) == [1, 0]
    await writing


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.jsonl can't be read: No such file"):
        await items(tmp_path / "none.jsonl")


async def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(row(0, 0) * 1000)[:-20])

    with pytest.raises(InvalidInput, match=r"rows\.jsonl\.gz can't be read"):
        await items(path)


async def test_who_stops_reading_early_leaves_no_thread_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(row(number, number) for number in range(20_000)))
    batches = reader(path).batches()

    await anext(batches)
    await batches.aclose()


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
