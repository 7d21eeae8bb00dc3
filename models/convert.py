"""Makes the OpenVINO file of a network. Needs torch, and nncf for int8."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from domain.errors import PermanentError
from models.batches import Batch
from models.first_token import FirstTokenEncoder, is_bert_like
from models.folder import Pooling
from models.network import EntityHead, MultiTaskNetwork
from models.normalise import normalise
from models.openvino_backend import import_openvino

CALIBRATION_TOKENS = 128
SENTENCES = Path(__file__).with_name("calibration.txt")
SMOOTHING = 0.85
"""SmoothQuant's α of matrix products (Xiao et al. 2023, section 3): how much of the range of activations moves into the
weights. At NNCF's 0.95 scores are further from those in full precision (docs/experiments.md)."""
INPUTS = ("input_ids", "attention_mask")


class _InOrder(nn.Module):
    """The network with its outputs as a tuple, which is what tracing keeps the order of."""

    def __init__(self, network: nn.Module, tasks: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._tasks = tuple(tasks)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(input_ids, attention_mask)
        return tuple(logits[task] for task in self._tasks)


def convert(network: nn.Module, tasks: Sequence[str], file: Path, *, calibration: Sequence[Batch] | None) -> None:
    """Write the network as an OpenVINO model (`file`, an .xml, and a .bin beside it) with inputs `input_ids` and
    `attention_mask` of any shape (texts, tokens) and an output of logits named for each of `tasks`.

    int8 when there is `calibration`: static post-training quantisation by NNCF (transformer preset with SmoothQuant),
    its ranges taken from these batches. Static, because with dynamic ranges a score depends on what it was batched
    with. A network that is pooled at its first token computes its last layer for that token alone.

    Changes `network`. What is at `file` is replaced once the new model is whole: a process that serves it has it mapped
    into its memory. Raises PermanentError when OpenVINO or NNCF can't take the network, or the file can't be written.
    """
    openvino = import_openvino()
    if isinstance(network, MultiTaskNetwork) and _needs_first_token_alone(network):
        network.encoder = FirstTokenEncoder(network.encoder)
    with _quiet():
        model = _converted(openvino, _InOrder(network, tasks).eval(), tasks)
        if calibration is not None:
            model = _quantised(model, calibration, of=network)
    file.parent.mkdir(exist_ok=True, parents=True)
    new = file.with_name(f"new-{file.name}")
    try:
        openvino.save_model(model, str(new), compress_to_fp16=calibration is not None)
    except RuntimeError as error:
        raise PermanentError(f"OpenVINO cannot write {new}; is the disk full?") from error
    for suffix in (".bin", ".xml"):
        new.with_suffix(suffix).replace(file.with_suffix(suffix))


def calibration_batches(
    tokenizer: Tokenizer, texts: Sequence[str], *, longest: int = CALIBRATION_TOKENS
) -> list[Batch]:
    """One text a batch: padding would count in the ranges. `tokenizer` neither pads nor cuts; of a text the first
    `longest` tokens, at most CALIBRATION_TOKENS, are taken."""
    longest = min(longest, CALIBRATION_TOKENS)
    tokens = [tokenizer.encode(normalise(text)).ids[:longest] for text in texts]
    rows = [np.array([ids], dtype=np.int64) for ids in tokens]
    return [Batch(ids=row, mask=np.ones_like(row), windows=(0,)) for row in rows]


def calibration_sentences() -> list[str]:
    """Headlines, posts and passages written for this purpose, of all topics and sentiments, from 3 to 100 words."""
    return [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]


def _needs_first_token_alone(network: MultiTaskNetwork) -> bool:
    by_entity = any(isinstance(head, EntityHead) for head in network.heads.values())
    return network.pooling is Pooling.CLS and not by_entity and is_bert_like(network.encoder)


def _converted(openvino: Any, network: nn.Module, tasks: Sequence[str]) -> Any:
    example = {name: torch.ones((2, 8), dtype=torch.int64) for name in INPUTS}
    try:
        with torch.inference_mode():
            model = openvino.convert_model(network, example_input=example, input=[(name, [-1, -1]) for name in INPUTS])
    except Exception as error:  # of whatever type the tracer, the architecture's code or OpenVINO chooses
        raise PermanentError(f"OpenVINO cannot take this architecture ({type(error).__name__})") from error
    for names, ports in ((INPUTS, model.inputs), (tasks, model.outputs)):
        for name, port in zip(names, ports, strict=True):
            port.get_tensor().set_names({name})
    return model


def _quantised(model: Any, calibration: Sequence[Batch], *, of: nn.Module) -> Any:
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
    )

    dataset = nncf.Dataset([dict(zip(INPUTS, (batch.ids, batch.mask), strict=True)) for batch in calibration])
    # Weights of seven bits: a processor without VNNI adds products in 16 bits, which those of eight overflow, and
    # would give other scores than one that has it (by up to 0.08; with this by 0.012).
    advanced = AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE,
        smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=SMOOTHING),
    )
    try:
        return nncf.quantize(
            model,
            dataset,
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration),
            advanced_parameters=advanced,
        )
    except Exception as error:  # NNCF's errors have no type in common, and it lets OpenVINO's through
        kinds = (getattr(getattr(part, "config", None), "model_type", None) for part in of.modules())
        kind = next(filter(None, kinds), "unknown")
        raise PermanentError(
            f"NNCF cannot quantise an encoder of type {kind} ({type(error).__name__}): leave it in full precision "
            "(compress --full-precision, models.export --fp32)"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings of branches on shapes, and without NNCF's log and bars."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logger = logging.getLogger("nncf")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
