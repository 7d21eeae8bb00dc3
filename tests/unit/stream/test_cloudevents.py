"""CloudEvents in both modes say the same as the bare document; what the official SDK writes is understood."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from domain.document import Document, Kind
from domain.errors import InvalidInput
from stream.cloudevents import Reason
from stream.messages import MessagePolicy, decode
from stream.messages import Reason as MessageReason

RECEIVED_MS = 1389016800000
PUBLISHED = datetime(2014, 1, 6, 13, 0, tzinfo=UTC)
BINARY = {"ce_specversion": "1.0", "ce_id": "e1", "ce_source": "/wire", "ce_type": "news"}
STRUCTURED = {"specversion": "1.0", "id": "e1", "source": "/wire", "type": "news"}


def read(value: bytes, headers: dict[str, str | bytes] | None = None) -> Document:
    pairs = tuple((k, v if isinstance(v, bytes) else v.encode()) for k, v in (headers or {}).items())
    return decode(value, pairs, RECEIVED_MS, Kind.NEWS, MessagePolicy())


def refusal(value: bytes, headers: dict[str, str | bytes] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(value, headers)
    return caught.value.reason


def from_sdk(message: sdk.KafkaMessage) -> Document:
    return read(message.value, dict(message.headers))


@pytest.mark.parametrize("write", [sdk.to_binary, sdk.to_structured])
def test_what_the_official_sdk_writes_is_understood(write: Any) -> None:
    event = CloudEvent(
        attributes={
            "id": "e1",
            "source": "/wire",
            "type": "news",
            "time": PUBLISHED,
            "datacontenttype": "application/json",
            "subject": "ignored",
        },
        data={"text": "Öl falls $XOM", "title": "Oil"},
    )
    document = from_sdk(write(event, JSONFormat()))
    assert (document.text, document.title, document.symbols) == ("Öl falls $XOM", "Oil", ("XOM",))
    assert (document.id, document.source, document.published_at) == ("/wire#e1", "/wire", PUBLISHED)


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_what_the_document_says_itself_counts_more_than_its_envelope(mode: str) -> None:
    fields = {"text": "x", "id": "own", "source": "Own Wire", "published_at": "2014-01-06T12:00:00Z"}
    if mode == "binary":
        document = read(json.dumps(fields).encode(), {**BINARY, "ce_time": "2014-01-06T13:00:00Z"})
    else:
        document = read(json.dumps({**STRUCTURED, "time": "2014-01-06T13:00:00Z", "data": fields}).encode())
    assert (document.id, document.source, document.published_at.hour) == ("own", "Own Wire", 12)


def test_events_of_two_sources_with_the_same_id_are_two_documents() -> None:
    first, second = (read(b'{"text":"x"}', {**BINARY, "ce_source": source}) for source in ("/a", "/b"))
    assert first.id != second.id


def test_a_structured_event_is_known_by_its_json_alone() -> None:
    assert read(json.dumps({**STRUCTURED, "data": {"text": "x"}}).encode()).id == "/wire#e1"


def test_a_document_with_a_text_is_no_envelope_whatever_else_it_has() -> None:
    assert read(b'{"text":"x","specversion":"1.0","data":5}').text == "x"


def test_structured_data_may_be_base64() -> None:
    data = base64.b64encode(b'{"text":"x"}').decode()
    assert read(json.dumps({**STRUCTURED, "data_base64": data}).encode()).text == "x"


def test_header_names_may_be_in_any_case_and_content_types_have_parameters() -> None:
    headers: dict[str, str | bytes] = {name.upper(): value for name, value in BINARY.items()}
    assert read(b'{"text":"x"}', {**headers, "Content-Type": "application/json; charset=utf-8"}).id == "/wire#e1"
    value = json.dumps({**STRUCTURED, "data": {"text": "x"}}).encode()
    assert read(value, {"Content-Type": "application/cloudevents+json; charset=UTF-8"}).id == "/wire#e1"


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type"])
def test_a_binary_event_without_a_required_attribute_is_refused(missing: str) -> None:
    headers: dict[str, str | bytes] = {name: value for name, value in BINARY.items() if name != missing}
    assert refusal(b'{"text":"x"}', headers) == Reason.INVALID


@pytest.mark.parametrize("missing", ["id", "source", "type"])
def test_a_structured_event_without_a_required_attribute_is_refused(missing: str) -> None:
    fields = {name: value for name, value in STRUCTURED.items() if name != missing}
    assert refusal(json.dumps({**fields, "data": {"text": "x"}}).encode()) == Reason.INVALID
    assert refusal(json.dumps({**fields, missing: " ", "data": {"text": "x"}}).encode()) == Reason.INVALID


def test_other_versions_are_refused() -> None:
    assert refusal(b'{"text":"x"}', {**BINARY, "ce_specversion": "0.3"}) == Reason.VERSION
    assert refusal(b'{"text":"x"}', {"ce_id": "1"}) == Reason.VERSION
    assert refusal(json.dumps({**STRUCTURED, "specversion": "2.0"}).encode()) == Reason.VERSION


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"<x/>", {**BINARY, "content-type": "application/xml"}),
        (b"[]", {"content-type": "application/cloudevents-batch+json"}),
        (b"\x00", {"content-type": "application/cloudevents+avro"}),
        (json.dumps(STRUCTURED).encode(), {}),
        (json.dumps({**STRUCTURED, "data": None}).encode(), {}),
        (json.dumps({**STRUCTURED, "data_base64": "!!"}).encode(), {}),
        (json.dumps({**STRUCTURED, "data": "x", "datacontenttype": "text/plain"}).encode(), {}),
    ],
)
def test_data_that_is_not_json_is_refused(value: bytes, headers: dict[str, str | bytes]) -> None:
    assert refusal(value, headers) == Reason.DATA


@pytest.mark.parametrize("wrong", ["application/\x1b[2J", "application/cloudevents\x1b[2J"])
def test_a_refusal_quotes_no_escape_sequence(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(b'{"text":"x"}', {**BINARY, "content-type": wrong})
    assert r"\x1b[2J" in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_data_are_checked_like_any_document() -> None:
    assert refusal(json.dumps({**STRUCTURED, "data": "text"}).encode()) == MessageReason.WRONG_TYPE
    assert refusal(json.dumps({**STRUCTURED, "data": {}}).encode()) == MessageReason.NO_TEXT
    assert refusal(b'{"text":"x"}', {**BINARY, "ce_time": "soon"}) == MessageReason.BAD_DATE
    assert refusal(b'{"text":"x"}', {**BINARY, "ce_time": "2020-01-01T00:00:00Z"}) == MessageReason.DATE_AHEAD
    assert refusal(b'{"text":"x"}', {**BINARY, "ce_id": b"\xff"}) == Reason.INVALID
    assert refusal(b"nonsense", {"content-type": "application/cloudevents+json"}) == Reason.INVALID
