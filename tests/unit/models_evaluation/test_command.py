"""`groundswell evaluate` on a model in miniature."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.model_folders import variant
from support.tiny_models import tiny_entities, tiny_model, write_rows
from support.tiny_networks import tiny_network
from typer.testing import CliRunner, Result

from domain.errors import InvalidInput, PermanentError
from models import figures
from models.evaluation.card import facts_of, render
from models.evaluation.evaluate import evaluate
from models.evaluation.opened import in_full_precision, open_model
from models.evaluation.report import Report
from models.export import export
from models.folder import read_settings, write_settings
from models.load import CHOICES, DEFAULT_MODEL, SHIPPED, load_classifier
from models.training.command import Request, execute
from service.cli import app

FACTS = """
title: A model in miniature.
licence: mit
data: [{name: made up, used_for: sentiment, licence: none, rows: 500}]
split: By story.
limits: ["It knows six words: no others."]
retrain: groundswell train --config tiny
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, int8, and the `data` that it was trained on."""
    place = tmp_path_factory.mktemp("tiny")
    tiny_model(place)
    texts = [json.loads(line)["text"] for line in (place / "data" / "moods.jsonl").read_text().splitlines()]
    export(place / "model", texts[:100])
    return place


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(place / "model", tmp_path / "model")


def groundswell(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def figures_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_seed_below_zero_is_wrong_use() -> None:
    result = groundswell("nowhere", "--data", "nowhere", "--seed", -1)
    assert result.exit_code == 2
    assert "Invalid value for '--seed'" in result.output


def test_a_labelled_file_is_measured_with_its_labels_mapped_and_its_columns_named(
    place: Path, model: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (place / "data" / "moods.jsonl").read_text().splitlines()]
    names = {"negative": "bearish", "positive": "bullish"}
    lines = [
        f"{names.get(row['label'], row['label'])},{row['text']},desk {number % 2}" for number, row in enumerate(rows)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["mood,words,desk", *lines, "mixed,firma and firmb,desk 0"]))
    result = groundswell(
        model, "--data", tmp_path / "rows.csv", "--task", "sentiment",
        "--text-column", "words", "--label-column", "mood",
        "--map", "bearish=negative", "--map", "bullish=positive", "--map", "mixed=", "--source-column", "desk",
        "--by", "row", "--json", tmp_path / "figures.json", "--confusion", tmp_path / "confusion.png",
    )  # fmt: skip
    assert result.exception is None, result.output
    found = figures_of(tmp_path / "figures.json")["sentiment"]
    assert found["whole"]["rows"] == len(rows)
    assert found["whole"]["figures"]["accuracy"]["value"] > 0.95
    assert set(found["sources"]) == {"desk 0", "desk 1"}
    assert found["resampled"] == "row"
    assert found["whole"]["full_precision"]["agreement"] > 0.97
    assert sum(map(sum, found["confusion"])) == len(rows)
    assert found["reading"] == {"one_window": len(rows), "several_windows": 0, "most_windows": 1, "cut_off": 0}
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert "McNemar" in result.output


def test_what_training_held_out_is_measured_and_nothing_else(place: Path, model: Path, tmp_path: Path) -> None:
    result = groundswell(model, "--data-dir", place / "data", "--json", tmp_path / "f.json", "--no-full-precision")
    assert result.exception is None, result.output
    found = figures_of(tmp_path / "f.json")
    counted = read_settings(model).training["held_out_accuracy"]
    assert set(found) == {"sentiment", "topic"}
    for task, source in (("sentiment", "moods"), ("topic", "themes")):
        assert found[task]["whole"]["rows"] == counted[task][source]["rows"]
        assert found[task]["whole"]["full_precision"] is None


def test_the_temperature_is_stored_as_a_new_version_and_served(place: Path, model: Path, tmp_path: Path) -> None:
    before = load_classifier(model, device="cpu")
    arguments = (model, "--data-dir", place / "data", "--task", "sentiment", "--no-full-precision")
    result = groundswell(*arguments, "--fit-temperature", "--json", tmp_path / "f.json")
    assert result.exception is None, result.output
    fitted = read_settings(model).temperatures["sentiment"]
    assert fitted == pytest.approx(figures_of(tmp_path / "f.json")["sentiment"]["temperature_fitted"], abs=1e-4)
    after = load_classifier(model, device="cpu")
    assert after.model.version != before.model.version
    assert str(after.model) in result.output
    probabilities = [one.classify(["firma soars"])[0].tasks["sentiment"]["positive"] for one in (before, after)]
    assert (probabilities[1] > probabilities[0]) == (fitted < 1)
    again = groundswell(*arguments, "--json", tmp_path / "again.json")
    assert again.exception is None, again.output
    found = figures_of(tmp_path / "again.json")["sentiment"]
    assert found["temperature_served"] == fitted
    assert found["temperature_fitted"] == pytest.approx(fitted, rel=0.02)


def test_figures_and_card_are_kept_in_the_folder(place: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.yml").write_text(FACTS)
    version = read_settings(model).ref
    result = groundswell(
        model, "--data-dir", place / "data", "--robustness", "--card", "--facts", tmp_path / "facts.yml"
    )
    assert result.exception is None, result.output
    settings = read_settings(model)
    assert settings.ref == version
    measured = figures.read(figures.of_folder(model))
    assert set(measured) == {"sentiment/moods", "topic/themes"}
    assert figures.reference(figures.of_folder(model))["sentiment"].documents == measured["sentiment/moods"].rows
    card = (model / "README.md").read_text()
    assert f"{measured['topic/themes'].accuracy:.3f}" in card
    assert "polarity gap, person's origin" in card
    assert "It knows six words: no others." in card
    assert "groundswell train --config tiny" in card


@pytest.mark.parametrize("name", CHOICES.values())
def test_a_shipped_card_is_the_one_that_its_folder_and_its_facts_give(name: str) -> None:
    assert (SHIPPED / name / "README.md").read_text() == render(read_settings(SHIPPED / name), facts_of(name))


def test_another_model_is_held_against_it_and_a_model_is_as_good_as_itself(place: Path, model: Path) -> None:
    result = groundswell(
        model, "--data-dir", place / "data", "--task", "topic", "--against", place / "model", "--no-full-precision"
    )
    assert result.exception is None, result.output
    row = next(line for line in result.output.splitlines() if line.startswith("all") and "exact" in line)
    assert "100.0%" in row
    assert "0 and 0" in row
    assert "1 (exact)" in row


def test_an_entity_task_is_measured_by_name(tmp_path: Path) -> None:
    tree = {
        "name": "tiny-entities",
        "encoder": "",
        "tasks": {"entity_sentiment": {"kind": "entity", "labels": ["negative", "neutral", "positive"]}},
        "data": [{"source": "names", "file": "names.jsonl", "task": "entity_sentiment", "entity": "name"}],
        "epochs": 12,
        "batch_size": 16,
        "optimiser": {"learning_rate": 5e-3},
        "held_out": {"share": 0.2},
    }
    tiny_entities(tmp_path / "data")
    tiny_model(tmp_path, tree=tree)
    result = groundswell(tmp_path / "model", "--data-dir", tmp_path / "data", "--json", tmp_path / "f.json")
    assert result.exception is None, result.output
    found = figures_of(tmp_path / "f.json")["entity_sentiment"]
    trained = read_settings(tmp_path / "model").training["held_out_accuracy"]["entity_sentiment"]["names"]
    assert found["names_not_found"] == 0
    assert found["whole"]["rows"] == trained["rows"]
    assert found["whole"]["figures"]["accuracy"]["value"] == pytest.approx(trained["right"] / trained["rows"], abs=0.02)
    assert found["slices"]["one label in the text"]["rows"] > 0


PLAIN = """
import sys
for absent in ("torch", "transformers", "safetensors", "nncf", "sklearn", "scipy", "matplotlib"):
    sys.modules[absent] = None
