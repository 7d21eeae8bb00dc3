"""Groundswell's classifier on the file that `python -m models.export --fp32` writes."""

from __future__ import annotations

import shutil

from bench.rivals.ours import loaded
from bench.rivals.turn import Job, Loaded, main

FOLDER = "model"


def fp32(job: Job) -> Loaded:
    """Full precision, everything else as with int8."""
    return loaded(job.prepared / FOLDER, job)


def prepare(job: Job) -> None:
    """Export in full precision."""
    from models.export import export

    folder = job.prepared / FOLDER
    shutil.copytree(job.model, folder)
    export(folder, [], int8=False)


if __name__ == "__main__":
    main({"fp32": fp32}, prepare=prepare)
