"""`groundswell corrections` and `label-next` on a history, as people run them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from support.builders import at, make_batch, make_document, make_record, make_scored
from support.postgres_databases import history_at, rows
from support.servers import new_database
from support.tiny_models import TREE, tiny_model
from typer.testing import CliRunner

from domain.errors import InvalidInput, PermanentError
from service.cli import app
from store.postgres import migrate

pytestmark = pytest.mark.servers

Command = Callable[..., str]
TEXTS = {
    "ships": "Cargo ships wait for days outside the harbour of Northgate",
    "rates": "Central bank leaves rates alone and hints at a cut in spring",
    "wheat": "Wheat futures climb as drought spreads over the plains",
}


@pytest.fixture
def dsn(postgres_dsn: str) -> Iterator[str]:
    with new_database(postgres_dsn) as dsn:
        migrate.upgrade(dsn)
        scored = [
            make_scored(make_document(name, text=text, published_at=at(minute)), neutral=0.4 + minute / 10)
            for minute, (name, text) in enumerate(TEXTS.items())
        ]
        with history_at(dsn) as history:
            history.append([make_batch([make_record(one) for one in scored])])
        yield dsn


@pytest.fixture
def groundswell(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, env={"GROUNDSWELL_POSTGRES_DSN": dsn})
        if done.exception is not None:
            raise done.exception
        return done.output

    return call


def test_a_correction_is_made_seen_by_analysts_exported_and_withdrawn(groundswell: Command, dsn: str) -> None:
    assert groundswell("corrections", "add", "ships", "--label", "negative", "--by", "ann", "--note", "delays") == (
        "ships: sentiment is negative\n"
    )
    listed = groundswell("corrections", "list")
    assert "ships  sentiment is negative  (ann: delays)  Cargo ships wait" in listed
    assert listed.endswith("\n1 correction\n")
    assert rows(dsn, "SELECT id, label, corrected_label FROM sentiment ORDER BY published_at")[:2] == [
        ("ships", "neutral", "negative"),
        ("rates", "neutral", None),
    ]

    assert groundswell("corrections", "export", "--out", "new.jsonl") == "1 rows are in new.jsonl\n"
    (row,) = [json.loads(line) for line in Path("new.jsonl").read_text().splitlines()]
    assert (row["text"], row["label"], row["id"]) == (TEXTS["ships"], "negative", "ships")

    assert groundswell("corrections", "withdraw", "ships") == "ships: sentiment is what the model says\n"
    with pytest.raises(PermanentError, match="no correction of sentiment stands"):
        groundswell("corrections", "export", "--out", "new.jsonl")
    assert rows(dsn, "SELECT count(*) FROM correction") == [(2,)], "both stay on record"


def test_what_strangers_wrote_cannot_write_over_the_terminal(groundswell: Command, dsn: str) -> None:
    mean = make_scored(make_document("a\x1b[2J", text="b\x1b[2J"))
    with history_at(dsn) as history:
        history.append([make_batch([make_record(mean)], start=100)])
    groundswell("corrections", "add", "a\x1b[2J", "--label", "negative", "--note", "c\x1b[2J")

    (line,) = groundswell("corrections", "list").splitlines()[:-1]

    assert line.isprintable()
    assert all(rf"{one}\x1b[2J" in line for one in "abc")


def test_what_is_wrong_is_said_and_nothing_is_put_on_record(groundswell: Command, dsn: str) -> None:
    with pytest.raises(InvalidInput, match="sentiment has no label 'bad'"):
        groundswell("corrections", "add", "ships", "--label", "bad")
    with pytest.raises(InvalidInput, match="no document with the id 'boats'"):
        groundswell("corrections", "add", "boats", "--label", "negative")
    assert rows(dsn, "SELECT count(*) FROM correction") == [(0,)]


def test_what_label_studio_exports_becomes_corrections_and_is_not_asked_again(groundswell: Command) -> None:
    groundswell("label-next", "--limit", "2", "--out", "tasks.json")
    tasks = json.loads(Path("tasks.json").read_text())
    assert [task["data"]["id"] for task in tasks] == ["ships", "rates"]
    for task in tasks:
        choice = {**task["predictions"][0]["result"][0], "value": {"choices": ["positive"]}}
        task["annotations"] = [{"completed_by": 3, "was_cancelled": False, "result": [choice]}]
    Path("export.json").write_text(json.dumps(tasks))

    assert groundswell("corrections", "import", "export.json") == "2 corrections of 2 documents\n"
    assert "(label-studio:3)" in groundswell("corrections", "list", "--limit", "1")
    groundswell("label-next", "--out", "tasks.json")
    assert [task["data"]["id"] for task in json.loads(Path("tasks.json").read_text())] == ["wheat"]

    groundswell("label-next", "--until", "2014-01-06T14:00:30", "--task", "topic", "--out", "tasks.json")
    assert [task["data"]["id"] for task in json.loads(Path("tasks.json").read_text())] == ["ships"]


def test_what_was_corrected_is_learnt_and_the_better_model_is_in_force(groundswell: Command, tmp_path: Path) -> None:
    tiny_model(tmp_path, "epochs=1", "optimiser.learning_rate=1e-6")
    groundswell("models", "register", "model")
    groundswell("models", "promote", "tiny")
    groundswell("corrections", "add", "ships", "--label", "negative")
    Path("train.yml").write_text(yaml.safe_dump({**TREE, "encoder": str(tmp_path / "encoder")}))
    arguments = ("train", "--config", "train.yml", "--data-dir", "data", "--device", "cpu", "--with-corrections")

    said = groundswell(*arguments, "--out", "challenger")
    with pytest.raises(InvalidInput, match="has learnt all that stands corrected"):
        groundswell(*arguments, "--out", "again")

    assert "1 of 1 corrections are learnt" in said
    assert "is in force, in place of tiny@" in said.splitlines()[-1]
    assert f"{tmp_path / 'challenger'}" in groundswell("models", "list")
    assert "learnt corrections (sentiment)" in groundswell("models", "list").splitlines()[0]
