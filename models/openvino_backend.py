"""Runs the network on processors with OpenVINO: as many single-threaded streams as cores, side by side."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from domain.errors import PermanentError
from models.backend import Logits
from models.batches import Batch
from models.folder import OPENVINO_FILES


class OpenVinoBackend:
    """One compiled model, `streams` inference requests, each in a thread of its own."""

    token_budget = 1024

    def __init__(self, folder: Path, *, streams: int | None = None) -> None:
        """`streams` defaults to the cores that this process may use. Raises PermanentError when OpenVINO refuses the
        file."""
        streams = streams or len(os.sched_getaffinity(0))
        self._model = _compiled(folder / OPENVINO_FILES[0], streams)
        self._tasks = [output.get_any_name() for output in self._model.outputs]
        self._request = threading.local()
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="openvino")
        # One thread of the process alone goes first: OpenVINO's binding makes tables at its first use, and two threads
        # that do so at once wait for each other for ever, one with the interpreter's lock and one with the table's.
        token = np.ones((1, 1), dtype=np.int64)
        with _first_use:
            self._infer(Batch(ids=token, mask=token, windows=(0,)))

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        return list(self._threads.map(self._infer, batches))

    def _infer(self, batch: Batch) -> Logits:
        request = getattr(self._request, "mine", None)
        if request is None:
            request = self._request.mine = self._model.create_infer_request()
        try:
            request.infer({"input_ids": batch.ids, "attention_mask": batch.mask}, share_inputs=True)
        except RuntimeError as error:
            raise PermanentError(f"OpenVINO failed on a batch of shape {batch.ids.shape}") from error
        # Copied: the request's own memory is written again by its next batch.
        return {task: np.array(request.get_tensor(task).data, dtype=np.float32) for task in self._tasks}


def _compiled(file: Path, streams: int) -> Any:
    """The OpenVINO model at `file`, compiled for `streams` inferences side by side, each on one thread. Raises
    PermanentError when OpenVINO refuses the file."""
    try:
        core = the_core()
        return core.compile_model(
            _up_to_logits(core.read_model(str(file))),
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams,
                # Not bf16 where the processor has it: one model's scores should not depend on the machine.
                "INFERENCE_PRECISION_HINT": "f32",
                # Two processes on one machine would pin their threads to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
    except RuntimeError as error:
        raise PermanentError(f"OpenVINO cannot load {file}; restore the folder") from error


def _up_to_logits(model: Any) -> Any:
    """The model without the softmax in which the files of earlier exports end."""
    for result in model.get_results():
        softmax = result.input_value(0)
        if softmax.get_node().get_type_name() == "Softmax":
            logits = softmax.get_node().input_value(0)
            logits.get_tensor().set_names(softmax.get_names())
            result.input(0).replace_source_output(logits)
    model.validate_nodes_and_infer_types()
    return model


def the_core() -> Any:
    """The one `openvino.Core` of this process.

    With more than one the next signal may end the process: a core's plugin for processors puts a signal stack of its
    own (for AMX) under the thread that loads it, and frees that memory when the core goes, even though another thread,
    or a core that came later, still names it (`SigAltStackSetup` in OpenVINO's plugin intel_cpu).
    """
    with _core_lock:
        if not _cores:
            _cores.append(import_openvino().Core())
        return _cores[0]


_cores: list[Any] = []
_core_lock = threading.Lock()
_first_use = threading.Lock()


def import_openvino() -> Any:
    """The `openvino` module, without its telemetry package: it reports use over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # noqa: TID251

    return openvino
