"""Changes training texts in ways that leave their labels as they are."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from models.training.data import mentions
from models.training.examples import Example, Label
from models.training.policies import Augment

SYNONYMS = Path(__file__).with_name("synonyms.txt")
MADE_UP_NAMES = Path(__file__).with_name("made_up_names.txt")
FORMS = (
    "{} Bank", "{} Capital", "{} Chemicals", "{} Energy", "{} Foods", "{} Group", "{} Industries", "{} Labs",
    "{} Media", "{} Motors", "{} Pharma", "{} Steel", "{} Systems", "{} Telecom", "{} Corp", "{} & Co", "{}",
)  # fmt: skip
"""What a surname becomes a company's name by."""
MASKED_TICKER = "$TICKER"

CASHTAG = re.compile(r"(?<![\w$])\$[A-Za-z]{1,6}(?:[._][A-Za-z]{1,2})?(?!\w)")
_DIGIT = re.compile(r"\d")
_LONG_WORD = re.compile(r"(?<![\w$#@])[A-Za-z]{4,}(?!\w)")
STOPS = " .!?;,"
_BETWEEN = (*[", "] * 4, "; ", " while ", ", but ", " as ", ". ")
"""A comma alone says least of where one name's part ends, and is what headlines use most."""
_PARTNERS = 4
"""Among which one is looked for that says something else."""
_CLAUSE_END = re.compile(
    r"[,;:]\s|\s(?:after|ahead of|amid|as|at|by|despite|due to|following|for|from|in|on|over|via|while|with)\s",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w{2}")
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class Augmenter:
    """Each change with its chance (`Augment`), independently; all chance comes from the caller, so that a run can be
    repeated. The labelled names in a text are only changed by `swap_entities`.

    - `synonyms`: each word of `synonyms.txt` becomes, one time in two, another of its group;
    - `mask_tickers`: cashtags become $TICKER;
    - `mask_numbers`: digits become X, so that a number keeps its size and its unit (Loukas et al. 2022, FiNER,
      section 5, found such shapes the best stand-ins for numbers);
    - `typos`: in one word of eight letters change places, or one is lost or doubled; first and last letters stay;
    - `swap_entities`: each labelled name becomes another name of the training rows, or with the chance
      `made_up_names` a company that there isn't, each cashtag another of their cashtags, the same one wherever it
      stands;
    - `join`: a text with labelled names is joined with another, one that says something else of its names where some
      that are drawn do, in either order, and only what is said of their names counts: what the whole of it says follows
      from neither. One time in two each of them, where it names one, ends where a clause does after the name ("Gold
      shines on seasonal demand" as "Gold shines"): in lines this terse, names are hardest to tell apart;
    - `terse`: instead of the text there is a line of two clauses that say different things of a name each, as teachers
      say of either by itself (`models.training.clauses`).
    """

    chances: Augment
    names: Sequence[str]
    """What labelled names are swapped for."""
    tickers: Sequence[str]
    """What cashtags are swapped for."""
    partners: Sequence[Example]
    """What texts with labelled names are joined with."""
    clauses: Sequence[Example] = ()
    """What terse lines are made of: short ones, each about one name."""

    def __call__(self, example: Example, rng: random.Random) -> Example:
        """The changed example; `models.training.hooks.Augmentation`."""
        if self.clauses and rng.random() < self.chances.terse:
            example = self._terse(rng) or example
        elif rng.random() < self.chances.join:
            example = self._joined(example, rng)
        names = tuple(dict.fromkeys(_names(example)))
        text, changed = self.changed(example.text, names, rng)
        renamed: dict[str | None, str] = dict(zip(names, changed, strict=True))

        def rename(labels: Sequence[Label]) -> tuple[Label, ...]:
            return tuple(replace(label, entity=renamed.get(label.entity)) for label in labels)

        return replace(example, text=text, labels=rename(example.labels), teachers=rename(example.teachers))

    def changed(self, text: str, names: Sequence[str], rng: random.Random) -> tuple[str, Sequence[str]]:
        """The changed text, and the changed `names` (those labelled in it, in their order)."""
        # Always all draws, so that one chance can be set without moving the others' outcome.
        swaps, masks_tickers, masks_numbers, replaces, mistypes = (
            rng.random() < chance
            for chance in (
                self.chances.swap_entities,
                self.chances.mask_tickers,
                self.chances.mask_numbers,
                self.chances.synonyms,
                self.chances.typos,
            )
        )
        if swaps:
            text, names = self._swapped(text, names, rng)
        parts = _around(names).split(text)
        # What `split` matched, the names, stands at the odd places.
        for number in range(0, len(parts), 2):
            if masks_tickers:
                parts[number] = CASHTAG.sub(MASKED_TICKER, parts[number])
            if masks_numbers:
                parts[number] = _DIGIT.sub("X", parts[number])
            if replaces:
                parts[number] = self._synonyms.replace(parts[number], rng)
            if mistypes:
                parts[number] = _LONG_WORD.sub(lambda match: _mistyped(match[0], rng), parts[number])
        return "".join(parts), names

    def _swapped(self, text: str, names: Sequence[str], rng: random.Random) -> tuple[str, Sequence[str]]:
        others: dict[str, str] = {}
        lower = text.lower()
        for pool, found in ((self.names, names), (self.tickers, CASHTAG.findall(text))):
            wanted = [name for name in dict.fromkeys(name.lower() for name in found) if name not in others]
            if not wanted:
                continue  # most texts: the pools are long
            # A new name that the text has already would make two things one.
            free = [name for name in pool if name.lower() not in lower]
            if len(free) >= len(wanted):
                others.update(zip(wanted, rng.sample(free, len(wanted)), strict=True))
            if pool is self.names and self.chances.made_up_names:
                made_up = [name for name in wanted if rng.random() < self.chances.made_up_names]
                surnames = [name for name in self._made_up if name.lower() not in lower]
                for name, surname in zip(made_up, rng.sample(surnames, min(len(made_up), len(surnames))), strict=False):
                    others[name] = rng.choice(FORMS).format(surname)
        swapped = _around(others).sub(lambda match: others[match[0].lower()], text)
        return swapped, [others.get(name.lower(), name) for name in names]

    def _joined(self, example: Example, rng: random.Random) -> Example:
        if not _names(example) or not self.partners:
            return example
        # A name in both would be spoken of twice, perhaps for and against.
        free = [
            partner
            for partner in rng.sample(self.partners, min(_PARTNERS, len(self.partners)))
            if not _share_names(example, partner)
        ]
        if not free:
            return example
        partner = max(free, key=lambda one: _said(one).isdisjoint(_said(example)))
        first, second = (example, partner) if rng.random() < 0.5 else (partner, example)
        first, second = (replace(one, text=_shortened(one, rng)) for one in (first, second))
        return _line(first, second, rng)

    def _terse(self, rng: random.Random) -> Example | None:
        """None where two that are drawn share a name, or all say the same."""
        if len(self._by_said) < 2:
            return None
        first, second = (rng.choice(self._by_said[said]) for said in rng.sample(sorted(self._by_said), 2))
        return None if _share_names(first, second) else _line(first, second, rng)

    @cached_property
    def _by_said(self) -> Mapping[tuple[int, ...], Sequence[Example]]:
        """The clauses by what they say."""
        found: dict[tuple[int, ...], list[Example]] = defaultdict(list)
        for clause in self.clauses:
            found[tuple(sorted(_said(clause)))].append(clause)
        return found

    @cached_property
    def _made_up(self) -> Sequence[str]:
        return [name for names in read_made_up_names().values() for name in names]

    @cached_property
    def _synonyms(self) -> Synonyms:
        return read_synonyms()


@dataclass(frozen=True)
class Synonyms:
    """Words and the others of their groups, in lower case."""

    others: Mapping[str, Sequence[str]]

    def replace(self, text: str, rng: random.Random) -> str:
        """The text with one in two of the known words replaced."""
        return self._pattern.sub(lambda match: self._other(match[0], rng), text)

    def _other(self, word: str, rng: random.Random) -> str:
        if rng.random() < 0.5:
            return word
        other = rng.choice(self.others[word.lower()])
        if word.isupper() and not other.isupper() and len(word) > 3:
            return other.upper()
        return other[0].upper() + other[1:] if word[0].isupper() else other

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Tags are names too.
        return _around(self.others, not_after=r"\w$#@")


def _mistyped(word: str, rng: random.Random) -> str:
    """One word in eight with a slip of the fingers, the others as they are."""
    if rng.random() >= 1 / 8:
        return word
    at = rng.randrange(1, len(word) - 2)
    exchanged = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return rng.choice((exchanged, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))


def augmenter(chances: Augment, examples: Iterable[Example], clauses: Sequence[Example] = ()) -> Augmenter:
    """Swaps between the names and the cashtags of `examples`, the training rows, and joins those with names."""
    examples = tuple(examples)
    names: dict[str, None] = {}
    tickers: dict[str, None] = {}
    for example in examples:
        names.update((name, None) for name in _names(example))
        tickers.update((ticker, None) for ticker in CASHTAG.findall(example.text))
    partners = tuple(example for example in examples if _names(example))
    return Augmenter(chances, tuple(names), tuple(tickers), partners, clauses)


def _share_names(one: Example, other: Example) -> bool:
    return any(
        name.lower() in text.text.lower() for text, named in ((one, other), (other, one)) for name in _names(named)
    )


def _said(example: Example) -> set[int]:
    """The likeliest of what is said of its names: the places of the labels."""
    of_names = [label.target for label in example.labels if label.entity is not None]
    of_names = of_names or [label.target for label in example.teachers if label.entity is not None]
    return {target.index(max(target)) for target in of_names}


def _line(first: Example, second: Example, rng: random.Random) -> Example:
    """One text of both, with what is said of their names."""
    return Example(
        text=f"{first.text.rstrip(STOPS)}{rng.choice(_BETWEEN)}{second.text}",
        labels=tuple(label for one in (first, second) for label in one.labels if label.entity is not None),
        teachers=tuple(label for one in (first, second) for label in one.teachers if label.entity is not None),
    )


def _shortened(example: Example, rng: random.Random) -> str:
    """Its text, one time in two without what follows the first clause that says anything of the only name."""
    names = set(_names(example))
    if len(names) > 1 or rng.random() < 0.5:
        return example.text
    return first_clause(
        example.text,
        max((last for name in names for _, last in mentions(example.text, name)), default=len(example.text)),
    )


def first_clause(text: str, end: int) -> str:
    """The text as far as the first clause that says anything behind the place `end`."""
    ends = (match.start() for match in _CLAUSE_END.finditer(text, end))
    return next((text[:at] for at in ends if _WORD.search(text, end, at)), text)


def _names(example: Example) -> list[str]:
    return [label.entity for label in (*example.labels, *example.teachers) if label.entity is not None]


def read_synonyms(path: Path = SYNONYMS) -> Synonyms:
    """The groups of a file: one a line, its members parted by commas."""
    others: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            group = [word.strip() for word in line.split(",")]
            for word in group:
                others[word.lower()] = [other for other in group if other != word]
    return Synonyms(others)


def read_made_up_names(path: Path = MADE_UP_NAMES) -> dict[str, list[str]]:
    """Origin → surnames, of a file with an origin a line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {
        origin: [name.strip() for name in names.split(",")]
        for origin, _, names in (line.partition(": ") for line in lines)
    }


def _around(names: Iterable[str], *, not_after: str = r"\w") -> re.Pattern[str]:
    """Finds any of `names` where it stands as a word of its own, in any case; the longest first. As a group of its own,
    so that `split` keeps it."""
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return _NOTHING
    either = "|".join(re.escape(name) for name in longest_first)
    return re.compile(rf"(?<![{not_after}])({either})(?!\w)", re.IGNORECASE)
