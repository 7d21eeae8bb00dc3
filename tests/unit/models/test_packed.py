"""Running without padding gives what running with it gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_checkpoints import tiny_bert, tiny_roberta
from support.tiny_networks import tiny_network

from domain.errors import PermanentError
from models.batches import pack
from models.checkpoint import read_checkpoint
from models.folder import Kind, ModelSettings, Pooling, read_settings
from models.network import MultiTaskNetwork, load_network
from models.packed import PackedNetwork
from models.packed_backend import PackedBackend
from models.sequence_classifier import load_checkpoint
from models.torch_backend import TorchBackend


def mean(place: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    return own(tiny_network(place / "m", openvino=False))


def first_token_with_entities(place: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    return own(tiny_network(place / "m", pooling=Pooling.CLS, openvino=False))


def first_token(place: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    return own(tiny_network(place / "m", pooling=Pooling.CLS, entities=False, openvino=False))


def bert(place: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    return checkpoint(tiny_bert(place / "m"))


def roberta(place: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    return checkpoint(tiny_roberta(place / "m"))


def own(folder: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    settings = read_settings(folder)
    return folder, settings, load_network(folder, settings)


def checkpoint(folder: Path) -> tuple[Path, ModelSettings, MultiTaskNetwork]:
    network = load_checkpoint(folder, "sentiment")
    assert isinstance(network, MultiTaskNetwork)
    return folder, read_checkpoint(folder, name="m").settings, network


@pytest.mark.parametrize("make", [mean, first_token_with_entities, first_token, bert, roberta])
def test_packed_tokens_give_the_logits_of_padded_ones(make: object, tmp_path: Path) -> None:
    assert callable(make)
    folder, settings, network = make(tmp_path)
    kinds = {task: settings.kinds.get(task, Kind.SINGLE) for task in settings.tasks}
    choose = np.random.default_rng(0)
    lengths = [2, 16, 3, 9, *choose.integers(2, 17, 60)]
    windows = [choose.integers(5, 60, length).tolist() for length in lengths]
    padding_id = network.encoder.config.pad_token_id
    padded = TorchBackend(folder, settings, device="cpu")
    # Passes of 64 tokens or 8 texts at most: several, of both sizes, most of them not full.
    packed = PackedBackend(PackedNetwork(network, longest=16), kinds, device="cpu", budgets=(32, 64))
    for some in (windows, windows[:1], windows[1:4]):
        batches = pack(some, budget=100, padding_id=padding_id)
        for batch, ours, theirs in zip(batches, packed.run(batches), padded.run(batches), strict=True):
            for task, kind in kinds.items():
                mask = batch.mask.astype(bool) if kind is Kind.ENTITY else np.ones(len(batch.windows), dtype=bool)
                assert ours[task].shape == theirs[task].shape
                np.testing.assert_allclose(ours[task][mask], theirs[task][mask], atol=1e-4)


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(PermanentError, match="sees no GPU"):
            PackedBackend(PackedNetwork(mean(tmp_path)[2], longest=16), {})
