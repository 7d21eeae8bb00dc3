"""Which words made an answer."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.fake_registry import FakeModelRegistry
from support.tiny_checkpoints import tiny_roberta
from support.tiny_models import tiny_encoder, tiny_model
from support.tiny_networks import tiny_network
from transformers import DistilBertConfig, DistilBertForSequenceClassification
from typer.testing import CliRunner, Result

from domain.errors import InvalidInput, PermanentError
from models import attribution
from models.attribution import MAX_ERROR
from models.explain import Explainer, Explanation
from models.export import export
from models.folder import read_settings
from models.load import DEFAULT_MODEL, SHIPPED, load_tokenizer
from models.network import load_network
from service import wiring
from service.cli import app

SHORT = "firma plunges after fraud"
LONG = "firma soars . inflation holds and crude beats firmb while payrolls meets firmc refinery fraud plunges revenue"
TASKS = [("sentiment", None), ("topic", None), ("flags", None), ("entity_sentiment", "FIRMA")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def explainer(folder: Path) -> Explainer:
    return Explainer.load(folder)


def total(explanation: Explanation) -> float:
    return sum(word.attribution for word in explanation.words)


ODD = ("", "!", "firma &amp;amp; firmb &amp;lt; plunges", "fïrma  &amp; https://example.com/firmb [MASK] plungesx")


@pytest.mark.parametrize(
    ("text", "task", "entity"),
    [(text, *asked) for text in (SHORT, LONG) for asked in TASKS]
    + [(text, *asked) for text in ODD for asked in TASKS[:3]],
)
def test_attributions_sum_to_the_difference_of_the_logits(
    explainer: Explainer, text: str, task: str, entity: str | None
) -> None:
    explanation = explainer.explain(text, task=task, entity=entity)
    difference = explanation.logit - explanation.baseline_logit
    assert total(explanation) == pytest.approx(difference, rel=MAX_ERROR, abs=1e-4)
    assert explanation.delta == pytest.approx(total(explanation) - difference)


@pytest.mark.parametrize("text", [SHORT, LONG])
@pytest.mark.parametrize(("task", "entity"), TASKS)
def test_what_is_explained_is_what_is_served(explainer: Explainer, text: str, task: str, entity: str | None) -> None:
    explanation = explainer.explain(text, task=task, entity=entity)
    # The file that serves this model is in full precision, too.
    assert dict(explanation.probabilities) == pytest.approx(dict(explanation.served), abs=1e-4)
    assert explanation.largest_difference < 1e-4
    assert explanation.label == max(explanation.served, key=lambda label: explanation.served[label])


def test_the_logit_is_the_networks_own_divided_by_the_temperature(explainer: Explainer, folder: Path) -> None:
    settings = read_settings(folder)
    network, tokenizer = load_network(folder, settings), load_tokenizer(folder)
    ids = torch.tensor([tokenizer.encode(SHORT).ids])
    blank = torch.where((ids == tokenizer.token_to_id("[CLS]")) | (ids == tokenizer.token_to_id("[SEP]")), ids, 4)
    explanation = explainer.explain(SHORT, task="topic", label="Macro")
    with torch.inference_mode():
        said, of_blank = (network(one, torch.ones_like(one))["topic"][0, 1].item() / 1.7 for one in (ids, blank))
    assert (explanation.logit, explanation.baseline_logit) == pytest.approx((said, of_blank), abs=1e-5)


def test_every_word_that_is_read_has_its_place_in_the_text(explainer: Explainer) -> None:
    explanation = explainer.explain(f"{LONG} &amp; unknownword, {LONG}")
    assert explanation.windows > 2
    assert [word.word for word in explanation.words] == explanation.text.replace(",", " ,").split()
    for word in explanation.words:
        assert explanation.text[word.start : word.end] == word.word
    assert all(one.end <= two.start for one, two in itertools.pairwise(explanation.words))


def test_a_text_is_normalised_once_as_where_it_is_served(explainer: Explainer) -> None:
    explanation = explainer.explain("firma &amp;amp; soars")
    assert explanation.text == "firma &amp; soars"
    assert [word.word for word in explanation.words] == ["firma", "&", "amp", ";", "soars"]
    assert dict(explanation.probabilities) == pytest.approx(dict(explanation.served), abs=1e-4)


def test_windows_that_do_not_name_the_entity_add_nothing(explainer: Explainer) -> None:
    explanation = explainer.explain(f"{LONG} {LONG} firmz plunges", entity="firmz")
    adding = [word for word in explanation.words if word.attribution]
    assert explanation.windows > 2
    assert len(adding) <= 14
    assert {word.word for word in adding} >= {"firmz", "plunges"}


def test_a_window_counts_as_much_as_in_the_answer(explainer: Explainer) -> None:
    both = explainer.explain(
        " ".join(["firma plunges after fraud now ok ?"] * 2 + ["firmb soars while firmc holds ! !"] * 2)
    )
    halves = [
        explainer.explain(" ".join([part] * 2), label=both.label)
        for part in ("firma plunges after fraud now ok ?", "firmb soars while firmc holds ! !")
    ]
    assert both.windows == 2
    parts = [word.attribution / 2 for half in halves for word in half.words]
    assert [word.attribution for word in both.words] == pytest.approx(parts, abs=1e-3)


def test_words_that_decide_have_the_largest_attributions(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    export(tmp_path / "model", [], int8=False)
    explainer = Explainer.load(tmp_path / "model")
    for text, label, decisive in (
        ("firma crude plunges firmb", "negative", "plunges"),
        ("firmc revenue soars", "positive", "soars"),
    ):
        explanation = explainer.explain(text)
        assert explanation.label == label
        assert max(explanation.words, key=lambda word: word.attribution).word == decisive


def test_a_text_without_words_has_nothing_to_attribute(explainer: Explainer) -> None:
    explanation = explainer.explain("https://example.com")
    assert (explanation.text, explanation.words, explanation.delta) == ("", (), 0.0)
    assert explanation.logit == explanation.baseline_logit


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"task": "mood"}, "has no task 'mood'; it has sentiment, topic, flags, entity_sentiment"),
        ({"task": "topic", "label": "negative"}, "has no label 'negative'; it has Oil, Macro"),
        ({"task": "entity_sentiment"}, "of kind entity: name an entity"),
        ({"task": "topic", "entity": "firma"}, "of kind single: leave the entity out, or ask for 'entity_sentiment'"),
        ({"entity": "firmz"}, "does not name 'firmz'"),
    ],
)
def test_what_is_not_there_is_said(explainer: Explainer, asked: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        explainer.explain(SHORT, **asked)


def test_a_model_without_entities_says_so(tmp_path: Path) -> None:
    explainer = Explainer.load(tiny_network(tmp_path, entities=False))
    with pytest.raises(InvalidInput, match="no task for entities"):
        explainer.explain(SHORT, entity="firma")


def test_steps_are_added_until_the_sum_holds_or_it_is_an_error(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "STEPS", (1, 2, 64))
    assert explainer.explain(LONG).steps == 64
    monkeypatch.setattr(attribution, "STEPS", (1, 2))
    with pytest.raises(PermanentError, match="do not sum to the difference of the logits within 5%, even in 2 steps"):
        explainer.explain(LONG)


def test_progress_goes_from_nothing_to_all_windows(explainer: Explainer) -> None:
    seen: list[tuple[int, int]] = []
    windows = explainer.explain(LONG, progress=lambda done, of: seen.append((done, of))).windows
    assert seen == [(done, windows) for done in range(windows + 1)]


def groundswell(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_gives_every_word_as_json(folder: Path) -> None:
    result = groundswell("explain", SHORT, "--model", folder, "--label", "positive", "--json")
    answer = json.loads(result.stdout)
    assert [word["word"] for word in answer["words"]] == SHORT.split()
    assert set(answer["words"][0]) == {"word", "start", "end", "attribution"}
    assert (answer["label"], answer["steps"]) == ("positive", 64)
    assert answer["model"] == {"name": "tiny", "version": read_settings(folder).ref.version}
    assert answer["weights"] == "torch, full precision"


def test_the_command_shows_the_words_the_strongest_first(folder: Path) -> None:
    result = groundswell("explain", f"{SHORT} [bold] {LONG}", "--model", folder, "--entity", "firma")
    answer, text, *rows, last = result.stdout.splitlines()
    assert "(entity_sentiment of firma, tiny@" in answer
    assert text == f"{SHORT} [bold] {LONG}"
    strengths = [abs(float(row.split()[0])) for row in rows if row.split()[0] != "…"]
    assert len(strengths) == 10
    assert strengths == sorted(strengths, reverse=True)
    assert "less that of [MASK] throughout (64 steps, off by" in last


def test_an_escape_sequence_in_a_text_is_not_written_to_the_terminal(folder: Path) -> None:
    result = groundswell("explain", "\x1b[2J soars \x9b2J", "--model", folder)
    assert result.exception is None, result.exception
    text = result.stdout.splitlines()[1]
    assert text == "\ufffd[2J soars \ufffd2J"
    assert all(line.isprintable() for line in result.stdout.splitlines())


def explained(*more: str) -> tuple[str, str]:
    """The name and the version of the model that the command explains without --model."""
    result = groundswell(*more, "explain", SHORT, "--json")
    assert result.exception is None, result.exception
    found = json.loads(result.stdout)["model"]
    return found["name"], found["version"]


def test_without_a_model_the_one_in_force_is_explained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GROUNDSWELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GROUNDSWELL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    registry = FakeModelRegistry()
    monkeypatch.setattr(wiring, "model_registry", lambda settings, application_name: registry)
    tiny = read_settings(folder).ref
    registry.register(tiny, location=str(folder), figures={})
    registry.promote(tiny, replaces=None, by="ann", reason="")

    assert explained() == (DEFAULT_MODEL, read_settings(SHIPPED / DEFAULT_MODEL).ref.version), (
        "no Postgres, no registry"
    )
    monkeypatch.setenv("GROUNDSWELL_POSTGRES_DSN", "postgresql://127.0.0.1:1/groundswell")
    assert explained() == (tiny.name, tiny.version)
    monkeypatch.setenv("GROUNDSWELL_MODEL_REF", DEFAULT_MODEL)
    assert explained()[0] == DEFAULT_MODEL, "pinned"


def test_the_command_says_what_to_install_when_a_library_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "models.explain")
    monkeypatch.delitem(sys.modules, "models.attribution")
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    result = groundswell("explain", SHORT, "--model", folder)
    assert isinstance(result.exception, PermanentError)
    assert str(result.exception).endswith("pip install 'groundswell[train]'")


def tiny_distilbert(folder: Path) -> Path:
    """A family whose insides are not known to us."""
    vocabulary = json.loads((tiny_encoder(folder) / "tokenizer.json").read_text())["model"]["vocab"]
    torch.manual_seed(1)
    config = DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.3,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
    )  # fmt: skip
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make", [tiny_roberta, tiny_distilbert])
def test_any_checkpoint_that_is_served_is_explained(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    explanation = Explainer.load(make(tmp_path / "checkpoint")).explain(
        "profit soars while crude plunges", label="negative"
    )
    assert [word.word for word in explanation.words] == ["profit", "soars", "while", "crude", "plunges"]
    difference = explanation.logit - explanation.baseline_logit
    assert total(explanation) == pytest.approx(difference, rel=MAX_ERROR, abs=1e-4)


def test_several_models_at_once_are_not_explained(folder: Path) -> None:
    with pytest.raises(PermanentError, match="is several models; name one of them"):
        Explainer.load(f"sentiment={folder},topic={folder}")
