"""Sorting documents by their dates in bounded memory: sorted runs in temporary files, then merged."""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import BinaryIO, Final, cast

import msgspec

from stream.feed_rows import FeedDocument

RUN_BYTES: Final = 64 << 20
"""Of documents that are sorted in memory at a time."""

_LENGTH: Final = struct.Struct("<I")


def by_date(documents: Iterable[FeedDocument], *, run_bytes: int = RUN_BYTES) -> Iterator[FeedDocument]:
    """By rising date; documents of one date stay in the order of the file. What fits in memory stays there."""
    with ExitStack() as files:
        runs: list[Iterator[FeedDocument]] = []
        held: list[FeedDocument] = []
        size = 0
        for document in documents:
            held.append(document)
            size += len(document.body) + len(document.key)
            if size >= run_bytes:
                file = files.enter_context(tempfile.TemporaryFile())
                runs.append(_spill(held, cast("BinaryIO", file)))
                held, size = [], 0
        held.sort(key=_order)
        yield from heapq.merge(*runs, held, key=_order)


def _order(document: FeedDocument) -> tuple[int, int]:
    return document.published_us, document.line


def _spill(documents: list[FeedDocument], file: BinaryIO) -> Iterator[FeedDocument]:
    documents.sort(key=_order)
    encode = msgspec.msgpack.Encoder().encode
    for document in documents:
        encoded = encode(document)
        file.write(_LENGTH.pack(len(encoded)))
        file.write(encoded)
    file.seek(0)
    return _read(file)


def _read(file: BinaryIO) -> Iterator[FeedDocument]:
    decode = msgspec.msgpack.Decoder(FeedDocument).decode
    while prefix := file.read(_LENGTH.size):
        yield decode(file.read(_LENGTH.unpack(prefix)[0]))
