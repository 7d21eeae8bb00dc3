"""onnxruntime, with padding to the batch: exported and quantised (dynamically, per channel) by optimum as its
documentation has it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from bench.rivals.turn import Job, Loaded, call, main

BATCH = 32


def variant(file: str, *, sort: bool = False) -> Callable[[Job], Loaded]:
    """Of one of the files; the texts in the order that they come in, or by length."""
    return lambda job: Loaded(
        answer=call(_Session(job.prepared / file, job, sort=sort)), together=(16 if sort else 4) * BATCH
    )


def prepare(job: Job) -> None:
    """Export and quantise."""
    from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    model = ORTModelForSequenceClassification.from_pretrained(job.checkpoint, export=True)
    model.save_pretrained(job.prepared)
    shutil.copyfile(job.checkpoint / "tokenizer.json", job.prepared / "tokenizer.json")
    quantizer = ORTQuantizer.from_pretrained(job.prepared, file_name="model.onnx")
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer.quantize(save_dir=job.prepared, quantization_config=config)


class _Session:
    def __init__(self, file: Path, job: Job, *, sort: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(job.prepared / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(512)
        self._sort = sort

    def __call__(self, texts: list[str]) -> Sequence[list[float]]:
        order = sorted(range(len(texts)), key=lambda n: len(texts[n])) if self._sort else range(len(texts))
        rows: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(texts), BATCH):
            numbers = order[start : start + BATCH]
            encoded = self._tokenizer.encode_batch([texts[n] for n in numbers])
            inputs = {
                "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
                "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
                "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
            }
            given = {name: value for name, value in inputs.items() if name in self._inputs}
            logits = self._session.run(["logits"], given)[0]
            scores = np.exp(logits - logits.max(-1, keepdims=True))
            for number, row in zip(numbers, (scores / scores.sum(-1, keepdims=True)).tolist(), strict=True):
                rows[number] = row
        return rows


if __name__ == "__main__":
    main(
        {
            "fp32": variant("model.onnx"),
            "int8": variant("model_quantized.onnx"),
            "fp32-by-length": variant("model.onnx", sort=True),
            "int8-by-length": variant("model_quantized.onnx", sort=True),
        },
        prepare=prepare,
    )
