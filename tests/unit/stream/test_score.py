"""Whatever makes the model fail is found, and a model that always fails is not mistaken for bad texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.classifiers import POISON, HashClassifier, HashedTexts

from domain.classification import Classification, Label
from domain.errors import InvalidInput, PermanentError
from domain.ports import Names, Prepared
from stream.score import MODEL_FAILED, Scorer


class CountingClassifier(HashClassifier):
    """Counts how often the model runs, and may spoil what it answers or fail while preparing."""

    def __init__(
        self,
        *,
        spoil: Callable[[list[Classification]], list[Classification]] | None = None,
        fails_to_prepare: str = "",
    ) -> None:
        super().__init__()
        self.runs = 0
        self._spoil = spoil
        self._fails_to_prepare = fails_to_prepare

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> HashedTexts:
        if self._fails_to_prepare and any(self._fails_to_prepare in text for text in texts):
            raise ValueError("the tokenizer failed")
        return super().prepare(texts, names)

    def infer(self, prepared: Prepared) -> list[Classification]:
        self.runs += 1
        answers = super().infer(prepared)
        return self._spoil(answers) if self._spoil else answers


def score(texts: Sequence[str], classifier: HashClassifier | None = None) -> list[Classification | InvalidInput]:
    scorer = Scorer(classifier or HashClassifier())
    names: list[Names] = [{"ACME": ["Acme"]}] * len(texts)
    return scorer.score(texts, names, scorer.prepare(texts, names))


@given(st.lists(st.booleans(), max_size=40))
def test_exactly_the_poisonous_texts_are_refused_and_the_others_keep_their_scores(poisonous: list[bool]) -> None:
    texts = [f"text {number} {POISON if bad else ''}" for number, bad in enumerate(poisonous)]
    answers = score(texts)
    for text, bad, answer in zip(texts, poisonous, answers, strict=True):
        if bad:
            assert isinstance(answer, InvalidInput)
            assert answer.reason == MODEL_FAILED
        else:
            assert answer == HashClassifier().classify([text])[0]


def test_names_keep_to_their_texts_when_a_batch_is_taken_apart() -> None:
    scorer = Scorer(HashClassifier())
    texts = ["Acme:negative", POISON, "Acme:positive", "Example:positive", "Acme"]
    names: list[Names] = [{"ACME": ["Acme"]}, {}, {"ACME": ["Acme"]}, {"EXMP": ["Example"]}, {"ACME": ["Acme"]}]
    answers = scorer.score(texts, names, scorer.prepare(texts, names))
    said = [
        {symbol: answer.sentiment_of(symbol).label for symbol in answer.entities}
        for answer in answers
        if isinstance(answer, Classification)
    ]
    assert said == [{"ACME": Label.NEGATIVE}, {"ACME": Label.POSITIVE}, {"EXMP": Label.POSITIVE}, {}]


def test_what_is_said_of_a_symbol_must_be_numbers_too() -> None:
    def spoil(answers: list[Classification]) -> list[Classification]:
        return [replace(one, entities={"ACME": {"negative": 2.0}}) for one in answers]

    with pytest.raises(PermanentError, match="sentiment probabilities"):
        score(["a"], CountingClassifier(spoil=spoil))


def test_a_good_batch_is_one_run_of_the_model() -> None:
    classifier = CountingClassifier()
    assert len(score(["a", "b", "c"], classifier)) == 3
    assert classifier.runs == 1


def test_one_poisonous_text_of_many_costs_a_logarithm_of_runs() -> None:
    classifier = CountingClassifier()
    score([f"text {number}" for number in range(255)] + [POISON], classifier)
    assert classifier.runs <= 2 * 8 + 3


def test_a_text_that_can_not_be_prepared_is_isolated_too() -> None:
    answers = score(["a", "odd", "c"], CountingClassifier(fails_to_prepare="odd"))
    assert [isinstance(answer, InvalidInput) for answer in answers] == [False, True, False]


def test_a_model_that_fails_on_everything_is_not_the_texts_fault() -> None:
    def fail(answers: list[Classification]) -> list[Classification]:
        raise MemoryError("no memory")

    with pytest.raises(PermanentError, match=r"hash@1 fails on a harmless text too \(MemoryError: no memory\)"):
        score(["a", "b"], CountingClassifier(spoil=fail))


def test_scores_that_are_no_numbers_never_get_out() -> None:
    def spoil(answers: list[Classification]) -> list[Classification]:
        nan = {"negative": float("nan"), "neutral": 0.5, "positive": 0.5}
        return [
            Classification(
                tasks={**answer.tasks, "sentiment": nan} if len(answers) > 1 else answer.tasks,
                model=answer.model,
                input_hash=answer.input_hash,
            )
            for answer in answers
        ]

    assert not any(
        isinstance(answer, InvalidInput) for answer in score(["a", "b", "c"], CountingClassifier(spoil=spoil))
    )


def test_a_model_that_swallows_answers_is_found_out() -> None:
    with pytest.raises(PermanentError, match="0 answers for 1 texts"):
        score(["a", "b"], CountingClassifier(spoil=lambda answers: answers[1:]))


def test_a_model_without_topics_is_found_out() -> None:
    def spoil(answers: list[Classification]) -> list[Classification]:
        return [
            Classification(tasks={"sentiment": answer.tasks["sentiment"]}, model=answer.model, input_hash="")
            for answer in answers
        ]

    with pytest.raises(PermanentError, match="KeyError"):
        score(["a"], CountingClassifier(spoil=spoil))


def test_no_texts_need_no_model() -> None:
    assert Scorer(CountingClassifier()).score([], [], None) == []
