"""Fine-tuning: configuration, data, losses, methods, the trainer, and what goes around it. Needs the `train` extra.

`train(read_config("train.yml"), out=…, data_dir=…)` is the whole of it. Reading data and configuration needs neither
torch nor transformers, so that what only reads labelled files need not load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.training.configure import read_config

if TYPE_CHECKING:
    from models.training.run import TrainingResult, train

__all__ = ["TrainingResult", "read_config", "train"]


def __getattr__(name: str) -> Any:
    if name in ("TrainingResult", "train"):
        from models.training import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
