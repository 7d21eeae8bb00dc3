"""What may come in: JSON on the source topics becomes a Document, or is refused with a reason.

Unknown fields are ignored, of a repeated field the last counts, and a field that is blank counts as not given. A
CloudEvents 1.0 envelope is taken off first (stream.cloudevents).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from domain.document import Document, Kind
from domain.errors import InvalidInput
from domain.timeline import END, EPOCH, from_epoch_ms
from stream import cloudevents
from stream.incoming import Headers
from stream.times import BadTime, parse_time


class Reason(StrEnum):
    """Why a message is refused: metric labels, and the `groundswell.errors.reason` of a dead letter."""

    TOMBSTONE = "tombstone"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    LONE_SURROGATE = "lone_surrogate"
    NUL_CHARACTER = "nul_character"
    WRONG_TYPE = "wrong_type"
    NO_TEXT = "no_text"
    FIELD_TOO_LONG = "field_too_long"
    TOO_MANY_SYMBOLS = "too_many_symbols"
    BAD_SYMBOL = "bad_symbol"
    BAD_LANG = "bad_lang"
    BAD_DATE = "bad_date"
    DATE_AHEAD = "date_ahead"
    BAD_END_MARK = "bad_end_mark"


@dataclass(frozen=True, kw_only=True)
class MessagePolicy:
    """Limits on what comes in. Sizes are bytes of UTF-8."""

    max_text: int = 64 * 1024
    max_title: int = 4096
    max_url: int = 4096
    max_name: int = 512
    """Of `id`, `source` and `author`."""
    max_symbol: int = 32
    max_symbols: int = 50
    max_ahead: timedelta = timedelta(minutes=5)
    """A `published_at` further ahead of the record's timestamp is refused: it would make all others late."""


class _Message(msgspec.Struct, gc=False):
    text: str | None = None
    id: str | int | None = None
    title: str | None = None
    source: str | None = None
    url: str | None = None
    author: str | int | None = None
    lang: str | None = None
    symbols: list[str] | None = None
    published_at: str | int | float | None = None
    specversion: object = None


_decoder = msgspec.json.Decoder(_Message)

_BOM: Final = b"\xef\xbb\xbf"
_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_NOT_PRINTABLE: Final = re.compile(r"[\s\x00-\x1f\x7f]")
# As in twitter-text: up to six letters, then perhaps a dot or underscore and one or two more; `-` as in BRK-B.
_CASHTAG: Final = re.compile(r"(?<![\w$])\$([A-Za-z]{1,6}(?:[._-][A-Za-z]{1,2})?)(?![\w$])")
_LANG: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_UNDETERMINED: Final = "und"


def decode(value: bytes | None, headers: Headers, timestamp_ms: int, kind: Kind, policy: MessagePolicy) -> Document:
    """The document that a message of a source topic holds.

    `timestamp_ms` is the record's timestamp: when the document was received, and when it was published if it does not
    say so itself. A record without one (`received`) is received now. Raises InvalidInput, its reason one of `Reason` or
    stream.cloudevents.Reason.
    """
    if value is None:
        raise InvalidInput(Reason.TOMBSTONE, "the message has no value: send a JSON object with a text")
    envelope = None
    if headers and cloudevents.in_headers(headers):
        envelope = cloudevents.open_message(headers, value)
        value = envelope.data
    message = _read(value)
    if envelope is None and message.specversion is not None and message.text is None:
        envelope = cloudevents.open_structured(value)
        message = _read(envelope.data)
    return _document(message, envelope, timestamp_ms, kind, policy)


def _read(value: bytes) -> _Message:
    if value.startswith(_BOM):
        value = value[len(_BOM) :]
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            Reason.NOT_UTF8, f"byte {error.start} of the message is not UTF-8 ({error.reason}): send UTF-8"
        ) from error
    try:
        return _decoder.decode(value)
    except msgspec.ValidationError as error:
        # "Number out of range" is said of a number that no type of ours could hold, whatever field it is in.
        reason = Reason.BAD_DATE if str(error).endswith("`$.published_at`") and "range" in str(error) else None
        raise InvalidInput(reason or Reason.WRONG_TYPE, f"a field has the wrong type: {error}") from error
    except RecursionError as error:
        raise InvalidInput(Reason.TOO_DEEP, "the JSON is nested too deeply: flatten it") from error
    except msgspec.DecodeError as error:
        raise _not_json(value, error) from error


def _not_json(value: bytes, error: msgspec.DecodeError) -> InvalidInput:
    if b"\x00" in value:
        return InvalidInput(Reason.NUL_CHARACTER, "the message contains a NUL character (U+0000): remove it")
    if _LONE_SURROGATE.search(value):
        return InvalidInput(
            Reason.LONE_SURROGATE,
            "the message contains half of a surrogate pair (\\ud800…\\udfff): send whole characters",
        )
    return InvalidInput(Reason.NOT_JSON, f"the message is not JSON: {error}")


