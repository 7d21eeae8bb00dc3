"""From a row of a file to a document on its way: columns mapped, dates understood, checked as classify will."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec

from domain.document import Kind
from domain.errors import InvalidInput
from domain.timeline import EPOCH, to_epoch_us
from stream import messages
from stream.feed_readers import Row
from stream.fields import encode, kind_of
from stream.messages import MessagePolicy
from stream.times import BadTime, in_range, parse_time

FIELDS: Final = ("id", "text", "title", "source", "url", "author", "lang", "symbols")
"""The fields of a document that a row may give, besides `published_at` and `kind`."""

COLUMNS: Final = frozenset({*FIELDS, "published_at", "kind"})
"""All that may stand under another name."""

_SYMBOLS_APART: Final = re.compile(r"[\s,;|]+")
_ISO_WITHOUT_OFFSET: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", flags=re.ASCII)


class FeedDocument(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A valid document, its date apart so that it can be moved."""

    published_us: int
    """Microseconds since the epoch; 0 when the feed is undated."""
    line: int
    kind: Kind
    key: bytes
    body: bytes
    """A JSON object without `published_at`."""

    def value(self, shift_us: int | None) -> bytes:
        """The message, its date moved by so many microseconds; None: undated."""
        if shift_us is None:
            return self.body
        at = EPOCH + timedelta(microseconds=self.published_us + shift_us)
        return b'%s,"published_at":"%s"}' % (self.body[:-1], at.isoformat().encode())


@dataclass(frozen=True, kw_only=True)
class RowPolicy:
    """How rows become documents."""

    kind: Kind
    """Of rows that have no `kind` of their own."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Under which name a field of the document stands in the file."""
    undated: bool = False
    """Rows have no dates."""
    id_prefix: str = ""
    messages: MessagePolicy = field(default_factory=MessagePolicy)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.columns) - COLUMNS):
            raise ValueError(f"documents have no field {unknown[0]!r}; they have {', '.join(sorted(COLUMNS))}")


class RowShaper:
    """Makes documents of rows."""

    def __init__(self, policy: RowPolicy, *, now: datetime, may_be_ahead: bool) -> None:
        """`now`: what dates are compared with, so that none is refused later for being ahead; `may_be_ahead`: all of
        them will be moved."""
        self._policy = policy
        self._names = {name: policy.columns.get(name, name) for name in FIELDS}
        self._date = policy.columns.get("published_at", "published_at")
        self._kind = policy.columns.get("kind", "kind")
        self._now_ms = round(now.timestamp() * 1000)
        self._limits = replace(policy.messages, max_ahead=timedelta.max) if may_be_ahead else policy.messages

    def shape(self, line: int, row: Row) -> FeedDocument:
        """Raises InvalidInput with the decoder's reason, or `no_date`, `bad_date` or `bad_kind`."""
        # Not equal to itself: NaN, which is how tables say null.
        fields = {
            name: value
            for name, column in self._names.items()
            if (value := row.get(column)) is not None and value != "" and value == value
        }
        if isinstance(symbols := fields.get("symbols"), str):
            fields["symbols"] = split_symbols(symbols)
        fields.setdefault("text", "")
        body = encode(fields)
        at = EPOCH if self._policy.undated else self._published_at(row)
        checked = b'%s,"published_at":%d}' % (body[:-1], at.timestamp()) if not self._policy.undated else body
        kind = kind_of(row.get(self._kind), self._policy.kind, name=self._kind)
        document = messages.decode(checked, (), self._now_ms, kind, self._limits)
        if self._policy.id_prefix:
            fields["id"] = self._policy.id_prefix + document.id
            body = encode(fields)
        return FeedDocument(
            published_us=to_epoch_us(at),
            line=line,
            kind=document.kind,
            key=(self._policy.id_prefix + document.id).encode(),
            body=body,
        )

    def _published_at(self, row: Row) -> datetime:
        given = row.get(self._date)
        if given is None or given == "":
            raise InvalidInput(
                "no_date",
                f"the row has no {self._date}: say which column holds the date, or that the file is undated "
                f"(the columns are {', '.join(map(str, row))})",
            )
        try:
            return understand_date(given)
        except BadTime as error:
            raise InvalidInput(messages.Reason.BAD_DATE, f"{self._date} {error}") from error


def understand_date(given: Any) -> datetime:
    """As stream.times.parse_time; besides, what only files have: datetimes, days, and ISO 8601 without an offset, which
    count as UTC. Raises BadTime."""
    match given:
        case datetime():
            try:
                at = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
            except OverflowError as error:
                raise BadTime(f"{given!s} is not a date: {error}") from error
        case date():
            at = datetime(given.year, given.month, given.day, tzinfo=UTC)
        case str() if _ISO_WITHOUT_OFFSET.fullmatch(given):
            try:
                at = datetime.fromisoformat(given).replace(tzinfo=UTC)
            except ValueError as error:
                raise BadTime(f"{given!r} is not a date: {error}") from error
        case bool():
            raise BadTime("is a truth value, not a date")
        case str() | int():
            return parse_time(given)
        case float() if math.isfinite(given):
            return parse_time(given)
        case _:
            raise BadTime(f"{str(given)[:40]!r} is not a date")
    return in_range(given, at)


def split_symbols(text: str) -> list[str]:
    """`AAPL, GOOG`, `AAPL GOOG`, `AAPL|GOOG`, or a list in JSON."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.DecodeError:
            pass
    return [symbol for symbol in _SYMBOLS_APART.split(text) if symbol]
