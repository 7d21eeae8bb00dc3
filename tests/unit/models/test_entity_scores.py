"""What is said of the names in a text, in the same pass as of the text."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_checkpoints import tiny_roberta
from support.tiny_models import tiny_encoder
from support.tiny_networks import SENTIMENTS, tiny_network

from models.backend import Logits
from models.batches import Batch, cut
from models.cache import ScoreCache
from models.classifier import TextClassifier
from models.entities import find
from models.folder import Kind, read_settings
from models.load import load_classifier, load_tokenizer
from models.network import load_network
from models.normalise import normalise
from models.torch_backend import TorchBackend

NAMES = {"A": ("firma",), "B": ("firmb", "firmb holds"), "C": ("firmc",)}
TEXTS = [
    "firma beats, firmb plunges",
    "FIRMB HOLDS; firmb soars",
    "nothing on anyone",
    "$C and firma",
    "firmd " * 20 + "firma beats " + "firme " * 20 + "firma plunges",
]
FOUND = [{"A", "B"}, {"B"}, set(), {"A", "C"}, {"A"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network(tmp_path_factory.mktemp("entities"))


@pytest.fixture(scope="module", params=["openvino", "torch"])
def classifier(request: pytest.FixtureRequest, folder: Path) -> TextClassifier:
    settings = read_settings(folder)
    if request.param == "openvino":
        loaded = load_classifier(folder, device="cpu")
        assert isinstance(loaded, TextClassifier)
        return loaded
    return TextClassifier(settings, load_tokenizer(folder), TorchBackend(folder, settings, device="cpu"))


def by_hand(folder: Path, text: str, words: list[str]) -> dict[str, float]:
    """Of the tokens of `words` in a text of one window."""
    settings, encoding = read_settings(folder), load_tokenizer(folder).encode(text)
    rows = [number for number, token in enumerate(encoding.tokens) if token in words]
    ids = torch.tensor([encoding.ids])
    with torch.inference_mode():
        logits = load_network(folder, settings)(ids, torch.ones_like(ids))["entity_sentiment"][0, rows].mean(0)
    scores = (logits / settings.temperatures["entity_sentiment"]).softmax(-1).tolist()
    return dict(zip(SENTIMENTS, scores, strict=True))


def test_the_names_that_a_text_speaks_of_get_a_sentiment_of_their_own(classifier: TextClassifier, folder: Path) -> None:
    answers = classifier.classify(TEXTS, [NAMES] * len(TEXTS))
    assert [set(answer.entities) for answer in answers] == FOUND
    assert answers[0].entities["A"] == pytest.approx(by_hand(folder, TEXTS[0], ["firma"]), abs=1e-3)
    assert answers[0].entities["B"] == pytest.approx(by_hand(folder, TEXTS[0], ["firmb"]), abs=1e-3)
    # Both mentions, and all words of the longer name.
    assert answers[1].entities["B"] == pytest.approx(by_hand(folder, TEXTS[1], ["firmb", "holds"]), abs=1e-3)
    assert answers[3].entities["C"] == pytest.approx(by_hand(folder, TEXTS[3], ["$", "c"]), abs=1e-3)
    assert answers[0].sentiment_of("A") != answers[0].sentiment_of("B") != answers[0].sentiment
    assert answers[2].sentiment_of("A") == answers[2].sentiment
    assert all("entity_sentiment" not in answer.tasks for answer in answers)


def test_mentions_in_several_windows_of_a_long_text_are_averaged(classifier: TextClassifier) -> None:
    [answer] = classifier.classify(TEXTS[4:], [NAMES])
    assert len(classifier.prepare(TEXTS[4:]).weights) == 4
    # Four windows: the second holds one mention, the last the other.
    words = TEXTS[4].split()
    edges = [len(words) * number // 4 for number in range(5)]
    parts = [" ".join(words[start:end]) for start, end in itertools.pairwise(edges)]
    logs = []
    for part in classifier.classify([parts[1], parts[3]], [NAMES, NAMES]):
        logs.append(np.log(list(part.entities["A"].values())))
    mean = np.exp(np.mean(logs, axis=0))
    assert list(answer.entities["A"].values()) == pytest.approx((mean / mean.sum()).tolist(), abs=1e-3)


def test_names_change_nothing_that_is_said_of_the_text(classifier: TextClassifier) -> None:
    without, with_names = classifier.classify(TEXTS), classifier.classify(TEXTS, [NAMES] * len(TEXTS))
    assert [answer.tasks for answer in without] == [answer.tasks for answer in with_names]
    assert not any(answer.entities for answer in without)


def test_both_backends_agree_on_every_kind_of_task(folder: Path) -> None:
    settings = read_settings(folder)
    torch_backend = TorchBackend(folder, settings, device="cpu")
    ours = load_classifier(folder, device="cpu").classify(TEXTS, [NAMES] * len(TEXTS))
    theirs = TextClassifier(settings, load_tokenizer(folder), torch_backend).classify(TEXTS, [NAMES] * len(TEXTS))
    for one, other in zip(ours, theirs, strict=True):
        for task, scores in one.tasks.items():
            assert scores == pytest.approx(other.tasks[task], abs=1e-3)
            assert (sum(scores.values()) == pytest.approx(1)) == (task != "flags")
        assert one.entities.keys() == other.entities.keys()
        for symbol, scores in one.entities.items():
            assert scores == pytest.approx(other.entities[symbol], abs=1e-3)


@pytest.mark.parametrize("make", [tiny_encoder, tiny_roberta])
def test_mentions_are_the_tokens_that_share_a_character_with_a_name(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    settings = replace(
        read_settings(tiny_network(tmp_path / "any", openvino=False)), window_tokens=9, tasks={"e": SENTIMENTS},
        kinds={"e": Kind.ENTITY},
    )  # fmt: skip
    tokenizer = load_tokenizer(make(tmp_path / "tokenizer"))
    classifier = TextClassifier(settings, tokenizer, NoBackend())
    for text in (*TEXTS, "ﬁrma – $C.firmbfirma, fïrma\N{ZERO WIDTH SPACE}firma 中firmc", "$c " * 30):
        prepared = classifier.prepare([text], [NAMES])
        found = find(normalise(text), NAMES)
        offsets = tokenizer.encode(normalise(text), add_special_tokens=False).offsets
        spans = cut(len(offsets), 7)
        expected = [
            (symbol, window, tokens[0] - start + 1, tokens[-1] - start + 2)
            for symbol, places in found.items()
            for low, high in places
            for window, (start, end) in enumerate(spans)
            if (tokens := [n for n in range(start, end) if offsets[n][0] < high and offsets[n][1] > low])
        ]
        mentions = [(one.symbol, one.window, one.rows.start, one.rows.stop) for one in prepared.mentions]
        assert mentions == expected


def test_a_text_that_says_one_name_ten_thousand_times_holds_nobody_up(folder: Path) -> None:
    classifier = TextClassifier(read_settings(folder), load_tokenizer(folder), NoBackend())
    began = time.process_time()
    prepared = classifier.prepare(["$C " * 20_000], [NAMES])
    assert time.process_time() - began < 10  # a second; minutes, if each mention looked at each token
    assert len(prepared.mentions) > 1000


class NoBackend:
    """What is prepared for it is not run."""

    token_budget = 512

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        raise AssertionError


def test_what_is_repeated_is_read_once_for_each_set_of_mentions(folder: Path) -> None:
    settings = read_settings(folder)
    backend = TorchBackend(folder, settings, device="cpu")
    classifier = TextClassifier(settings, load_tokenizer(folder), backend, cache=ScoreCache(3))
    twice = classifier.prepare([TEXTS[0], "other", TEXTS[0], f"{TEXTS[0]} https://t.example/1"])
    assert len(twice) == 4
    assert len(twice.unread) == 2, "links are no part of what is read"
    answers = classifier.infer(twice)
    assert answers[0] == answers[2] == answers[3]
    assert not classifier.prepare([TEXTS[0], "other"]).unread
    assert len(classifier.prepare([TEXTS[0]], [NAMES]).unread) == 1, "who is named is part of what is asked"
    assert classifier.infer(classifier.prepare([TEXTS[0], "other"])) == answers[:2]
    assert not classifier.prepare([TEXTS[0]], [{"Z": ("nobody",)}]).unread, "a name that is not found changes nothing"
    classifier.classify(["third", "fourth"])
    assert len(classifier.prepare(["fourth", "third", TEXTS[0]]).unread) == 0
    assert len(classifier.prepare(["other"]).unread) == 1, "what nobody asked for the longest has gone"
