"""Short clauses about one name: which are cut, and of which teachers are sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from models.folder import Kind
from models.training.clauses import clauses, told
from models.training.config import Config
from models.training.examples import Example, Label
from models.training.policies import DataFile, Task

MOODS = ("negative", "neutral", "positive")
CONFIG = Config(
    name="made",
    encoder="minilm",
    tasks={"sentiment": Task(labels=MOODS), "entity_sentiment": Task(labels=MOODS, kind=Kind.ENTITY)},
    data=(
        DataFile(source="made", file="made.jsonl", task="sentiment"),
        DataFile(source="names", file="names.jsonl", task="entity_sentiment", entity="name"),
    ),
)


def of(text: str, *names: str) -> Example:
    labels = (Label(task="entity_sentiment", source="made", target=(0, 0, 1), entity=name) for name in names)
    return Example(text=text, labels=(Label(task="sentiment", source="made", target=(0, 0, 1)), *labels))


@pytest.mark.parametrize(
    ("example", "clause", "name"),
    [
        (of("Gold shines on seasonal demand", "Gold"), "Gold shines", "Gold"),
        (of("Wipro slips, Infosys gains after results", "Wipro", "Infosys"), "Wipro slips", "Wipro"),
        (of("$AAPL downgraded to Hold at Example Capital: new target"), "$AAPL downgraded to Hold", "$AAPL"),
        (of("$ACME - Acme beats -", "$ACME"), "$ACME - Acme beats", "$ACME"),
    ],
)
def test_a_text_that_begins_with_a_name_gives_its_first_clause(example: Example, clause: str, name: str) -> None:
    ((found, *_),) = clauses(CONFIG, [example])
    assert found.text == clause
    assert [(label.task, label.entity) for label in found.labels] == [("entity_sentiment", name)]


def test_a_clause_is_cut_off_behind_each_of_its_words_too() -> None:
    ((whole, *parts),) = clauses(CONFIG, [of("$ACME - Acme beats estimates by 5%, again", "$ACME")])
    assert whole.text == "$ACME - Acme beats estimates"
    assert [part.text for part in parts] == ["$ACME - Acme", "$ACME - Acme beats"]
    assert {part.labels for part in parts} == {whole.labels}


@pytest.mark.parametrize(
    "example",
    [
        of("Buy Gold: an expert", "Gold"),
        of("Gold", "Gold"),
        of("Tata Motors and Infosys slip", "Tata Motors", "Infosys"),
        of("Gold is what everybody wanted to have last year", "Gold"),
        of("$AAPL beats $MSFT again"),
        of("Shares slip"),
    ],
)
def test_others_give_none(example: Example) -> None:
    assert clauses(CONFIG, [example]) == ()


class Teachers:
    SAY: ClassVar = {
        "Gold shines": (0.1, 0.1, 0.8),
        "Oil says": (0.3, 0.4, 0.3),
        "Oil says little": (0.1, 0.9, 0.0),
        "Tin": (0.0, 1.0, 0.0),
        "Zinc falls": (0.9, 0.0, 0.1),
        "Zinc falls least": (0.2, 0.0, 0.8),
    }

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        assert task == "entity_sentiment"
        assert text.split()[0] == entity
        return self.SAY.get(text)

    def is_out_of_fold(self, text: str) -> bool:
        return True


def test_only_those_of_which_teachers_are_sure_stay_with_what_they_say() -> None:
    texts = ("Gold shines", "Oil says little", "Tin dull", "Zinc falls least")
    asked = clauses(CONFIG, [of(text, text.split()[0]) for text in texts])
    assert len(asked) == len(texts)
    found = told(asked, Teachers())
    # "Oil says" is not sure, "Zinc falls" says something else than what it is cut from.
    assert [one.text for one in found] == ["Gold shines", "Oil says little", "Zinc falls least"]
    assert all(one.labels == () for one in found)
    assert [(label.task, label.entity, label.target, label.weight) for label in found[0].teachers] == [
        ("entity_sentiment", "Gold", (0.1, 0.1, 0.8), 1.0)
    ]


def test_what_says_the_same_cut_off_is_a_clause_too() -> None:
    class Same(Teachers):
        SAY: ClassVar = {"Oil falls": (0.8, 0.1, 0.1), "Oil falls sharply": (0.9, 0.1, 0.0)}

    asked = clauses(CONFIG, [of("Oil falls sharply", "Oil")])
    assert [one.text for one in told(asked, Same())] == ["Oil falls sharply", "Oil falls"]
