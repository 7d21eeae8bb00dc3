"""Whole runs in miniature: from labelled files to a model folder that is served."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_models import (
    TREE,
    WORDS,
    same_weights,
    stop_at,
    tiny_config,
    tiny_model,
    write_rows,
)
from transformers import AutoModel, AutoTokenizer

from domain.errors import InvalidInput, PermanentError
from models import load_classifier
from models.export import export
from models.folder import Kind, read_settings, seal
from models.seen import read_seen
from models.training import TrainingResult
from models.training.configure import config_from
from models.training.run import dry_run, train

TEXTS = ["firma crude plunges", "profit soars firmb", "inflation holds"]
SHORT = ("epochs=2", "log_steps=10")


@pytest.fixture(scope="module")
def trained(place: Path) -> TrainingResult:
    result = tiny_model(place)
    export(result.folder, TEXTS * 20)
    return result


def lowest(result: TrainingResult) -> float:
    return min(one.share for sources in result.accuracy.values() for one in sources.values())


def test_the_rule_is_learnt_and_the_figures_are_in_the_folder(trained: TrainingResult) -> None:
    assert lowest(trained) > 0.95
    training = read_settings(trained.folder).training
    assert training["held_out_accuracy"]["topic"]["themes"]["right"] > 47
    assert [item["source"] for item in training["files"]] == ["moods", "themes"]
    assert training["texts"] == {"training": 400, "held_out": 100}
    assert len(training["epochs"]) == 4
    assert config_from(training["config"]).tasks["topic"].loss.label_smoothing == 0.05


def test_the_trained_model_is_served_and_knows_the_rule(trained: TrainingResult) -> None:
    served = load_classifier(trained.folder, device="cpu").classify(TEXTS)
    assert [one.sentiment.label for one in served] == ["negative", "positive", "neutral"]
    assert [one.topic for one in served] == ["Energy | Oil", "Earnings", "Macro"]


def test_a_folder_without_an_openvino_file_is_served_with_torch(trained: TrainingResult, tmp_path: Path) -> None:
    plain = shutil.copytree(trained.folder, tmp_path / "plain")
    shutil.rmtree(plain / "openvino")
    seal(plain)
    ours = load_classifier(plain, device="cpu").classify(TEXTS)
    theirs = load_classifier(trained.folder, device="cpu").classify(TEXTS)
    for one, other in zip(ours, theirs, strict=True):
        assert one.input_hash == other.input_hash
        for task, scores in one.tasks.items():
            assert scores == pytest.approx(other.tasks[task], abs=0.03)


def test_the_folder_is_one_that_transformers_reads(trained: TrainingResult) -> None:
    encoder = AutoModel.from_pretrained(trained.folder, add_pooling_layer=False)
    assert encoder.config.hidden_size == 32
    assert AutoTokenizer.from_pretrained(trained.folder)("crude plunges").input_ids


def test_nothing_is_left_beside_the_folder(trained: TrainingResult) -> None:
    assert {path.name for path in trained.folder.parent.iterdir()} == {"encoder", "data", "model"}


def test_the_same_seed_gives_the_same_weights_and_another_one_others(start: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        (start / name).mkdir()
        for part in ("encoder", "data"):
            (start / name / part).symlink_to(start / part)
        tiny_model(start / name, *SHORT, f"seed={seed}", "augment.mask_numbers=0.5")
    assert same_weights(start / "one" / "model", start / "same" / "model")
    assert not same_weights(start / "one" / "model", start / "other" / "model")


def test_a_model_knows_what_the_one_knew_that_it_started_with(start: Path) -> None:
    first = tiny_model(start, "epochs=1").folder
    lines: list[str] = []
    config = tiny_config(first, "epochs=1", "held_out.seed=1")
    second = train(config, out=start / "second", data_dir=start / "data", device="cpu", report=lines.append).folder
    assert len(read_seen(first)) == 400 < len(read_seen(second))
    assert read_seen(first) < read_seen(second)
    (line,) = [line for line in lines if line.startswith("model was trained on ")]
    assert line.endswith(" of 100 held-out texts: figures on them flatter")


def test_more_steps_than_the_epochs_have_are_not_taken(start: Path) -> None:
    assert tiny_model(start, "epochs=1", "max_steps=1000").settings.training["steps"] == 25


@pytest.mark.parametrize(
    "changes",
    [
        ("bf16=true",),
        ("accumulate=2", "batch_size=8"),
        ("optimiser={learning_rate: 5e-3, schedule: cosine, layer_decay: 0.9, head_learning_rate: 1e-2}",),
        ("r_drop=1.0",),
        ("averaging.ema=0.95",),
        ("averaging.last=2",),
        ("adversarial={attack: fgm, epsilon: 0.05}",),
        ("tasks.sentiment.loss={kind: focal, class_weights: balanced, gamma: 1.0}",),
        ("tasks.sentiment.source_bias=true",),
        ("pooling=cls",),
        ("data.0.weight=1.5",),
    ],
    ids=lambda changes: changes[0].split("=")[0],
)
def test_the_rule_is_learnt_whatever_the_options(start: Path, changes: Sequence[str]) -> None:
    assert lowest(tiny_model(start, *changes)) > 0.9


def test_bf16_is_full_precision_where_there_are_no_units_for_it(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.precision.has_bf16_units", lambda device: False)
    said: list[str] = []
    asked = tiny_model(start, "bf16=true", *SHORT, report=said.append)
    full = train(tiny_config(start / "encoder", *SHORT), out=start / "full", data_dir=start / "data", device="cpu")
    assert same_weights(asked.folder, full.folder)
    assert "cpu has no bf16 units: full precision it is" in said
    assert asked.settings.training["config"]["bf16"], "the folder says what was asked for"


def test_the_mean_over_the_last_epochs_is_what_is_written(start: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_model(start, *SHORT, report=stop_at("epoch 1.60"))
    (checkpoint,) = start.glob("model.training/checkpoint-25")
    first = load_file(checkpoint / "model.safetensors")
    shutil.move(tiny_model(start, *SHORT).folder, start / "second")
    mean = load_file(tiny_model(start, *SHORT, "averaging.last=2").folder / "model.safetensors")
    second = load_file(start / "second" / "model.safetensors")
    for name, weight in mean.items():
        expected = (first[f"network.encoder.{name}"] + second[name].float()) / 2
        assert torch.allclose(weight.float(), expected, atol=2e-3), name
    assert not torch.allclose(mean["embeddings.word_embeddings.weight"], second["embeddings.word_embeddings.weight"])


def test_training_ends_early_and_the_best_epoch_is_kept(start: Path) -> None:
    result = tiny_model(start, "epochs=40", "early_stopping=2")
    epochs = [sum(figures.values()) / 2 for figures in result.settings.training["epochs"]]
    assert len(epochs) < 40
    assert epochs.index(max(epochs)) == len(epochs) - 3
    assert result.score == pytest.approx(max(epochs), abs=1e-4)
    assert sum(one.share for by in result.accuracy.values() for one in by.values()) / 2 == pytest.approx(result.score)


ENTITIES: dict[str, Any] = {
    **TREE,
    "tasks": {**TREE["tasks"], "entity_sentiment": {"kind": "entity", "labels": list(WORDS)}},
    "data": [*TREE["data"], {"source": "names", "file": "names.jsonl", "task": "entity_sentiment", "entity": "name"}],
}


def test_names_in_one_text_get_labels_of_their_own(start: Path) -> None:
    result = tiny_model(start, tree=ENTITIES)
    assert result.settings.kinds["entity_sentiment"] is Kind.ENTITY
    assert result.accuracy["entity_sentiment"]["names"].share > 0.9
    classifier = load_classifier(result.folder, device="cpu")
    (answer,) = classifier.classify(["firmc soars , firmd plunges"], [{"C": ["firmc soars"], "D": ["firmd plunges"]}])
    named = {symbol: max(scores, key=scores.__getitem__) for symbol, scores in answer.entities.items()}
    assert named == {"C": "positive", "D": "negative"}


LATE: dict[str, Any] = {**ENTITIES, "tasks": {"names": ENTITIES["tasks"]["entity_sentiment"]}, "max_tokens": 8}
LATE["data"] = [{"source": "late", "file": "late.jsonl", "task": "names", "entity": "name"}]


def late(data: Path, *, early: int) -> Path:
    """Texts that name a firm beyond the eighth token, but for the first so many."""
    data.mkdir()
    rows = [(" ".join(["firmz"] * (0 if number < early else 20)), number) for number in range(40)]
    write_rows(
        data / "late.jsonl",
        [{"text": f"{far} firma {number}", "name": "firma", "label": [*WORDS][number % 2]} for far, number in rows],
    )
    return data


def test_names_that_are_all_beyond_the_cut_are_refused_with_the_option_to_raise(start: Path, tmp_path: Path) -> None:
    data = late(tmp_path / "late", early=0)
    config = tiny_config(start / "encoder", "held_out={share: 0}", tree=LATE)
    words = r"40 of 40 names of task names lie beyond max_tokens \(8\): raise it"
    with pytest.raises(InvalidInput, match=words):
        dry_run(config, data_dir=data, report=lambda line: None)
    with pytest.raises(InvalidInput, match=words):
        train(config, out=tmp_path / "model", data_dir=data, device="cpu", report=lambda line: None)
    assert not (tmp_path / "model").exists()


def test_names_of_which_some_are_beyond_the_cut_are_counted_and_the_others_learnt(start: Path, tmp_path: Path) -> None:
    data = late(tmp_path / "late", early=30)
    lines: list[str] = []
    config = tiny_config(start / "encoder", "held_out={share: 0}", "epochs=1", tree=LATE)
    train(config, out=tmp_path / "model", data_dir=data, device="cpu", report=lines.append)
    assert "10 of 40 names of task names lie beyond max_tokens (8): raise it" in lines


def test_an_epoch_says_so_where_nothing_that_is_held_out_can_be_measured(start: Path, tmp_path: Path) -> None:
    data, lines = late(tmp_path / "late", early=30), list[str]()
    shutil.copy(data / "late.jsonl", data / "early.jsonl")
    write_rows(data / "late.jsonl", [{"text": "firmz " * 20 + "firma", "name": "firma", "label": "negative"}])
    early = {**LATE["data"][0], "source": "early", "file": "early.jsonl"}
    tree = {**LATE, "data": [early, {**LATE["data"][0], "held_out": True}], "held_out": {"share": 0}}
    config = tiny_config(start / "encoder", "epochs=1", tree=tree)
    train(config, out=tmp_path / "model", data_dir=data, device="cpu", report=lines.append)
    assert "epoch 1/1: held-out accuracy not measured" in lines


def test_a_model_is_written_to_the_folder_where_the_command_is_called(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = tiny_config(start / "encoder", "epochs=1", "max_steps=1")
    result = train(config, out=Path(), data_dir=start / "data", device="cpu", report=lambda line: None)
    assert result.folder == tmp_path / "here"
    assert read_settings(tmp_path / "here").name == "tiny"


def test_a_text_may_have_several_labels(start: Path, tmp_path: Path) -> None:
    data = tmp_path / "many"
    data.mkdir()
    # Both moods are asked of each text: two words, two answers.
    both = [
        {"text": f"{one} {other}", "label": [mood for mood, words in WORDS.items() if {one, other} & set(words)]}
        for one in sum(WORDS.values(), ())
        for other in sum(WORDS.values(), ())
    ]
    write_rows(data / "many.jsonl", both)
    tree = {
        **TREE,
        "tasks": {"moods": {"kind": "multi", "labels": list(WORDS)}},
        "data": [{"source": "many", "file": "many.jsonl", "task": "moods"}],
    }
    config = tiny_config(start / "encoder", "epochs=60", "held_out={share: 0.2, stratify: false}", tree=tree)
    result = train(config, out=tmp_path / "model", data_dir=data, device="cpu", report=lambda line: None)
    assert result.accuracy["moods"]["many"].share > 0.8
    (answer,) = load_classifier(result.folder, device="cpu").classify(["fraud beats"])
    assert {label: round(p) for label, p in answer.tasks["moods"].items()} == {
        "negative": 1,
        "neutral": 0,
        "positive": 1,
    }


class Teachers:
    """Turn the two extreme moods round."""

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        if task != "sentiment":
            return None
        for mood, turned in (
            ("negative", (0.0, 0.0, 1.0)),
            ("positive", (1.0, 0.0, 0.0)),
            ("neutral", (0.0, 1.0, 0.0)),
        ):
            if set(text.split()) & set(WORDS[mood]):
                return turned
        raise AssertionError(text)

    def is_out_of_fold(self, text: str) -> bool:
        return True


def test_what_teachers_say_is_learnt(start: Path) -> None:
    result = tiny_model(start, "distil={weight: 1.0, temperature: 2.0}", soft_labels=lambda config, corpus: Teachers())
    served = load_classifier(result.folder, device="cpu").classify(TEXTS)
    assert [one.sentiment.label for one in served] == ["positive", "negative", "neutral"]


class NameTeachers:
    """Sure of whatever holds one of their words."""

    def get(self, text: str, task: str, entity: str | None = None) -> Sequence[float] | None:
        said = {place for place, words in enumerate(WORDS.values()) if set(words) & set(text.split())}
        return [float(place in said) for place in range(3)] if task == "entity_sentiment" and len(said) == 1 else None

    def is_out_of_fold(self, text: str) -> bool:
        return True


def test_terse_lines_are_made_of_what_teachers_are_sure_of(start: Path) -> None:
    lines: list[str] = []
    result = tiny_model(
        start,
        "augment.terse=0.5",
        tree=ENTITIES,
        soft_labels=lambda config, corpus: NameTeachers(),
        report=lines.append,
    )
    (line,) = [line for line in lines if "terse" in line]
    sure, asked = (int(word) for word in line.split() if word.isdigit())
    assert 0 < sure <= asked
    assert result.accuracy["entity_sentiment"]["names"].share > 0.9


def test_terse_lines_need_names(start: Path) -> None:
    with pytest.raises(InvalidInput, match=r"augment\.terse needs a task of kind entity"):
        tiny_model(start, "augment.terse=0.5", soft_labels=lambda config, corpus: Teachers())


def test_tensorboard_gets_the_figures(start: Path) -> None:
    tiny_model(start, *SHORT, "report_to=[tensorboard]")
    (events,) = start.glob("model.training/runs/*/events.*")
    written = events.read_bytes()
    assert b"train/loss" in written
    assert b"eval/sentiment/moods" in written


def test_a_library_that_is_missing_is_named_before_training(start: Path) -> None:
    with pytest.raises(PermanentError, match="report_to: wandb is not installed: pip install wandb"):
        tiny_model(start, "report_to=[wandb]")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("window_tokens=4096",), "reads fewer than 4096 tokens"),
        (("optimiser.learning_rate=1e30", "log_steps=1"), "the loss is no number any more at step .*learning_rate"),
        (("optimiser.learning_rate=1e30", "epochs=1", "log_steps=1000"), "the loss is no number any more at step 25"),
        (("method.name=adapter",), "`adapters`"),
        (("held_out.share=0", "early_stopping=2"), "need held-out texts"),
        (("encoder=nothing/here",), "nothing/here"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(start: Path, changes: Sequence[str], words: str) -> None:
    with pytest.raises((InvalidInput, PermanentError), match=words) as caught:
        tiny_model(start, *changes, report=lambda line: None)
    assert "\n" not in str(caught.value)
    assert not (start / "model").exists()


def test_a_dry_run_says_what_would_be_learnt_and_writes_nothing(start: Path) -> None:
    lines: list[str] = []
    dry_run(tiny_config(start / "encoder", tree=ENTITIES), data_dir=start / "data", report=lines.append)
    assert "names: 200 rows for entity_sentiment" in lines
    assert "steps an epoch, 4 epochs" in lines[-1]
    assert {path.name for path in start.iterdir()} == {"encoder", "data"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("distil.teachers=[nowhere]", "nowhere is no model folder"),
        ("distil.unlabelled=[more.jsonl]", r"need distil\.teachers"),
        ("augment.terse=0.1", r"augment\.terse need distil\.teachers"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(start: Path, change: str, words: str) -> None:
    (start / "data" / "more.jsonl").write_text('{"text": "crude soars over new highs"}')
    with pytest.raises(InvalidInput, match=words):
        dry_run(tiny_config(start / "encoder", change), data_dir=start / "data", report=lambda line: None)
