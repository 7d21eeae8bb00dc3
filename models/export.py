"""Makes the int8 OpenVINO model of a model folder and seals it: `python -m models.export FOLDER --data-dir DATA`."""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.batches import Batch, pack
from models.data import read_corpus
from models.folder import OPENVINO_FILES, ModelSettings, read_settings, seal
from models.load import load_tokenizer
from models.network import MultiTaskNetwork, load_network
from models.openvino_backend import import_openvino
from models.training.splits import hold_out

CALIBRATION_TEXTS = 300


class _Probabilities(nn.Module):
    """The network with its softmax, so that the exported model gives probabilities."""

    def __init__(self, network: MultiTaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(logits.softmax(-1) for logits in self.network(input_ids, attention_mask).values())


def export(folder: Path, calibration: Sequence[str], *, int8: bool = True) -> ModelSettings:
    """Write `openvino/model.xml` and `.bin` into the folder and seal it.

    int8: static post-training quantisation by NNCF (transformer preset with SmoothQuant), its ranges calibrated on
    `calibration`, normalised texts that are not kept. Static, because with dynamic ranges a score depends on what
    it was batched with.
    """
    openvino = import_openvino()
    settings = read_settings(folder)
    model = _converted(openvino, folder, settings)
    if int8:
        model = _quantised(model, _calibration_batches(folder, calibration))
    target = folder / OPENVINO_FILES[0]
    target.parent.mkdir(exist_ok=True)
    openvino.save_model(model, str(target), compress_to_fp16=int8)
    return seal(folder)


def _converted(openvino: Any, folder: Path, settings: ModelSettings) -> Any:
    """The network as an OpenVINO model with dynamic shapes, its inputs and outputs named."""
    network = _Probabilities(load_network(folder, settings)).eval()
    example = {
        "input_ids": torch.ones((2, 8), dtype=torch.int64),
        "attention_mask": torch.ones((2, 8), dtype=torch.int64),
    }
    with torch.inference_mode(), warnings.catch_warnings():
        # Tracing warns of branches on shapes; `models.evaluate` compares the outcome with torch at all lengths.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(
            network, example_input=example, input=[("input_ids", [-1, -1]), ("attention_mask", [-1, -1])]
        )
    for name, port in zip(example, model.inputs, strict=True):
        port.get_tensor().set_names({name})
    for task, port in zip(settings.tasks, model.outputs, strict=True):
        port.get_tensor().set_names({task})
    return model


def _quantised(model: Any, batches: Sequence[Batch]) -> Any:
    import nncf

    def inputs(batch: Batch) -> Mapping[str, np.ndarray[Any, Any]]:
        return {"input_ids": batch.ids, "attention_mask": batch.mask}

    return nncf.quantize(
        model,
        nncf.Dataset(batches, inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
    )


def _calibration_batches(folder: Path, texts: Sequence[str]) -> list[Batch]:
    """One text a batch: padding would count in the ranges."""
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(128)
    return [pack([tokenizer.encode(text).ids], budget=1, padding_id=0)[0] for text in texts]


def calibration_texts(data_dir: Path, *, held_out: float, seed: int, count: int = CALIBRATION_TEXTS) -> list[str]:
    """A random choice of the texts that the model was trained on."""
    texts = [example.text for example in read_corpus(data_dir).examples]
    held = hold_out(texts, share=held_out, seed=seed)
    training = [text for text, is_held in zip(texts, held, strict=True) if not is_held]
    return random.Random(seed).sample(training, count)  # noqa: S311 (not a secret)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="the model folder that models.train wrote")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the labelled sets (models/data.py)")
    parser.add_argument("--fp32", action="store_true", help="do not quantise")
    options = parser.parse_args(arguments)
    recipe = read_settings(options.folder).training["recipe"]
    texts = calibration_texts(options.data_dir, held_out=recipe["held_out"], seed=recipe["seed"])
    print(export(options.folder, texts, int8=not options.fp32).ref)


if __name__ == "__main__":
    main()
