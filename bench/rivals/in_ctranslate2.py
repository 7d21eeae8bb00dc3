"""ctranslate2's encoder in int8: as many single-threaded workers as cores, which is how its documentation has
throughput. It ends at the pooler; the linear head is ours, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import ctranslate2
import numpy as np
from tokenizers import Tokenizer

from bench.rivals.turn import Job, Loaded, call, main

BATCH = 32


def variant(compute_type: str) -> Callable[[Job], Loaded]:
    """At a precision."""

    def load(job: Job) -> Loaded:
        encoder = ctranslate2.Encoder(
            str(job.prepared / "model"),
            device="cpu",
            compute_type=compute_type,
            inter_threads=job.threads,
            intra_threads=1,
        )
        tokenizer = Tokenizer.from_file(str(job.checkpoint / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(512)
        head = np.load(job.prepared / "head.npz")
        workers = ThreadPoolExecutor(job.threads)

        def batch(ids: list[list[int]]) -> list[list[float]]:
            pooled = np.array(encoder.forward_batch(ids).pooler_output)
            logits = pooled @ head["weight"].T + head["bias"]
            scores = np.exp(logits - logits.max(-1, keepdims=True))
            rows: list[list[float]] = (scores / scores.sum(-1, keepdims=True)).tolist()
            return rows

        def classify(texts: list[str]) -> Sequence[list[float]]:
            ids = [one.ids for one in tokenizer.encode_batch(texts)]
            parts = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
            return [row for rows in workers.map(batch, parts) for row in rows]

        return Loaded(answer=call(classify), together=8 * BATCH)

    return load


def prepare(job: Job) -> None:
    """Convert the encoder, keep the head beside it."""
    from transformers import AutoModelForSequenceClassification

    ctranslate2.converters.TransformersConverter(str(job.checkpoint)).convert(str(job.prepared / "model"))
    head = AutoModelForSequenceClassification.from_pretrained(job.checkpoint, local_files_only=True).classifier
    weights = {name: value.detach().float().numpy() for name, value in head.named_parameters()}
    np.savez(job.prepared / "head.npz", **weights)


if __name__ == "__main__":
    main({"int8": variant("int8"), "fp32": variant("float32")}, prepare=prepare)
