"""infinity-emb's `classify`, through its Python engine: in torch, its default, and in onnxruntime ("optimum"), which it
recommends for processors."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Sequence

from infinity_emb import AsyncEmbeddingEngine, EngineArgs

from bench.rivals.turn import Job, Loaded, call, main

BATCH = 32


def variant(engine: str) -> Callable[[Job], Loaded]:
    """Of an engine."""

    def load(job: Job) -> Loaded:
        loop = asyncio.new_event_loop()
        # Its optimum engine finds a local ONNX file only below the current folder.
        os.chdir(job.prepared / "model")
        running = AsyncEmbeddingEngine.from_args(
            EngineArgs(
                model_name_or_path=".",
                engine=engine,
                device="cpu",
                batch_size=BATCH,
                model_warmup=False,
                trust_remote_code=False,
            )
        )
        loop.run_until_complete(running.astart())
        config = json.loads((job.checkpoint / "config.json").read_text(encoding="utf-8"))
        order: dict[str, int] = config["label2id"]

        def classify(texts: list[str]) -> Sequence[list[float]]:
            answers, _ = loop.run_until_complete(running.classify(sentences=texts))
            return [[one["score"] for one in sorted(row, key=lambda one: order[one["label"]])] for row in answers]

        def close() -> None:
            loop.run_until_complete(running.astop())

        return Loaded(answer=call(classify), together=8 * BATCH, close=close)

    return load


def prepare(job: Job) -> None:
    """Its optimum engine looks for an ONNX file in the checkpoint's folder, and optimises it when it first starts."""
    from optimum.onnxruntime import ORTModelForSequenceClassification

    shutil.copytree(job.checkpoint, job.prepared / "model")
    exported = ORTModelForSequenceClassification.from_pretrained(job.checkpoint, export=True)
    exported.save_pretrained(job.prepared / "model")
    started = variant("optimum")(job)
    if started.close:
        started.close()


if __name__ == "__main__":
    main({"torch": variant("torch"), "optimum": variant("optimum")}, prepare=prepare)
