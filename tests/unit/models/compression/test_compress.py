"""Making a model in miniature smaller."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.tiny_models import tiny_config, tiny_model
from transformers import DebertaV2Config, DebertaV2Model
from typer.testing import CliRunner, Result

from domain.errors import GroundswellError, InvalidInput, PermanentError
from models.attention import heads_of
from models.compression import Policy, compress, put_back
from models.compression.compress import KEY
from models.compression.data import of_training
from models.compression.measure import size
from models.folder import read_settings, write_settings
from models.load import load_classifier
from models.lock import alone
from models.network import load_network
from models.training.run import train
from service.cli import app

TEXTS = ["firma crude plunges", "profit soars firmb", "inflation holds"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, served by torch, and the `data` that it was trained on."""
    place = tmp_path_factory.mktemp("tiny")
    tiny_model(place)
    return place


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(place / "model", tmp_path / "model")


@pytest.fixture(autouse=True)
def _soft_labels_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def contents(folder: Path) -> Mapping[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def made_smaller(model: Path, place: Path, out: Path, **policy: Any) -> Any:
    config = of_training(read_settings(model))
    return compress(
        model, out=out, config=config, data_dir=place / "data", policy=Policy(**policy), report=lambda line: None
    )


def groundswell(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def said(result: Result) -> str:
    assert isinstance(result.exception, GroundswellError), result.exception
    return str(result.exception)


def test_fewer_layers_and_heads_recover_what_the_whole_model_knew(model: Path, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    options = {"drop_layers": 1, "prune_heads": 0.5, "recover_epochs": 4, "learning_rate": 5e-3, "batch_size": 16}
    outcome = made_smaller(model, place, out, **options, max_loss=0.05)
    assert not outcome.refused
    assert outcome.loss <= 0.05
    assert outcome.size_after.parameters < outcome.size_before.parameters
    assert outcome.speed.texts_before > 0
    assert outcome.speed.texts_after > 0
    served = load_classifier(out, device="cpu")
    assert served.model == outcome.after != outcome.before
    assert [str(one.sentiment.label) for one in served.classify(TEXTS)] == ["negative", "positive", "neutral"]
    assert [one.topic for one in served.classify(TEXTS)] == ["Energy | Oil", "Earnings", "Macro"]
    settings = read_settings(out)
    assert heads_of(load_network(out, settings).encoder) == [1]
    figures = settings.training[KEY]
    assert (figures["from"], figures["policy"]["drop_layers"]) == (str(outcome.before), 1)
    assert figures["accuracy"]["topic"]["after"] == outcome.quality["topic"].after.value
    assert not (tmp_path / "small.compress").exists()


def test_a_second_run_to_the_same_place_is_refused(model: Path, place: Path) -> None:
    before = contents(model)
    with alone(model), pytest.raises(PermanentError, match=r"another process is making .*model"):
        made_smaller(model, place, model)
    assert contents(model) == before


def test_half_an_exchange_is_not_undone_while_another_process_makes_it(model: Path) -> None:
    old = model.with_name("model.compress") / "old"
    old.parent.mkdir()
    model.rename(old)
    with alone(model), pytest.raises(PermanentError, match="another process"):
        put_back(model)
    assert old.exists()
    put_back(model)
    assert model.exists()


def test_a_model_takes_its_own_place(model: Path, place: Path) -> None:
    before = read_settings(model)
    outcome = made_smaller(model, place, model, max_loss=0.02)
    after = read_settings(model)
    assert outcome.folder == model
    assert after.ref == outcome.after == load_classifier(model, device="cpu").model
    assert (after.name, after.tasks) == (before.name, before.tasks)
    assert "openvino/model.xml" in after.files
    assert outcome.size_after.parameters == outcome.size_before.parameters
    assert not model.with_name("model.compress").exists()


def test_a_model_that_loses_too_much_does_not_take_the_place_of_another(model: Path, place: Path) -> None:
    kept = contents(model)
    outcome = made_smaller(model, place, model, drop_layers=1, prune_heads=0.5, recover_epochs=0, int8=False)
    assert outcome.refused
    assert outcome.loss > 0.003
    assert contents(model) == kept
    assert outcome.folder == model.with_name("model.compress") / "refused"
    assert load_classifier(outcome.folder, device="cpu").model == outcome.after
    assert read_settings(outcome.folder).training[KEY]["over_the_limit"] is True


def test_forced_it_takes_the_place_and_says_so(model: Path, place: Path) -> None:
    options = {"drop_layers": 1, "prune_heads": 0.5, "recover_epochs": 0, "int8": False}
    outcome = made_smaller(model, place, model, **options, force=True)
    assert not outcome.refused
    settings = read_settings(model)
    assert settings.ref == outcome.after
    assert settings.training[KEY]["over_the_limit"] is True
    assert settings.training[KEY]["policy"]["force"] is True


def test_a_loss_of_the_limit_itself_is_within_it(model: Path, place: Path, tmp_path: Path) -> None:
    options = {"drop_layers": 1, "prune_heads": 0.5, "recover_epochs": 0, "int8": False}
    loss = made_smaller(model, place, tmp_path / "one", **options).loss
    assert not made_smaller(model, place, tmp_path / "two", **options, max_loss=loss).refused
    assert made_smaller(model, place, tmp_path / "three", **options, max_loss=loss - 1e-6).refused


@pytest.mark.parametrize("stopped_at", ["epoch 2", "converting"])
def test_a_run_that_was_stopped_goes_on_where_it_was(model: Path, place: Path, tmp_path: Path, stopped_at: str) -> None:
    lines: list[str] = []

    def stopping(line: str) -> None:
        if line.startswith(stopped_at):
            raise KeyboardInterrupt

    def run(report: Callable[[str], None], layers: int) -> None:
        policy = Policy(layers=(layers,), recover_epochs=3, learning_rate=5e-3, int8=False, max_loss=1.0)
        config = of_training(read_settings(model))
        compress(model, out=tmp_path / "out", config=config, data_dir=place / "data", policy=policy, report=report)

    with pytest.raises(KeyboardInterrupt):
        run(stopping, 0)
    with pytest.raises(KeyboardInterrupt):
        run(stopping, 1)  # another run, which finds nothing of the first one's
    run(lines.append, 0)
    going_on = "going on after step" if stopped_at == "epoch 2" else "what is left has recovered before"
    assert any(line.startswith(going_on) for line in lines)
    texts = read_settings(model).training["texts"]["training"]
    assert read_settings(tmp_path / "out").training["steps"] == 3 * -(-texts // 32)
    run(lines.append, 1)
    assert not (tmp_path / "out.compress").exists()


def test_a_kill_while_a_model_is_exchanged_loses_neither_of_the_two(
    model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = contents(model)
    replace = Path.replace

    def killed(path: Path, to: Path) -> Path:
        if to == model:
            raise KeyboardInterrupt
        return replace(path, to)

    arguments = ("compress", model, "--out", model, "--data-dir", place / "data", "--full-precision", "--force")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        groundswell(*arguments)
    assert not model.exists()
    config = ("--config", model.with_name("nowhere"))
    assert "no file" in said(groundswell(*arguments, *config)), "it is there again, before anything else is done"
    assert contents(model) == kept
    assert groundswell(*arguments).exit_code == 0
    assert not model.with_name("model.compress").exists()


def test_the_command_shows_what_it_costs(model: Path, place: Path, tmp_path: Path) -> None:
    data = place / "data"
    result = groundswell(
        "compress", model, "--out", tmp_path / "out", "--data", data / "moods.jsonl",
        "--data", f"topic={data / 'themes.jsonl'}", "--full-precision", "--max-loss", 0.01,
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    for start in ("parameters, million", "file that processors run, MB", "texts per second", "accuracy, topic"):
        assert any(line.startswith(start) for line in lines), start
    assert lines[-1] == f"{read_settings(tmp_path / 'out').ref} is in {tmp_path / 'out'}"


def test_the_command_fails_when_a_model_loses_too_much(model: Path, place: Path) -> None:
    kept = contents(model)
    result = groundswell(
        "compress", model, "--out", model, "--data-dir", place / "data",
        "--layers", "1", "--recover-epochs", 0, "--prune-heads", 0.5, "--full-precision",
    )  # fmt: skip
    assert "more than --max-loss 0.003" in said(result)
    assert "accuracy, sentiment" in result.stdout
    assert contents(model) == kept


def test_recovery_needs_no_labels_of_a_task_that_the_model_knows(model: Path, place: Path, tmp_path: Path) -> None:
    result = groundswell(
        "compress", model, "--out", tmp_path / "out", "--data", place / "data" / "moods.jsonl", "--full-precision",
        "--drop-layers", 1, "--recover-epochs", 4, "--learning-rate", 5e-3, "--batch-size", 16, "--max-loss", 0.05,
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    topics = [one.topic for one in load_classifier(tmp_path / "out", device="cpu").classify(TEXTS)]
    assert topics == ["Energy | Oil", "Earnings", "Macro"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--data", "{data}/moods.jsonl", "--drop-layers", 2),
            "the model has 2 layers; at most 1 can be dropped, not 2",
        ),
        (("--data", "{data}/moods.jsonl", "--layers", "0,2"), "layers must name some of 0 to 1"),
        (("--data", "{data}/moods.jsonl", "--prune-heads", 0.9), "one must stay in a layer"),
        (("--data", "{data}/moods.jsonl", "--prune-heads", 1.5), "prune_heads must be"),
        (("--data", "{data}/moods.jsonl", "--learning-rate", 0), "learning_rate must be more than 0: 0.0"),
        (("--data", "{data}/moods.jsonl", "--batch-size", 0), "batch_size must be at least 1: 0"),
        (("--data", "{data}/moods.jsonl", "--seed", 2**32), "seed must be at least 0 and below 2^32"),
        (
            ("--data", "{data}/moods.jsonl", "--held-out", "topic={data}/themes.jsonl"),
            "measures task 'topic', of which no file is learnt: give --data topic=FILE too",
        ),
        (("--data", "{data}/moods.jsonl", "--task", "mood"), "has no task 'mood'; it has sentiment, topic"),
        (("--data", "{data}/nothing.jsonl"), "there is no file {data}/nothing.jsonl"),
        (("--data", "{data}/empty.jsonl"), "{data}/empty.jsonl has no rows"),
        (("--data", "{data}/themes.jsonl"), "themes.jsonl:1: unknown label"),
        (("--data", "{data}/one.jsonl"), "at least two labels are needed"),
        (("--data-dir", "{data}/nowhere"), "there is no file {data}/nowhere/moods.jsonl: --data-dir must"),
        (("--data-dir", "{data}", "--out", "{data}"), "is there and is no model folder; give another --out"),
    ],
)
def test_what_cannot_be_is_said_before_the_long_work_and_changes_nothing(
    model: Path, place: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    data, kept = shutil.copytree(place / "data", tmp_path / "data"), contents(model)
    (data / "empty.jsonl").write_text("")
    (data / "one.jsonl").write_text(json.dumps({"text": "firma soars", "label": "positive"}) + "\n")
    given = [str(one).format(data=data) for one in options]
    result = groundswell("compress", model, "--out", model, *given)
    assert message.format(data=data) in said(result)
    assert contents(model) == kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --data FILE, or --data-dir DIR"),
        (("--data", "a", "--data-dir", "b"), "give --data FILE, or --data-dir DIR"),
        (("--data-dir", "b", "--held-out", "a"), "--held-out goes with --data"),
        (("--data", "a", "--layers", "first"), "--layers is written 0,2,4, got 'first'"),
        (("--data", "a", "--seed", "-1"), "Invalid value for '--seed'"),
        (("--data", "a", "--map", "bearish"), "--map is written FROM=TO, got 'bearish'"),
    ],
)
def test_the_command_names_options_that_do_not_go_together(model: Path, options: tuple[str, ...], message: str) -> None:
    result = groundswell("compress", model, "--out", model, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_a_model_takes_the_place_of_the_folder_that_one_is_in(
    model: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    result = groundswell("compress", ".", "--out", ".", "--data-dir", place / "data", "--full-precision")
    assert result.exit_code == 0, result.exception
    assert read_settings(model).training[KEY]["policy"]["int8"] is False
    assert [path.name for path in model.parent.iterdir() if path.name.startswith("model")] == ["model"]


def test_an_encoder_that_cannot_be_quantised_is_named_and_nothing_is_left(place: Path, tmp_path: Path) -> None:
    deberta = tmp_path / "deberta"
    shutil.copytree(place / "encoder", deberta)
    tokens = json.loads((place / "encoder" / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}
    DebertaV2Model(DebertaV2Config(vocab_size=tokens, **shape, **relative)).save_pretrained(deberta)
    train(tiny_config(deberta, "epochs=1"), out=tmp_path / "model", data_dir=place / "data", device="cpu")
    arguments = ("compress", tmp_path / "model", "--out", tmp_path / "out", "--data-dir", place / "data")

    wrong = said(groundswell(*arguments))

    assert "NNCF cannot quantise an encoder of type deberta-v2" in wrong
    assert "--full-precision" in wrong
    assert not list(tmp_path.glob("out*"))


def test_a_model_that_does_not_know_its_files_wants_them_named(model: Path, place: Path) -> None:
    settings = read_settings(model)
    settings.training.pop("config")  # type: ignore[attr-defined]
    write_settings(model, settings)
    with pytest.raises(InvalidInput, match="does not say which files it was trained with: give --config"):
        of_training(settings)


def test_labels_in_another_order_are_refused(model: Path, place: Path, tmp_path: Path) -> None:
    tree = json.loads(json.dumps(read_settings(model).training["config"]))
    tree["tasks"]["sentiment"]["labels"].reverse()
    (tmp_path / "other.yml").write_text(json.dumps(tree))
    config = of_training(read_settings(model), config=str(tmp_path / "other.yml"))
    with pytest.raises(InvalidInput, match="task 'sentiment' has other labels than the model's"):
        compress(model, out=tmp_path / "out", config=config, data_dir=place / "data")


def test_a_model_with_prefixes_is_left_as_it_is(model: Path, place: Path, tmp_path: Path) -> None:
    config = of_training(read_settings(model))
    (model / "adapter").mkdir()
    (model / "adapter" / "adapter_config.json").write_text("{}")
    from models.folder import seal

    seal(model)
    with pytest.raises(PermanentError, match="has learnt prefixes"):
        compress(model, out=tmp_path / "out", config=config, data_dir=place / "data")


def test_the_size_counts_every_weight_and_every_file(model: Path) -> None:
    network = load_network(model, read_settings(model))
    measured = size(model)
    assert measured.parameters == sum(weight.numel() for weight in network.parameters())
    assert measured.folder_bytes == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    assert measured.served_bytes < measured.folder_bytes
