"""transformers' pipeline, as its documentation has it; torch without the pipeline; and what many run today, two
BERT-base models (random weights: they change no time)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    pipeline,
)

from bench.rivals.turn import Job, Loaded, call, main

BATCH = 32


def pipeline_of_1(job: Job) -> Loaded:
    """One text, one call of the network."""
    return _pipelines(job, [_checkpoint(job)], batch=1, together=32)


def pipeline_of_32(job: Job) -> Loaded:
    """With its batches."""
    return _pipelines(job, [_checkpoint(job)], batch=BATCH, together=4 * BATCH)


def two_bert_base(job: Job) -> Loaded:
    """One for each of two tasks."""
    models = [BertForSequenceClassification(BertConfig(num_labels=labels)).eval() for labels in (3, 20)]
    return _pipelines(job, models, batch=BATCH, together=BATCH)


def batches(job: Job) -> Loaded:
    """In the order that they come in, padded to the batch."""
    return Loaded(answer=call(_Batched(job)), together=4 * BATCH)


def batches_by_length(job: Job) -> Loaded:
    """Sorted by length first."""
    return Loaded(answer=call(_Batched(job, sort=True)), together=16 * BATCH)


class _Batched:
    def __init__(self, job: Job, *, sort: bool = False) -> None:
        torch.set_num_threads(job.threads)
        self._model = _checkpoint(job)
        self._tokenizer = AutoTokenizer.from_pretrained(job.checkpoint, local_files_only=True)
        self._sort = sort

    def __call__(self, texts: list[str]) -> Sequence[list[float]]:
        order = sorted(range(len(texts)), key=lambda n: len(texts[n])) if self._sort else range(len(texts))
        rows: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(texts), BATCH):
            numbers = order[start : start + BATCH]
            inputs = self._tokenizer([texts[n] for n in numbers], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                scores = self._model(**inputs).logits.softmax(-1).tolist()
            for number, row in zip(numbers, scores, strict=True):
                rows[number] = row
        return rows


def _checkpoint(job: Job) -> Any:
    model = AutoModelForSequenceClassification.from_pretrained(
        job.checkpoint, dtype=torch.float32, local_files_only=True
    )
    return model.eval()


def _pipelines(job: Job, models: Sequence[Any], *, batch: int, together: int) -> Loaded:
    torch.set_num_threads(job.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint, local_files_only=True)
    pipes = [
        pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", batch_size=batch, top_k=None)
        for model in models
    ]

    def classify(texts: list[str]) -> Sequence[list[float]]:
        answers = [pipe(texts, truncation=True) for pipe in pipes]
        order = models[0].config.label2id
        return [[one["score"] for one in sorted(row, key=lambda one: order[one["label"]])] for row in answers[0]]

    return Loaded(answer=call(classify), together=together)


if __name__ == "__main__":
    main(
        {
            "pipeline-1": pipeline_of_1,
            "pipeline-32": pipeline_of_32,
            "batches": batches,
            "batches-by-length": batches_by_length,
            "two-bert-base": two_bert_base,
        }
    )
