"""The format of the `scored` topic: scored documents and marks, as JSON with a schema version.

Two kinds of message share the topic, told apart by `type`: `document` (one scored document and where it came from) and
`marks` (how far source partitions have been read). Decoding gives back exactly what was encoded. Fields that a later
minor version adds are ignored; a message of a newer schema is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.errors import InvalidInput
from domain.log import Mark, ScoredRecord

SCHEMA: Final = 1
"""The version that this code writes, and the newest that it reads."""

UNREADABLE: Final = "unreadable_scored"
NEWER_SCHEMA: Final = "newer_schema"


class _DocumentMessage(msgspec.Struct, tag="document", tag_field="type", frozen=True, gc=False):
    schema: int
    record: ScoredRecord


class _MarksMessage(msgspec.Struct, tag="marks", tag_field="type", frozen=True, gc=False):
    schema: int
    marks: tuple[Mark, ...]


class _Envelope(msgspec.Struct):
    type: str
    schema: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_DocumentMessage | _MarksMessage)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


def encode_document(record: ScoredRecord) -> bytes:
    """A `document` message's value. Its key is `record.scored.document.id` in UTF-8."""
    return _encoder.encode(_DocumentMessage(SCHEMA, record))


def encode_marks(marks: Sequence[Mark]) -> bytes:
    """A `marks` message's value. Its key is null."""
    return _encoder.encode(_MarksMessage(SCHEMA, tuple(marks)))


def decode(value: bytes | None) -> ScoredRecord | tuple[Mark, ...]:
    """What a message of `scored` says: one document, or marks.

    Raises InvalidInput with the reason `newer_schema` when a newer version of Groundswell wrote it, and
    `unreadable_scored` when it is nothing that Groundswell writes.
    """
    if value is None:
        raise InvalidInput(UNREADABLE, "a message of the scored topic has no value (a tombstone)")
    try:
        message = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(value, error) from error
    if message.schema > SCHEMA:
        raise _newer(message.schema)
    return message.record if isinstance(message, _DocumentMessage) else message.marks


def _refusal(value: bytes, error: Exception) -> InvalidInput:
    try:
        envelope = _envelope_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return InvalidInput(UNREADABLE, f"a message of the scored topic can't be read: {error}")
    if envelope.schema > SCHEMA:
        return _newer(envelope.schema)
    return InvalidInput(UNREADABLE, f"a {envelope.type!r} message of the scored topic can't be read: {error}")


def _newer(schema: int) -> InvalidInput:
    return InvalidInput(
        NEWER_SCHEMA,
        f"a message of the scored topic has schema {schema}, this version reads up to {SCHEMA}: "
        "upgrade every process to the version that wrote it, then replay the dead letter",
    )
