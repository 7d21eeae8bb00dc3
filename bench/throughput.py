"""Documents per second, end to end and stage by stage, against the classifier alone and the pipeline that most people
write: `python -m bench.throughput`. docs/benchmarks.md says what is compared and why.

One run on the same two cores: a ratio of two lines of its table means something, a line by itself only on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.documents import EVENT_RATE, Message, backlog, fill
from bench.machine import Machine, Running, machine, pin, processor
from service import log

END_TO_END = ("classify", "record", "watch")

_POLL_SECONDS = 0.25
_STALLED_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured. Seconds are at most."""

    documents: int
    """End to end, and of the classifier alone."""
    costless_documents: int
    same_seconds: float
    same_warm_up: int
    bert_seconds: float
    bert_warm_up: int
    texts: Path | None = None
    event_rate: float = EVENT_RATE


FULL = Plan(
    documents=40_000, costless_documents=60_000, same_seconds=45, same_warm_up=50, bert_seconds=45, bert_warm_up=10
)
QUICK = Plan(documents=600, costless_documents=8_000, same_seconds=2, same_warm_up=3, bert_seconds=2, bert_warm_up=1)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Documents per second, and CPU microseconds per document of each process meanwhile."""

    rate: float
    cpu: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of one run, in documents per second."""

    alone: tuple[Measured, Measured]
    """Before and after the rest."""
    end_to_end: Measured
    same: float
    bert: float
    classify: Measured
    record: Measured


def measure(plan: Plan, on: Machine, console: Console) -> Results:
    """Everything, one after another."""
    console.print("The classifier alone …")
    before = classifier_alone(plan, on)
    console.print("End to end …")
    ours = end_to_end(plan, on)
    console.print("The classifier alone, again …")
    after = classifier_alone(plan, on)
    console.print("One message at a time, the same model …")
    same = naive(plan, on, "same", plan.same_seconds, plan.same_warm_up)
    console.print("One message at a time, two BERT-base models …")
    bert = naive(plan, on, "bert", plan.bert_seconds, plan.bert_warm_up)
    console.print("The stages, with a classifier that costs nothing …")
    classify, record = stages(plan, on)
    return Results(alone=(before, after), end_to_end=ours, same=same, bert=bert, classify=classify, record=record)


def classifier_alone(plan: Plan, on: Machine) -> Measured:
    """In a process of its own; servers idle, as they are for everything else."""
    file = on.folder / "texts.json"
    messages = backlog(on.loaded.settings, plan.documents, texts=plan.texts)
    file.write_text(json.dumps([message.text for message in messages]), encoding="utf-8")
    rate, cpu = map(float, on.ask(on.loaded, "bench.alone", str(file)).split())
    return Measured(rate=rate, cpu={"classify": cpu * 1e6})


def end_to_end(plan: Plan, on: Machine) -> Measured:
    """Classify, record and watch, on a backlog."""
    loaded = on.fresh("end_to_end")
    messages = backlog(loaded.settings, plan.documents, texts=plan.texts, rate=plan.event_rate)
    asyncio.run(fill(loaded.settings, messages))
    with on.running(loaded, *END_TO_END) as running:
        return _timed(running, "record", plan.documents)


def naive(plan: Plan, on: Machine, model: str, seconds: float, warm_up: int) -> float:
    """The pipeline of bench.naive, on a backlog of the same documents."""
    loaded = on.fresh(f"naive_{model}")
    messages: list[Message] = backlog(loaded.settings, plan.documents, texts=plan.texts)
    asyncio.run(fill(loaded.settings, messages))
    return float(on.ask(loaded, "bench.naive", model, str(seconds), str(warm_up)))


def stages(plan: Plan, on: Machine) -> tuple[Measured, Measured]:
    """Each stage by itself: classify on a backlog, then record on what that has written."""
    loaded = on.fresh("stages")
    count = plan.costless_documents
    asyncio.run(fill(loaded.settings, backlog(loaded.settings, count, texts=plan.texts, rate=plan.event_rate)))
    with on.running_costless(loaded) as running:
        classify = _timed(running, "classify", count)
    with on.running(loaded, "record") as running:
        record = _timed(running, "record", count)
    return classify, record


