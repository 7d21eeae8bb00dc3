"""Takes the turns of bench.classifier's rows: a process for each, in an environment of its own."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.rivals import environments
from bench.rivals.rows import OURS, Rival
from bench.rivals.turn import Job
from models.load import load_tokenizer

ROOT = Path(__file__).parent.parent.parent
_STUCK_SECONDS = 1800


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured. Seconds are of each turn."""

    documents: int
    rounds: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn of a rival gave."""

    documents_per_second: float
    tokens_per_second: float
    operations_per_second: float
    """Of the encoder's matrix products for real tokens."""
    peak_bytes: int
    answers: Sequence[Sequence[float]]


class Failed(RuntimeError):
    """A rival could not be installed, prepared or run; says why."""


class Bench:
    """The texts, what is made of the model for them, and a process for each turn."""

    def __init__(
        self, texts: Sequence[str], model: Path, folder: Path, *, plan: Plan, cores: int, say: Console
    ) -> None:
        self._folder, self._say = folder, say
        lengths = [len(encoding.ids) for encoding in load_tokenizer(model).encode_batch_fast(list(texts))]
        self.tokens_per_document = statistics.mean(lengths)
        self._tokens = _sums(lengths)
        self._pairs = _sums([length * length for length in lengths])
        self._config: Mapping[str, int] = json.loads((model / "config.json").read_text(encoding="utf-8"))
        file = folder / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        self._job = Job(
            texts=file,
            model=model,
            checkpoint=folder / "checkpoint",
            prepared=folder,
            seconds=plan.seconds,
            threads=cores,
        )
        self._broken: dict[str, str] = {}
        self._ready: set[str] = set()

    def turn(self, rival: Rival) -> Turn:
        """One turn; what it needs is made at the first. Raises Failed."""
        self._prepare(rival)
        said = self._run(rival, rival.variant)
        first, done, seconds = said["first"], said["documents"], said["seconds"]
        tokens = self._tokens[first + done] - self._tokens[first]
        pairs = self._pairs[first + done] - self._pairs[first]
        config: Mapping[str, int] = _BERT_BASE if rival.base else self._config
        operations = encoder_operations(config, tokens, pairs) * (2 if rival.base else 1)
        return Turn(
            documents_per_second=done / seconds,
            tokens_per_second=float(tokens) / seconds,
            operations_per_second=operations / seconds,
            peak_bytes=said["peak_bytes"],
            answers=said["answers"],
        )

    def ceiling(self, precision: str) -> float:
        """Operations per second of large matrices. Raises Failed."""
        said = self._child(sys.executable, "bench.rivals.ceiling", precision, str(self._write(self._job)))
        return float(json.loads(said)["operations_per_second"])

    def _prepare(self, rival: Rival) -> None:
        """Once for a module, and not again when it failed."""
        key = f"{rival.environment}-{rival.module}"
        if key in self._broken:
            raise Failed(self._broken[key])
        if key in self._ready:
            return
        try:
            if rival.environment != OURS and not self._job.checkpoint.exists():
                model, out = str(self._job.model), str(self._job.checkpoint)
                self._child(sys.executable, "bench.rivals.checkpoint", model, out)
            self._prepared(rival).mkdir()
            self._say.print(f"Preparing {rival.module} …")
            self._run(rival, "prepare")
        except (Failed, environments.NotInstalled) as error:
            self._broken[key] = str(error)
            raise Failed(str(error)) from error
        self._ready.add(key)

    def _prepared(self, rival: Rival) -> Path:
        return self._folder / rival.module

    def _run(self, rival: Rival, what: str) -> Any:
        own = rival.environment == OURS
        python = sys.executable if own else str(environments.python(rival.environment, self._say.print))
        file = self._write(replace(self._job, prepared=self._prepared(rival)))
        said = self._child(python, f"bench.rivals.{rival.module}", what, str(file))
        return None if what == "prepare" else json.loads(said.splitlines()[-1])

    def _write(self, job: Job) -> Path:
        file = self._folder / "job.json"
        file.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
        return file

    def _child(self, python: str, *arguments: str) -> str:
        threads = str(self._job.threads)
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), threads),
            "TOKENIZERS_PARALLELISM": "true",
            "HF_HUB_OFFLINE": "1",
            # infinity-emb would take the file that it optimised in an earlier run, of whatever model.
            "HF_HOME": str(self._folder / "hub"),
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
            "DO_NOT_TRACK": "1",
        }
        command = [python, "-m", *arguments]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_STUCK_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done after {_STUCK_SECONDS // 60} minutes") from error
        if done.returncode:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise Failed(said[-1][:200] if said else f"ended with {done.returncode}")
        return done.stdout


_BERT_BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}


def encoder_operations(config: Mapping[str, int], tokens: float, pairs: float) -> float:
    """Floating-point (or integer) operations of a BERT-like encoder's matrix products: two for each weight and token,
    and attention's two products; `pairs` is the sum of the texts' squared lengths."""
    wide, inner, layers = (config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    return float(layers * (2 * (4 * wide * wide + 2 * wide * inner) * tokens + 4 * wide * pairs))


def measure(
    bench: Bench, rivals: Sequence[Rival], plan: Plan, say: Console
) -> tuple[dict[str, list[Turn]], dict[str, str], dict[str, float]]:
    """Turns by rival, why others have none, and the ceilings (the best of all rounds)."""
    turns: dict[str, list[Turn]] = {rival.name: [] for rival in rivals}
    failed: dict[str, str] = {}
    ceilings: dict[str, float] = {}
    for number in range(1, plan.rounds + 1):
        for precision in ("fp32", "int8"):
            say.print(f"Round {number} of {plan.rounds}: {precision} matrix products …")
            try:
                ceilings[precision] = max(ceilings.get(precision, 0.0), bench.ceiling(precision))
            except Failed as error:
                say.print(f"no {precision} ceiling: {error}")
        for rival in rivals:
            if rival.name in failed:
                continue
            say.print(f"Round {number} of {plan.rounds}: {rival.title} …")
            try:
                turns[rival.name].append(bench.turn(rival))
            except Failed as error:
                failed[rival.name] = str(error)
    return turns, failed, ceilings


def _sums(numbers: Sequence[int]) -> list[int]:
    return [0, *itertools.accumulate(numbers)]
