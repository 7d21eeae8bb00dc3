"""What domain.ports.WindowReader promises, on every implementation."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.builders import at, entity, scored_partition, topic
from support.fake_ledger import Row
from support.window_worlds import WindowWorld, in_memory, in_redis, total

from domain.errors import WindowsNotWhole
from domain.ports import WindowReader
from domain.timeline import minute_of, start_of
from domain.window import Counts

M = minute_of(at())
OIL, FED, ACME = topic("Energy | Oil"), topic("Fed"), entity("ACME")


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest) -> WindowWorld:
    return in_memory() if request.param == "memory" else in_redis(request.getfixturevalue("fresh_redis"))


@pytest.fixture
def reader(world: WindowWorld) -> WindowReader:
    """Minutes 0, 3 and 7 have documents; oil has them in 0 and 7."""
    rows = [
        Row(id="a", subjects=(OIL, ACME), minute=M, polarity=-9_000, publisher="Wire"),
        Row(id="b", subjects=(OIL,), minute=M, polarity=-5_000, publisher="Post"),
        Row(id="c", subjects=(FED,), minute=M + 3, polarity=100),
        Row(id="d", subjects=(OIL,), minute=M + 7, polarity=-7_000, publisher="Wire"),
        Row(id="e", subjects=(OIL,), minute=M + 7, polarity=8_000, publisher="Blog"),
    ]
    world.ledger.append(scored_partition(), rows)
    world.ledger.mark(scored_partition(), at(8))
    world.windows.rebuild()
    return world.reader


@pytest.mark.parametrize(
    "read",
    [
        lambda reader: reader.marks(),
        lambda reader: reader.buckets(M, M + 1),
        lambda reader: reader.observed(M, M + 1),
        lambda reader: reader.negative_publishers(OIL, M, M + 1),
        lambda reader: reader.series(OIL, M, M + 1, 1),
    ],
)
def test_nothing_is_read_while_there_are_no_windows(world: WindowWorld, read: Callable[[WindowReader], object]) -> None:
    with pytest.raises(WindowsNotWhole):
        read(world.reader)


def test_buckets_hold_only_minutes_and_subjects_with_documents_and_the_marks(reader: WindowReader) -> None:
    buckets = reader.buckets(M, M + 7)

    assert (buckets.start, buckets.end) == (M, M + 7)
    assert list(buckets.counts) == [M, M + 3], "the end is not part of the span"
    assert buckets.counts[M] == {
        OIL: Counts(count=2, negative=2, polarity_sum=-14_000, polarity_squares=106_000_000),
        ACME: Counts(count=1, negative=1, polarity_sum=-9_000, polarity_squares=81_000_000),
    }
    assert [mark.high_time for mark in buckets.marks] == [at(8)]


def test_an_empty_span_holds_nothing(reader: WindowReader) -> None:
    assert reader.buckets(M, M).counts == {}
    assert list(reader.observed(M, M)) == []
    assert list(reader.series(OIL, M, M, 5)) == []
    assert reader.negative_publishers(OIL, M, M) == 0


def test_a_window_is_the_sum_of_its_minutes_and_zero_for_a_subject_without_documents(reader: WindowReader) -> None:
    summed = Counts(count=4, negative=3, positive=1, polarity_sum=-13_000, polarity_squares=219_000_000)
    assert total(reader, OIL, M, M + 8) == summed
    assert total(reader, topic("never heard of"), M, M + 8) == Counts()


def test_observed_minutes_are_those_with_a_document_on_any_subject(reader: WindowReader) -> None:
    assert list(reader.observed(M - 5, M + 8)) == [M, M + 3, M + 7]
    assert list(reader.observed(M + 1, M + 7)) == [M + 3]


def test_a_publisher_counts_once_however_many_minutes_it_speaks_in(reader: WindowReader) -> None:
    assert reader.negative_publishers(OIL, M, M + 8) == 2, "the blog was not negative"
    assert reader.negative_publishers(OIL, M + 1, M + 8) == 1
    assert reader.negative_publishers(ACME, M, M + 8) == 1
    assert reader.negative_publishers(FED, M, M + 8) == 0


def test_hundreds_of_publishers_are_counted_to_the_last_one(world: WindowWorld) -> None:
    rows = [
        Row(id=str(number), subjects=(OIL,), minute=M + number % 15, polarity=-9_000, publisher=f"Paper {number}")
        for number in range(900)
    ]
    world.ledger.append(scored_partition(), rows)
    world.windows.rebuild()

    for start in range(M, M + 15):
        assert world.reader.negative_publishers(OIL, start, M + 15) == 60 * (M + 15 - start)


def test_a_series_has_empty_windows_too_and_a_shorter_last_one(reader: WindowReader) -> None:
    series = reader.series(OIL, M - 3, M + 8, 3)

    assert [(window.start, window.end) for window in series] == [
        (start_of(M - 3), start_of(M)),
        (start_of(M), start_of(M + 3)),
        (start_of(M + 3), start_of(M + 6)),
        (start_of(M + 6), start_of(M + 8)),
    ]
    assert [window.counts.count for window in series] == [0, 2, 0, 2]
    assert series[0].polarity_mean is None, "unknown, not calm"
    assert all(window.subject == OIL for window in series)


def test_what_is_read_is_what_the_documents_add_up_to(world: WindowWorld) -> None:
    dice = random.Random(7)
    subjects = [topic(f"T{index}") for index in range(12)]
    world.windows.rebuild()
    for batch in range(8):
        rows = [
            Row(
                id=f"{dice.randrange(1500)}",
                subjects=tuple(dice.sample(subjects, dice.randint(1, 3))),
                minute=M + dice.randrange(40 * batch, 40 * batch + 60),
                polarity=dice.randint(-10_000, 10_000),
                publisher=dice.choice(["", "Wire", "Post", "Blog"]),
                late=dice.random() < 0.1,
            )
            for _ in range(250)
        ]
        partition = scored_partition(batch % 3)
        world.ledger.append(partition, rows)
        world.ledger.mark(partition, at(40 * batch), fan_out=3)
        world.reconcile(partition, world.windows.guard(partition) or 0)

    truth = world.ledger.windows()
    for _ in range(15):
        start = M + dice.randrange(-10, 300)
        end = start + dice.randrange(120)
        subject = dice.choice(subjects)
        assert world.reader.buckets(start, end).counts == truth.buckets(start, end).counts
        assert world.reader.observed(start, end) == truth.observed(start, end)
        assert world.reader.series(subject, start, end, 7) == truth.series(subject, start, end, 7)
        assert world.reader.negative_publishers(subject, start, end) == truth.negative_publishers(subject, start, end)
    assert max(world.reader.observed(M, M + 1_000)) - M > timedelta(hours=5) // timedelta(minutes=1)
