"""A document given as fields, on its way to a source topic: which kind it is, and the JSON that classify will read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from domain.document import Kind
from domain.errors import InvalidInput
from stream.messages import Reason

BAD_KIND: Final = "bad_kind"
"""The reason for a `kind` that there isn't."""

_encoder = msgspec.json.Encoder()


def kind_of(given: object, default: Kind, *, name: str = "kind") -> Kind:
    """The kind that is given, by its name; the default when none is. Raises InvalidInput that names the field."""
    if given is None or given == "":
        return default
    try:
        return Kind(str(given))
    except ValueError as error:
        raise InvalidInput(BAD_KIND, f"{name} must be {' or '.join(Kind)}, got {str(given)[:40]!r}") from error


def encode(fields: Mapping[str, object]) -> bytes:
    """The fields as a JSON object. Raises InvalidInput, its reason one of stream.messages.Reason, for what JSON can't
    say: it would be read as something else, an infinite date as none."""
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            reason = Reason.BAD_DATE if name == "published_at" else Reason.WRONG_TYPE
            raise InvalidInput(reason, f"{name} is a number out of range")
        if isinstance(value, bytes):
            raise InvalidInput(Reason.WRONG_TYPE, f"{name} is bytes: give text")
    try:
        return _encoder.encode(fields)
    except UnicodeEncodeError as error:
        message = "a field contains half of a surrogate pair: send whole characters"
        raise InvalidInput(Reason.LONE_SURROGATE, message) from error
    except (OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(Reason.WRONG_TYPE, f"the document can't be written as JSON: {error}") from error
