"""What teachers say of texts, and what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_models import TREE, tiny_config, tiny_encoder

from domain.errors import InvalidInput, PermanentError
from models import load_classifier
from models.folder import Kind, ModelSettings, read_settings, seal, write_settings
from models.load import CHOICES, SHIPPED
from models.network import from_encoder, save_network
from models.normalise import VERSION
from models.seen import write_seen
from models.training import teacher as module
from models.training.examples import Corpus, Example
from models.training.policies import Task
from models.training.soft_labels import Ensemble, ask, soft_labels, teacher_folders
from models.training.teacher import Teacher

MOODS = ("negative", "neutral", "positive")
TASKS = {"sentiment": Task(labels=MOODS), "names": Task(labels=("bad", "good"), kind=Kind.ENTITY)}
STORY = [f"firma beats on profit and revenue in a strong quarter number {number}" for number in range(4)]
TEXTS = [*STORY, "crude plunges", "inflation holds while payrolls meets", "firmb fraud"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("teachers") / "encoder")


def _model(folder: Path, encoder: Path, seed: int, tasks: Mapping[str, Task] = TASKS, **settings: Any) -> Path:
    """A sealed model folder with random weights."""
    torch.manual_seed(seed)
    labels = {task: policy.labels for task, policy in tasks.items()}
    kinds = {task: policy.kind for task, policy in tasks.items()}
    network = from_encoder(encoder, labels, kinds=kinds)
    for weight in network.heads.parameters():
        torch.nn.init.normal_(weight)
    folder.mkdir(parents=True)
    save_network(network, folder)
    shutil.copy(encoder / "tokenizer.json", folder)
    write_settings(
        folder,
        replace(
            ModelSettings(
                name=folder.name, tasks=labels, kinds=kinds, languages=("en",), normaliser=VERSION, window_tokens=24
            ),
            **settings,
        ),
    )
    seal(folder)
    return folder


def _asked(
    folders: list[Path], texts: Mapping[str, list[str]], cache: Path, tasks: Mapping[str, Task] = TASKS
) -> Ensemble:
    return ask([Teacher(folder, tasks, cache=cache) for folder in folders], texts, device="cpu", report=_silent)


def _silent(_line: str) -> None:
    pass


def test_a_teacher_says_what_it_would_serve(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0, temperatures={"sentiment": 2.5})
    said = _asked([folder], {text: [] for text in TEXTS}, tmp_path / "cache")
    served = load_classifier(folder, device="cpu").classify(TEXTS)
    for text, answer in zip(TEXTS, served, strict=True):
        assert said.get(text, "sentiment") == pytest.approx(
            [answer.tasks["sentiment"][mood] for mood in MOODS], abs=1e-5
        )


def test_labels_come_in_the_order_of_the_task_whatever_the_teachers(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    turned = {**TASKS, "sentiment": Task(labels=MOODS[::-1])}
    straight = _asked([folder], {"crude plunges": []}, tmp_path / "cache")
    other = _asked([folder], {"crude plunges": []}, tmp_path / "cache", turned)
    ours, theirs = straight.get("crude plunges", "sentiment"), other.get("crude plunges", "sentiment")
    assert ours is not None
    assert theirs == list(reversed(ours))


def test_names_are_answered_each_and_one_that_is_cut_off_is_not(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    text = "firma beats firmb " + "crude " * 30 + "firmc"
    said = _asked([folder], {text: ["firma", "firmb", "firmc"]}, tmp_path / "cache")
    one, other = said.get(text, "names", "firma"), said.get(text, "names", "firmb")
    assert one is not None
    assert other is not None
    assert one != other
    assert sum(one) == pytest.approx(1)
    assert said.get(text, "names", "firmc") is None
    assert said.get(text, "sentiment") is not None


def test_teachers_that_know_a_texts_story_are_silent_on_it_and_all_speak_of_new_texts(
    tmp_path: Path, encoder: Path
) -> None:
    folders = [_model(tmp_path / str(number), encoder, number) for number in range(3)]
    write_seen(folders[0], [STORY[0], "crude plunges"])
    write_seen(folders[1], ["crude plunges"])
    write_seen(folders[2], ["crude plunges", STORY[1]])
    texts: dict[str, list[str]] = {text: [] for text in TEXTS}
    ensemble = _asked(folders, texts, tmp_path / "cache")
    alone = [_asked([folder], texts, tmp_path / "cache") for folder in folders]

    def mean(text: str, *numbers: int) -> Any:
        return pytest.approx(np.mean([alone[number].get(text, "sentiment") for number in numbers], axis=0), abs=1e-6)

    for text in STORY:
        assert ensemble.get(text, "sentiment") == mean(text, 1)
    # All were trained on it: ordinary distillation.
    assert ensemble.get("crude plunges", "sentiment") == mean("crude plunges", 0, 1, 2)
    assert ensemble.get("firmb fraud", "sentiment") == mean("firmb fraud", 0, 1, 2)
    assert ensemble.get("never asked", "sentiment") is None


def test_where_each_knows_the_story_those_that_did_not_learn_the_text_itself_speak(
    tmp_path: Path, encoder: Path
) -> None:
    folders = [_model(tmp_path / str(number), encoder, number) for number in range(2)]
    write_seen(folders[0], [STORY[0]])
    write_seen(folders[1], [STORY[1]])
    ensemble = _asked(folders, {text: [] for text in STORY}, tmp_path / "cache")
    assert [ensemble.speakers[text] for text in STORY] == [(1,), (0,), (0, 1), (0, 1)]


def test_what_was_answered_is_not_asked_again_and_another_version_is(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    texts = {text: ["firma"] if "firma" in text else [] for text in TEXTS}
    first = _asked([folder], texts, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_network", _never)
        again = _asked([folder], texts, tmp_path / "cache")
        assert [again.get(text, "sentiment") for text in TEXTS] == [first.get(text, "sentiment") for text in TEXTS]
        assert again.get(STORY[0], "names", "firma") == first.get(STORY[0], "names", "firma")
        write_settings(folder, replace(read_settings(folder), temperatures={"sentiment": 2.0}))
        with pytest.raises(AssertionError, match="asked again"):
            _asked([folder], texts, tmp_path / "cache")


def test_asking_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    texts = {text: [] for text in TEXTS}
    monkeypatch.setattr(module, "CHUNK", 2)
    asked: list[int] = []
    real = module.tokenise

    def killed(*arguments: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(arguments[1]))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "tokenise", killed)
        with pytest.raises(KeyboardInterrupt):
            _asked([folder], texts, tmp_path / "cache")
    lines: list[str] = []
    teacher = Teacher(folder, TASKS, cache=tmp_path / "cache")
    teacher.ask(texts, device="cpu", report=lines.append)
    assert lines[0] == "one: 4 of 7 texts were answered before"
    assert lines[-1].startswith("one: 3/3 texts answered")
    fresh = _asked([folder], texts, tmp_path / "other")
    for text in TEXTS:
        assert teacher.says(text, "sentiment") == pytest.approx(fresh.get(text, "sentiment"), abs=1e-6)


def test_a_teacher_for_one_of_the_tasks_is_asked_for_that_one(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0, {"sentiment": TASKS["sentiment"]})
    said = _asked([folder], {"crude plunges": []}, tmp_path / "cache")
    assert said.get("crude plunges", "sentiment") is not None
    assert said.get("crude plunges", "names", "crude") is None


def test_a_teacher_with_other_labels_or_tasks_is_refused(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    with pytest.raises(InvalidInput, match=r"other labels of 'sentiment' \(single: negative, neutral, positive\)"):
        Teacher(folder, {"sentiment": Task(labels=("down", "up"))}, cache=tmp_path)
    with pytest.raises(InvalidInput, match="knows none of the tasks; it has sentiment, names"):
        Teacher(folder, {"topic": Task(labels=("a", "b"))}, cache=tmp_path)


def test_a_folder_whose_training_did_not_end_is_refused(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    write_settings(folder, replace(read_settings(folder), files={}))
    with pytest.raises(PermanentError, match="did not end"):
        Teacher(folder, TASKS, cache=tmp_path)


def test_a_damaged_file_of_answers_is_named(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    _asked([folder], {"crude plunges": []}, tmp_path / "cache")
    file = next((tmp_path / "cache").rglob("*.npz"))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(PermanentError, match=f"{file.name} is damaged"):
        Teacher(folder, TASKS, cache=tmp_path / "cache")


def test_a_folder_of_teachers_stands_for_all_of_them(tmp_path: Path, encoder: Path) -> None:
    folders = [_model(tmp_path / "all" / f"fold-{number}", encoder, number) for number in range(2)]
    single = _model(tmp_path / "single", encoder, 2)
    assert teacher_folders([str(tmp_path / "all"), str(single)]) == [*folders, single]
    with pytest.raises(InvalidInput, match="no model folder, nor one that holds such"):
        teacher_folders([str(tmp_path / "nothing")])


def test_a_model_that_ships_can_teach_by_its_name() -> None:
    assert teacher_folders(["fast"]) == [SHIPPED / CHOICES["fast"]]


def test_teachers_that_were_trained_on_what_is_held_out_are_named(tmp_path: Path, encoder: Path) -> None:
    folder = _model(tmp_path / "one", encoder, 0)
    write_seen(folder, ["crude plunges", "firmb fraud"])
    held_out, training = (
        tuple(Example(text=text, labels=()) for text in texts) for texts in (["crude plunges", "a"], ["firmb fraud"])
    )
    corpus = Corpus(training=training, held_out=held_out, out_of_fold=())
    config = tiny_config(
        encoder,
        f"distil.teachers=[{folder}]",
        tree={**TREE, "tasks": {"sentiment": TREE["tasks"]["sentiment"]}, "data": TREE["data"][:1]},
    )
    lines: list[str] = []
    soft_labels(config, corpus, device="cpu", cache=tmp_path / "cache", report=lines.append)
    assert lines[0] == "one was trained on 1 of 2 held-out texts: figures on them flatter"


def _never(*_arguments: Any) -> Any:
    raise AssertionError("asked again")
