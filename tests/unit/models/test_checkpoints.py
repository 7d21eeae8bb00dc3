"""Any Hugging Face sequence classifier as a model: what its files say, and that it answers as transformers does."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import huggingface_hub
import numpy as np
import pytest
from support.tiny_checkpoints import TEXTS, tiny_bert, tiny_roberta
from transformers import AutoTokenizer, pipeline

from domain.errors import PermanentError
from models import load_classifier
from models.batches import Batch
from models.checkpoint import read_checkpoint
from models.classifier import TextClassifier
from models.convert import convert
from models.converted import CONVERSION, converted, with_tokenizer
from models.folder import OPENVINO_FILES, Kind
from models.hub import hub_folder
from models.load import load_tokenizer
from models.normalise import normalise
from models.openvino_backend import OpenVinoBackend
from models.sequence_classifier import load_checkpoint
from models.torch_backend import TorchBackend

SENTIMENT_OF = {"Bullish": "positive", "bearish": "negative", "NEUTRAL": "neutral"}


@pytest.fixture(scope="module", params=[tiny_bert, tiny_roberta])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = request.param
    return make(tmp_path_factory.mktemp("checkpoint") / "some-checkpoint")


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[dict[str, float]]:
    """What transformers' own pipeline says of the normalised texts."""
    ask: Any = pipeline(
        "text-classification", model=str(folder), tokenizer=AutoTokenizer.from_pretrained(folder), top_k=None
    )
    rows = [ask(normalise(text)) for text in TEXTS]
    return [
        {SENTIMENT_OF[one["label"]]: one["score"] for one in (row[0] if isinstance(row[0], list) else row)}
        for row in rows
    ]


def test_the_texts_tell_answers_apart(expected: list[dict[str, float]]) -> None:
    assert max(row["positive"] for row in expected) - min(row["positive"] for row in expected) > 0.1


