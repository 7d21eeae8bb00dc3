"""Sorting by date in bounded memory."""

from __future__ import annotations

import random

import pytest

from domain.document import Kind
from stream.feed_order import by_date
from stream.feed_rows import FeedDocument


def documents(dates: list[int]) -> list[FeedDocument]:
    return [
        FeedDocument(published_us=at, line=line, kind=Kind.NEWS, key=b"%d" % line, body=b'{"text":"%d"}' % line)
        for line, at in enumerate(dates, start=1)
    ]


@pytest.mark.parametrize("run_bytes", [1 << 20, 100, 1])
def test_documents_come_by_date_and_within_a_date_in_the_order_of_the_file(run_bytes: int) -> None:
    choice = random.Random(1)
    shuffled = documents([choice.randrange(20) for _ in range(200)])

    in_order = list(by_date(iter(shuffled), run_bytes=run_bytes))

    assert in_order == sorted(shuffled, key=lambda document: (document.published_us, document.line))


def test_nothing_sorts_to_nothing() -> None:
    assert list(by_date([])) == []
