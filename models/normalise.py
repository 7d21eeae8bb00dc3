"""The text normaliser: the same code in training, evaluation, export and serving."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata

VERSION = "1"
"""Part of every model's version: change it whenever `normalise` changes what it returns for any text."""

MAX_CHARACTERS = 1 << 17
"""More than the service lets in (64 KiB of UTF-8); bounds what compatibility decomposition can blow a text up to."""

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"]*|\bhttps?(?::/{0,2})?…", re.IGNORECASE)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """HTML entities unescaped, URLs (also cut-off ones) removed, compatibility characters folded (NFKC, Unicode
    Annex 15), white space collapsed. Cashtags, hashtags, mentions and case stay. May be empty; never raises."""
    text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text[:MAX_CHARACTERS])
    text = _URL.sub(" ", html.unescape(text))
    # Line and zero-width marks are invisible to readers and would split words for the tokeniser.
    text = unicodedata.normalize("NFKC", text)[:MAX_CHARACTERS]
    return _SPACE.sub(" ", text).strip()


def input_hash(normalised: str) -> str:
    """Hex BLAKE2b-128 of the normalised text's UTF-8."""
    return hashlib.blake2b(normalised.encode(), digest_size=16).hexdigest()
