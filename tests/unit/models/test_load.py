"""Loading a model folder: what goes wrong is said with its fix."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PermanentError
from models import load_classifier
from models.folder import ModelSettings, read_settings, seal, verify, write_settings
from models.load import CHOICES, DEFAULT_MODEL, SHIPPED, find_folder

SERVE = """
import sys
for absent in ("torch", "transformers", "safetensors", "nncf", "sklearn"):
    sys.modules[absent] = None
import socket
def refuse(*arguments):
    raise AssertionError("the classifier reached for the network")
socket.socket.connect = socket.getaddrinfo = refuse
import models
assert not {"numpy", "openvino", "tokenizers"} & set(sys.modules), "importing models is not light"
classifier = models.load_classifier(device="cpu")
answer = classifier.classify(["Lender plunges after fraud probe"])[0]
assert answer.sentiment.label == "negative", answer
assert not {"faust", "sqlalchemy", "fastapi", "httpx"} & set(sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped model's small files; its weights are links."""
    copy = tmp_path / "model"
    shutil.copytree(SHIPPED / DEFAULT_MODEL, copy, copy_function=lambda source, to: Path(to).symlink_to(source))
    (copy / "groundswell.json").unlink()
    shutil.copyfile(SHIPPED / DEFAULT_MODEL / "groundswell.json", copy / "groundswell.json")
    return copy


def test_a_plain_install_serves_without_torch_and_without_the_network() -> None:
    subprocess.run([sys.executable, "-c", SERVE], check=True, cwd=Path(__file__).parents[3], timeout=120)


def test_the_default_is_the_shipped_model_and_it_is_found_by_name_and_by_path() -> None:
    refs = {load_classifier(ref, device="cpu").model for ref in (None, DEFAULT_MODEL, SHIPPED / DEFAULT_MODEL)}
    assert [ref.name for ref in refs] == [DEFAULT_MODEL]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_a_model_that_ships(choice: str) -> None:
    assert find_folder(choice) == SHIPPED / CHOICES[choice]
    assert read_settings(find_folder(choice)).name == CHOICES[choice]


def test_a_folder_that_is_not_there_is_named_with_what_there_is() -> None:
    with pytest.raises(PermanentError, match=rf"no model 'nowhere'.*fast, accurate, .*{DEFAULT_MODEL}"):
        load_classifier("nowhere")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "openvino" / "model.bin").unlink()
    with pytest.raises(PermanentError, match=r"cannot read .*model\.bin.*restore"):
        load_classifier(folder, device="cpu")


@pytest.mark.parametrize("name", ["tokenizer.json", "openvino/model.xml", "openvino/model.bin"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PermanentError, match=rf"{name}.*damaged.*restore"):
        load_classifier(folder, device="cpu")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tasks": 1}', "\x00"])
def test_damaged_settings_are_named(folder: Path, text: str) -> None:
    (folder / "groundswell.json").write_text(text)
    with pytest.raises(PermanentError, match=r"groundswell\.json is damaged"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": None}, "files must be an object"),
        ({"training": []}, "training must be an object"),
        ({"tasks": {"topic": ["Macro", " "]}}, "a label of task 'topic' is empty"),
        ({"temperatures": {"topic": 0}}, "temperature of 'topic' must be above 0"),
        ({"temperatures": {"topic": "warm"}}, "damaged"),
        ({"tasks": {"sentiment": ["good", "bad", "good"]}}, "task 'sentiment' must have labels, each once"),
        ({"tasks": {"sentiment": []}}, "task 'sentiment' must have labels, each once"),
        ({"window_tokens": 0}, "window_tokens must be at least 1"),
        ({"window_tokens": 2}, "windows of 2 tokens have no room for a text beside 2 special ones"),
    ],
)
def test_settings_that_no_text_could_be_scored_with_are_named_when_they_are_loaded(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    raw = json.loads((folder / "groundswell.json").read_text())
    (folder / "groundswell.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(PermanentError, match=message):
        load_classifier(folder, device="cpu")


def test_settings_that_can_not_be_written_leave_the_ones_that_are_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_settings(folder)
    write = Path.write_text

    def full(path: Path, text: str, **options: Any) -> None:
        write(path, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        seal(folder, note="of no use")
    assert read_settings(folder) == before


def test_a_model_made_for_another_normaliser_is_refused(folder: Path) -> None:
    raw = json.loads((folder / "groundswell.json").read_text())
    (folder / "groundswell.json").write_text(json.dumps({**raw, "normaliser": "0"}))
    with pytest.raises(PermanentError, match="normaliser 0"):
        load_classifier(folder)


def test_a_device_that_is_unknown_or_absent_is_refused(folder: Path) -> None:
    with pytest.raises(PermanentError, match="auto, cpu, cuda"):
        load_classifier(folder, device="gpu")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(PermanentError, match="sees no GPU"):
            load_classifier(folder, device="cuda")


def test_the_version_follows_from_what_shapes_a_score_and_from_nothing_else(tmp_path: Path) -> None:
    settings = ModelSettings(name="a", tasks={"t": ("x", "y")}, languages=("en",), normaliser="1", window_tokens=128)
    (tmp_path / "tokenizer.json").write_text("{}")
    write_settings(tmp_path, settings)
    sealed = seal(tmp_path)
    assert sealed == read_settings(tmp_path)
    assert seal(tmp_path, figures={"accuracy": 1.0}).ref == sealed.ref
    verify(tmp_path, sealed, ["tokenizer.json"])
    (tmp_path / "tokenizer.json").write_text("{ }")
    assert seal(tmp_path).ref != sealed.ref
    with pytest.raises(PermanentError, match="damaged"):
        verify(tmp_path, sealed, ["tokenizer.json"])
