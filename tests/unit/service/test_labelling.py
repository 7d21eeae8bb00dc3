"""What label-next asks about, from the history and from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.builders import at, make_document, make_scored
from support.classifiers import HashClassifier
from support.fake_corrections import FakeCorrections
from support.fake_store import FakeDocuments, FakeHistoryReader
from typer.testing import CliRunner

from domain.classification import Unscored
from domain.correction import Correction
from domain.errors import InvalidInput
from models.labelling import Measure
from service import wiring
from service.cli import app
from service.labelling import LabellingPolicy, from_file, from_history, questions
from service.settings import Settings

TEXTS = {
    "ships": "Cargo ships wait for days outside the harbour of Northgate",
    "ships again": "Cargo ships wait for days outside the harbour of Northgate, officials say",
    "rates": "Central bank leaves rates alone and hints at a cut in spring",
    "wheat": "Wheat futures climb as drought spreads over the plains",
}
SURE = {"ships": 0.4, "ships again": 0.45, "rates": 0.6, "wheat": 0.99}
SENTIMENT = LabellingPolicy(tasks=["sentiment"])


@pytest.fixture
def documents() -> FakeDocuments:
    found = FakeDocuments()
    for minute, (name, text) in enumerate(TEXTS.items()):
        document = make_document(name, text=text, published_at=at(minute), symbols=["NGB"])
        found.add(make_scored(document, neutral=SURE[name]))
    found.add(make_scored(make_document("no score", published_at=at(9)), unscored=Unscored.LANGUAGE))
    return found


def asked(documents: FakeDocuments, *corrected: str, most: int = 100, limit: int = 100) -> list[str | None]:
    corrections = FakeCorrections(documents)
    corrections.add([Correction(document_id=one, task="sentiment", label="neutral", by="ann") for one in corrected])
    found = from_history(
        FakeHistoryReader(documents), corrections, start=None, end=None, tasks=["sentiment"], most=most
    )
    return [one.id for one in questions(found, LabellingPolicy(tasks=["sentiment"], limit=limit))]


def test_documents_are_asked_about_the_least_sure_first_and_each_story_once(documents: FakeDocuments) -> None:
    assert asked(documents) == ["ships", "rates", "wheat"]
    assert asked(documents, limit=1) == ["ships"]
    assert asked(documents, most=2) == ["rates", "wheat"], "the newest ones with a score"


def test_what_was_corrected_is_not_asked_about_nor_what_repeats_it(documents: FakeDocuments) -> None:
    assert asked(documents, "ships again") == ["rates", "wheat"]


def test_a_question_tells_people_what_the_document_is(documents: FakeDocuments) -> None:
    found = from_history(
        FakeHistoryReader(documents),
        FakeCorrections(documents),
        start=at(2),
        end=at(3),
        tasks=["sentiment"],
        most=10,
    )
    (question,) = questions(found, SENTIMENT)
    assert question.text == TEXTS["rates"]
    assert question.meta["subjects"] == ["topic:Earnings", "entity:NGB"]
    assert question.meta["source"] == "Example Wire"
    assert question.model == "test-model@1"


def test_a_task_that_the_model_does_not_have_is_named(documents: FakeDocuments) -> None:
    found = from_history(
        FakeHistoryReader(documents), FakeCorrections(documents), start=None, end=None, tasks=["mood"], most=10
    )
    with pytest.raises(InvalidInput, match="has no task 'mood' that texts have a label of; it has sentiment, topic"):
        questions(found, LabellingPolicy(tasks=["mood"], measure=Measure.MARGIN))


def test_texts_of_a_file_are_scored_once_each(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in [*TEXTS.values()] * 2))
    progress: list[tuple[int, int]] = []

    found = from_file(
        path, HashClassifier(), text_column="body", most=3, progress=lambda *counts: progress.append(counts)
    )

    assert [one.text for one in found] == list(TEXTS.values())[:3]
    assert progress == [(3, 3)]
    assert all(one.id is None for one in questions(found, SENTIMENT))


def test_the_command_writes_tasks_and_reads_labels_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "classifier", lambda settings, ref: HashClassifier())
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text("text\n" + "\n".join(TEXTS[name] for name in ("ships", "rates", "wheat")) + "\n")
    runner = CliRunner()

    written = runner.invoke(app, ["label-next", "--data", "texts.csv", "--limit", "2", "--out", "tasks.json"])
    assert written.exit_code == 0, written.output
    assert written.output == "2 of 3 texts to label are in tasks.json\n"
    tasks = json.loads(Path("tasks.json").read_text())
    for task in tasks:
        result = task["predictions"][0]["result"]
        task["annotations"] = [{"completed_by": 3, "was_cancelled": False, "result": result}]
    Path("export.json").write_text(json.dumps(tasks))

    read = runner.invoke(app, ["label-next", "--answers", "export.json", "--out", "labelled.jsonl"])
    assert read.exit_code == 0, read.output
    rows = [json.loads(line) for line in Path("labelled.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [task["data"]["text"] for task in tasks]
    assert {row["by"] for row in rows} == {"label-studio:3"}


def test_the_command_asks_the_model_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str | None] = []

    def classifier(_: Settings, ref: str | None) -> HashClassifier:
        named.append(ref)
        return HashClassifier()

    monkeypatch.setattr(wiring, "classifier", classifier)
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text(f"text\n{TEXTS['ships']}\n")
    asked = ["label-next", "--model", "mine", "--out", "tasks.json"]
    assert CliRunner().invoke(app, [*asked, "--data", "texts.csv"]).exit_code == 0
    assert named == ["mine"]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code != 0
    assert "--model goes with --data" in refused.output
