"""bench.classifier: what it counts, and what it prints when a rival is missing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from bench.classifier import QUICK, given_texts
from bench.rivals import environments
from bench.rivals.measuring import ROOT, Bench, Turn, encoder_operations, measure
from bench.rivals.rows import RIVALS
from bench.rivals.table import results_table
from bench.rivals.turn import Job, Loaded, call, main, measured
from models.load import DEFAULT_MODEL, SHIPPED, load_tokenizer
from models.normalise import normalise

MODEL = SHIPPED / DEFAULT_MODEL


def job(folder: Path, texts: Sequence[str], seconds: float) -> Job:
    file = folder / "texts.json"
    file.write_text(json.dumps(texts), encoding="utf-8")
    return Job(texts=file, model=MODEL, checkpoint=folder, prepared=folder, seconds=seconds, threads=1)


def test_the_operations_of_an_encoder_are_two_for_each_weight_and_token_and_those_of_attention() -> None:
    config = {"hidden_size": 4, "intermediate_size": 16, "num_hidden_layers": 3}
    weights = 4 * 4 * 4 + 2 * 4 * 16
    scores_and_sums = 2 * (2 * 4 * 5 * 5)
    assert encoder_operations(config, 5, 25) == 3 * (2 * weights * 5 + scores_and_sums)


def test_texts_are_normalised_unique_and_no_longer_than_a_window(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    rows = [
        "Profit &amp; loss",
        "Profit & loss",
        "word " * 200,
        "https://example.com",
        *(f"Bank {n}" for n in range(9)),
    ]
    file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    texts = given_texts(file, 100, longest=128, model=MODEL)
    assert sorted(texts) == ["Bank 0", *(f"Bank {n}" for n in range(1, 9)), "Profit & loss"]


def test_composed_texts_are_as_many_as_asked_for_and_unique() -> None:
    texts = given_texts(None, 3_000, longest=128, model=MODEL)
    assert len(texts) == len(set(texts)) == 3_000
    assert all(text == normalise(text) for text in texts)


def test_what_warms_up_is_not_counted(tmp_path: Path) -> None:
    handed: list[int] = []

    def classify(texts: list[str]) -> Sequence[list[float]]:
        handed.append(len(texts))
        return [[0.25, 0.75] for _ in texts]

    said = measured(Loaded(answer=call(classify), together=4), job(tmp_path, ["text"] * 10, seconds=60))
    assert handed == [4, 4, 2]
    assert (said["first"], said["documents"]) == (4, 6)
    assert said["answers"] == [[0.25, 0.75]] * 4


def test_a_turn_ends_when_its_time_is_over(tmp_path: Path) -> None:
    said = measured(
        Loaded(answer=call(lambda texts: [[1.0] for _ in texts]), together=4), job(tmp_path, ["text"] * 40, seconds=0)
    )
    assert (said["first"], said["documents"]) == (4, 4)


def test_texts_that_all_warm_up_are_refused(tmp_path: Path) -> None:
    def answer(chunks: Iterator[Sequence[str]]) -> Iterator[Sequence[list[float]]]:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match="too few"):
        measured(Loaded(answer=answer, together=4), job(tmp_path, ["text"] * 4, seconds=1))


def test_what_would_keep_the_process_running_is_closed_after_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "job.json"
    given.write_text(json.dumps(asdict(job(tmp_path, ["text"] * 8, seconds=0)), default=str), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["rival", "plain", str(given)])
    closed: list[bool] = []
    loaded = Loaded(
        answer=call(lambda texts: [[1.0] for _ in texts]), together=4, close=lambda: closed.append(bool(closed))
    )
    main({"plain": lambda _: loaded})
    assert json.loads(capsys.readouterr().out)["documents"] == 4
    assert closed == [False]


def test_a_rival_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    quiet = Console(quiet=True)
    bench = Bench(["Profit rises"], MODEL, tmp_path, plan=QUICK, cores=1, say=quiet)
    ours = next(rival for rival in RIVALS if rival.name == "ours")
    _, failed, _ = measure(bench, [ours], QUICK, quiet)
    assert failed == {"ours": "not done after 30 minutes"}


def test_a_rival_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, say: Callable[[str], None]) -> Path:
        raise environments.NotInstalled(f"no wheel of {name} for this machine")

    monkeypatch.setattr(environments, "python", missing)
    monkeypatch.setattr(Bench, "ceiling", lambda bench, precision: 1e12)
    (tmp_path / "checkpoint").mkdir()
    rivals = [rival for rival in RIVALS if rival.environment == "ctranslate2"]
    quiet = Console(quiet=True)
    bench = Bench(["Profit rises"], MODEL, tmp_path, plan=QUICK, cores=1, say=quiet)
    turns, failed, ceilings = measure(bench, rivals, QUICK, quiet)
    assert failed == {rival.name: "no wheel of ctranslate2 for this machine" for rival in rivals}
    assert "no wheel of ctranslate2 for this machine" in printed(rivals, turns, failed, ceilings)


def test_a_row_is_compared_with_ours_with_the_ceiling_and_with_full_precision() -> None:
    rivals = [rival for rival in RIVALS if rival.name in ("ours", "pipeline-32", "onnxruntime-int8")]
    turns = {
        "ours": [turn(800, [[0.5, 0.5]])],
        "pipeline-32": [turn(rate, [[0.9, 0.1]]) for rate in (100, 400, 200)],
        "onnxruntime-int8": [turn(400, [[0.8, 0.2]])],
    }
    lines = printed(rivals, turns, {}, {"fp32": 800e6, "int8": 1600e6}).splitlines()
    pipeline, onnxruntime = (next(line for line in lines if title in line) for title in ("batch 32", "onnxruntime"))
    assert all(part in pipeline for part in (" 200 ", "100–400", "4.0 times it", "25% of fp32", "0.0e+00"))
    assert all(part in onnxruntime for part in ("2.0 times it", "25% of int8", "1.0e-01"))


def test_tokens_and_operations_are_those_of_the_texts_that_were_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Profit rises", "Shares of the bank plunge after a profit warning", "Oil"]
    bench = Bench(texts, MODEL, tmp_path, plan=QUICK, cores=1, say=Console(quiet=True))
    said = {"first": 1, "documents": 2, "seconds": 0.5, "peak_bytes": 1, "answers": []}
    monkeypatch.setattr(Bench, "_child", lambda bench, python, *arguments: json.dumps(said))
    ours = next(rival for rival in RIVALS if rival.name == "ours")
    lengths = [len(load_tokenizer(MODEL).encode(text).ids) for text in texts[1:]]
    config = json.loads((MODEL / "config.json").read_text())
    given = bench.turn(ours)
    assert given.documents_per_second == 4
    assert given.tokens_per_second == sum(lengths) / 0.5
    pairs = sum(length * length for length in lengths)
    assert given.operations_per_second == encoder_operations(config, sum(lengths), pairs) / 0.5


def test_the_bench_runs() -> None:
    command = [sys.executable, "-m", "bench.classifier", "--quick", "--only", "ours"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "none" not in done.stdout
    assert all(part in done.stdout for part in ("ours, int8", "of int8"))


def turn(rate: float, answers: Sequence[Sequence[float]]) -> Turn:
    return Turn(
        documents_per_second=rate,
        tokens_per_second=20 * rate,
        operations_per_second=1e6 * rate,
        peak_bytes=10**8,
        answers=answers,
    )


def printed(*arguments: object) -> str:
    out = Console(width=160, record=True, file=io.StringIO())
    out.print(results_table(*arguments))  # type: ignore[arg-type]
    return out.export_text()
