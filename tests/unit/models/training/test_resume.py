"""Runs that are killed, and what is there already when a run begins."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tiny_models import (
    TREE,
    same_weights,
    stop_at,
    tiny_model,
)

from domain.errors import InvalidInput, PermanentError
from models.folder import read_settings
from models.lock import alone
from models.training import run

SHORT = ("epochs=2", "log_steps=10")


KILLED = ("epochs=3", "log_steps=1", "checkpoint_steps=7", "averaging={ema: 0.9, last: 2}", "keep_best=true")


def test_a_run_that_is_killed_goes_on_with_the_same_command_to_the_same_weights(start: Path) -> None:
    changes = (*KILLED, f"encoder={start / 'encoder'}")
    (start / "train.yml").write_text(yaml.safe_dump(TREE))
    (start / "straight").mkdir()
    for part in ("encoder", "data"):
        (start / "straight" / part).symlink_to(start / part)
    tiny_model(start / "straight", *changes)

    out = start / "model"
    command = [
        sys.executable,
        "-m",
        "models.training",
    ]
    command += ["--config", str(start / "train.yml"), "--data-dir", str(start / "data"), "--out", str(out)]
    command += ["--device", "cpu", *(word for change in changes for word in ("--set", change))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        # In the middle of the second epoch, some steps after its checkpoint.
        if " step 37/75 " in line:
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert not out.exists()
    assert len(list(out.with_name("model.training").glob("checkpoint-*/whole.json"))) >= 1

    lines: list[str] = []
    tiny_model(start, *changes, report=lines.append)
    assert any(line.startswith("going on after step 3") for line in lines), lines
    assert same_weights(out, start / "straight" / "model")
    straight, resumed = (read_settings(folder).training for folder in (start / "straight" / "model", out))
    assert straight["epochs"] == resumed["epochs"]


def test_a_second_run_to_the_same_place_is_refused(start: Path) -> None:
    with alone(start / "model"), pytest.raises(PermanentError, match=r"another process is making .*model"):
        tiny_model(start, *SHORT)


def test_a_broken_off_checkpoint_is_passed_over(start: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_model(start, *SHORT, report=stop_at("epoch 1.60"))
    (whole,) = start.glob("model.training/checkpoint-*")
    shutil.copytree(whole, whole.with_name("checkpoint-99"))
    (whole.with_name("checkpoint-99") / "whole.json").unlink()
    lines: list[str] = []
    tiny_model(start, *SHORT, report=lines.append)
    assert "going on after step 25/50" in lines


@pytest.mark.parametrize("change", ["max_steps=30", "early_stopping=1"])
def test_a_run_that_is_killed_once_all_is_learnt_takes_no_further_step(
    start: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    changes = ("epochs=20", "log_steps=1", change)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny_model(start, *changes)
    lines: list[str] = []
    resumed = tiny_model(start, *changes, report=lines.append)
    assert not any(" loss " in line for line in lines)
    shutil.move(resumed.folder, start / "resumed")
    straight = tiny_model(start, *changes)
    assert same_weights(start / "resumed", straight.folder)
    one, other = dict(resumed.settings.training), dict(straight.settings.training)
    assert one.pop("seconds") >= 0 <= other.pop("seconds")
    assert one == other


def test_checkpoints_of_another_run_are_refused_unless_it_starts_over(start: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_model(start, *SHORT, report=stop_at("epoch 1.60"))
    with pytest.raises(InvalidInput, match=r"another configuration.*--fresh"):
        tiny_model(start, *SHORT, "seed=1")
    tiny_model(start, *SHORT, "seed=1", resume=False)
    assert read_settings(start / "model").training["config"]["seed"] == 1


def test_a_model_that_is_there_is_replaced_only_when_asked(start: Path) -> None:
    tiny_model(start, "epochs=1")
    with pytest.raises(InvalidInput, match=r"holds a model already.*--fresh"):
        tiny_model(start, "epochs=1")
    tiny_model(start, "epochs=1", resume=False)
    (start / "model" / "groundswell.json").unlink()
    with pytest.raises(InvalidInput, match="no model folder"):
        tiny_model(start, "epochs=1", resume=False)


def test_a_run_that_replaces_a_model_and_is_killed_goes_on_with_or_without_saying_so_again(start: Path) -> None:
    tiny_model(start, "epochs=1")
    with pytest.raises(KeyboardInterrupt):
        tiny_model(start, *SHORT, resume=False, report=stop_at("epoch 1.60"))
    assert read_settings(start / "model").training["config"]["epochs"] == 1
    lines: list[str] = []
    tiny_model(start, *SHORT, report=lines.append)
    assert "going on after step 25/50" in lines
    assert read_settings(start / "model").training["config"]["epochs"] == 2


def test_resuming_without_anything_to_resume_is_refused(start: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to resume"):
        tiny_model(start, "epochs=1", resume=True)


@pytest.mark.parametrize(
    "change",
    [
        "method.frozen=[word_embeddings]",
        "method.name=head",
        "method.name=lora",
        "method.name=ia3",
        "method={name: prefix, prefix_tokens: 2}",
    ],
)
def test_a_run_that_leaves_weights_as_they_are_goes_on_to_the_same_weights(start: Path, change: str) -> None:
    straight = shutil.move(tiny_model(start, *SHORT, change).folder, start / "straight")
    with pytest.raises(KeyboardInterrupt):
        tiny_model(start, *SHORT, change, report=stop_at("epoch 1.60"))
    lines: list[str] = []
    resumed = tiny_model(start, *SHORT, change, report=lines.append)
    assert "going on after step 25/50" in lines
    assert same_weights(resumed.folder, straight)
