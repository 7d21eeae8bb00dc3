"""Making the OpenVINO file of a model folder."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.tiny_networks import tiny_network

from domain.errors import InvalidInput, PermanentError
from models.batches import Batch
from models.export import export, main
from models.folder import OPENVINO_FILES, read_settings
from models.load import load_classifier
from models.openvino_backend import OpenVinoBackend, import_openvino

TEXTS = ["firma soars", "crude plunges after fraud"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "model")


def test_an_export_that_breaks_off_leaves_the_file_that_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_classifier(folder, device="cpu").classify(TEXTS)

    def full(model: Any, path: str, **_: Any) -> None:
        Path(path).write_text("<half")
        raise RuntimeError("write failed")

    monkeypatch.setattr(import_openvino(), "save_model", full)
    with pytest.raises(PermanentError, match="cannot write"):
        export(folder, [], int8=False)
    assert load_classifier(folder, device="cpu").classify(TEXTS) == before


def test_a_process_that_serves_the_file_keeps_what_it_has_while_it_is_replaced(folder: Path) -> None:
    served = load_classifier(folder, device="cpu")
    before = served.classify(TEXTS)
    files = [(folder / name).stat().st_ino for name in OPENVINO_FILES]
    export(folder, TEXTS)
    assert sys.modules["openvino_telemetry"] is None, "it forks this process to report over the network"
    assert not {(folder / name).stat().st_ino for name in OPENVINO_FILES} & set(files), "others, not written over"
    assert served.classify(TEXTS) == before
    assert sorted(path.name for path in (folder / "openvino").iterdir()) == ["model.bin", "model.xml"]


def test_int8_without_a_text_to_be_calibrated_on_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="there is none"):
        export(folder, [])


def test_the_command_says_what_is_wrong_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(folder), "--fp32"])
    assert capsys.readouterr().out == f"{read_settings(folder).ref}\n"
    for arguments in ([str(tmp_path / "nowhere")], [str(folder), "--calibration", str(tmp_path / "nowhere.txt")]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 1
        assert "nowhere" in capsys.readouterr().err


def test_of_backends_that_are_made_at_once_one_runs_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = threading.Lock()
    infer = OpenVinoBackend._infer

    def watched(self: OpenVinoBackend, batch: Batch) -> Any:
        assert alone.acquire(blocking=False), "two are at it"
        time.sleep(0.1)
        alone.release()
        return infer(self, batch)

    monkeypatch.setattr(OpenVinoBackend, "_infer", watched)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: OpenVinoBackend(folder, streams=1), range(4)))
    assert len(made) == 4
