"""CloudEvents 1.0 on Kafka: taking off the envelope, in binary mode (`ce_*` headers) and in structured mode (JSON).

By the specification's Kafka protocol binding and JSON event format. Only JSON data is understood.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from domain.errors import InvalidInput
from stream.incoming import Headers


class Reason(StrEnum):
    """Why an envelope is refused."""

    INVALID = "cloudevent_invalid"
    VERSION = "cloudevent_version"
    DATA = "cloudevent_data"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What an envelope says of its data."""

    id: str
    source: str
    time: str | None
    data: bytes
    """JSON."""

    @property
    def document_id(self) -> str:
        """An event's id is unique within its source only, so both name the document."""
        return f"{self.source}#{self.id}"


class _Event(msgspec.Struct):
    specversion: str
    id: str
    source: str
    type: str
    time: str | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None


_decoder = msgspec.json.Decoder(_Event)

_PREFIX: Final = "ce_"
_CONTENT_TYPE: Final = "content-type"
_STRUCTURED: Final = "application/cloudevents"
_JSON: Final = re.compile(r"(application|text)/([\w.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_REQUIRED: Final = ("id", "source", "type")


def in_headers(headers: Headers) -> bool:
    """Whether the headers say that the message is a CloudEvent, in either mode."""
    return any(
        name.lower().startswith(_PREFIX)
        or (name.lower() == _CONTENT_TYPE and (value or b"").lower().startswith(_STRUCTURED.encode()))
        for name, value in headers
    )


def open_message(headers: Headers, value: bytes) -> Envelope:
    """Take off the envelope that the headers announce. Raises InvalidInput."""
    attributes = _attributes(headers)
    content_type = attributes.get(_CONTENT_TYPE, "")
    if content_type.lower().startswith(_STRUCTURED):
        if not content_type.lower().startswith(_STRUCTURED + "+json"):
            raise InvalidInput(Reason.DATA, f"CloudEvents come one by one and as JSON, not as {content_type[:80]!r}")
        return open_structured(value)
    _check_version(attributes.get("ce_specversion"))
    for name in _REQUIRED:
        if not attributes.get(_PREFIX + name, "").strip():
            raise InvalidInput(Reason.INVALID, f"the CloudEvent has no header ce_{name}: CloudEvents 1.0 requires it")
    _check_content_type(content_type or None)
    return Envelope(id=attributes["ce_id"], source=attributes["ce_source"], time=attributes.get("ce_time"), data=value)


def open_structured(value: bytes) -> Envelope:
    """Take off an envelope that is JSON itself. Raises InvalidInput."""
    try:
        event = _decoder.decode(value.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(Reason.INVALID, f"the CloudEvent's envelope can't be read: {error}") from error
    _check_version(event.specversion)
    for name in _REQUIRED:
        if not getattr(event, name).strip():
            raise InvalidInput(Reason.INVALID, f"the CloudEvent's {name} is empty: CloudEvents 1.0 requires it")
    _check_content_type(event.datacontenttype)
    return Envelope(id=event.id, source=event.source, time=event.time, data=_data(event))


def _data(event: _Event) -> bytes:
    if event.data_base64 is None:
        data = bytes(event.data)
        if data in (b"", b"null"):
            raise InvalidInput(Reason.DATA, "the CloudEvent has no data: put the document there, as a JSON object")
        return data
    try:
        return base64.b64decode(event.data_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(Reason.DATA, f"the CloudEvent's data_base64 is not base64: {error}") from error


def _attributes(headers: Headers) -> dict[str, str]:
    try:
        return {name.lower(): (value or b"").decode() for name, value in headers if _is_ours(name.lower())}
    except UnicodeDecodeError as error:
        raise InvalidInput(Reason.INVALID, "a header of the CloudEvent is not UTF-8") from error


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIX) or name == _CONTENT_TYPE


def _check_version(version: str | None) -> None:
    if version != "1.0":
        raise InvalidInput(
            Reason.VERSION, f"the CloudEvent's specversion is {(version or 'missing')[:20]!r}: only 1.0 is understood"
        )


def _check_content_type(content_type: str | None) -> None:
    if content_type is not None and not _JSON.fullmatch(content_type.strip()):
        raise InvalidInput(Reason.DATA, f"the CloudEvent's data is {content_type[:80]!r}: only JSON is understood")
