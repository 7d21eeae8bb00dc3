"""What every classifier promises, whatever runs inside."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.classifiers import HashClassifier

import models
from domain.classification import SENTIMENT, TOPIC, Classification
from domain.ports import Classifier
from models import load_classifier
from models.classifier import TextClassifier
from models.folder import read_settings
from models.load import DEFAULT_MODEL, SHIPPED, load_tokenizer
from models.torch_backend import TorchBackend

TEXTS = [
    "$AAPL beats on revenue and raises its guidance",
    "Lender plunges after fraud probe; regulator to review its books",
    "Crude steady as producers meet",
    "Read this https://example.com/story",
    "https://example.com/only-a-link",
    "",
    " \n\t ",
    "\x00\ud800\u200b\U0001f680",
    "Aktien fallen – 株価 下落 – أسهم",
    "word " * 300,
    "!" * 700,
]


@pytest.fixture(
    scope="module",
    params=["hash", "shipped on OpenVINO", "with a cache", "for many threads", "a model for each task", "on torch"],
)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    match request.param:
        case "hash":
            return HashClassifier()
        case "shipped on OpenVINO":
            return load_classifier(device="cpu")
        case "with a cache":
            return load_classifier(device="cpu", cache_size=8)
        case "for many threads":
            return models.Classifier.load(device="cpu")
        case "a model for each task":
            return load_classifier(f"sentiment={DEFAULT_MODEL},topic={DEFAULT_MODEL}", device="cpu")
    folder = SHIPPED / DEFAULT_MODEL
    settings = read_settings(folder)
    return TextClassifier(settings, load_tokenizer(folder), TorchBackend(folder, settings, device="cpu"))


@pytest.fixture(scope="module")
def answers(classifier: Classifier) -> list[Classification]:
    return classifier.classify(TEXTS)


def test_every_text_gets_an_answer_however_strange_it_is(answers: list[Classification]) -> None:
    assert len(answers) == len(TEXTS)
    for answer in answers:
        for scores in answer.tasks.values():
            assert math.isclose(sum(scores.values()), 1, abs_tol=1e-3)
            assert all(0 <= score <= 1 for score in scores.values())
        assert answer.sentiment.label in answer.tasks[SENTIMENT]
        assert answer.topic in answer.tasks[TOPIC]


def test_no_texts_get_no_answers(classifier: Classifier) -> None:
    assert classifier.classify([]) == []
    assert len(classifier.prepare([])) == 0


def test_a_score_does_not_depend_on_what_it_was_batched_with(
    classifier: Classifier, answers: list[Classification]
) -> None:
    reordered = classifier.classify([*TEXTS[::-1], *TEXTS])
    for number, (text, answer) in enumerate(zip(TEXTS, answers, strict=True)):
        alone = classifier.classify([text])[0]
        for other in (alone, reordered[len(TEXTS) - 1 - number], reordered[len(TEXTS) + number]):
            assert other.input_hash == answer.input_hash
            for task, scores in answer.tasks.items():
                assert other.tasks[task] == pytest.approx(scores, abs=1e-3)


def test_preparing_and_inferring_apart_is_classifying(classifier: Classifier, answers: list[Classification]) -> None:
    prepared = classifier.prepare(TEXTS)
    assert len(prepared) == len(TEXTS)
    assert classifier.infer(prepared) == answers
    assert classifier.infer(prepared) == answers, "a prepared batch can be inferred again"


def test_whoever_is_looked_for_what_is_said_of_the_text_stays(
    classifier: Classifier, answers: list[Classification]
) -> None:
    asked = classifier.classify(TEXTS, [{"AAPL": ("Apple",)}] * len(TEXTS))
    for answer, other in zip(answers, asked, strict=True):
        assert other.input_hash == answer.input_hash
        for task, scores in answer.tasks.items():
            assert other.tasks[task] == pytest.approx(scores, abs=1e-3)
        assert set(other.entities) <= {"AAPL"}


def test_threads_share_a_classifier(classifier: Classifier, answers: list[Classification]) -> None:
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda _: classifier.classify(TEXTS[:9]), range(12)):
            assert result == answers[:9]


def test_an_answer_says_which_model_gave_it_to_which_text(
    classifier: Classifier, answers: list[Classification]
) -> None:
    assert {answer.model for answer in answers} == {classifier.model}
    assert classifier.model.name
    assert classifier.model.version
    assert len({answer.input_hash for answer in answers[:4]}) == 4
    assert all(len(bytes.fromhex(answer.input_hash)) == 16 for answer in answers)


def test_languages_are_primary_subtags(classifier: Classifier) -> None:
    assert classifier.languages
    assert all(language.isalpha() and language.islower() for language in classifier.languages)
