"""From rows to documents."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from domain.document import Kind
from domain.errors import InvalidInput
from stream import messages
from stream.feed_rows import FeedDocument, RowPolicy, RowShaper, split_symbols, understand_date
from stream.messages import MessagePolicy
from stream.times import BadTime

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATE = "2014-01-06T14:00:00Z"
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5)))
"""No year of UTC's."""


def shape(row: Mapping[str, Any], *, may_be_ahead: bool = False, **policy: Any) -> FeedDocument:
    shaper = RowShaper(RowPolicy(**{"kind": Kind.NEWS, **policy}), now=NOW, may_be_ahead=may_be_ahead)
    return shaper.shape(1, row)


def sent(document: FeedDocument, shift_us: int | None = 0) -> dict[str, Any]:
    value = json.loads(document.value(shift_us))
    assert isinstance(value, dict)
    return value


def test_the_fields_of_a_document_are_taken_and_the_others_left() -> None:
    row = {"id": "1", "text": "Oil falls", "source": "Wire", "symbols": ["XOM"], "published_at": DATE, "likes": 5}

    document = shape(row)

    assert sent(document) == {
        "id": "1",
        "text": "Oil falls",
        "source": "Wire",
        "symbols": ["XOM"],
        "published_at": "2014-01-06T14:00:00+00:00",
    }
    assert (document.key, document.kind) == (b"1", Kind.NEWS)


def test_columns_stand_under_other_names() -> None:
    row = {"timestamp": DATE, "entities": ["AAPL"], "body": "Up", "tweet": 418157151946035200}
    columns = {"published_at": "timestamp", "symbols": "entities", "text": "body", "id": "tweet"}

    document = shape(row, columns=columns)

    assert document.key == b"418157151946035200"
    assert sent(document)["symbols"] == ["AAPL"]


def test_a_field_that_documents_do_not_have_can_t_be_mapped() -> None:
    with pytest.raises(ValueError, match=r"no field 'date'; they have .*published_at"):
        RowPolicy(kind=Kind.NEWS, columns={"date": "timestamp"})


def test_the_key_is_the_id_that_the_classify_stage_will_find() -> None:
    document = shape({"text": "Oil falls", "source": "Wire", "published_at": DATE})

    read = messages.decode(document.value(0), (), 1_500_000_000_000, Kind.NEWS, MessagePolicy())
    assert document.key.decode() == read.id
    assert document.key.startswith(b"derived-")


def test_a_prefix_makes_another_document_of_it() -> None:
    row = {"id": "1", "text": "Oil falls", "published_at": DATE}
    nameless = {"text": "Oil falls", "published_at": DATE}

    assert sent(shape(row, id_prefix="again-"))["id"] == "again-1"
    document = shape(nameless, id_prefix="again-")
    assert sent(document)["id"].encode() == document.key == b"again-" + shape(nameless).key


def test_dates_are_moved_by_what_is_asked() -> None:
    document = shape({"text": "Oil falls", "published_at": DATE})

    assert sent(document, 90_000_000)["published_at"] == "2014-01-06T14:01:30+00:00"


def test_an_undated_row_is_sent_without_a_date() -> None:
    document = shape({"text": "Oil falls", "published_at": "whatever"}, undated=True)

    assert "published_at" not in sent(document, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2014-01-06T15:00:00+01:00", DATE),
        ("2014-01-06 14:00:00", DATE),
        ("2014-01-06T14:00", DATE),
        ("2014-01-06", "2014-01-06T00:00:00Z"),
        ("1389016800", DATE),
        ("1389016800000", DATE),
        (1389016800, DATE),
        (1389016800.0, DATE),
        (1389016800000, DATE),
        (datetime(2014, 1, 6, 14), DATE),  # noqa: DTZ001 — as a Parquet file without a zone has it
        (datetime(2014, 1, 6, 15, tzinfo=timezone(timedelta(hours=1))), DATE),
        (date(2014, 1, 6), "2014-01-06T00:00:00Z"),
    ],
)
def test_dates_are_understood_as_files_have_them(given: object, expected: str) -> None:
    assert understand_date(given) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "given", ["yesterday", "2014-13-01", "06/01/2014", True, float("nan"), float("inf"), [2014], date(1960, 1, 1), LAST]
)
def test_what_is_no_date_is_refused(given: object) -> None:
    with pytest.raises(BadTime):
        understand_date(given)


@pytest.mark.parametrize(
    ("given", "symbols"),
    [
        ("AAPL", ["AAPL"]),
        ("AAPL, GOOG;C|F", ["AAPL", "GOOG", "C", "F"]),
        ('["AAPL", "BRK-B"]', ["AAPL", "BRK-B"]),
        ("[odd", ["[odd"]),
        ("", []),
    ],
)
def test_symbols_are_split_as_tables_have_them(given: str, symbols: list[str]) -> None:
    assert split_symbols(given) == symbols


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_empty_cells_are_fields_that_were_not_given(nothing: object) -> None:
    document = shape({"text": "Oil falls", "published_at": DATE, "title": nothing, "id": nothing})

    assert set(sent(document)) == {"text", "published_at"}


def test_a_row_s_own_kind_goes_before_the_feed_s() -> None:
    row = {"text": "Oil falls", "published_at": DATE}

    assert shape({**row, "kind": "comment"}).kind is Kind.COMMENT
    assert shape({**row, "kind": ""}, kind=Kind.COMMENT).kind is Kind.COMMENT


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "x"}, "no_date"),
        ({"text": "x", "published_at": ""}, "no_date"),
        ({"text": "x", "published_at": "soon"}, "bad_date"),
        ({"published_at": DATE}, "no_text"),
        ({"text": " ", "published_at": DATE}, "no_text"),
        ({"text": ["x"], "published_at": DATE}, "wrong_type"),
        ({"text": "x" * 100_000, "published_at": DATE}, "field_too_long"),
        ({"text": "x", "published_at": DATE, "kind": "tweet"}, "bad_kind"),
        ({"text": "x", "published_at": "2026-01-01T00:05:01Z"}, "date_ahead"),
        ({"text": "x", "published_at": math.inf}, "bad_date"),
        ({"text": "x", "title": math.inf, "published_at": DATE}, "wrong_type"),
        ({"text": b"eA==", "published_at": DATE}, "wrong_type"),
    ],
)
def test_what_the_classify_stage_would_refuse_is_refused_before_it_is_sent(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        shape(row)
    assert raised.value.reason == reason


def test_a_missing_date_names_the_columns_that_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"no published_at: .*\(the columns are id, timestamp\)"):
        shape({"id": "1", "timestamp": DATE})


def test_a_date_ahead_of_now_is_fine_when_all_dates_will_be_moved() -> None:
    row = {"text": "x", "published_at": "2099-01-01T00:00:00Z"}

    assert shape(row, may_be_ahead=True).published_us > 0
