"""How fast the classifier is against what else would run the same model: `python -m bench.classifier`.

One table, all in one run, on the same two cores and the same normalised, unique texts, shuffled: each row is a process
of its own in an environment of its own (bench.rivals), which answers texts for some seconds, in turns: A B C …, A B C
…, so that what else the machine does hits all alike. A rate is the median of the turns.

The same for all: encoder, weights and vocabulary of the model, texts as strings, no cache, threads, what is counted (a
document once; its tokens as the tokenizer counts them, special ones but no padding). Not the same: ours answers all of
the model's tasks, pooled as the model is. The others have a plain `BertForSequenceClassification` of its first task,
exact for a model that reads its first token; for one that pools the mean of its tokens the class's own pooler is used,
which costs one small product for each text and gives other answers (bench.rivals.checkpoint). int8 is what each
library makes by its own documentation: ours and OpenVINO's calibrated, the others' with dynamic scales. The two
BERT-base models have random weights, and the vocabulary of ours.

"Off by" is the largest difference of a probability, in a few texts, from the same network in full precision: it says
that a row computed what it should.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import documents
from bench.machine import pin, processor
from bench.rivals import environments
from bench.rivals.rows import OURS, REFERENCE, RIVALS, Rival
from bench.rivals.turn import Job
from models.folder import read_settings
from models.load import find_folder, load_tokenizer
from models.normalise import normalise

ROOT = Path(__file__).parent.parent
_READ_TOGETHER = 5_000
_STUCK_SECONDS = 1800


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured. Seconds are of each turn."""

    documents: int
    rounds: int
    seconds: float


FULL = Plan(documents=20_000, rounds=3, seconds=6)
QUICK = Plan(documents=600, rounds=1, seconds=0.5)


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


def given_texts(file: Path | None, count: int, *, longest: int, model: Path) -> list[str]:
    """Normalised, unique and shuffled, so that any part of them is like the whole; none longer than a window of the
    model, so that all read the same."""
    rows: Iterator[str] = (str(row["text"]) for row in documents.rows(file))
    tokenizer = load_tokenizer(model)
    texts: list[str] = []
    seen: set[str] = set()
    # The rows have no end: when they bring nothing new, they are those of a file again.
    while part := list(itertools.islice(rows, _READ_TOGETHER)):
        new = [text for text in dict.fromkeys(map(normalise, part)) if text and text not in seen]
        seen.update(new)
        lengths = (len(encoding.ids) for encoding in tokenizer.encode_batch_fast(new))
        texts += [text for text, length in zip(new, lengths, strict=True) if length <= longest]
        if len(texts) >= count or not new:
            break
    texts = texts[:count]
    random.Random(0).shuffle(texts)  # noqa: S311 (not a secret)
    return texts


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


def results_table(
    rivals: Sequence[Rival],
    turns: Mapping[str, Sequence[Turn]],
    failed: Mapping[str, str],
    ceilings: Mapping[str, float],
) -> Table:
    """A row for each; below, why some have no figures."""
    table = Table(title="The classifier against others", title_justify="left")
    for title in ("", "documents/s", "of the turns", "tokens/s", "ours is", "of the ceiling", "peak MB", "off by"):
        table.add_column(title, justify="left" if not title else "right")
    ours = _median(turns.get(OURS, ()))
    for rival in rivals:
        if rival.name in failed:
            table.add_row(rival.title, "none")
            continue
        mine = turns[rival.name]
        rates = [turn.documents_per_second for turn in mine]
        rate = statistics.median(rates)
        ceiling = ceilings.get(rival.precision)
        operations = statistics.median(turn.operations_per_second for turn in mine)
        table.add_row(
            rival.title,
            f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}",
            f"{min(rates):,.0f}–{max(rates):,.0f}",
            f"{statistics.median(turn.tokens_per_second for turn in mine):,.0f}",
            f"{ours / rate:.1f} times it" if ours and rival.name != OURS else "",
            f"{operations / ceiling:.0%} of {rival.precision}" if ceiling else "",
            f"{max(turn.peak_bytes for turn in mine) / 1e6:,.0f}",
            _off_by(rival, mine[0], turns),
        )
    table.caption = "\n".join(
        f"{rival.title}: {escape(failed[rival.name])}" for rival in rivals if rival.name in failed
    )
    table.caption_justify = "left"
    return table


def _off_by(rival: Rival, turn: Turn, turns: Mapping[str, Sequence[Turn]]) -> str:
    reference = turns.get("ours-fp32" if rival.environment == OURS else REFERENCE)
    if rival.base or not reference:
        return ""
    return f"{np.abs(np.array(turn.answers) - np.array(reference[0].answers)).max():.1e}"


def _median(turns: Sequence[Turn]) -> float | None:
    return statistics.median(turn.documents_per_second for turn in turns) if turns else None


def _sums(numbers: Sequence[int]) -> list[int]:
    return [0, *itertools.accumulate(numbers)]


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.classifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m bench.classifier --texts tweets.jsonl --only ours onnxruntime-int8",
    )
    names = [rival.name for rival in RIVALS]
    parser.add_argument("--texts", type=Path, help="JSONL with `text`; without it, composed headlines and comments")
    parser.add_argument("--documents", type=int, help=f"how many texts at most (default {FULL.documents:,})")
    parser.add_argument("--rounds", type=int, help=f"how many turns each has (default {FULL.rounds})")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="half a second of each: shows that it runs, no more")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    plan = replace(plan, documents=options.documents or plan.documents, rounds=options.rounds or plan.rounds)
    rivals = [rival for rival in RIVALS if not options.only or rival.name in options.only]
    cores = pin()
    say = Console(stderr=True)
    model = find_folder(None)
    longest = read_settings(model).window_tokens
    texts = given_texts(options.texts, plan.documents, longest=longest, model=model)
    with tempfile.TemporaryDirectory(prefix="groundswell-bench-") as folder:
        bench = Bench(texts, model, Path(folder), plan=plan, cores=len(cores), say=say)
        turns, failed, ceilings = measure(bench, rivals, plan, say)
    out = Console(width=140) if not sys.stdout.isatty() else Console()
    about = f"{len(texts):,} texts of {bench.tokens_per_document:.1f} tokens on average"
    out.print(f"{len(cores)} cores of {processor()}, {about}", highlight=False)
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} G/s" for name, rate in ceilings.items())
    out.print(f"matrix products, operations per second: {rates}", highlight=False)
    out.print(results_table(rivals, turns, failed, ceilings))


if __name__ == "__main__":
    main()
