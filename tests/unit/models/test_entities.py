"""Finding the names of symbols in a text."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import find
from models.normalise import normalise


def mentioned(text: str, names: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {symbol: [text[start:end] for start, end in spans] for symbol, spans in find(text, names).items()}


APPLE = {"AAPL": ("Apple", "Apple Inc")}


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("Apple beats, Samsung warns", APPLE, {"AAPL": ["Apple"]}),
        ("APPLE INC. beats as apple's phones sell", APPLE, {"AAPL": ["APPLE INC", "apple"]}),
        ("Pineapples and apples", APPLE, {}),
        ("$AAPL and $aapl, not AAPL or US$AAPL", {"AAPL": ()}, {"AAPL": ["$AAPL", "$aapl"]}),
        ("Bank of America sues America", {"BAC": ("Bank of America",), "AM": ("America",)}, None),
        ("JP Morgan Stanley", {"JPM": ("JP Morgan",), "MS": ("Morgan Stanley",)}, {"MS": ["Morgan Stanley"]}),
        ("Google falls", {"GOOG": ("Google",), "GOOGL": ("google",)}, {"GOOG": ["Google"], "GOOGL": ["Google"]}),
        ("L'Oréal und Hugo Boss & Co.", {"OR": ("L'Oréal",), "BOSS": ("hugo  boss",)}, None),
        ("What $ and (c) mean", {"X": ("", " ", "$", "(c)")}, {"X": ["(c)"]}),
        ("", APPLE, {}),
        ("A B C C C", {"L": ("A B C",), "S": ("C C",)}, {"L": ["A B C"], "S": ["C C"]}),
        ("İş Bankası yükseldi", {"ISCTR": ("İş Bankası",)}, {"ISCTR": ["İş Bankası"]}),
    ],
)
def test_names_are_found_in_any_case_at_word_boundaries_the_longest_first(
    text: str, names: dict[str, tuple[str, ...]], found: dict[str, list[str]] | None
) -> None:
    expected = {
        "Bank of America sues America": {"BAC": ["Bank of America"], "AM": ["America"]},
        "L'Oréal und Hugo Boss & Co.": {"OR": ["L'Oréal"], "BOSS": ["Hugo Boss"]},
    }
    assert mentioned(text, names) == (expected[text] if found is None else found)


words = st.sampled_from(["bank", "of", "america", "oil", "a", "$x", "b.c", "d-e"])
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)
books = st.dictionaries(st.sampled_from("PQRX"), st.lists(phrases, max_size=3).map(tuple), max_size=4)


@given(st.lists(words, max_size=12).map(" ".join), books)
def test_mentions_do_not_overlap_and_none_is_missed_but_for_a_longer_one(
    text: str, names: dict[str, tuple[str, ...]]
) -> None:
    found = find(text, names)
    spans = {span for places in found.values() for span in places}
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(sorted(spans)))
    for symbol, given_names in names.items():
        for name in (*given_names, f"${symbol}".lower()):
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
                start, end = match.span()
                over = [span for span in spans if span[0] < end and start < span[1]]
                assert (start, end) in found.get(symbol, ()) or any(b - a >= end - start for a, b in over)


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=4), st.lists(st.text(max_size=8)).map(tuple), max_size=3))
def test_whatever_the_names_are_mentions_lie_in_the_text_in_order(text: str, names: dict[str, tuple[str, ...]]) -> None:
    text = normalise(text)
    for spans in find(text, names).values():
        assert list(spans) == sorted(set(spans))
        assert all(0 <= start < end <= len(text) for start, end in spans)
