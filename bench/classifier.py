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
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench import documents
from bench.machine import pin, processor
from bench.rivals.measuring import Bench, Plan, measure
from bench.rivals.rows import RIVALS
from bench.rivals.table import results_table
from models.folder import read_settings
from models.load import find_folder, load_tokenizer
from models.normalise import normalise

_READ_TOGETHER = 5_000

FULL = Plan(documents=20_000, rounds=3, seconds=6)
QUICK = Plan(documents=600, rounds=1, seconds=0.5)


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
