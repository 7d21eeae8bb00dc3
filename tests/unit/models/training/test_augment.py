"""Changing training texts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.tiny_models import tiny_model

from models.evaluation.names import COMPANIES_BY_REGION, PEOPLE
from models.training.augment import augmenter, read_made_up_names, read_synonyms
from models.training.data import mentions
from models.training.examples import Example, Label
from models.training.policies import Augment


def _example(text: str, *names: str) -> Example:
    labels = tuple(Label(task="entity_sentiment", source="made", target=(0, 1), entity=name) for name in names)
    return Example(text=text, labels=labels)


SET = [
    _example("Tata Motors beats, Infosys warns", "Tata Motors", "Infosys"),
    _example("Wipro falls 4%", "Wipro"),
    _example("$AAPL and $BRK.B up 12.5% to $150"),
    _example("$TSLA down"),
]


def _change(text: str, *names: str, seed: int = 0, **chances: float) -> tuple[str, list[str]]:
    changed, left = augmenter(Augment(**chances), SET).changed(text, names, random.Random(seed))
    return changed, list(left)


def test_without_chances_nothing_changes() -> None:
    assert _change("Tata Motors rises 4%, $AAPL falls", "Tata Motors") == (
        "Tata Motors rises 4%, $AAPL falls",
        ["Tata Motors"],
    )


def test_cashtags_are_masked_and_sums_of_money_are_not_cashtags() -> None:
    assert _change("$AAPL, $brk.b: up $150 to US$160", mask_tickers=1)[0] == "$TICKER, $TICKER: up $150 to US$160"


def test_numbers_keep_their_size_and_unit_and_names_their_digits() -> None:
    assert _change("3M up 12.5% on $1,200m sales", "3M", mask_numbers=1)[0] == "3M up XX.X% on $X,XXXm sales"


def test_slips_of_the_fingers_change_few_words_and_neither_names_nor_ends() -> None:
    text = "Infosys warns that quarterly earnings disappoint, $AAPL shares plummet on 2024 outlook"
    changed = [_change(text, "Infosys", seed=seed, typos=1)[0] for seed in range(200)]
    slips = 0
    for other in changed:
        pairs = list(zip(text.split(), other.split(), strict=True))
        assert [new for old, new in pairs if old in {"Infosys", "$AAPL", "2024", "on"}] == [
            "Infosys", "$AAPL", "on", "2024",
        ]  # fmt: skip
        assert all((old[0], old.rstrip(",")[-1]) == (new[0], new.rstrip(",")[-1]) for old, new in pairs)
        assert all(abs(len(old) - len(new)) <= 1 for old, new in pairs)
        slips += sum(old != new for old, new in pairs)
    assert 100 < slips < 320  # of 200 × 8 long words one in eight, less those whose equal neighbours changed places


def test_a_name_is_swapped_for_the_same_other_one_wherever_it_stands() -> None:
    text, names = _change("Reliance warns; RELIANCE shares sink, $AAPL too", "Reliance", swap_entities=1)
    (name,) = names
    assert name in {"Tata Motors", "Infosys", "Wipro"}
    assert text.startswith(f"{name} warns; {name} shares sink, $")
    assert text.split()[-2] in {"$BRK.B", "$TSLA"}
    assert text.count(name) == 2


def test_a_share_of_the_names_that_are_put_in_is_made_up() -> None:
    text = "Reliance warns; RELIANCE shares sink, Wipro gains"
    found = [_change(text, "Reliance", "Wipro", seed=seed, swap_entities=1, made_up_names=0.5) for seed in range(200)]
    surnames = {name for names in read_made_up_names().values() for name in names}
    made_up = [any(name.startswith(surname) for surname in surnames) for _, names in found for name in names]
    assert 0.4 < sum(made_up) / len(made_up) < 0.6
    for changed, (one, other) in found:
        assert changed == f"{one} warns; {one} shares sink, {other} gains"
        assert mentions(changed, one)
    assert len({one for _, (one, _) in found}) > 50


def test_made_up_names_are_none_of_those_that_bias_is_checked_with() -> None:
    by_origin = read_made_up_names()
    assert len(by_origin) == 25
    surnames = [name for names in by_origin.values() for name in names]
    assert len({name.lower() for name in surnames}) == len(surnames)
    measured = [name for names in COMPANIES_BY_REGION.values() for name in names]
    measured += [name for genders in PEOPLE.values() for names in genders.values() for name in names]
    words = {word.lower() for name in measured for word in name.split()}
    assert words.isdisjoint(word.lower() for name in surnames for word in name.split())


def test_a_name_that_is_a_hashtag_is_swapped_too() -> None:
    text, (name,) = _change("#Reliance warns", "Reliance", swap_entities=1)
    assert text == f"#{name} warns" != "#Reliance warns"


def test_two_names_stay_two_and_a_longer_name_is_not_torn() -> None:
    for seed in range(20):
        text, names = _change("Tata Steel gains as Tata cuts stake", "Tata Steel", "Tata", seed=seed, swap_entities=1)
        assert len(set(names)) == 2
        assert text == f"{names[0]} gains as {names[1]} cuts stake"


def test_names_that_cannot_all_be_swapped_stay() -> None:
    text = "Tata Motors, Infosys, Wipro and Reliance rise"
    assert _change(text, "Tata Motors", "Infosys", "Wipro", "Reliance", swap_entities=1)[0] == text


def test_synonyms_keep_case_and_leave_names_and_tags_alone() -> None:
    seen = {
        _change("Strong Corp falls, #falls $FALLS; DECLINES", "Strong Corp", seed=seed, synonyms=1)[0]
        for seed in range(60)
    }
    assert len(seen) > 4
    for text in seen:
        assert text.startswith("Strong Corp ")
        assert "#falls $FALLS" in text
        assert text.split("; ")[1] in {"DECLINES", "FALLS", "SLIPS"}


def test_capitals_at_the_start_and_acronyms_are_kept() -> None:
    seen = {_change("Rises for CEO", seed=seed, synonyms=1)[0] for seed in range(60)}
    assert {"Climbs for chief executive", "Advances for CEO"} <= seen | {
        text.replace("Chief", "chief") for text in seen
    }


def test_the_same_chance_gives_the_same_text_and_another_epoch_another() -> None:
    text = "Strong outlook: company raises forecast, shareholders worried, $AAPL sharply weaker"
    once, again, other = (_change(text, seed=seed, synonyms=1, swap_entities=1)[0] for seed in (1, 1, 2))
    assert once == again != other


def test_no_word_is_in_two_groups_of_synonyms() -> None:
    synonyms = read_synonyms()
    assert len(synonyms.others) > 100
    for word, others in synonyms.others.items():
        assert others
        for other in others:
            assert word in [one.lower() for one in synonyms.others[other.lower()]], (word, other)


@pytest.mark.parametrize("chance", ["synonyms", "mask_tickers", "mask_numbers", "swap_entities"])
def test_a_chance_of_a_third_changes_a_third_of_texts(chance: str) -> None:
    text = "Wipro outlook: company, firm, shareholders, forecast, guidance, strong, solid; $AAPL 5%"
    changed = sum(_change(text, "Wipro", seed=seed, **{chance: 1 / 3})[0] != text for seed in range(600))
    assert 0.25 < changed / 600 < 0.4


def test_the_changed_names_are_found_in_the_changed_text() -> None:
    for seed in range(50):
        text, names = _change(
            "Wipro and Infosys report 5% higher profit, $TSLA falls",
            "Wipro",
            "Infosys",
            seed=seed,
            synonyms=0.5,
            mask_tickers=0.5,
            mask_numbers=0.5,
            swap_entities=0.5,
        )
        assert all(mentions(text, name) for name in names), (text, names)


def test_texts_are_joined_with_others_whose_names_they_do_not_have_and_only_the_names_labels_stay() -> None:
    whole = Label(task="sentiment", source="made", target=(1, 0))
    example = Example(
        text="Wipro falls 4%.",
        labels=(whole, Label(task="entity_sentiment", source="made", target=(1, 0), entity="Wipro")),
        teachers=(whole,),
    )
    join = augmenter(Augment(join=1), SET)
    seen = {(one.text, one.labels, one.teachers) for one in (join(example, random.Random(seed)) for seed in range(200))}
    joined = {row for row in seen if row[0] != example.text}
    assert len(joined) == 2 * 6  # with the one row that has other names, in both orders, with what stands between them
    for text, labels, teachers in joined:
        # Without the stop at its end where it comes first.
        assert text.startswith("Wipro falls 4%") != text.endswith("Wipro falls 4%.")
        assert text.startswith("Tata Motors beats, Infosys warns") != text.endswith("Tata Motors beats, Infosys warns")
        assert {(label.entity, label.target) for label in labels} == {
            ("Wipro", (1, 0)), ("Tata Motors", (0, 1)), ("Infosys", (0, 1)),
        }  # fmt: skip
        assert teachers == ()
    assert (seen - joined) <= {(example.text, example.labels, example.teachers)}


def _of(name: str, text: str, *target: float) -> Example:
    return Example(text=text, labels=(Label(task="entity_sentiment", source="made", target=target, entity=name),))


def test_names_of_which_different_things_are_said_are_joined_where_there_are_such() -> None:
    rows = [_of(name, f"{name} gains", 0, 1) for name in ("Acme", "Infosys", "Wipro")]
    join = augmenter(Augment(join=1), [*rows, _of("Oil", "Oil falls", 1, 0)])
    for seed in range(50):
        joined = join(rows[0], random.Random(seed))
        assert {label.target for label in joined.labels} == {(0, 1), (1, 0)}, joined.text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Gold shines on seasonal demand", "Gold shines"),
        ("Gold beats estimates, cuts its outlook", "Gold beats estimates"),
        ("At 9, Gold: 4% up as rates fall, on Fed", "At 9, Gold: 4% up"),
        ("Wary of Gold", "Wary of Gold"),
        ("Buy Gold: an expert", "Buy Gold: an expert"),
        ("Gold's on the rise", "Gold's on the rise"),
    ],
)
def test_a_text_that_is_joined_ends_half_the_time_where_the_first_clause_about_its_name_does(
    text: str, short: str
) -> None:
    other = _of("Zinc", "Zinc dull", 1, 0)
    join = augmenter(Augment(join=1), [other])
    seen = {join(_of("Gold", text, 0, 1), random.Random(seed)).text for seed in range(200)}
    assert {joined.removesuffix("; Zinc dull") for joined in seen if joined.endswith("; Zinc dull")} == {text, short}
    assert {joined.removeprefix("Zinc dull; ") for joined in seen if joined.startswith("Zinc dull; ")} == {text, short}


def test_a_text_of_two_names_is_joined_whole() -> None:
    labels = tuple(
        Label(task="entity_sentiment", source="made", target=(0, 1), entity=name) for name in ("Gold", "Tin")
    )
    example = Example(text="Gold shines on demand, Tin dull", labels=labels)
    join = augmenter(Augment(join=1), [_of("Zinc", "Zinc dull", 1, 0)])
    assert all(example.text in join(example, random.Random(seed)).text for seed in range(50))


def test_a_text_without_labelled_names_is_not_joined() -> None:
    example = _example("$TSLA down")
    assert augmenter(Augment(join=1), SET)(example, random.Random(0)) == example


def _clause(name: str, verb: str, *target: float) -> Example:
    taught = Label(task="entity_sentiment", source="unlabelled", target=target, entity=name)
    return Example(text=f"{name} {verb}", labels=(), teachers=(taught,))


def test_a_terse_line_says_different_things_of_two_names_in_either_order() -> None:
    said = [_clause(name, "gains", 0.1, 0.9) for name in ("Gold", "Tin", "Zinc")] + [_clause("Oil", "falls", 0.8, 0.2)]
    terse = augmenter(Augment(terse=1), SET, said)
    example = _example("$TSLA down")
    seen = [terse(example, random.Random(seed)) for seed in range(200)]
    for line in seen:
        assert line.labels == ()
        assert {label.target for label in line.teachers} == {(0.1, 0.9), (0.8, 0.2)}
        assert all(mentions(line.text, label.entity or "") for label in line.teachers)
    texts = {line.text for line in seen}
    assert {"Oil falls, Gold gains", "Tin gains; Oil falls"} <= texts
    assert len(texts) == 3 * 2 * 6, "each with the one that falls, in both orders, with what stands between them"


def test_names_of_a_terse_line_are_swapped_too() -> None:
    said = [_clause("Gold", "gains", 0, 1), _clause("Oil", "falls", 1, 0)]
    line = augmenter(Augment(terse=1, swap_entities=1), SET, said)(SET[3], random.Random(1))
    names = [label.entity for label in line.teachers]
    assert set(names) <= {"Tata Motors", "Infosys", "Wipro"}
    assert all(mentions(line.text, name or "") for name in names)


def test_without_clauses_that_say_different_things_there_are_no_terse_lines() -> None:
    said = [_clause("Gold", "gains", 0.1, 0.9), _clause("Tin", "gains", 0.2, 0.8)]
    assert augmenter(Augment(terse=1), SET, said)(SET[3], random.Random(0)) == SET[3]
    assert augmenter(Augment(terse=1), SET)(SET[3], random.Random(0)) == SET[3]


def test_a_run_that_augments_and_attacks_learns_and_repeats_itself(tmp_path: Path) -> None:
    changes = (
        "augment={synonyms: 0.5, mask_numbers: 0.5, swap_entities: 0.5}",
        "adversarial={attack: fgm, epsilon: 0.1}",
    )
    first, second = (tiny_model(tmp_path / run, *changes, report=lambda _line: None) for run in ("one", "two"))
    assert first.score is not None
    assert first.score > 0.9
    assert first.settings.files == second.settings.files
