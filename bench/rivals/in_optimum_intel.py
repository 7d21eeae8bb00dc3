"""OpenVINO through optimum-intel, as its documentation has it: a transformers pipeline around its model class, at the
precision that it chooses by itself (bf16 where the processor has it) and quantised with its own quantiser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from transformers import AutoTokenizer, pipeline

from bench.rivals.turn import Job, Loaded, call, main

BATCH = 32
CALIBRATION_TEXTS = 300


def variant(name: str, *, precision: str | None = None) -> Callable[[Job], Loaded]:
    """Of one of the models; `precision` is OpenVINO's hint, its own choice without one."""

    def load(job: Job) -> Loaded:
        config = {"INFERENCE_NUM_THREADS": job.threads}
        if precision:
            config["INFERENCE_PRECISION_HINT"] = precision
        model = _library().OVModelForSequenceClassification.from_pretrained(str(job.prepared / name), ov_config=config)
        tokenizer = AutoTokenizer.from_pretrained(job.checkpoint, local_files_only=True)
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, batch_size=BATCH, top_k=None)
        order = model.config.label2id

        def classify(texts: list[str]) -> Sequence[list[float]]:
            return [
                [one["score"] for one in sorted(row, key=lambda one: order[one["label"]])]
                for row in pipe(texts, truncation=True)
            ]

        return Loaded(answer=call(classify), together=4 * BATCH)

    return load


def prepare(job: Job) -> None:
    """Export and quantise, calibrated on the first of the texts."""
    from datasets import Dataset

    optimum = _library()
    model = optimum.OVModelForSequenceClassification.from_pretrained(str(job.checkpoint), export=True)
    model.save_pretrained(job.prepared / "plain")
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint, local_files_only=True)
    texts = Dataset.from_dict({"text": job.read()[:CALIBRATION_TEXTS]})
    optimum.OVQuantizer.from_pretrained(model).quantize(
        calibration_dataset=texts.map(lambda row: tokenizer(row["text"], truncation=True)),
        ov_config=optimum.OVConfig(quantization_config=optimum.OVQuantizationConfig(num_samples=len(texts))),
        save_directory=job.prepared / "int8",
    )


def _library() -> Any:
    """`optimum.intel`, without OpenVINO's telemetry package: it reports use over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    from optimum import intel

    return intel


if __name__ == "__main__":
    main(
        {
            "default": variant("plain"),
            "fp32": variant("plain", precision="f32"),
            "int8": variant("int8", precision="f32"),
        },
        prepare=prepare,
    )
