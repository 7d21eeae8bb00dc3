"""Runs a BERT-like network without padding: bf16 and one CUDA graph for each size of pass on a GPU. Needs torch.

On a processor it is the reference for what runs on a GPU; OpenVINO is what serves there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.errors import PermanentError
from models.backend import Logits
from models.batches import Batch
from models.folder import Kind
from models.packed import PackedNetwork

log = logging.getLogger(__name__)

BUDGETS = (2_048, 16_384)
"""Tokens in a pass, the padding at its end included: a small one for little work, and one that fills a GPU."""

_TOKENS_PER_TEXT = 8
"""A pass has room for so many times fewer texts than tokens."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Texts for one pass: a stretch of all windows."""

    ids: NDArray[np.int64]
    """Of all their tokens, one text after another, shape (tokens,)."""
    lengths: NDArray[np.int64]
    """Tokens of each, shape (texts,)."""


@dataclass(kw_only=True)
class _Slot:
    """Memory of one pass at one budget: what is sent to the device, and what comes back."""

    inputs: Mapping[str, Tensor]
    outputs: dict[str, Tensor] = field(default_factory=dict)
    done: Any = None
    """The event after which `outputs` are there."""


class PackedBackend:
    """One network on one device. Two passes are under way at a time: the next is put together and sent while one
    runs."""

    token_budget = BUDGETS[-1]

    def __init__(
        self,
        network: PackedNetwork,
        kinds: Mapping[str, Kind],
        *,
        device: str = "cuda",
        budgets: Sequence[int] = BUDGETS,
        compiled: bool = True,
    ) -> None:
        """`kinds` are those of the network's tasks; `budgets` ascend from at least its longest text. `compiled` matters
        on a GPU alone. Raises PermanentError when there is no such device."""
        self._gpu = device.startswith("cuda")
        if self._gpu:
            need_gpu()
        self._device = device
        self._longest = network.longest
        self._kinds = kinds
        self._budgets = tuple(budgets)
        packed = network.to(device, dtype=torch.bfloat16 if self._gpu else torch.float32).eval()
        self._lock = threading.Lock()
        with torch.inference_mode():
            self._runners = {budget: self._runner(packed, budget, compiled) for budget in self._budgets}

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        if not batches:
            return []
        real = [batch.mask.astype(bool) for batch in batches]
        ids = np.concatenate([batch.ids[mask] for batch, mask in zip(batches, real, strict=True)])
        lengths = np.concatenate([mask.sum(axis=1) for mask in real])
        try:
            with self._lock, torch.inference_mode():
                parts = list(self._results(self._passes(ids, lengths)))
        except RuntimeError as error:
            raise PermanentError(f"torch failed on one of {len(batches)} batches") from error
        whole = {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}
        return list(self._by_batch(whole, batches, real))

    def _passes(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[Pass]:
        """Stretches of the windows, in order, that fit the largest budget."""
        ends = np.cumsum(lengths)
        room, first = self._budgets[-1] // _TOKENS_PER_TEXT, 0
        while first < len(lengths):
            start = ends[first] - lengths[first]
            last = min(int(np.searchsorted(ends, start + self._budgets[-1], side="right")), first + room)
            yield Pass(ids=ids[start : ends[last - 1]], lengths=lengths[first:last])
            first = last

    def _results(self, passes: Iterator[Pass]) -> Iterator[dict[str, NDArray[np.float32]]]:
        waiting: list[tuple[_Slot, Pass]] = []
        for number, one in enumerate(passes):
            if len(waiting) == 2:
                yield self._read(*waiting.pop(0))
            budget = next(
                size for size in self._budgets if len(one.ids) <= size and self._texts(size) >= len(one.lengths)
            )
            waiting.append((self._runners[budget].start(number % 2, self._inputs(one, budget)), one))
        for slot, one in waiting:
            yield self._read(slot, one)

    def _texts(self, budget: int) -> int:
        return budget // _TOKENS_PER_TEXT

    def _inputs(self, one: Pass, budget: int) -> dict[str, NDArray[Any]]:
        """Filled up to the budget with texts of padding, as short as real ones, and then with empty texts."""
        count = self._texts(budget) + -(-budget // self._longest)
        rest = budget - len(one.ids)
        filler = np.full(-(-rest // self._longest), self._longest)
        if rest:
            filler[-1] = rest - self._longest * (len(filler) - 1)
        lengths = np.concatenate([one.lengths, filler])
        edges = np.full(count + 1, budget, dtype=np.int32)
        edges[: len(lengths) + 1] = np.concatenate([[0], np.cumsum(lengths)])
        owners = np.repeat(np.arange(len(lengths)), lengths)
        return {
            "ids": np.concatenate([one.ids, np.zeros(rest, dtype=np.int64)]),
            "positions": np.arange(budget) - edges[owners],
            "edges": edges,
            "owners": owners,
        }

    def _read(self, slot: _Slot, one: Pass) -> dict[str, NDArray[np.float32]]:
        if slot.done is not None:
            slot.done.synchronize()
        rows = {task: len(one.ids) if kind is Kind.ENTITY else len(one.lengths) for task, kind in self._kinds.items()}
        # Copied: the slot's memory is written again by the pass after next.
        return {task: slot.outputs[task][:count].numpy().copy() for task, count in rows.items()}

    def _by_batch(
        self, whole: Mapping[str, NDArray[np.float32]], batches: Sequence[Batch], real: Sequence[NDArray[np.bool_]]
    ) -> Iterator[Logits]:
        text = token = 0
        for batch, mask in zip(batches, real, strict=True):
            tokens, texts = int(mask.sum()), len(batch.windows)
            logits: dict[str, NDArray[np.float32]] = {}
            for task, kind in self._kinds.items():
                if kind is Kind.ENTITY:
                    padded = np.zeros((*mask.shape, whole[task].shape[1]), dtype=np.float32)
                    padded[mask] = whole[task][token : token + tokens]
                    logits[task] = padded
                else:
                    logits[task] = whole[task][text : text + texts]
            text, token = text + texts, token + tokens
            yield logits

    def _runner(self, network: PackedNetwork, budget: int, compiled: bool) -> _Runner:
        example = self._inputs(Pass(ids=np.zeros(0, dtype=np.int64), lengths=np.zeros(0, dtype=np.int64)), budget)
        if compiled and self._gpu:
            try:
                return _Runner(network, example, device=self._device, compiled=True)
            except Exception as error:  # of whatever type the compiler chooses; a machine may lack one altogether
                log.warning("torch.compile failed (%s: %.200s): running without it", type(error).__name__, error)
        return _Runner(network, example, device=self._device, compiled=False)


def need_gpu() -> None:
    """Raise PermanentError unless torch sees one."""
    if not torch.cuda.is_available():
        raise PermanentError("device cuda was asked for and torch sees no GPU; use device auto or cpu")


class _Runner:
    """The network at one budget."""

    def __init__(
        self, network: PackedNetwork, example: Mapping[str, NDArray[Any]], *, device: str, compiled: bool
    ) -> None:
        self._gpu = device.startswith("cuda")
        self._network: Any = torch.compile(network, dynamic=False) if compiled else network
        self._slots = [
            _Slot(inputs={name: self._pinned(torch.from_numpy(array)) for name, array in example.items()})
            for _ in range(2)
        ]
        self._static = {name: torch.from_numpy(array).to(device) for name, array in example.items()}
        self._graph: Any = None
        if self._gpu:
            self._record()

    def start(self, number: int, inputs: Mapping[str, NDArray[Any]]) -> _Slot:
        """Send the inputs through slot `number` and begin. Its `outputs` are there once its event is done."""
        slot = self._slots[number]
        for name, array in inputs.items():
            slot.inputs[name].copy_(torch.from_numpy(array))
            self._static[name].copy_(slot.inputs[name], non_blocking=True)
        if self._graph is None:
            slot.outputs = self._compute()
            return slot
        self._graph.replay()
        for task, logits in self._outputs.items():
            slot.outputs[task].copy_(logits, non_blocking=True)
        slot.done.record()
        return slot

    def _compute(self) -> dict[str, Tensor]:
        logits = self._network(*(self._static[name] for name in ("ids", "positions", "edges", "owners")))
        return {task: one.float() for task, one in logits.items()}

    def _record(self) -> None:
        # Three runs beside the main stream first, as CUDA graphs want it: what is compiled or chosen at first use is.
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = self._compute()
        for slot in self._slots:
            slot.outputs = {
                task: self._pinned(torch.empty_like(one, device="cpu")) for task, one in self._outputs.items()
            }
            slot.done = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def _pinned(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self._gpu else tensor.clone()
