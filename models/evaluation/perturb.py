"""Changes to a text that should not change its answer. Deterministic: what a text becomes follows from itself."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from models.evaluation.names import COMPANIES, TICKERS

TICKER = re.compile(r"(?<![\w$])\$[A-Za-z]{1,5}(?:\.[A-Za-z])?\b")
"""A cashtag: $AAPL, $BRK.B."""
WORDS_PER_TYPO = 10
_SHORTEST_TYPO_WORD = 4

_SECTOR = {name: sector for sector, names in COMPANIES.items() for name in names}
_COMPANY = re.compile(r"(?<![\w$@#])(" + "|".join(map(re.escape, sorted(_SECTOR, key=len, reverse=True))) + r")(?!\w)")
_WORD = re.compile(r"(?<![\w$@#.'’/-])[^\W\d_]+(?![\w@'’/-])")


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A text, and for an entity task the name in it that is asked about."""

    text: str
    entity: str | None = None


Perturbation = Callable[[Mention], Mention | None]
"""None: there is nothing in this text to change."""


def swap_tickers(mention: Mention, *, turn: int = 0) -> Mention | None:
    """Every cashtag becomes another, in each turn drawn anew; the same ones stay the same. None where one of them is
    the entity, with its sign or without: it would not be named any more."""
    found = sorted({ticker.upper() for ticker in TICKER.findall(mention.text)})
    if not found or (mention.entity and f"${mention.entity.removeprefix('$').upper()}" in found):
        return None
    others = [ticker for ticker in TICKERS if f"${ticker}" not in found]
    chosen = dict(zip(found, _random(mention, turn).sample(others, min(len(found), len(others))), strict=False))
    text = TICKER.sub(lambda match: "$" + chosen.get(match[0].upper(), match[0][1:]), mention.text)
    return Mention(text=text, entity=mention.entity)


def swap_companies(mention: Mention, *, turn: int = 0) -> Mention | None:
    """Every company of our list becomes another of its sector, in each turn drawn anew. For an entity task only where
    the entity is one."""
    found = sorted(set(_COMPANY.findall(mention.text)))
    if not found or (mention.entity is not None and mention.entity not in found):
        return None
    choose, chosen = _random(mention, turn), dict[str, str]()
    for name in found:
        others = [other for other in COMPANIES[_SECTOR[name]] if other not in (*found, *chosen.values())]
        chosen[name] = choose.choice(others) if others else name
    if all(name == other for name, other in chosen.items()):
        return None
    text = _COMPANY.sub(lambda match: chosen[match[0]], mention.text)
    return Mention(text=text, entity=mention.entity and chosen[mention.entity])


def make_typos(mention: Mention) -> Mention | None:
    """In one of ten words, and in one at least, two letters change places, one is lost or one is doubled. Words of four
    letters or more; never a ticker, a handle, a number or the entity; the first and the last letter stay."""
    named = list(re.finditer(re.escape(mention.entity), mention.text, re.IGNORECASE)) if mention.entity else []
    words = [
        match
        for match in _WORD.finditer(mention.text)
        if len(match[0]) >= _SHORTEST_TYPO_WORD
        and not any(match.start() < name.end() and name.start() < match.end() for name in named)
    ]
    if not words:
        return None
    choose = _random(mention)
    count = min(len(words), max(1, len(mention.text.split()) // WORDS_PER_TYPO))
    text = mention.text
    for match in sorted(choose.sample(words, count), key=re.Match.start, reverse=True):
        text = text[: match.start()] + _mistyped(match[0], choose) + text[match.end() :]
    return Mention(text=text, entity=mention.entity)


def upper_case(mention: Mention) -> Mention | None:
    """None when it is so already."""
    text = mention.text.upper()
    return None if text == mention.text else Mention(text=text, entity=mention.entity and mention.entity.upper())


def lower_case(mention: Mention) -> Mention | None:
    """None when it is so already."""
    text = mention.text.lower()
    return None if text == mention.text else Mention(text=text, entity=mention.entity and mention.entity.lower())


def _mistyped(word: str, choose: random.Random) -> str:
    at = choose.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    lost = word[:at] + word[at + 1 :]
    doubled = word[: at + 1] + word[at:]
    # Equal neighbours changing places is no typo.
    return choose.choice([other for other in (swapped, lost, doubled) if other != word])


def _random(mention: Mention, turn: int = 0) -> random.Random:
    return random.Random(f"{mention.text}\n{turn}" if turn else mention.text)  # noqa: S311 (not a secret)