def test_in_full_precision_both_backends_say_what_the_pipeline_says(
    folder: Path, expected: list[dict[str, float]], tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(folder, name="some")
    convert(load_checkpoint(folder, "sentiment"), ["sentiment"], tmp_path / OPENVINO_FILES[0], calibration=None)
    for backend in (
        TorchBackend(folder, checkpoint.settings, device="cpu"),
        OpenVinoBackend(tmp_path, streams=1),
    ):
        classifier = TextClassifier(
            checkpoint.settings, load_tokenizer(folder), backend, padding_id=checkpoint.padding_id
        )
        for answer, scores in zip(classifier.classify(TEXTS), expected, strict=True):
            assert answer.tasks["sentiment"] == pytest.approx(scores, abs=1e-3)


def test_loading_makes_it_int8_once_says_so_and_keeps_it(
    folder: Path, expected: list[dict[str, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load_classifier(folder, device="cpu", cache_dir=tmp_path)
    assert "making some-checkpoint int8" in capsys.readouterr().err
    [kept] = (tmp_path / "converted").glob(f"some-checkpoint-*-{CONVERSION}")
    made = (kept / OPENVINO_FILES[1]).stat().st_mtime_ns
    again = load_classifier(f"sentiment={folder}", device="cpu", cache_dir=tmp_path)
    assert not capsys.readouterr().err
    assert (kept / OPENVINO_FILES[1]).stat().st_mtime_ns == made
    assert again.model == first.model
    answers = first.classify(TEXTS)
    assert again.classify(TEXTS) == answers
    # Of random weights, which quantising moves far more than those of trained ones.
    differences = [
        abs(answer.tasks["sentiment"][label] - score)
        for answer, row in zip(answers, expected, strict=True)
        for label, score in row.items()
    ]
    assert sum(differences) / len(differences) < 0.1


def test_a_model_for_each_task_makes_one_classifier(tmp_path: Path) -> None:
    sentiment, topic = tiny_bert(tmp_path / "a"), tiny_bert(tmp_path / "my-topic-model", labels=("Oil", "Macro"))
    exact: dict[str, Any] = {"device": "cpu", "int8": False, "cache_dir": tmp_path}
    both = load_classifier(f"sentiment={sentiment},topic={topic}", **exact)
    answer = both.classify(TEXTS)[0]
    assert set(answer.tasks["sentiment"]) == {"positive", "negative", "neutral"}
    assert answer.topic in {"Oil", "Macro"}
    alone = load_classifier(topic, **exact)
    assert alone.classify(TEXTS)[0].topic == answer.topic, "the task is in the name"
    assert both.model.name == "a+my-topic-model"
    assert both.model.version not in {alone.model.version, ""}
    shipped = load_classifier(f"topic=groundswell-minilm,sentiment={sentiment}", **exact)
    assert set(shipped.classify(["Oil slides"])[0].tasks) == {"topic", "sentiment"}


def test_several_labels_at_once_have_probabilities_of_their_own(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "flags", ("fraud", "layoffs", "recall"), problem_type="multi_label_classification")
    checkpoint = read_checkpoint(folder, name="flags", task="flags")
    assert checkpoint.settings.kinds == {"flags": Kind.MULTI}
    backend = TorchBackend(folder, checkpoint.settings, device="cpu")
    answers = TextClassifier(checkpoint.settings, load_tokenizer(folder), backend).classify(TEXTS)
    ask: Any = pipeline("text-classification", model=str(folder), top_k=None, function_to_apply="sigmoid")
    for text, answer in zip(TEXTS, answers, strict=True):
        [row] = ask([normalise(text)])
        assert answer.tasks["flags"] == pytest.approx({one["label"]: one["score"] for one in row}, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "task", "message"),
    [
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, None, "does not say what it answers.*topic=REF"),
        ({"id2label": {"0": "good", "1": "bad"}}, "sentiment", "id2label; they are good, bad"),
        ({"id2label": {"0": "bullish", "1": "Positive"}}, "sentiment", "once each"),
        ({"id2label": {"0": "only"}}, "topic", "two or more labels"),
        ({"architectures": ["BertModel"]}, None, "holds a BertModel, not a sequence classifier"),
        ({"architectures": {"a": 1}}, None, r"holds a \?, not a sequence classifier"),
        ({"pad_token_id": [1]}, None, r"config\.json: pad_token_id must be a whole number, got \[1\]"),
        ({"max_position_embeddings": math.inf}, None, "max_position_embeddings must be a whole number"),
        ({"problem_type": "regression"}, None, "is a regression model"),
        ({"id2label": ["good", "bad"]}, "topic", "two or more labels in id2label"),
        ({"id2label": {"1": "good", "2": "bad"}}, "topic", "numbered from 0"),
    ],
)
def test_what_cannot_be_served_is_said_with_its_fix(
    tmp_path: Path, change: dict[str, Any], task: str | None, message: str
) -> None:
    folder = tiny_bert(tmp_path / "some")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(PermanentError, match=message):
        read_checkpoint(folder, name="some", task=task)


def test_of_several_loads_at_once_one_makes_it_int8_and_what_a_kill_left_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bert(tmp_path / "some-v1.5")
    checkpoint = read_checkpoint(folder, name="some-v1.5")
    cache = tmp_path / "cache"
    left = cache / "converted" / f".making-some-v1.5-{checkpoint.settings.ref.version}-{CONVERSION}"
    left.mkdir(parents=True)
    (left / "tokenizer.json").write_text("half of")
    with ThreadPoolExecutor(3) as threads:
        made = set(threads.map(lambda _: converted(checkpoint, cache=cache), range(3)))
    assert capsys.readouterr().err.count("making some-v1.5 int8") == 1
    [kept] = made
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, f"{kept.name}.lock"}

    (kept / OPENVINO_FILES[1]).write_bytes(b"torn")
    again = load_classifier(folder, device="cpu", cache_dir=cache).classify(TEXTS[:1])
    assert again[0].model == checkpoint.settings.ref
    assert "making" in capsys.readouterr().err, "what is kept and damaged is made again"


def test_a_conversion_that_breaks_off_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = read_checkpoint(tiny_bert(tmp_path / "some"), name="some")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.convert.calibration_batches", full)
    with pytest.raises(PermanentError, match=r"cannot write .*some.*No space left on device"):
        converted(checkpoint, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "converted").iterdir()] == [".lock"]


