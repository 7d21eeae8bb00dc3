"""What `groundswell train` and `python -m models.training` do with their options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput
from models.training.audit import audit
from models.training.config import Config
from models.training.configure import change, config_from, read_tree, refit_tree
from models.training.hooks import Report
from models.training.run import device_name, dry_run, train
from models.training.search import BEST_FILE, STUDY_FILE, search, table
from models.training.train_folds import train_folds


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, under their names."""

    config: str
    """A file, a shipped recipe or a model folder."""
    refit: bool = False
    out: Path | None = None
    data_dir: Path | None = None
    changes: Sequence[str] = ()
    resume: bool | None = None
    device: str = "auto"
    distil_from: Sequence[Path] = ()
    unlabelled: Sequence[Path] = ()
    folds: int | None = None
    search: int | None = None
    audit: Path | None = None
    dry_run: bool = False


def execute(request: Request, report: Report) -> None:
    """Do what is asked, and report what came of it. Raises InvalidInput for options that exclude each other, and what
    `train`, `train_folds`, `search` and `audit` raise."""
    if request.search is not None and request.resume is not None:
        raise InvalidInput(
            "training_config", f"--search goes on by itself: to start it over, remove OUT/{STUDY_FILE} instead"
        )
    asked = [name for name in ("folds", "search", "audit", "dry_run") if getattr(request, name)]
    if len(asked) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise InvalidInput("training_config", f"{names} exclude each other")
    tree = _tree(request)
    config, data_dir, out = config_from(tree), data_dir_of(request), out_of(request)
    if request.dry_run:
        dry_run(config, data_dir=data_dir, report=report)
    elif request.audit is not None:
        found = audit(config, data_dir=data_dir, out=request.audit, device=device_name(request.device), report=report)
        report(f"{len(found)} doubtful labels are in {request.audit}")
    elif request.search is not None:
        found_best = search(tree, request.search, out=out, data_dir=data_dir, device=request.device, report=report)
        for line in table(found_best):
            report(line)
        report(f"the best is in {out / BEST_FILE}")
    elif request.folds is not None:
        train_folds(
            config,
            request.folds,
            out=out,
            data_dir=data_dir,
            resume=request.resume,
            device=request.device,
            report=report,
        )
        report(f"the teachers are in {out}: groundswell train --distil-from {out}")
    else:
        result = train(config, out=out, data_dir=data_dir, resume=request.resume, device=request.device, report=report)
        report(f"{result.settings.ref} is in {result.folder}")


def config_of(request: Request) -> Config:
    """The configuration with all changes over it. Raises InvalidInput when it is wrong."""
    return config_from(_tree(request))


def data_dir_of(request: Request) -> Path:
    """Where the labelled files are."""
    return request.data_dir or (Path(request.config).parent if Path(request.config).is_file() else Path())


def out_of(request: Request) -> Path:
    """The folder to write, absolute."""
    return (request.out or Path(config_of(request).name)).resolve()


def _tree(request: Request) -> dict[str, Any]:
    changes = [*request.changes, *_distil(request)]
    if not request.refit:
        return change(read_tree(request.config), changes)
    # A place and not a name: training by a recipe leaves a folder of its name.
    return refit_tree(Path(request.config).resolve(), changes)


def _distil(request: Request) -> list[str]:
    """The changes that short options stand for."""
    changes = []
    if request.distil_from:
        changes.append(f"distil.teachers={json.dumps([str(folder) for folder in request.distil_from])}")
    if request.unlabelled:
        # From where the command is called, unlike a configuration's, which are under the data folder.
        changes.append(f"distil.unlabelled={json.dumps([str(file.absolute()) for file in request.unlabelled])}")
    return changes
