"""Searching for better options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from support.tiny_models import TREE, tiny_data, tiny_encoder

from domain.errors import InvalidInput, PermanentError
from models.training import search as module
from models.training.configure import read_config
from models.training.run import TrainingResult, train
from models.training.search import search, table
from models.training.trainer import Diverged

SPACE = {
    "optimiser.learning_rate": {"low": "1e-6", "high": "5e-3", "log": True},
    "epochs": {"low": 1, "high": 3},
    "pooling": ["mean", "cls"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("search")
    tiny_encoder(place / "encoder")
    tiny_data(place / "data", rows=60)
    return place


def _tree(place: Path, **more: Any) -> dict[str, Any]:
    return {**TREE, "encoder": str(place / "encoder"), "epochs": 3, "search": {"space": SPACE}, **more}


def _search(place: Path, trials: int, out: Path, lines: list[str] | None = None, **more: Any) -> list[module.Trial]:
    report = (lambda _line: None) if lines is None else lines.append
    return search(_tree(place, **more), trials, out=out, data_dir=place / "data", device="cpu", report=report)


def test_the_configuration_is_tried_first_and_the_best_is_written_as_one_that_can_be_trained(
    place: Path, tmp_path: Path
) -> None:
    found = _search(place, 3, tmp_path)
    first = next(trial for trial in found if trial.number == 0)
    assert first.values == {"optimiser.learning_rate": 5e-3, "epochs": 3, "pooling": "mean"}
    scores = [trial.score for trial in found if trial.score is not None]
    assert scores == sorted(scores, reverse=True)
    best = read_config(tmp_path / "best.yml")
    assert best.optimiser.learning_rate == found[0].values["optimiser.learning_rate"]
    assert (best.epochs, best.pooling) == (found[0].values["epochs"], found[0].values["pooling"])
    assert "search" not in yaml.safe_load((tmp_path / "best.yml").read_text(encoding="utf-8"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.yml", "search.db"]
    assert table(found)[0].split() == ["trial", "score", "optimiser.learning_rate", "epochs", "pooling"]
    assert len(table(found)) == 4


def test_a_search_that_was_killed_goes_on_within_its_trial_to_the_same_end(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = _search(place, 2, tmp_path / "straight")
    calls = 0

    def killed(*arguments: Any, watch: Any, **options: Any) -> TrainingResult:
        nonlocal calls
        calls += 1

        def dying(epoch: int, score: float) -> None:
            watch(epoch, score)
            if epoch == 2:
                raise KeyboardInterrupt

        return train(*arguments, watch=dying if calls == 1 else watch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            _search(place, 2, tmp_path / "killed")
    lines: list[str] = []
    resumed = _search(place, 2, tmp_path / "killed", lines)
    assert any(line.startswith("going on after step") for line in lines)
    assert [(one.values, one.score) for one in resumed] == [(one.values, one.score) for one in straight]
    assert _reached(tmp_path / "killed") == _reached(tmp_path / "straight")
    assert len(_reached(tmp_path / "straight")[0]) == 3


def _reached(out: Path) -> list[dict[int, float]]:
    """What the epochs of each finished trial reached: what later ones are held against."""
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{out / 'search.db'}")
    return [trial.intermediate_values for trial in study.trials if trial.state is TrialState.COMPLETE]


def test_a_search_that_was_killed_before_its_first_trial_drew_a_value_tries_the_configuration_first_all_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_arguments: Any) -> Any:
        raise KeyboardInterrupt

    def trained(*_arguments: Any, out: Path, **_options: Any) -> TrainingResult:
        return TrainingResult(folder=out, settings=None, score=0.5, accuracy={})  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "_draw", killed)
        with pytest.raises(KeyboardInterrupt):
            _search(place, 1, tmp_path)
    monkeypatch.setattr(module, "train", trained)
    (trial,) = _search(place, 1, tmp_path)
    assert trial.values == {"optimiser.learning_rate": 5e-3, "epochs": 3, "pooling": "mean"}


def test_where_every_trial_diverges_nothing_is_called_the_best(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*_arguments: Any, **_options: Any) -> Any:
        raise Diverged("the loss is no number any more")

    monkeypatch.setattr(module, "train", diverging)
    with pytest.raises(PermanentError, match="not one of 2 trials came to its end"):
        _search(place, 2, tmp_path)
    assert not (tmp_path / "best.yml").exists()


def test_a_poor_trial_is_ended_early_and_so_is_one_that_diverges(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def judged(*_arguments: Any, watch: Any, out: Path, **_options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Diverged("the loss is no number any more")
        for epoch in (1, 2):
            watch(epoch, 0.1 if calls == 4 else 0.8 + calls / 100)
        return TrainingResult(folder=out, settings=None, score=0.8 + calls / 100, accuracy={})  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", judged)
    found = _search(place, 6, tmp_path)
    assert [trial.score and round(trial.score, 2) for trial in found] == [0.86, 0.83, 0.82, 0.81, None, None]
    assert sum("ended early" in line for line in table(found)) == 2


def test_a_value_that_yaml_takes_for_a_text_is_the_configurations_own_all_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_arguments: Any, out: Path, **_options: Any) -> TrainingResult:
        return TrainingResult(folder=out, settings=None, score=0.5, accuracy={})  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", trained)
    own = {"optimiser": {"learning_rate": "3e-5"}, "search": {"space": {"optimiser.learning_rate": ["1e-5", "3e-5"]}}}
    (trial,) = _search(place, 1, tmp_path, **own)
    assert trial.values == {"optimiser.learning_rate": 3e-5}


def test_what_the_configuration_does_not_say_itself_is_drawn_in_the_first_trial_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_arguments: Any, out: Path, **_options: Any) -> TrainingResult:
        return TrainingResult(folder=out, settings=None, score=0.5, accuracy={})  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", trained)
    unsaid = {"tasks.sentiment.loss.class_weights.negative": [1.0, 2.0], "data.0.map.positive": ["neutral", "negative"]}
    (trial,) = _search(place, 1, tmp_path, search={"space": {"epochs": [2, 3], **unsaid}})
    assert trial.values["epochs"] == 3
    assert all(trial.values[key] in values for key, values in unsaid.items())


def test_more_trials_are_added_to_a_search_and_another_configuration_is_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_arguments: Any, out: Path, **_options: Any) -> TrainingResult:
        return TrainingResult(folder=out, settings=None, score=0.5, accuracy={})  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", trained)
    assert len(_search(place, 2, tmp_path)) == 2
    assert len(_search(place, 5, tmp_path)) == 5
    with pytest.raises(InvalidInput, match="another configuration"):
        _search(place, 6, tmp_path, batch_size=8)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"search": {"space": {"optimiser.rate": [1, 2]}}}, "optimiser: there is no option 'rate'"),
        ({"search": {"space": {"optimiser.layer_decay": {"low": 0.5, "high": 1.5}}}}, "layer_decay must be"),
        ({"search": {"space": {"epochs": {"low": 3, "high": 2}}}}, "low must be less than high"),
        ({"search": {}}, r"search\.space names no option"),
        ({"held_out": {"share": 0}}, r"held_out\.share"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_before_anything_is_trained(
    place: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _search(place, 2, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()
