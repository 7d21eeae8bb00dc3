"""The rows of bench.classifier's table."""

from __future__ import annotations

from dataclasses import dataclass, replace

REFERENCE = "pipeline-32"
"""The row whose answers the others should give, but for ours."""
OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One row."""

    name: str
    title: str
    environment: str
    """`ours` for the project's own, else of bench.rivals.environments."""
    module: str
    variant: str
    precision: str
    """Of which ceiling its share is taken, if of one: fp32 or int8."""
    base: bool = False
    """Two BERT-base models, and not the model that all others run."""


def _rival(name: str, title: str, environment: str, module: str, variant: str, precision: str) -> Rival:
    return Rival(name=name, title=title, environment=environment, module=module, variant=variant, precision=precision)


RIVALS = (
    _rival("ours", "ours, int8", OURS, "ours", "int8", "int8"),
    _rival("ours-fp32", "ours, fp32", OURS, "ours_fp32", "fp32", "fp32"),
    _rival("pipeline-1", "transformers pipeline, batch 1", "transformers", "in_torch", "pipeline-1", "fp32"),
    _rival(REFERENCE, "transformers pipeline, batch 32", "transformers", "in_torch", "pipeline-32", "fp32"),
    _rival("torch", "torch, batches of 32", "transformers", "in_torch", "batches", "fp32"),
    _rival("torch-sorted", "torch, sorted by length", "transformers", "in_torch", "batches-by-length", "fp32"),
    _rival("onnxruntime", "onnxruntime fp32", "onnxruntime", "in_onnxruntime", "fp32", "fp32"),
    _rival("onnxruntime-sorted", "onnxruntime fp32, sorted", "onnxruntime", "in_onnxruntime", "fp32-by-length", "fp32"),
    _rival("onnxruntime-int8", "onnxruntime int8", "onnxruntime", "in_onnxruntime", "int8", "int8"),
    _rival(
        "onnxruntime-int8-sorted", "onnxruntime int8, sorted", "onnxruntime", "in_onnxruntime", "int8-by-length", "int8"
    ),
    _rival("optimum-intel", "optimum-intel, its default", "optimum-intel", "in_optimum_intel", "default", "fp32"),
    _rival("optimum-intel-fp32", "optimum-intel fp32", "optimum-intel", "in_optimum_intel", "fp32", "fp32"),
    _rival("optimum-intel-int8", "optimum-intel int8", "optimum-intel", "in_optimum_intel", "int8", "int8"),
    _rival("ctranslate2-fp32", "ctranslate2 fp32", "ctranslate2", "in_ctranslate2", "fp32", "fp32"),
    _rival("ctranslate2", "ctranslate2 int8", "ctranslate2", "in_ctranslate2", "int8", "int8"),
    _rival("infinity", "infinity-emb, torch", "infinity-emb", "in_infinity", "torch", "fp32"),
    _rival("infinity-optimum", "infinity-emb, optimum", "infinity-emb", "in_infinity", "optimum", "fp32"),
    replace(
        _rival("two-bert-base", "two BERT-base, pipelines, 32", "transformers", "in_torch", "two-bert-base", "fp32"),
        base=True,
    ),
)