def _timed(running: Running, stage: str, count: int) -> Measured:
    """From when a tenth is done, by which time everything is warm, until all is."""
    began = began_with = 0.0
    cpu: Mapping[str, float] = {}
    done, moved = 0, time.monotonic()
    while True:
        now, before, done = time.monotonic(), done, running.documents(stage)
        if done > before:
            moved = now
        elif now - moved > _STALLED_SECONDS:
            raise RuntimeError(f"{stage} stands still at {done} of {count} documents; {running.said()}")
        if not began_with and done >= count // 10:
            began, began_with, cpu = now, done, running.cpu()
        if done >= count and done > began_with:
            used, counted = running.cpu(), done - began_with
            per_document = {name: (used[name] - cpu[name]) / counted * 1e6 for name in used}
            return Measured(rate=counted / (now - began), cpu=per_document)
        if done >= count:
            raise RuntimeError("too few documents to measure: all were done at the first look; give more")
        time.sleep(_POLL_SECONDS)


def throughput_table(results: Results) -> Table:
    """Rates, and what they are to be compared with."""
    before, after = (measured.rate for measured in results.alone)
    alone = (before + after) / 2
    ours = results.end_to_end.rate
    table = Table(title="Throughput", title_justify="left")
    for title in ("", "documents/s", "end to end is", "to reach"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("end to end: classify, record, watch", f"{ours:,.0f}", "", "")
    table.add_row("the classifier alone", f"{alone:,.0f}", f"{ours / alone:.2f} of it", "0.80")
    table.add_row(
        "one message at a time, same model", f"{results.same:,.1f}", f"{ours / results.same:.1f} times it", "4"
    )
    table.add_row("one at a time, two BERT-base", f"{results.bert:,.1f}", f"{ours / results.bert:.1f} times it", "40")
    table.add_row("classify stage, costless classifier", f"{results.classify.rate:,.0f}", "", "5,000/s")
    table.add_row("record stage", f"{results.record.rate:,.0f}", "", "4,000/s")
    table.caption = f"the classifier alone: {before:,.0f} before, {after:,.0f} after"
    return table


def cpu_table(results: Results) -> Table:
    """Where the processors' time goes."""
    columns = {
        "the classifier alone": results.alone[0],
        "end to end": results.end_to_end,
        "classify stage, costless": results.classify,
        "record stage": results.record,
    }
    names = dict.fromkeys(name for measured in columns.values() for name in measured.cpu)
    table = Table(title="CPU time per document, in microseconds", title_justify="left")
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right")
    for name in names:
        table.add_row(
            name, *(f"{measured.cpu[name]:,.0f}" if name in measured.cpu else "" for measured in columns.values())
        )
    table.add_row("all", *(f"{sum(measured.cpu.values()):,.0f}" for measured in columns.values()))
    return table


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m bench.throughput --texts tweets.jsonl --documents 30000",
    )
    parser.add_argument("--texts", type=Path, help="JSONL with `text`; without it, composed headlines and comments")
    parser.add_argument("--documents", type=int, help=f"how many end to end (default {FULL.documents:,})")
    parser.add_argument(
        "--event-rate", type=float, default=EVENT_RATE, help="documents per second of event time (default %(default)g)"
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds of each: shows that it runs, no more")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    if arguments.documents:
        plan = replace(plan, documents=arguments.documents)
    plan = replace(plan, texts=arguments.texts, event_rate=arguments.event_rate)
    cores = pin()
    log.set_up("WARNING", "text")
    console = Console(stderr=True)
    with machine(console.print) as on:
        results = measure(plan, on, console)
    out = Console(width=100) if not sys.stdout.isatty() else Console()
    out.print(f"{len(cores)} cores of {processor()}, {plan.documents:,} documents", highlight=False)
    out.print(throughput_table(results))
    out.print(cpu_table(results))


if __name__ == "__main__":
    main()
