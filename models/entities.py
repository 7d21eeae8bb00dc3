"""Finds the names of symbols in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from models.normalise import normalise

Span = tuple[int, int]
"""[start, end) in characters."""


def find(text: str, names: Mapping[str, Sequence[str]]) -> dict[str, tuple[Span, ...]]:
    """Where `text`, which is normalised, speaks of which symbol: by one of its names or by its cashtag (`$AAPL`), in
    any case, at word boundaries.

    The longest name goes first and a character belongs to one mention only, so that "Bank of America" is no mention of
    "America"; a name that several symbols share is a mention of each. Symbols that are not spoken of are left out;
    a symbol's spans ascend.
    """
    symbols: dict[str, set[str]] = {}
    spelt: dict[str, str] = {}
    for symbol, given in names.items():
        for name in map(normalise, (*given, f"${symbol}")):
            # In lower case only to be one with its other spellings: "i̇ş", of which "İŞ" is the upper case, is not found
            # in "İş".
            symbols.setdefault(name.lower(), set()).add(symbol)
            spelt.setdefault(name.lower(), name)
    taken = bytearray(len(text))
    found: dict[str, list[Span]] = {}
    for name in sorted(symbols, key=lambda name: (-len(name), name)):
        pattern, place = _pattern(spelt[name]), 0
        while match := pattern.search(text, place):
            start, place = match.span()
            if any(taken[start:place]):
                place = start + 1  # what overlaps itself, as "C C" in "C C C" does, may stand free from there
                continue
            taken[start:place] = b"\1" * (place - start)
            for symbol in symbols[name]:
                found.setdefault(symbol, []).append((start, place))
    return {symbol: tuple(sorted(spans)) for symbol, spans in sorted(found.items())}


@lru_cache(maxsize=65_536)
def _pattern(name: str) -> re.Pattern[str]:
    # A name of no word at all ("", "$") would be found everywhere: it is nobody's.
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)" if re.search(r"\w", name) else r"(?!)", re.IGNORECASE)