from service.cli import main
sys.argv[1:] = ["evaluate", *sys.argv[1:]]
main()
"""


def test_a_plain_install_measures_a_file_and_says_what_more_would_need(tmp_path: Path) -> None:
    rows = [("Shares soar after record profit", "positive"), ("Lender plunges after fraud probe", "negative")]
    write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": label} for text, label in rows])
    arguments = (DEFAULT_MODEL, "--data", str(tmp_path / "rows.jsonl"), "--task", "sentiment")

    def plain(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PLAIN, *arguments, *more]
        return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)

    done = plain("--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    assert figures_of(tmp_path / "figures.json")["sentiment"]["whole"]["full_precision"] is None
    drawn = plain("--confusion", str(tmp_path / "confusion.png"))
    assert drawn.returncode == 1
    assert drawn.stderr == "groundswell: drawing needs matplotlib: pip install 'groundswell[train]'\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), r"give --data FILE, or --data-dir"),
        (("--data", "bad.jsonl"), r"give --task; it has sentiment, topic"),
        (("--data", "bad.jsonl", "--task", "mood"), r"no task 'mood'; it has sentiment, topic"),
        (("--data", "bad.jsonl", "--task", "sentiment"), r"bad\.jsonl:2: unknown label 'bearish'"),
        (("--data", "bad.jsonl", "--task", "sentiment", "--map", "bearish=negative"), r"bad\.jsonl:3: .*empty"),
        (("--data", "bad.jsonl", "--task", "sentiment", "--map", "bearish"), r"FROM=TO"),
        (("--data", "bad.jsonl", "--task", "sentiment", "--label-column", "lable"), r"no column 'lable'.*label"),
        (("--data", "nowhere.jsonl", "--task", "sentiment"), r"cannot read nowhere\.jsonl"),
        (("--data-dir", ".", "--config", "nowhere"), r"no file nowhere"),
        (("--data", "bad.jsonl", "--card"), r"a card of 'tiny' needs --facts FILE"),
        (("--data", "bad.jsonl", "--card", "--facts", "nowhere.yml"), r"cannot read nowhere\.yml"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("firma soars", "positive"), ("firmb plunges", "bearish"), (" ", "neutral")]
    write_rows(tmp_path / "bad.jsonl", [{"text": text, "label": label} for text, label in rows])
    result = groundswell(model, "--no-full-precision", *options)
    assert result.exit_code != 0
    said = str(result.exception) if isinstance(result.exception, (InvalidInput, PermanentError)) else result.output
    assert re.search(message, said), said


def test_only_a_model_folder_can_keep_anything(model: Path, tmp_path: Path) -> None:
    result = groundswell(f"topic={model}", "--data", tmp_path / "rows.jsonl", "--keep")
    assert isinstance(result.exception, PermanentError)
    assert "nothing can be stored in topic=" in str(result.exception)


def test_a_folder_that_changed_meanwhile_keeps_nothing_of_another_version(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchanged(*arguments: Any, **options: Any) -> Report:
        write_settings(model, replace(read_settings(model), temperatures={"topic": 3.0}))
        return evaluate(*arguments, **options)

    monkeypatch.setattr("models.evaluation.evaluate.evaluate", exchanged)
    result = groundswell(
        model, "--data-dir", place / "data", "--task", "topic", "--no-full-precision", "--keep", "--fit-temperature"
    )
    assert isinstance(result.exception, PermanentError)
    assert "was measured: nothing is stored; measure again" in str(result.exception)
    assert not figures.of_folder(model)
    assert read_settings(model).temperatures == {"topic": 3.0}


def test_figures_are_kept_although_a_picture_can_not_be_drawn(place: Path, model: Path) -> None:
    result = groundswell(
        model, "--data-dir", place / "data", "--task", "topic", "--no-full-precision", "--keep",
        "--confusion", model / "nowhere" / "confusion.png",
    )  # fmt: skip
    assert "cannot write" in str(result.exception)
    assert set(figures.of_folder(model)) == {"topic/themes"}


def test_figures_are_kept_for_the_model_that_was_trained_again_on_everything(place: Path, tmp_path: Path) -> None:
    model, refitted = place / "model", tmp_path / "all"
    facts = tmp_path / "facts.yml"
    facts.write_text(FACTS, encoding="utf-8")
    execute(Request(config=str(model), refit=True, out=refitted, data_dir=place / "data", device="cpu"), [].append)
    before = (model / "groundswell.json").read_bytes()
    options = ("--data-dir", place / "data", "--no-full-precision", "--fit-temperature", "--card", "--facts", facts)
    result = groundswell(model, *options, "--for", refitted)
    assert result.exception is None, result.output

    assert (model / "groundswell.json").read_bytes() == before, "its own folder stays as it is"
    settings = read_settings(refitted)
    assert settings.temperatures.keys() == {"sentiment", "topic"}
    assert set(figures.of_folder(refitted)) == {"sentiment/moods", "topic/themes"}
    counts = read_settings(model).training["texts"]
    card = (refitted / "README.md").read_text(encoding="utf-8")
    assert f"All figures below are of its sister {read_settings(model).ref}" in " ".join(card.split())
    assert f"{sum(counts.values()):,} texts were trained on: all." in card
    for other, options in ((model, ("--keep",)), (refitted, ())):
        result = groundswell(model, "--data-dir", place / "data", "--no-full-precision", "--for", other, *options)
        assert result.exit_code != 0
        assert re.search(r"was not trained on everything again|needs --keep", f"{result.exception} {result.output}")


def test_labels_are_compared_before_the_long_work(place: Path, model: Path, tmp_path: Path) -> None:
    other = tiny_network(tmp_path / "other")
    result = groundswell(model, "--data-dir", place / "data", "--no-full-precision", "--against", other)
    assert isinstance(result.exception, InvalidInput)
    assert "cannot be compared on task 'topic'" in str(result.exception)
    assert not result.output, "sentiment, whose labels are the same, was not measured first"


def test_a_model_without_its_torch_weights_has_no_full_precision_to_be_held_against(tmp_path: Path) -> None:
    variant(tmp_path / "served")
    assert in_full_precision(open_model(str(tmp_path / "served"), device="cpu")) is None


def test_robustness_past_a_limit_fails_the_command(model: Path, tmp_path: Path) -> None:
    # Of one word each, so that every typo hides all that the model knows.
    words = [("soars", "positive"), ("beats", "positive"), ("plunges", "negative"), ("fraud", "negative")]
    write_rows(tmp_path / "words.jsonl", [{"text": text, "label": label} for text, label in words])
    result = groundswell(model, "--data", tmp_path / "words.jsonl", "--task", "sentiment", "--check")
    assert result.exit_code == 1
    assert "past their limits: typos (sentiment)" in result.output
