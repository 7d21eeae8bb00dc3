"""Runs the network with torch: bf16 on a GPU, full precision on a processor. Needs the `torch` extra."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from domain.errors import PermanentError
from models.backend import Backend, Logits
from models.batches import Batch
from models.first_token import is_bert_like
from models.folder import HEADS_FILE, Kind, ModelSettings
from models.network import MultiTaskNetwork, load_network
from models.packed import PackedNetwork
from models.packed_backend import PackedBackend, need_gpu
from models.sequence_classifier import WholeNetwork, load_checkpoint

Network = MultiTaskNetwork | WholeNetwork


class TorchBackend:
    """One network on one device, its batches padded; one at a time, since a device is one queue."""

    def __init__(self, folder: Path, settings: ModelSettings, *, device: str, network: Network | None = None) -> None:
        """`folder` is a model folder or a Hugging Face sequence classifier; `network` what `load_any` gave for it, if
        it was loaded before. Raises PermanentError when there is no such device or the weights do not fit the
        settings."""
        self._gpu = device.startswith("cuda")
        if self._gpu:
            need_gpu()
        self.token_budget = 16_384 if self._gpu else 512
        network = network or load_any(folder, settings)
        self._network = network.to(device, dtype=torch.bfloat16 if self._gpu else torch.float32)
        self._device = device
        self._lock = threading.Lock()

    @property
    def network(self) -> Network:
        """On the device, in evaluation mode."""
        return self._network

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        with self._lock, torch.inference_mode():
            try:
                return [self._infer(batch) for batch in batches]
            except Exception as error:  # of whatever type an architecture's code chooses
                raise PermanentError(
                    f"torch failed on one of {len(batches)} batches ({type(error).__name__})"
                ) from error

    def _infer(self, batch: Batch) -> Logits:
        ids = torch.from_numpy(batch.ids).to(self._device, non_blocking=True)
        mask = torch.from_numpy(batch.mask).to(self._device, non_blocking=True)
        return {task: logits.float().cpu().numpy() for task, logits in self._network(ids, mask).items()}


def load_any(folder: Path, settings: ModelSettings) -> Network:
    """The network of a model folder or of a Hugging Face sequence classifier. Raises PermanentError when the weights do
    not fit the settings."""
    if not (folder / HEADS_FILE).exists():
        return load_checkpoint(folder, next(iter(settings.tasks)))
    try:
        return load_network(folder, settings)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise PermanentError(f"torch cannot load the weights in {folder}; restore the folder") from error


def gpu_backend(folder: Path, settings: ModelSettings) -> Backend:
    """Without padding where the architecture lets it. Raises PermanentError as `TorchBackend` does."""
    need_gpu()
    network = load_any(folder, settings)
    if isinstance(network, MultiTaskNetwork) and is_bert_like(network.encoder):
        kinds = {task: settings.kinds.get(task, Kind.SINGLE) for task in settings.tasks}
        return PackedBackend(PackedNetwork(network, longest=settings.window_tokens), kinds)
    return TorchBackend(folder, settings, device="cuda", network=network)
