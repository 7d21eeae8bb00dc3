"""Checkpoints of a run, whole or not there: a kill at any moment leaves the last whole one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from domain.errors import InvalidInput

MARK = "whole.json"
"""Written last into a checkpoint: one without it was broken off."""
AVERAGES_FILE = "averages.safetensors"
BEST_FILE = "best.safetensors"


@dataclass(kw_only=True)
class Course:
    """What has come of a run so far."""

    best: float | None = None
    """The best epoch's score."""
    epochs_since_best: int = 0
    finished: bool = False
    """Nothing is left to learn: the last step was taken, or training was stopped early."""
    steps: int = 0
    """The optimiser's."""
    seconds: float = 0.0
    """Of training, over all the processes that it took."""
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """Held-out figures after each epoch."""


class Checkpoints:
    """The checkpoints in one folder, of the run whose configuration and data have `digest`."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self._digest = digest

    def latest(self) -> Path | None:
        """The last whole checkpoint, None without any. Raises InvalidInput when it is of another run."""
        whole = sorted(whole_checkpoints(self.folder), key=_step)
        if not whole:
            return None
        if json.loads((whole[-1] / MARK).read_text(encoding="utf-8"))["run"] != self._digest:
            raise InvalidInput(
                "training_config",
                f"{self.folder} holds the checkpoints of a run with another configuration or other data: "
                "start over with --fresh, or give another --out",
            )
        return whole[-1]

    def complete(
        self, step: int, course: Course, averages: Mapping[str, Tensor], best: Mapping[str, Tensor] | None
    ) -> None:
        """Add our own state to the checkpoint that the Trainer has written at `step`, mark it as whole, and remove
        the others."""
        checkpoint = self.folder / f"checkpoint-{step}"
        save_file(dict(averages), checkpoint / AVERAGES_FILE)
        if best is not None:
            save_file(dict(best), checkpoint / BEST_FILE)
        written = json.dumps({"run": self._digest, "course": asdict(course)})
        (checkpoint / f"{MARK}.new").write_text(written, encoding="utf-8")
        (checkpoint / f"{MARK}.new").replace(checkpoint / MARK)
        for other in self.folder.glob("checkpoint-*"):
            if other != checkpoint:
                shutil.rmtree(other)

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if nothing else is in it."""
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def whole_checkpoints(folder: Path) -> list[Path]:
    """Those in a folder, of whatever run, in no order."""
    return [mark.parent for mark in folder.glob(f"checkpoint-*/{MARK}")]


def read_course(checkpoint: Path) -> Course:
    """What had come of the run at a whole checkpoint."""
    return Course(**json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["course"])


def read_averages(checkpoint: Path) -> dict[str, Tensor]:
    """What `Averages.state` gave."""
    return load_file(checkpoint / AVERAGES_FILE)


def read_best(checkpoint: Path) -> dict[str, Tensor] | None:
    """The best epoch's weights."""
    return load_file(checkpoint / BEST_FILE) if (checkpoint / BEST_FILE).exists() else None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))
