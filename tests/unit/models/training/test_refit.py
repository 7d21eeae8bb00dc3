"""A model that is measured, then trained again on what it held out too."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.tiny_models import tiny_model

from domain.errors import InvalidInput
from models.evaluation.opened import open_model, questions_held_out
from models.folder import ENCODER_FILE, read_settings, write_settings
from models.refit import KEY
from models.seen import read_seen
from models.training.command import Request, config_of, execute
from models.training.configure import read_config


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, and `all`, the same trained on everything."""
    place = tmp_path_factory.mktemp("refit")
    tiny_model(place, "epochs=2")
    execute(_request(place, out=place / "all"), [].append)
    return place


def _request(place: Path, model: str = "model", **options: Any) -> Request:
    return Request(config=str(place / model), refit=True, data_dir=place / "data", device="cpu", **options)


def test_it_learns_all_texts_by_the_same_configuration_and_says_of_whom_its_figures_are(place: Path) -> None:
    sister, refitted = (read_settings(place / name) for name in ("model", "all"))
    counts = sister.training["texts"]
    assert refitted.training["texts"] == {"training": counts["training"] + counts["held_out"], "held_out": 0}
    assert len(read_seen(place / "all")) == refitted.training["texts"]["training"]
    same = {**sister.training["config"], "held_out": None, "refit_of": None}
    assert {**refitted.training["config"], "held_out": None, "refit_of": None} == same
    assert refitted.training[KEY] == {
        "model": str(sister.ref), "weights": sister.files[ENCODER_FILE], "texts": counts
    }  # fmt: skip
    assert refitted.files[ENCODER_FILE] != sister.files[ENCODER_FILE]


def test_a_model_folder_is_a_configuration_of_its_own(place: Path) -> None:
    kept = read_config(place / "model", ["epochs=7"])
    assert (kept.epochs, kept.held_out.share, kept.refit_of) == (7, 0.2, None)


def test_the_name_of_a_recipe_is_the_recipe_where_a_folder_of_that_name_stands(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training by it leaves such a folder: the same command must go on meaning the same."""
    shutil.copytree(place / "model", tmp_path / "groundswell-minilm")
    monkeypatch.chdir(tmp_path)
    assert read_config("groundswell-minilm").name == "groundswell-minilm"
    assert read_config("./groundswell-minilm").name == "tiny"
    assert config_of(Request(config="groundswell-minilm", refit=True)).name == "tiny"


@pytest.mark.parametrize(
    ("option", "change"),
    [
        ("epochs", "epochs=7"),
        ("optimiser", "optimiser.learning_rate=1"),
        ("distil", "distil.weight=0.1"),
        ("data", "data.0.weight=2"),
        ("encoder", "encoder=minilm"),
    ],
)
def test_what_would_give_another_model_than_the_one_measured_is_refused(place: Path, option: str, change: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{option}: --refit trains .* as it was trained"):
        config_of(_request(place, changes=[change]))


def test_its_name_its_teachers_and_how_it_is_watched_may_differ(place: Path) -> None:
    changes = ["name=other", "log_steps=7", "checkpoint_steps=9"]
    config = config_of(_request(place, changes=changes, distil_from=[Path("teacher")]))
    assert (config.name, config.log_steps, config.checkpoint_steps) == ("other", 7, 9)
    assert (config.distil.teachers, config.held_out.share) == (("teacher",), 0)


def test_it_can_not_be_measured_on_what_it_has_learnt(place: Path) -> None:
    model = open_model(str(place / "all"), device="cpu")
    with pytest.raises(InvalidInput, match=r"all has learnt everything: what its folder keeps was found of tiny@"):
        questions_held_out(model, place / "data", ["topic"])
    asked = questions_held_out(model, place / "data", ["topic"], config=str(place / "model"))["topic"]
    said = model.knows(asked)
    assert said is not None
    assert said.endswith(f"was trained on {len(asked):,} of {len(asked):,} held-out texts: figures on them flatter")
    assert open_model(str(place / "model"), device="cpu").knows(asked) is None


def test_what_can_not_be_refitted_is_refused_with_the_reason(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="held nothing out"):
        config_of(_request(place, "all"))
    with pytest.raises(InvalidInput, match=r"--config must be its folder, not .*groundswell-minilm"):
        config_of(Request(config="groundswell-minilm", refit=True))
    with pytest.raises(InvalidInput, match=r"refit_of: nothing may be held out"):
        read_config(place / "model", ["refit_of=model"])
    smaller = shutil.copytree(place / "model", tmp_path / "smaller")
    settings = read_settings(smaller)
    write_settings(smaller, replace(settings, training={"config": settings.training["config"]}))
    with pytest.raises(InvalidInput, match="is not what a training run gave"):
        execute(replace(_request(place, out=tmp_path / "out"), config=str(smaller)), [].append)
    tiny_model(tmp_path, "epochs=1", "keep_best=true")
    with pytest.raises(InvalidInput, match=r"chosen, by what it held out .* with the number of epochs"):
        config_of(_request(tmp_path))
