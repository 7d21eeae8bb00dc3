"""Which precision a run is computed in on the device at hand."""

from __future__ import annotations

from dataclasses import replace

import torch

from models.training.config import Config
from models.training.hooks import Report


def has_bf16_units(device: str) -> bool:
    """Whether `cpu` or `cuda` multiplies bf16 in hardware. A processor without such units takes it all the same, and
    needs nine times as long as in full precision (AMD EPYC with AVX2: 18 against 160 GFLOP/s)."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return any(there for unit, there in torch.cpu.get_capabilities().items() if "bf16" in unit)


def on_device(config: Config, device: str, report: Report) -> Config:
    """The configuration as it is run on `cpu` or `cuda`: in full precision where bf16 would be slower, which is
    reported."""
    if not config.bf16 or has_bf16_units(device):
        return config
    report(f"{device} has no bf16 units: full precision it is")
    return replace(config, bf16=False)
