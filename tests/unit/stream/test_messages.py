"""What comes in becomes a document, or is refused with the reason that a person needs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.document import Document, Kind
from domain.errors import InvalidInput
from stream import cloudevents
from stream.messages import MessagePolicy, Reason, decode, derive_id

RECEIVED = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
RECEIVED_MS = 1389016800000
POLICY = MessagePolicy()
ALL_REASONS = {*Reason, *cloudevents.Reason}


def read(fields: Any = None, *, value: bytes | None = None, headers: Any = (), **more: Any) -> Document:
    """Decode a news message with these fields besides a text, received at RECEIVED."""
    if value is None:
        value = json.dumps({"text": "Oil falls.", **(fields or {}), **more}).encode()
    return decode(value, headers, RECEIVED_MS, Kind.NEWS, POLICY)


def refusal(value: bytes | None, headers: Any = (), policy: MessagePolicy = POLICY) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        decode(value, headers, RECEIVED_MS, Kind.NEWS, policy)
    return caught.value


def reason(fields: dict[str, Any]) -> str:
    return refusal(json.dumps({"text": "Oil falls.", **fields}).encode()).reason


def test_every_field_arrives() -> None:
    document = read(
        id="a-1",
        title="Oil",
        source="Example Wire",
        url="https://example.com/1",
        author="J. Doe",
        lang="en_us",
        symbols=["$xom", "BRK.B"],
        published_at="2014-01-06T14:59:00+01:00",
    )
    assert document == Document(
        id="a-1",
        kind=Kind.NEWS,
        text="Oil falls.",
        title="Oil",
        source="Example Wire",
        url="https://example.com/1",
        author="J. Doe",
        lang="en-US",
        symbols=("XOM", "BRK.B"),
        published_at=RECEIVED - timedelta(minutes=1),
        received_at=RECEIVED,
    )


def test_without_a_date_the_records_own_timestamp_counts() -> None:
    assert read().published_at == read(published_at=" ").published_at == read().received_at == RECEIVED


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 1_700_000_000_000_000, 2**63 - 1, 100_000_000_000_000])
def test_a_record_without_a_timestamp_is_received_now_and_dates_ahead_of_that_are_refused(timestamp_ms: int) -> None:
    before = datetime.now(UTC)
    document = decode(b'{"text":"x","published_at":1389016800}', (), timestamp_ms, Kind.NEWS, POLICY)
    assert document.published_at == RECEIVED
    assert before <= document.received_at <= datetime.now(UTC)
    for value, reason in (
        (b'{"text":"x"}', Reason.BAD_DATE),
        (b'{"text":"x","published_at":"2998-01-01T00:00:00Z"}', Reason.DATE_AHEAD),
    ):
        with pytest.raises(InvalidInput) as caught:
            decode(value, (), timestamp_ms, Kind.NEWS, POLICY)
        assert caught.value.reason == reason


def test_a_resent_document_without_an_id_is_the_same_document() -> None:
    first = read(source="Example Wire", url="https://example.com/1")
    again = read(source=" Example Wire ", url="https://example.com/1", title="Corrected", published_at=1389016700)
    assert first.id == again.id == derive_id("Example Wire", "https://example.com/1", "Oil falls.")
    assert first.id != read(source="Other Wire", url="https://example.com/1").id


@given(st.tuples(*[st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)] * 2))
def test_parts_of_a_derived_id_do_not_run_into_each_other(parts: tuple[str | None, str | None]) -> None:
    source, url = parts
    assert derive_id(source, url, "x") != derive_id(source, (url or "") + "x", "")
    if source != url:
        assert derive_id(source, url, "x") != derive_id(url, source, "x")


def test_a_number_is_an_id_too() -> None:
    assert read(id=419_000_000_000_000_001).id == "419000000000000001"
    assert read(author=7).author == "7"


def test_blank_fields_count_as_not_given() -> None:
    document = read(id=" ", title="", source="\t", url=None, lang=" ", symbols=["", " $ "])
    assert (document.title, document.source, document.url, document.lang, document.symbols) == (None,) * 4 + ((),)
    assert document.id.startswith("derived-")


def test_an_unknown_language_is_none() -> None:
    assert read(lang="und").lang is None
    assert read(lang="ZH-hant-tw").lang == "zh-Hant-TW"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$AAPL and $msft, $AAPL again", ("AAPL", "MSFT")),
        ("Buying $BRK.B and $BRK-B.", ("BRK.B", "BRK-B")),
        ("$AAPL. $TSLA's day ($GOOG)", ("AAPL", "TSLA", "GOOG")),
        ("It costs $5, US$AAPL, $$AAPL, $TOOLONGNAME, a$b", ()),
        ("no money", ()),
    ],
)
def test_cashtags_in_the_text_count_as_symbols(text: str, expected: tuple[str, ...]) -> None:
    assert read(text=text).symbols == expected


def test_symbols_come_in_order_and_once_given_ones_first() -> None:
    document = read(symbols=["tsla", " $TSLA "], title="$GOOG", text="$AAPL $GOOG")
    assert document.symbols == ("TSLA", "GOOG", "AAPL")


def test_cashtags_past_the_limit_are_left_out_but_given_symbols_are_not() -> None:
    policy = MessagePolicy(max_symbols=2)
    value = b'{"text":"$AAPL $MSFT","symbols":["TSLA"]}'
    assert decode(value, (), RECEIVED_MS, Kind.NEWS, policy).symbols == ("TSLA", "AAPL")
    assert refusal(b'{"text":"x","symbols":["A","B","C"]}', policy=policy).reason == Reason.TOO_MANY_SYMBOLS


@pytest.mark.parametrize(
    "given_date",
    [
        "2014-01-06T14:00:00Z",
        "2014-01-06t14:00:00z",
        "2014-01-06 14:00:00.000Z",
        "2014-01-06T06:30:00-07:30",
        "2014-01-06T13:59:60Z",
        "2014-01-06T14:00:00.000000999Z",
        1389016800,
        1389016800.0,
        1389016800000,
        "1389016800",
        "1389016800000",
        " 1389016800.0 ",
    ],
)
def test_a_date_is_rfc_3339_or_epoch_seconds_or_milliseconds(given_date: object) -> None:
    assert read(published_at=given_date).published_at == RECEIVED


def test_fractions_of_a_second_are_kept() -> None:
    assert read(published_at="2014-01-06T13:59:59.123456Z").published_at.microsecond == 123456
    assert read(published_at=1389016799.25).published_at.microsecond == 250000
    assert read(published_at=1389016799123).published_at.microsecond == 123000


@pytest.mark.parametrize(
    "given_date",
    [
        "2014-01-06T14:00:00",
        "2014-01-06",
        "20140106",
        "yesterday",
        "2014-02-30T00:00:00Z",
        "2014-01-06T25:00:00Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:60Z",
        "3000-01-01T00:00:00Z",
        32503680000,
        "٢٠١٤-01-06T14:00:00Z",
        "2014-01-06T14:00:00+99:00",
        -1,
        1e300,
        1389016800000000,
        10**30,
    ],
)
def test_what_is_no_date_is_refused(given_date: object) -> None:
    assert reason({"published_at": given_date}) == Reason.BAD_DATE


def test_a_number_that_no_float_can_hold_is_no_date() -> None:
    assert refusal(b'{"text":"x","published_at":1e400}').reason == Reason.BAD_DATE
    assert refusal(b'{"text":"x","published_at":' + b"9" * 5000 + b"}").reason == Reason.BAD_DATE


def test_a_date_may_be_five_minutes_ahead_of_the_record_and_no_more() -> None:
    assert read(published_at="2014-01-06T14:05:00Z").published_at == RECEIVED + timedelta(minutes=5)
    error = refusal(b'{"text":"x","published_at":"2014-01-06T14:05:00.000001Z"}')
    assert error.reason == Reason.DATE_AHEAD
    assert "0:05:00 is allowed" in str(error)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.TOMBSTONE),
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b'{"text":"x"} {}', Reason.NOT_JSON),
        (b"Oil falls.", Reason.NOT_JSON),
        (b'{"text":"x","published_at":NaN}', Reason.NOT_JSON),
        (b'{"text":"\xff"}', Reason.NOT_UTF8),
        (b'{"text":"x","unknown":"\xff"}', Reason.NOT_UTF8),
        ('{"text":"Öl"}'.encode("latin-1"), Reason.NOT_UTF8),
        ('{"text":"Oil"}'.encode("utf-16"), Reason.NOT_UTF8),
        ('{"text":"Oil"}'.encode("utf-16-le"), Reason.NUL_CHARACTER),
        (b'{"text":"a\x00b"}', Reason.NUL_CHARACTER),
        (b'{"text":"a\\u0000b"}', Reason.NUL_CHARACTER),
        (b'{"text":"x","title":"\\u0000"}', Reason.NUL_CHARACTER),
        (b'{"text":"x","symbols":["A\\u0000"]}', Reason.NUL_CHARACTER),
        (b'{"text":"\\ud800"}', Reason.LONE_SURROGATE),
        (b'{"text":"\\udc00 low"}', Reason.LONE_SURROGATE),
        (b'{"text":"\\ud83d\\u0041"}', Reason.LONE_SURROGATE),
        (b'{"text":"\\ud83d\\ude00', Reason.NOT_JSON),
        (b'{"text":"x","unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.TOO_DEEP),
        (b"[]", Reason.WRONG_TYPE),
        (b'[{"text":"x"}]', Reason.WRONG_TYPE),
        (b'"text"', Reason.WRONG_TYPE),
        (b"null", Reason.WRONG_TYPE),
        (b'{"text":5}', Reason.WRONG_TYPE),
        (b'{"text":"x","symbols":"AAPL"}', Reason.WRONG_TYPE),
        (b'{"text":"x","symbols":[1]}', Reason.WRONG_TYPE),
        (b'{"text":"x","published_at":true}', Reason.WRONG_TYPE),
        (b'{"text":"x","id":1.5}', Reason.WRONG_TYPE),
        (b"{}", Reason.NO_TEXT),
        (b'{"text":null}', Reason.NO_TEXT),
        (b'{"text":" \\n\\u00a0\\t"}', Reason.NO_TEXT),
        (b'{"title":"Only a title"}', Reason.NO_TEXT),
        (b'{"text":"x","lang":"en;q=0.9"}', Reason.BAD_LANG),
        (b'{"text":"x","symbols":["A B"]}', Reason.BAD_SYMBOL),
    ],
)
def test_each_kind_of_bad_message_has_its_reason(value: bytes | None, expected: Reason) -> None:
    assert refusal(value).reason == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "x" * 65537}, "text"),
        ({"text": "é" * 32769}, "text"),
        ({"title": "x" * 4097}, "title"),
        ({"url": "x" * 4097}, "url"),
        ({"source": "x" * 513}, "source"),
        ({"author": "x" * 513}, "author"),
        ({"id": "x" * 513}, "id"),
        ({"id": 10**600}, "id"),
        ({"symbols": ["X" * 33]}, "a symbol"),
    ],
)
def test_a_field_over_its_limit_is_named_with_the_limit(fields: dict[str, Any], field: str) -> None:
    error = refusal(json.dumps({"text": "x", **fields}).encode())
    assert error.reason == Reason.FIELD_TOO_LONG
    assert str(error).startswith(f"{field} has ")
    assert "the limit is" in str(error)


def test_a_field_at_its_limit_is_fine() -> None:
    assert len(read(text="x" * 65536).text) == 65536
    assert len(read(id="i" * 512).id) == 512


def test_a_byte_order_mark_is_skipped() -> None:
    assert read(value=b'\xef\xbb\xbf{"text":"Oil falls."}').text == "Oil falls."


def test_of_a_repeated_field_the_last_counts() -> None:
    assert read(value=b'{"text":"first","text":"last"}').text == "last"


def test_unknown_fields_are_ignored_whatever_they_are() -> None:
    assert read(data={"a": [1, {}]}, type=5, time=None, nested=[[[]]]).text == "Oil falls."


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["text", "id", "title", "source", "url", "author", "lang", "symbols", "published_at", "specversion", "data"]
)


def check_decoded_or_refused(value: bytes, headers: Any = ()) -> None:
    try:
        document = decode(value, headers, RECEIVED_MS, Kind.COMMENT, POLICY)
    except InvalidInput as refused:
        refused_for = refused.reason
        assert refused_for in ALL_REASONS
    else:
        assert document.text.strip()
        assert document.published_at <= RECEIVED + POLICY.max_ahead
        for field in (document.id, document.text, document.title, *document.symbols):
            assert "\x00" not in (field or "").encode().decode()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=6))
@example({"text": "\ud800"})
@example({"text": "\udc00"})
@example({"text": "x", "id": "\udfff\ud800"})
@example({"text": "x", "id": 10**4299})
def test_any_json_is_decoded_or_refused_for_a_known_reason(fields: dict[str, Any]) -> None:
    check_decoded_or_refused(json.dumps(fields).encode())


@given(st.binary(max_size=100))
def test_any_bytes_are_decoded_or_refused_for_a_known_reason(value: bytes) -> None:
    check_decoded_or_refused(value)
    check_decoded_or_refused(b'{"text":"x","title":"' + value + b'"}')


@given(
    st.lists(
        st.tuples(st.sampled_from(["ce_specversion", "ce_id", "content-type", "ce_time"]), st.binary()), max_size=5
    )
)
def test_any_headers_are_understood_or_refused_for_a_known_reason(headers: list[tuple[str, bytes]]) -> None:
    check_decoded_or_refused(b'{"text":"x"}', tuple(headers))
