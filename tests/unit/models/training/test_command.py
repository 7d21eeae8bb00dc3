"""The options of `groundswell train`, on files in miniature."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tiny_models import TREE, tiny_data, tiny_encoder, write_rows
from typer.testing import CliRunner

from domain.errors import InvalidInput
from models.folder import read_settings
from models.seen import read_seen
from models.training import __main__ as program
from models.training.command import Request, execute, out_of
from service.cli import app


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("command")
    tree = {**TREE, "epochs": 1, "encoder": str(tiny_encoder(place / "encoder"))}
    tree["search"] = {"space": {"batch_size": [16, 32]}}
    tiny_data(place, rows=80)
    write_rows(place / "tweets.jsonl", [{"text": f"firm{letter} holds crude {letter * 4}"} for letter in "abcdef"])
    (place / "train.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return place


def _lines(place: Path, **options: Any) -> list[str]:
    lines: list[str] = []
    execute(Request(config=str(place / "train.yml"), device="cpu", **options), lines.append)
    return lines


def test_teachers_are_trained_audited_with_and_learnt_from(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    teachers = tmp_path / "teachers"
    assert _lines(place, folds=2, out=teachers)[-1].endswith(f"groundswell train --distil-from {teachers}")
    audited = _lines(place, audit=tmp_path / "doubts.jsonl", distil_from=[teachers])
    doubts = [json.loads(line) for line in (tmp_path / "doubts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert audited[-1] == f"{len(doubts)} doubtful labels are in {tmp_path / 'doubts.jsonl'}"
    lines = _lines(place, out=tmp_path / "student", distil_from=[teachers], unlabelled=[place / "tweets.jsonl"])
    assert lines[-1].endswith(f"is in {tmp_path / 'student'}")
    config = read_settings(tmp_path / "student").training["config"]
    assert config["distil"]["teachers"] == [str(teachers)]
    assert (
        len(read_seen(tmp_path / "student")) == len(read_seen(teachers / "fold-0") | read_seen(teachers / "fold-1")) + 6
    )


def test_a_search_prints_its_table_and_where_the_best_is(place: Path, tmp_path: Path) -> None:
    lines = _lines(place, search=2, out=tmp_path)
    assert lines[-1] == f"the best is in {tmp_path / 'best.yml'}"
    assert lines[-4].split() == ["trial", "score", "batch_size"]


def test_the_folder_where_the_command_is_called_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert out_of(Request(config="train.yml", out=Path())) == tmp_path


def test_options_that_exclude_each_other_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--folds and --dry-run exclude each other"):
        _lines(place, folds=2, dry_run=True)


def test_a_search_is_not_started_over_by_an_option_that_it_does_not_read(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--search goes on by itself.*search\.db"):
        _lines(place, search=2, out=tmp_path, resume=False)


def test_both_programs_take_the_same_options(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--config", str(place / "train.yml"), "--dry-run", "--set", "epochs=2", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["models.training", *arguments])
    program.main()
    printed = capsys.readouterr().out
    assert "2 epochs" in printed
    arguments.append("--fresh")
    monkeypatch.setattr(sys, "argv", ["models.training", *arguments])
    program.main()
    assert capsys.readouterr().out == printed
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 0, result.output
    assert result.output == printed
