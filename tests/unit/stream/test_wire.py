"""The scored topic's format gives back what it was given, and refuses what it does not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.classification import Classification, ModelRef, ScoredDocument, Unscored
from domain.document import Document, Kind
from domain.errors import InvalidInput
from domain.log import Mark, MarkStatus, Origin, Partition, ScoredRecord
from stream import wire

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TIMES = st.datetimes(
    min_value=datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None),
    max_value=datetime(9999, 1, 1, tzinfo=UTC).replace(tzinfo=None),
    timezones=st.just(UTC),
)
OFFSETS = st.integers(min_value=0, max_value=2**63 - 1)
PARTITIONS = st.builds(Partition, topic=NAME, topic_id=st.uuids(), number=st.integers(min_value=0, max_value=10_000))
DOCUMENTS = st.builds(
    Document,
    id=NAME,
    kind=st.sampled_from(Kind),
    text=TEXT,
    published_at=TIMES,
    received_at=TIMES,
    title=st.none() | TEXT,
    source=st.none() | TEXT,
    author=st.none() | TEXT,
    url=st.none() | TEXT,
    lang=st.none() | NAME,
    symbols=st.lists(NAME, max_size=4).map(tuple),
)
PROBABILITY = st.floats(min_value=0, max_value=1)
CLASSIFICATIONS = st.builds(
    Classification,
    tasks=st.dictionaries(NAME, st.dictionaries(NAME, PROBABILITY, max_size=4), max_size=3),
    model=st.builds(ModelRef, name=NAME, version=NAME),
    input_hash=NAME,
)
SCORED = st.one_of(
    st.builds(ScoredDocument, document=DOCUMENTS, classification=CLASSIFICATIONS, config_hash=TEXT),
    st.builds(ScoredDocument, document=DOCUMENTS, unscored=st.sampled_from(Unscored)),
)
RECORDS = st.builds(
    ScoredRecord, scored=SCORED, origin=st.builds(Origin, partition=PARTITIONS, offset=OFFSETS, high_time=TIMES)
)
MARKS = st.builds(
    Mark,
    partition=PARTITIONS,
    status=st.sampled_from(MarkStatus),
    next_offset=OFFSETS,
    high_time=st.none() | TIMES,
    ended_at=st.none() | TIMES,
    fan_out=st.integers(min_value=1, max_value=1000),
)


@given(RECORDS)
def test_a_document_comes_back_exactly(record: ScoredRecord) -> None:
    assert wire.decode(wire.encode_document(record)) == record


@given(st.lists(MARKS, max_size=5).map(tuple))
def test_marks_come_back_exactly(marks: tuple[Mark, ...]) -> None:
    assert wire.decode(wire.encode_marks(marks)) == marks


@given(st.binary(max_size=200))
def test_bytes_that_nobody_wrote_are_refused_and_nothing_else_happens(value: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        wire.decode(value)
    assert caught.value.reason == wire.UNREADABLE


def test_what_is_written_says_its_type_and_schema() -> None:
    at = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
    mark = Mark(
        partition=Partition(topic="news", topic_id=UUID(int=1), number=0),
        status=MarkStatus.READING,
        next_offset=7,
        high_time=at,
        fan_out=2,
    )
    assert json.loads(wire.encode_marks([mark])) == {
        "type": "marks",
        "schema": 1,
        "marks": [
            {
                "partition": {"topic": "news", "topic_id": "00000000-0000-0000-0000-000000000001", "number": 0},
                "status": "reading",
                "next_offset": 7,
                "high_time": "2014-01-06T14:00:00Z",
                "ended_at": None,
                "fan_out": 2,
            }
        ],
    }


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"document","schema":2,"record":{"entirely":"different"}}',
        b'{"type":"marks","schema":3,"marks":[]}',
        b'{"type":"verdict","schema":2}',
    ],
)
def test_a_newer_schema_is_refused_by_name_even_if_it_would_decode(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="upgrade") as caught:
        wire.decode(value)
    assert caught.value.reason == wire.NEWER_SCHEMA


def test_a_field_of_a_later_minor_version_is_ignored() -> None:
    assert wire.decode(b'{"type":"marks","schema":1,"marks":[],"note":"new"}') == ()


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b"\xff", b'{"type":"verdict","schema":1}', b"[" * 100_000])
def test_what_is_not_ours_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        wire.decode(value)
    assert caught.value.reason == wire.UNREADABLE


def test_a_document_that_claims_impossible_scores_is_unreadable() -> None:
    value = json.dumps({"type": "document", "schema": 1, "record": {"scored": {}}}).encode()
    with pytest.raises(InvalidInput, match="can't be read"):
        wire.decode(value)


def test_times_keep_their_microseconds() -> None:
    at = datetime(2014, 1, 6, 14, 0, tzinfo=UTC) + timedelta(microseconds=123457)
    mark = Mark(
        partition=Partition(topic="news", topic_id=UUID(int=1), number=0),
        status=MarkStatus.ENDED,
        next_offset=7,
        high_time=at,
        ended_at=at,
        fan_out=1,
    )
    assert wire.decode(wire.encode_marks([mark])) == (mark,)