def test_a_cache_that_can_not_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "some")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(PermanentError, match=r"cannot write in the cache folder .*cache.*set XDG_CACHE_HOME"):
        load_classifier(folder, device="cpu", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("file", "message"),
    [("tokenizer.json", r"tokenizer\.json cannot be read as a tokenizer"), ("model.safetensors", "SafetensorError")],
)
def test_a_checkpoint_with_a_torn_file_is_named(tmp_path: Path, file: str, message: str) -> None:
    folder = tiny_bert(tmp_path / "some")
    (folder / file).write_bytes((folder / file).read_bytes()[:1000])
    with pytest.raises(PermanentError, match=message):
        load_classifier(folder, device="cpu", cache_dir=tmp_path / "cache")


def test_a_network_that_fails_on_a_text_is_an_error_that_says_so(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "some")
    checkpoint = read_checkpoint(folder, name="some")
    backend = TorchBackend(folder, checkpoint.settings, device="cpu")
    strange = np.full((1, 8), 1_000_000, dtype=np.int64)  # of a tokenizer that is not this network's
    with pytest.raises(PermanentError, match=r"failed on one of 1 batches \(IndexError\)"):
        backend.run([Batch(ids=strange, mask=np.ones_like(strange), windows=(0,))])


def test_weights_in_other_forms_are_not_read(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "some")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PermanentError, match="no weights in safetensors"):
        load_classifier(folder, device="cpu", cache_dir=tmp_path)


def test_without_the_libraries_the_fix_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_bert(tmp_path / "some")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "nncf" else SimpleNamespace())
    with pytest.raises(PermanentError, match=r"needs nncf: pip install 'groundswell\[train\]'"):
        load_classifier(folder, device="cpu", cache_dir=tmp_path)


def test_the_window_leaves_out_positions_that_cannot_be_used(tmp_path: Path) -> None:
    assert read_checkpoint(tiny_roberta(tmp_path / "r"), name="r").settings.window_tokens == 64
    assert read_checkpoint(tiny_bert(tmp_path / "b"), name="b").settings.window_tokens == 512


def test_the_model_card_says_the_languages(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "some")
    assert read_checkpoint(folder, name="some").settings.languages == ("en",)
    (folder / "README.md").write_text("---\nlanguage:\n- de\n- en-GB\n- multilingual\n---\n# Some\n")
    assert read_checkpoint(folder, name="some").settings.languages == ("de", "en")
    for odd in ("language: [", "language: 5", "language: {de: 1}", "- language"):
        (folder / "README.md").write_text(f"---\n{odd}\n---\n# Some\n")
        assert read_checkpoint(folder, name="some").settings.languages == ("en",)


def test_models_without_a_common_language_are_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "some")
    (folder / "README.md").write_text("---\nlanguage: de\n---\n")
    with pytest.raises(PermanentError, match="no language in common: some de, groundswell-minilm en"):
        load_classifier(f"sentiment={folder},topic=groundswell-minilm", device="cpu", int8=False, cache_dir=tmp_path)


@pytest.mark.parametrize("ref", ["=", "sentiment=", "=x", "sentiment=a,sentiment=b", "sentiment=a,b"])
def test_a_list_of_models_that_cannot_be_read_is_refused(ref: str) -> None:
    with pytest.raises(PermanentError, match="TASK=MODEL"):
        load_classifier(ref)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub of one checkpoint, of which main has weights in another form and the converter has proposed safetensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.cached: set[str] = set()
        self.up = True
        self.commit = COMMIT

    def model_info(self, name: str, revision: str = "main") -> Any:
        self._ask(f"info {revision}")
        files = ["config.json", "model.safetensors" if revision == "refs/pr/7" else "pytorch_model.bin"]
        sha = self.commit if revision == "refs/pr/7" else "f" * 40
        return SimpleNamespace(sha=sha, siblings=[SimpleNamespace(rfilename=file) for file in files])

    def get_repo_discussions(self, name: str, **_: Any) -> list[Any]:
        return [SimpleNamespace(author="SFconvertbot", git_reference="refs/pr/7")]

    def download(self, name: str, *, revision: str, local_files_only: bool = False, **_: Any) -> str:
        if revision not in self.cached:
            if local_files_only:
                raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache")
            self._ask(f"download {revision}")
            self.cached.add(revision)
        return str(self.folder)

    def _ask(self, what: str) -> None:
        if not self.up:
            raise httpx.ConnectError("no network")
        self.asked.append(what)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    one = Hub(tiny_bert(tmp_path / "snapshot"))
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: one)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", one.download)
    return one


