"""From folds of teachers to a student, in miniature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_models import TREE, tiny_config, tiny_data, tiny_encoder, write_rows

from domain.errors import InvalidInput
from models import load_classifier
from models.folder import SETTINGS_FILE, read_settings
from models.seen import read_seen
from models.training import run
from models.training.config import Config
from models.training.examples import read_corpus
from models.training.run import train
from models.training.train_folds import train_folds

CHANGES = ("epochs=5",)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("folds")
    tiny_encoder(place / "encoder")
    tiny_data(place / "data", rows=500)
    return place


@pytest.fixture(scope="module")
def teachers(place: Path) -> Path:
    config = tiny_config(place / "encoder", *CHANGES)
    folders = train_folds(config, 2, out=place / "teachers", data_dir=place / "data", device="cpu", report=_silent)
    assert [folder.name for folder in folders] == ["fold-0", "fold-1"]
    return place / "teachers"


def test_each_text_is_unseen_by_exactly_the_teacher_of_its_fold_and_held_out_ones_by_all(
    place: Path, teachers: Path
) -> None:
    corpus = read_corpus(tiny_config(place / "encoder", *CHANGES), place / "data")
    seen = [read_seen(teachers / f"fold-{fold}") for fold in range(2)]
    assert len(seen[0] | seen[1]) == len(corpus.training)
    assert not seen[0] & seen[1]
    assert min(map(len, seen)) > 0.3 * len(corpus.training)
    assert [read_settings(teachers / f"fold-{fold}").name for fold in range(2)] == ["tiny-0", "tiny-1"]


def test_folds_that_are_done_are_kept_and_one_that_was_killed_goes_on(
    place: Path, teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(place / "encoder", *CHANGES)
    real = run._write

    def killed(config: Config, *arguments: Any) -> Any:
        if config.name == "tiny-1":
            raise KeyboardInterrupt
        return real(config, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            train_folds(config, 2, out=tmp_path / "out", data_dir=place / "data", device="cpu", report=_silent)
    lines: list[str] = []
    train_folds(config, 2, out=tmp_path / "out", data_dir=place / "data", device="cpu", report=lines.append)
    assert lines[0].startswith("fold 1/2: is in")
    assert not any(" step " in line for line in lines)
    for fold in ("fold-0", "fold-1"):
        straight, resumed = (load_file(folder / fold / "model.safetensors") for folder in (teachers, tmp_path / "out"))
        assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_teachers_of_another_configuration_are_not_mixed_in(place: Path, teachers: Path) -> None:
    other = tiny_config(place / "encoder", *CHANGES, "batch_size=8")
    with pytest.raises(InvalidInput, match="another configuration"):
        train_folds(other, 2, out=teachers, data_dir=place / "data", device="cpu", report=_silent)


def test_teachers_from_before_there_was_an_option_are_kept_where_it_has_its_default(
    place: Path, teachers: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(teachers, tmp_path / "old")
    for fold in ("fold-0", "fold-1"):
        settings = json.loads((old / fold / SETTINGS_FILE).read_text(encoding="utf-8"))
        del settings["training"]["config"]["augment"]["typos"]
        (old / fold / SETTINGS_FILE).write_text(json.dumps(settings), encoding="utf-8")
    lines: list[str] = []
    config = tiny_config(place / "encoder", *CHANGES)
    train_folds(config, 2, out=old, data_dir=place / "data", device="cpu", report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["fold 1/2", "fold 2/2"]
    other = tiny_config(place / "encoder", *CHANGES, "augment.typos=0.5")
    with pytest.raises(InvalidInput, match="another configuration"):
        train_folds(other, 2, out=old, data_dir=place / "data", device="cpu", report=_silent)


def test_one_fold_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        train_folds(tiny_config(place / "encoder"), 1, out=tmp_path, data_dir=place / "data")


def test_folds_are_not_put_into_a_model_which_would_be_taken_for_the_teacher(place: Path, teachers: Path) -> None:
    with pytest.raises(InvalidInput, match=r"fold-0 holds a model: give another --out"):
        train_folds(tiny_config(place / "encoder"), 2, out=teachers / "fold-0", data_dir=place / "data")
    assert not (teachers / "fold-0" / "fold-0").exists()


def test_a_student_learns_from_its_teachers_what_nothing_is_labelled_for(
    place: Path, teachers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows = (json.loads(line) for line in (place / "data" / "themes.jsonl").read_text(encoding="utf-8").splitlines())
    write_rows(place / "data" / "tweets.jsonl", [{"text": row["text"]} for row in rows])
    changes = (f"distil.teachers=[{teachers}]", "distil.unlabelled=[tweets.jsonl]", "distil.temperature=2", "epochs=5")
    config = tiny_config(place / "encoder", *changes, tree={**TREE, "data": TREE["data"][:1]})
    lines: list[str] = []
    result = train(config, out=tmp_path / "student", data_dir=place / "data", device="cpu", report=lines.append)
    assert any(line.startswith("teachers label ") for line in lines)
    assert result.accuracy["sentiment"]["moods"].share > 0.9
    taught_by = [str(read_settings(folder).ref) for folder in sorted(teachers.iterdir())]
    assert result.settings.training["teachers"] == taught_by, "their versions: folders move"
    told = load_classifier(tmp_path / "student", device="cpu").classify(["firma crude plunges", "profit soars firmb"])
    assert [one.topic for one in told] == ["Energy | Oil", "Earnings"]


def test_unlabelled_texts_without_teachers_are_refused(place: Path, tmp_path: Path) -> None:
    write_rows(place / "data" / "more.jsonl", [{"text": "crude soars over new highs"}])
    config = tiny_config(place / "encoder", "distil.unlabelled=[more.jsonl]")
    with pytest.raises(InvalidInput, match=r"need distil\.teachers"):
        train(config, out=tmp_path / "student", data_dir=place / "data", device="cpu", report=_silent)


def _silent(_line: str) -> None:
    pass
