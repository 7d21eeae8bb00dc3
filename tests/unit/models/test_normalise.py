"""The text normaliser."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.normalise as normaliser
from models.normalise import input_hash, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$BYND cut https://t.co/bd0xbFGjkT", "$BYND cut"),
        ("see www.example.com/a?b=c for more", "see for more"),
        ("(https://example.com/a)", "("),
        ("Cemex cut at… https://t…", "Cemex cut at..."),
        ("S&amp;P 500 &gt; 5,000 &ndash; Dow", "S&P 500 > 5,000 – Dow"),
        ("$AAPL #stocks @trader Keeps CASE", "$AAPL #stocks @trader Keeps CASE"),
        ("one\n\ntwo\t three\u00a0four\u2028five", "one two three four five"),
        ("\U0001d401\U0001d428\U0001d425\U0001d41d ﬁnance", "Bold finance"),
        ("https://t.co/x", ""),
        ("", ""),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("Ap\u200bple \ufeffand Sam\u00adsung, Mi\u200dcro\u200csoft", "Apple and Samsung, Microsoft"),
        ("\U0001f468\u200d\U0001f4bb \u06cc\u200c\u062e", "\U0001f468\u200d\U0001f4bb \u06cc\u200c\u062e"),
        ("&#0000000065;&#65;&#" + "0" * 5000 + "65;", "AAA"),
        ("x &#" + "1" * 5000 + "; &#99999999y", "x \ufffd \ufffdy"),
        ("e\u0301" * 40, "\u00e9" * 40),
        ("a" + "\u0316" * 40, "a" + "\u0316" * 30),
    ],
)
def test_a_text_is_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_entities_that_hide_a_url_do_not_save_it() -> None:
    assert normalise("read &#104;ttps://evil.example/x now") == "read now"


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_is_normalised_to_something_that_can_be_hashed(text: str) -> None:
    normalised = normalise(text)
    assert normalised == normalised.strip()
    assert len(input_hash(normalised)) == 32


@pytest.mark.parametrize("marks", ["\u0344\u0316", "\u0301\u0316", "\uff9e\u0f73\u0316"])
def test_no_text_is_sorted_for_long(marks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_: list[str] = []

    def nfkc(form: str, text: str) -> str:
        sorted_.append(text)
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(normaliser, "unicodedata", SimpleNamespace(normalize=nfkc, combining=unicodedata.combining))
    normalise("a" + marks * 16_000)
    decomposed = unicodedata.normalize("NFKD", sorted_[-1])
    assert len(decomposed) <= 1 + normaliser._MOST_MARKS + 1


def test_the_longest_text_that_grows_the_most_stays_bounded() -> None:
    assert len(normalise("\ufdfa" * 40_000)) <= 1 << 17