def _document(
    message: _Message, envelope: cloudevents.Envelope | None, timestamp_ms: int, kind: Kind, policy: MessagePolicy
) -> Document:
    text = message.text
    if text is None or not text.strip():
        raise InvalidInput(Reason.NO_TEXT, "the message has no text: give the field `text` something to read")
    _check("text", text, policy.max_text)
    title = _optional("title", message.title, policy.max_title)
    url = _optional("url", message.url, policy.max_url)
    source = _optional("source", message.source, policy.max_name)
    if source is None and envelope is not None:
        source = _optional("source", envelope.source, policy.max_name)
    given_id = _optional("id", _as_text(message.id), policy.max_name)
    if given_id is None and envelope is not None:
        given_id = _optional("id", envelope.document_id, policy.max_name)
    received_at, published_at = _times(message, envelope, timestamp_ms, policy)
    return Document(
        id=given_id or derive_id(source, url, text),
        kind=kind,
        text=text,
        published_at=published_at,
        received_at=received_at,
        title=title,
        source=source,
        author=_optional("author", _as_text(message.author), policy.max_name),
        url=url,
        lang=_lang(message.lang) if message.lang else None,
        symbols=_symbols(message.symbols, title, text, policy),
    )


def derive_id(source: str | None, url: str | None, text: str) -> str:
    """The id of a document that came without one: the same for the same source, url and text.

    `derived-` and the hex BLAKE2b-128 of the three, each preceded by its length so that none runs into the next.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (source, url, text):
        encoded = b"" if part is None else part.encode()
        digest.update(b"%d:" % (-1 if part is None else len(encoded)))
        digest.update(encoded)
    return f"derived-{digest.hexdigest()}"


def _as_text(value: str | int | None) -> str | None:
    return str(value) if isinstance(value, int) else value


def _optional(name: str, value: str | None, limit: int) -> str | None:
    if value is None:
        return None
    value = value.strip()
    if not value:
        return None
    _check(name, value, limit)
    return value


def _check(name: str, value: str, limit: int) -> None:
    if "\x00" in value:
        raise InvalidInput(Reason.NUL_CHARACTER, f"{name} contains a NUL character (U+0000): remove it")
    size = len(value)
    if not value.isascii():
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput(
                Reason.LONE_SURROGATE, f"{name} contains half of a surrogate pair: send whole characters"
            ) from error
    if size > limit:
        raise InvalidInput(
            Reason.FIELD_TOO_LONG, f"{name} has {size:,} bytes, the limit is {limit:,}: shorten it, or raise the limit"
        )


def _times(
    message: _Message, envelope: cloudevents.Envelope | None, timestamp_ms: int, policy: MessagePolicy
) -> tuple[datetime, datetime]:
    received_at = received(timestamp_ms)
    given = message.published_at
    if isinstance(given, str):
        given = given.strip()
    if given is None and envelope is not None:
        given = envelope.time
    if given is None or given == "":
        if received_at is None:
            raise InvalidInput(Reason.BAD_DATE, "neither the message nor its record says when it was published")
        return received_at, received_at
    try:
        published_at = parse_time(given)
    except BadTime as error:
        raise InvalidInput(Reason.BAD_DATE, f"published_at {error}") from error
    if received_at is None:
        # Something must bound what it says: event time that went too far ahead does not come back.
        received_at = datetime.now(UTC)
    if published_at - received_at > policy.max_ahead:
        raise InvalidInput(
            Reason.DATE_AHEAD,
            f"published_at {published_at.isoformat()} is {published_at - received_at} ahead of when it was received, "
            f"{policy.max_ahead} is allowed: correct the sender's clock or time zone",
        )
    return received_at, published_at


def received(timestamp_ms: int) -> datetime | None:
    """A record's timestamp; None where it has none (−1), or one that is no time from 1970 to 2999."""
    try:
        received_at = from_epoch_ms(timestamp_ms)
    except OverflowError:
        return None
    return received_at if EPOCH <= received_at < END else None


def _lang(given: str) -> str | None:
    """A language tag in the case that BCP 47 recommends (en-US, zh-Hant); None when it says that it is not known."""
    tag = given.strip().replace("_", "-")
    if not tag:
        return None
    if len(tag) > 35 or not _LANG.fullmatch(tag):
        raise InvalidInput(Reason.BAD_LANG, f"lang {given[:40]!r} is no language tag: write it like en or pt-BR")
    primary, *rest = tag.split("-")
    if primary.lower() == _UNDETERMINED:
        return None
    cased = (part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part.lower() for part in rest)
    return "-".join((primary.lower(), *cased))


def _symbols(given: list[str] | None, title: str | None, text: str, policy: MessagePolicy) -> tuple[str, ...]:
    """The given symbols, then the cashtags of title and text that there is still room for: upper-case and unique."""
    if not given and "$" not in text and (title is None or "$" not in title):
        return ()
    symbols = dict.fromkeys(filter(None, (_symbol(symbol, policy) for symbol in given or ())))
    if len(symbols) > policy.max_symbols:
        raise InvalidInput(
            Reason.TOO_MANY_SYMBOLS,
            f"symbols names {len(symbols)}, the limit is {policy.max_symbols}: name those that the document is about",
        )
    for symbol in _cashtags(title, text):
        if len(symbols) >= policy.max_symbols:
            break
        symbols[symbol] = None
    return tuple(symbols)


def _symbol(given: str, policy: MessagePolicy) -> str:
    symbol = given.strip().removeprefix("$").upper()
    _check("a symbol", symbol, policy.max_symbol)
    if _NOT_PRINTABLE.search(symbol):
        raise InvalidInput(Reason.BAD_SYMBOL, f"the symbol {given[:40]!r} contains white space or control characters")
    return symbol


def _cashtags(title: str | None, text: str) -> Iterable[str]:
    for part in (title, text):
        if part is not None and "$" in part:
            for match in _CASHTAG.finditer(part):
                yield match[1].upper()
