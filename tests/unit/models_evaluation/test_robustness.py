"""What is changed in a text, what must not be, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.evaluation.contrast import GOOD_AND_BAD, lines
from models.evaluation.names import COMPANIES, COMPANIES_BY_REGION, PEOPLE
from models.evaluation.perturb import (
    Mention,
    lower_case,
    make_typos,
    swap_companies,
    swap_tickers,
    upper_case,
)
from models.evaluation.robustness import FLIPS, SWAPS, Check, flips, polarity_gaps, told_apart

LABELS = ("negative", "neutral", "positive")


def test_tickers_become_others_and_the_same_ones_stay_the_same() -> None:
    swapped = swap_tickers(Mention(text="$AAPL and $BRK.B rise, $aapl most; costs $500"))
    assert swapped is not None
    one, other, again = (word for word in swapped.text.replace(",", "").split() if word[0] == "$" and word[1].isalpha())
    assert one == again != other
    assert {"$AAPL", "$BRK.B"}.isdisjoint({one, other})
    assert swapped.text.endswith("; costs $500")
    assert swap_tickers(Mention(text="Apple rises, US$ falls")) is None


def test_a_company_becomes_another_of_its_sector() -> None:
    swapped = swap_companies(Mention(text="Apple sues Samsung; Apple's shares fall in Pineapple season"))
    assert swapped is not None
    words = swapped.text.split()
    assert words[0] in COMPANIES["technology"]
    assert words[3] == f"{words[0]}'s"
    assert words[0] not in ("Apple", "Samsung")
    assert words[2].strip(";") not in ("Apple", "Samsung", words[0])
    assert words[-2:] == ["Pineapple", "season"]
    assert swap_companies(Mention(text="Oil falls")) is None


def test_the_entity_that_is_asked_about_is_swapped_with_its_name() -> None:
    swapped = swap_companies(Mention(text="Tesla beats, Ford warns", entity="Ford"))
    assert swapped is not None
    assert swapped.entity in COMPANIES["vehicles"]
    assert swapped.entity != "Ford"
    assert swapped.text.endswith(f", {swapped.entity} warns")
    assert swap_companies(Mention(text="Tesla lifts the Sensex", entity="Sensex")) is None


@pytest.mark.parametrize("entity", ["AAPL", "$AAPL", "aapl"])
def test_the_ticker_that_is_asked_about_is_not_swapped_away(entity: str) -> None:
    assert swap_tickers(Mention(text="$AAPL beats, $MSFT warns", entity=entity)) is None
    assert swap_tickers(Mention(text="$MSFT warns Apple", entity="Apple")) is not None


def test_typos_spare_the_entity_wherever_it_is_named() -> None:
    text = "Volkswagen gains; VOLKSWAGEN'S rivals sue Volkswagen, and Volkswagen sues them"
    for number in range(20):
        typed = make_typos(Mention(text=f"{text} {number}", entity="Volkswagen"))
        assert typed is not None
        assert typed.text.lower().count("volkswagen") == 4


def test_typos_spare_tickers_handles_numbers_ends_of_words_and_the_entity() -> None:
    text = "@analyst says $TSLA revenue of 1234mn beats Volkswagen estimates by far-reaching https amounts"
    typed = make_typos(Mention(text=text, entity="volkswagen"))
    assert typed is not None
    before, after = text.split(), typed.text.split()
    assert len(before) == len(after)
    changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert len(changed) == 1
    assert changed[0][0] in {"says", "revenue", "beats", "estimates", "https", "amounts"}
    assert (changed[0][0][0], changed[0][0][-1]) == (changed[0][1][0], changed[0][1][-1])


@given(st.text(max_size=200))
def test_any_text_can_be_tried_and_changes_alike_each_time(text: str) -> None:
    for _, perturbations, _ in FLIPS:
        for perturb in perturbations:
            changed = perturb(Mention(text=text))
            assert changed == perturb(Mention(text=text))
            assert changed is None or changed.text != text


def test_names_are_swapped_several_times_for_others_each_time() -> None:
    mention = Mention(text="$AAPL and Apple rise")
    for name, perturbations, _ in FLIPS[:2]:
        texts = {changed.text for perturb in perturbations if (changed := perturb(mention)) is not None}
        assert len(perturbations) == SWAPS
        assert len(texts) > 1, name


def test_case_that_changes_nothing_is_not_counted() -> None:
    assert upper_case(Mention(text="OIL FALLS 3%")) is None
    assert lower_case(Mention(text="oil falls 3%")) is None


def test_each_swap_of_a_text_counts() -> None:
    mention = Mention(text="$AAPL up")
    swapped = [changed.text for perturb in FLIPS[0][1] if (changed := perturb(mention)) is not None]
    hates = _hates(swapped[0].split()[0])
    [check, *_] = flips(hates, [mention], hates([mention]), multi=False)
    assert (check.texts, check.value) == (1, pytest.approx(swapped.count(swapped[0]) / SWAPS))


def test_flips_are_counted_over_the_texts_that_changed() -> None:
    mentions = [Mention(text=text) for text in ("$AAPL up", "$MSFT up", "shares up", "oil up")]
    checks = {check.name: check for check in flips(_hates("$MSFT"), mentions, _hates("$MSFT")(mentions), multi=False)}
    assert (checks["ticker swapped"].texts, checks["ticker swapped"].value) == (2, 0.5)
    assert not checks["ticker swapped"].holds
    assert (checks["company name swapped"].texts, checks["company name swapped"].value) == (0, None)
    assert checks["company name swapped"].holds
    assert checks["upper case"].value == 0
    assert checks["lower case"].value == pytest.approx(1 / 2)
    assert checks["lower case"].holds, "it has no limit"


def test_a_model_without_prejudice_has_no_gap_and_one_with_has() -> None:
    for check in polarity_gaps(_hates("nobody"), LABELS, entities=False):
        assert (check.value, check.holds) == (0, True)
    by_name = {check.name: check for check in polarity_gaps(_hates("Kowalski"), LABELS, entities=True)}
    region = by_name["polarity gap, company's region"]
    assert region.value == pytest.approx(2 / 4)
    assert min(region.groups, key=lambda group: region.groups[group]) == "Eastern Europe"
    assert [check.holds for check in by_name.values()] == [False, True, True]
    assert polarity_gaps(_hates("nobody"), ("Earnings", "Macro"), entities=False) == ()


def test_names_are_told_apart_by_what_is_said_of_each() -> None:
    asked = [mention for line in lines() for mention in line]
    assert len({(mention.text, mention.entity) for mention in asked}) == len(asked) == 1400
    assert all(mention.entity and mention.entity in mention.text for mention in asked)

    def knows(mentions: Sequence[Mention]) -> NDArray[np.float64]:
        bad = tuple(bad for _, bad in GOOD_AND_BAD)
        said = [one.text[one.text.index(one.entity) + len(one.entity) + 1 :] for one in mentions if one.entity]
        return np.array([[1.0, 0.0, 0.0] if rest.startswith(bad) else [0.0, 0.0, 1.0] for rest in said])

    [check] = told_apart(knows, LABELS)
    assert (check.texts, check.value, check.holds) == (700, 0, True)
    [check] = told_apart(_hates("nobody"), LABELS)
    assert (check.value, check.holds) == (1, True), "it has no limit"
    assert told_apart(knows, ("Earnings", "Macro")) == ()


def test_groups_of_names_are_of_one_size_and_share_no_name() -> None:
    regions = list(COMPANIES_BY_REGION.values())
    assert {len(names) for names in regions} == {8}
    people = [names for genders in PEOPLE.values() for names in genders.values()]
    assert {len(names) for names in people} == {4}
    for groups in (regions, people):
        names = [name for group in groups for name in group]
        assert len(set(names)) == len(names)


def test_a_figure_at_its_limit_holds() -> None:
    assert Check(name="typos", texts=100, value=0.08, limit=0.08).holds
    assert not Check(name="typos", texts=100, value=0.09, limit=0.08).holds


def _hates(word: str):  # type: ignore[no-untyped-def]
    """Answers "negative" where the text or the entity has `word`, else "positive"."""

    def answer(mentions: Sequence[Mention]) -> NDArray[np.float64]:
        return np.array(
            [[1.0, 0.0, 0.0] if word in f"{one.text} {one.entity}" else [0.0, 0.0, 1.0] for one in mentions]
        )

    return answer