def test_a_name_on_the_hub_is_pinned_to_a_commit_at_first_use_and_then_needs_no_network(
    hub: Hub, tmp_path: Path
) -> None:
    exact: dict[str, Any] = {"device": "cpu", "int8": False}
    ref = load_classifier("org/finbert", cache_dir=tmp_path / "cache", **exact).model
    assert ref.name == "finbert"
    assert hub.asked == ["info main", "info refs/pr/7", f"download {COMMIT}"]
    hub.up = False
    assert load_classifier("org/finbert", cache_dir=tmp_path / "cache", **exact).model == ref
    assert load_classifier(f"org/finbert@{COMMIT}", cache_dir=tmp_path / "elsewhere", **exact).model == ref


def test_two_that_pin_a_name_at_once_read_the_same_commit(hub: Hub, tmp_path: Path) -> None:
    def look(name: str, revision: str = "main") -> Any:
        """Whoever asks now learns of it after another process has noted what it found before."""
        (tmp_path / "pins.json").write_text(json.dumps({"org/finbert": COMMIT, "org/other": "a" * 40}))
        return Hub.model_info(hub, name, revision)

    hub.commit = "b" * 40
    hub.model_info = look  # type: ignore[method-assign]
    hub_folder("org/finbert", cache=tmp_path)
    assert hub.asked[-1] == f"download {COMMIT}"
    assert json.loads((tmp_path / "pins.json").read_text()) == {"org/finbert": COMMIT, "org/other": "a" * 40}


def test_a_fetch_that_was_broken_off_is_completed(hub: Hub, tmp_path: Path) -> None:
    weights = (hub.folder / "model.safetensors").rename(tmp_path / "weights")
    hub.cached.add(COMMIT)
    with pytest.raises(PermanentError, match="is here in part only: check the network"):
        hub_folder(f"org/finbert@{COMMIT}", cache=tmp_path)
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.st", "b": "2.st"}}))
    (hub.folder / "1.st").touch()
    with pytest.raises(PermanentError, match="is here in part only"):
        hub_folder(f"org/finbert@{COMMIT}", cache=tmp_path)
    (hub.folder / "model.safetensors.index.json").unlink()
    weights.rename(hub.folder / "model.safetensors")
    assert hub_folder(f"org/finbert@{COMMIT}", cache=tmp_path) == hub.folder


@pytest.mark.parametrize("pins", ["[]", "{", "1"])
def test_damaged_pins_are_named(hub: Hub, tmp_path: Path, pins: str) -> None:
    (tmp_path / "pins.json").write_text(pins)
    with pytest.raises(PermanentError, match=r"pins\.json is damaged; remove it"):
        hub_folder("org/finbert", cache=tmp_path)


def test_what_the_hub_cannot_give_is_said(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PermanentError, match="names no commit"):
        hub_folder("org/finbert@main", cache=tmp_path)
    monkeypatch.setattr(hub, "get_repo_discussions", lambda *_, **__: [])
    with pytest.raises(PermanentError, match="no weights in safetensors"):
        hub_folder("org/finbert", cache=tmp_path)
    hub.up = False
    with pytest.raises(PermanentError, match="check the name and the network"):
        hub_folder("org/finbert", cache=tmp_path)


def test_a_checkpoint_without_a_one_file_tokenizer_gets_one(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "old")
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    plain = shutil.copytree(folder, tmp_path / "plain")
    (plain / "tokenizer.json").unlink()
    (plain / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n")
    (plain / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    made = with_tokenizer(read_checkpoint(plain, name="plain"), cache=tmp_path / "cache")
    ours, theirs = load_tokenizer(made), load_tokenizer(folder)
    assert [ours.encode(text).ids for text in TEXTS] == [theirs.encode(text).ids for text in TEXTS]
    assert with_tokenizer(read_checkpoint(folder, name="old"), cache=tmp_path / "cache") == folder
    before = read_checkpoint(plain, name="plain").settings.ref
    (plain / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    )
    assert read_checkpoint(plain, name="plain").settings.ref != before, "another tokenizer, another model"
