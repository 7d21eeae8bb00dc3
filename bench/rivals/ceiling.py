"""How fast this machine multiplies matrices, in floating-point or integer operations per second: fp32 by torch, int8 by
OpenVINO (unsigned activations, signed weights, as in the model). Matrices so large that nothing else counts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 2048


def fp32(threads: int, size: int) -> Callable[[], object]:
    """One product."""
    import torch

    torch.set_num_threads(threads)
    left, right = torch.randn(size, size), torch.randn(size, size)
    return lambda: left @ right


def int8(threads: int, size: int) -> Callable[[], object]:
    """One product, with the quantising of its left side."""
    from models.openvino_backend import import_openvino

    openvino: Any = import_openvino()
    operation = openvino.opset13
    values = np.random.default_rng(0)
    left = operation.parameter([size, size], np.float32)
    weights = operation.constant(values.uniform(-1, 1, (size, size)).astype(np.float32))
    low, high = np.float32(-1), np.float32(1)
    product = operation.matmul(
        operation.fake_quantize(left, low, high, low, high, 256),
        operation.fake_quantize(weights, low, high, low, high, 255),
        False,
        True,
    )
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model([product], [left]), "CPU", settings)
    if not any(
        "_I8" in node.get_rt_info()["primitiveType"].astype(str) for node in compiled.get_runtime_model().get_ops()
    ):
        raise RuntimeError("OpenVINO multiplies in int8 nowhere on this processor")
    request = compiled.create_infer_request()
    given = [values.uniform(-1, 1, (size, size)).astype(np.float32)]
    return lambda: request.infer(given, share_inputs=True)


def rate(product: Callable[[], object], size: int, seconds: float) -> float:
    """Operations per second of the fastest product."""
    product()
    best, began = float("inf"), time.perf_counter()
    while True:
        started = time.perf_counter()
        product()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - began > seconds:
            return 2 * size**3 / best


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    one = {"fp32": fp32, "int8": int8}[sys.argv[1]](job["threads"], SIZE)
    print(json.dumps({"operations_per_second": rate(one, SIZE, job["seconds"])}))
