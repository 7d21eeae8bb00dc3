"""The text normaliser: the same code in training, evaluation, export and serving."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata

VERSION = "2"
"""Part of every model's version: change it whenever `normalise` changes what it returns for any text."""

MAX_CHARACTERS = 1 << 17
"""More than the service lets in (64 KiB of UTF-8); bounds what compatibility decomposition can blow a text up to."""

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"]*|\bhttps?(?::/{0,2})?…", re.IGNORECASE)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
_LEADING_ZEROS = re.compile(r"&#0+(?=[0-9])")
_BEYOND_UNICODE = re.compile(r"&#[1-9][0-9]{7,};?")
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f]"
    "|(?<=[A-Za-z0-9$])[\u200c\u200d]+(?=[A-Za-z0-9])"
)
"""Format characters (Cf) of no width. Joiners count elsewhere: in emoji, and in the scripts of some languages."""
_MAY_BE_MARKS = re.compile(r"[^\x00-\u02ff]{31,}")
_MOST_MARKS = 30
"""In a row, as in Unicode's Stream-Safe Text Format (Annex 15, section 13): more are no text of any language."""


def normalise(text: str) -> str:
    """HTML entities unescaped, URLs (also cut-off ones) and invisible characters removed, compatibility characters
    folded (NFKC, Unicode Annex 15), white space collapsed. Cashtags, hashtags, mentions and case stay. May be empty;
    never raises, and takes time in proportion to the text."""
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text[:MAX_CHARACTERS])
    text = _URL.sub(" ", _unescaped(text))
    if not text.isascii():
        # They would part words for whoever looks for names, and one text from its copies.
        text = _INVISIBLE.sub("", text)
        # A run of marks is sorted by insertion: of thousands, for seconds in which no other thread runs.
        text = _MAY_BE_MARKS.sub(lambda run: _with_few_marks(run[0]), text)
        text = unicodedata.normalize("NFKC", text)[:MAX_CHARACTERS]
    return _SPACE.sub(" ", text).strip()


def _unescaped(text: str) -> str:
    if "&#" in text:
        # Python reads no number of thousands of digits.
        text = _BEYOND_UNICODE.sub("\N{REPLACEMENT CHARACTER}", _LEADING_ZEROS.sub("&#", text))
    return html.unescape(text)


def _with_few_marks(run: str) -> str:
    kept, marks = [], 0
    for character in run:
        parts = unicodedata.normalize("NFKD", character)
        marks = marks + len(parts) if all(map(unicodedata.combining, parts)) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def input_hash(normalised: str) -> str:
    """Hex BLAKE2b-128 of the normalised text's UTF-8."""
    return hashlib.blake2b(normalised.encode(), digest_size=16).hexdigest()
