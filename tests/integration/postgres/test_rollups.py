"""The roll-ups, read, are what the documents add up to."""

from __future__ import annotations

import random

import pytest
from support.builders import at, entity, make_batch, make_document, make_record, make_scored, news_partition, topic
from support.histories import append
from support.postgres_databases import counts_of, history_at

from domain.classification import Label, ScoredDocument
from domain.document import Kind
from domain.subject import sentiments_of, subjects_of
from domain.timeline import minute_of, start_of
from domain.window import Counts
from store.postgres.connection import Postgres
from store.postgres.rollups import PostgresRollUps

pytestmark = pytest.mark.servers

M = minute_of(at())
SUBJECTS = [topic("Earnings"), topic("Fed"), entity("A"), entity("B"), entity("never heard of")]


def some_documents(dice: random.Random) -> list[ScoredDocument]:
    return [
        make_scored(
            make_document(
                f"{number}",
                kind=dice.choice(list(Kind)),
                source=dice.choice([None, "", "Wire", "Post"]),
                author=dice.choice([None, "ann", "Wire"]),
                published_at=at(dice.choice([dice.uniform(0, 90), dice.uniform(5_000, 5_090), dice.randint(0, 90)])),
                symbols=dice.sample(["A", "B"], dice.randint(0, 2)),
            ),
            negative=dice.choice([0.9, 0.05]),
            topic=dice.choice(["Earnings", "Fed"]),
        )
        for number in range(300)
    ]


def test_windows_below_the_floor_are_what_the_documents_add_up_to(database: str) -> None:
    dice = random.Random(3)
    documents = some_documents(dice)
    late = {scored.document.id for scored in documents if dice.random() < 0.1}
    records = [
        make_record(one, source=news_partition(number), high_time=at(20_000) if one.document.id in late else None)
        for number, one in enumerate(documents)
    ]
    with history_at(database) as history:
        assert append(history, make_batch(records)).late == len(late)
    in_time = [scored for scored in documents if scored.document.id not in late]
    postgres = Postgres(database, application_name="test")
    rollups = PostgresRollUps(postgres)

    for start, end in [(M, M + 90), (M + 7, M + 40), (M + 100, M + 5_050), (M - 50, M), (M, M), (M, M + 9_000)]:
        within = [one for one in in_time if start <= minute_of(one.document.published_at) < end]
        buckets: dict[int, dict[object, Counts]] = {}
        for one in within:
            bucket = buckets.setdefault(minute_of(one.document.published_at), {})
            for subject, sentiment in sentiments_of(one):
                bucket[subject] = bucket.get(subject, Counts()) + counts_of(sentiment)
        assert rollups.buckets(start, end) == buckets
        assert list(rollups.buckets(start, end)) == sorted(buckets)
        assert rollups.observed(start, end) == sorted(buckets)
        totals = {
            subject: sum((bucket.get(subject, Counts()) for bucket in buckets.values()), Counts())
            for subject in SUBJECTS
        }
        for subject in SUBJECTS:
            speakers = {
                one.document.publisher or ""
                for one in within
                if subject in subjects_of(one)
                and one.classification
                and one.classification.sentiment.label is Label.NEGATIVE
            }
            assert rollups.negative_publishers(subject, start, end) == len(speakers)
            series = rollups.series(subject, start, end, 7)
            assert sum((window.counts for window in series), Counts()) == totals[subject]
            assert [window.start for window in series] == [start_of(minute) for minute in range(start, end, 7)]
            for window in series:
                inside = [one for one in within if window.start <= one.document.published_at < window.end]
                assert window.counts.count == sum(subject in subjects_of(one) for one in inside)
    with pytest.raises(ValueError, match="at least one minute"):
        rollups.series(SUBJECTS[0], M, M + 9, 0)
    postgres.close()
