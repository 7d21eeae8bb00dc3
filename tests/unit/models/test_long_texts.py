"""Texts of several windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from domain.errors import PermanentError
from models.backend import Logits
from models.batches import Batch
from models.classifier import MAX_WINDOWS, TextClassifier
from models.folder import read_settings
from models.load import DEFAULT_MODEL, SHIPPED, load_tokenizer


class CountingBackend:
    """Logits of a sentiment by the share of one token among a window's content; topics all alike."""

    token_budget = 512

    def __init__(self, token: int, change: Callable[[float], float] = lambda share: share) -> None:
        self._token = token
        self._change = change

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        return [self._scores(batch) for batch in batches]

    def _scores(self, batch: Batch) -> Logits:
        content = np.maximum(batch.mask.sum(axis=1) - 2, 1)
        shares = [self._change(share) for share in (batch.ids == self._token).sum(axis=1) / content]
        sentiment = np.array([[share, 1 - share, 0] for share in shares])
        logits = np.log(np.maximum(sentiment, 1e-30)).astype(np.float32)
        return {"sentiment": logits, "topic": np.zeros((len(shares), 20), dtype=np.float32)}


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    folder = SHIPPED / DEFAULT_MODEL
    tokenizer = load_tokenizer(folder)
    # The backend's shares are to come out as they are.
    settings = replace(read_settings(folder), temperatures={})
    return TextClassifier(settings, tokenizer, CountingBackend(tokenizer.token_to_id("loss")))


@pytest.mark.parametrize(("losses", "others"), [(1, 0), (126, 0), (50, 200), (1, 999), (3000, 1000)])
def test_a_long_text_is_scored_whole_each_token_counting_alike(
    classifier: TextClassifier, losses: int, others: int
) -> None:
    text = "loss " * losses + "gain " * others
    answer = classifier.classify(["short", text, ""])[1]
    assert answer.sentiment.negative == pytest.approx(losses / (losses + others), abs=1e-6)


@pytest.mark.parametrize("text", ["!" * 65_536, "中" * 21_845, "\ufdfa" * 21_845, "a" * 65_536, "word " * 13_000])
def test_the_longest_texts_that_come_in_are_bounded(classifier: TextClassifier, text: str) -> None:
    prepared = classifier.prepare([text])
    assert 1 <= len(prepared.weights) <= MAX_WINDOWS
    assert prepared.weights.sum() == pytest.approx(1)
    assert max(batch.ids.shape[1] for batch in prepared.batches) <= 128


def test_a_text_without_any_token_is_read_as_one_of_padding() -> None:
    folder = SHIPPED / DEFAULT_MODEL
    tokenizer = load_tokenizer(folder)
    plain = Tokenizer(tokenizer.model)  # of which a checkpoint that generates text may have the like: no special tokens
    classifier = TextClassifier(read_settings(folder), plain, CountingBackend(0), padding_id=7)
    [batch] = classifier.prepare([""]).batches
    assert batch.ids[batch.mask == 1].tolist() == [7]
    assert len(classifier.classify(["", "a"])) == 2


def test_names_are_given_for_each_text_or_for_none(classifier: TextClassifier) -> None:
    with pytest.raises(ValueError, match="shorter"):
        classifier.prepare(["a", "b"], [{}])


def test_scores_that_are_not_numbers_are_an_error() -> None:
    folder = SHIPPED / DEFAULT_MODEL
    tokenizer = load_tokenizer(folder)
    broken = TextClassifier(read_settings(folder), tokenizer, CountingBackend(0, lambda _: float("nan")))
    with pytest.raises(PermanentError, match="not numbers"):
        broken.classify(["a text"])


def test_only_what_prepare_returned_can_be_inferred(classifier: TextClassifier) -> None:
    with pytest.raises(TypeError, match="prepare"):
        classifier.infer(["a text"])
