"""Reading in a thread of its own what is to be fed: looked through first where it can be read twice, then in order."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO, Final, cast

from domain.errors import InvalidInput
from stream.feed_order import by_date
from stream.feed_readers import BadRow, FeedFormat, Row, read_rows
from stream.feed_rows import FeedDocument, RowShaper
from stream.feed_source import FeedSource, opened

TOLERANCE: Final = timedelta(minutes=5)
"""How far out of order the documents of a stream may come. (A file is sorted.)"""

_LOOK_EVERY: Final = 5_000
_HANDED_OVER: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Looking:
    """How many rows the first look has seen so far."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the first look found; of what can't be read twice nothing is known."""

    total: int | None = None
    last_us: int | None = None


Item = Looking | BadRow | Survey | FeedDocument


class FeedReader:
    """Reads a source once."""

    def __init__(self, source: FeedSource, shaper: RowShaper, *, skip_bad: bool, look_first: bool) -> None:
        """`look_first`: what can't be read twice is kept, to be. Raises InvalidInput when the format is unknown."""
        self._source = source
        self._shaper = shaper
        self._skip_bad = skip_bad
        self._format = source.chosen_format()
        self._keep = look_first or self._format is FeedFormat.PARQUET

    async def batches(self) -> AsyncGenerator[list[Item], None]:
        """Whatever there is, as soon as there is some: looks and bad rows, one Survey, then documents in order (and, of
        a stream, bad rows between them).

        Raises InvalidInput for a row that can't be read (unless skipped), for a stream that is out of order, and for a
        source that is not what it should be.
        """
        handover = _Handover()
        # Not a pool's thread: one that waits for standard input must not keep the process from ending.
        threading.Thread(target=self._run, args=(handover,), name="feed-reader", daemon=True).start()
        try:
            async for batch in handover.batches():
                yield batch
        finally:
            handover.close()

    def _run(self, handover: _Handover) -> None:
        try:
            for item in self._read():
                handover.put(item)
        except _Closed:
            pass
        except Exception as error:
            handover.end(error)
        else:
            handover.end(None)

    def _read(self) -> Iterator[Item]:
        with opened(self._source, keep=self._keep) as (file, twice):
            if not twice:
                yield Survey()
                yield from self._in_tolerance(file)
                return
            sorted_already = yield from self._look_through(file)
            file.seek(0)
            documents = (item for item in self._rows(file) if isinstance(item, FeedDocument))
            yield from documents if sorted_already else by_date(documents)

    def _look_through(self, file: BinaryIO) -> Generator[Looking | BadRow | Survey, None, bool]:
        """Returns whether the documents are in order already."""
        rows = total = 0
        last = before = None
        in_order = True
        for item in self._rows(file):
            rows += 1
            if rows % _LOOK_EVERY == 0:
                yield Looking(rows=rows)
            if isinstance(item, BadRow):
                yield item
                continue
            at = item.published_us
            total += 1
            in_order = in_order and (before is None or before <= at)
            before = at
            last = at if last is None else max(last, at)
        yield Survey(total=total, last_us=last)
        return in_order

    def _in_tolerance(self, file: BinaryIO) -> Iterator[BadRow | FeedDocument]:
        newest = 0
        for item in self._rows(file):
            if isinstance(item, FeedDocument):
                behind = timedelta(microseconds=newest - item.published_us)
                if behind > TOLERANCE:
                    raise InvalidInput(
                        "out_of_order",
                        f"{self._source.name}, line {item.line}: the document is {behind} older than one before it; a "
                        "stream must come in the order of its dates (a file is sorted)",
                    )
                newest = max(newest, item.published_us)
            yield item

    def _rows(self, file: BinaryIO) -> Iterator[BadRow | FeedDocument]:
        # Readers close what they were given; the descriptor's duplicate shares its place.
        again = cast("BinaryIO", io.FileIO(os.dup(file.fileno())))
        try:
            for line, row in read_rows(again, self._format, delimiter=self._source.chosen_delimiter()):
                item = row if isinstance(row, BadRow) else self._shaped(line, row)
                if isinstance(item, BadRow) and not self._skip_bad:
                    raise InvalidInput(item.reason, f"{self._source.name}, line {item.line}: {item.message}")
                yield item
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidInput("unreadable_file", f"{self._source.name} can't be read: {error}") from error

    def _shaped(self, line: int, row: Row) -> BadRow | FeedDocument:
        try:
            return self._shaper.shape(line, row)
        except InvalidInput as error:
            return BadRow(line=line, reason=error.reason, message=str(error))


class _Closed(Exception):
    """Nobody takes what is put any more."""


class _Handover:
    """A bounded queue from one thread to one event loop: the loop takes all that there is at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Item] = deque()
        self._room = threading.Semaphore(_HANDED_OVER)
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._closed = False

    def put(self, item: Item) -> None:
        self._room.acquire()
        if self._closed:
            raise _Closed
        self._waiting.append(item)
        self._wake()

    def end(self, error: Exception | None) -> None:
        self._error = error
        self._ended = True
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._room.release()

    async def batches(self) -> AsyncIterator[list[Item]]:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            # Asked before the queue is emptied: whatever was put before the end is in it then.
            ended = self._ended
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for _ in batch:
                self._room.release()
            yield batch
            if ended:
                if self._error is not None:
                    raise self._error
                return

    def _wake(self) -> None:
        if not self._arrived.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)
