"""Makes what a checkpoint needs to be served, its int8 form first of all, once, and keeps it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from domain.errors import PermanentError
from models.checkpoint import Checkpoint
from models.folder import OPENVINO_FILES, TOKENIZER_FILE, read_settings, seal, verify, write_settings
from models.lock import locked

CONVERSION = "3"
"""Part of the name of what is kept: change it whenever `models.convert` or its sentences change."""


def converted(checkpoint: Checkpoint, *, cache: Path) -> Path:
    """The folder with its tokenizer and its int8 OpenVINO model, made on first use: takes a minute for a BERT-base, and
    a line on stderr says so. Kept in `cache` by a hash of the weights, whole or not at all.

    Raises PermanentError when a library for it is not installed, OpenVINO can't take the architecture, or `cache` can't
    be written.
    """
    ref = checkpoint.settings.ref
    folder = cache / "converted" / f"{ref.name}-{ref.version}-{CONVERSION}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not _is_whole(folder):
            _need_libraries(ref.name)
            print(f"making {ref.name} int8 for processors, once (a minute or two)", file=sys.stderr, flush=True)
            _make(folder, lambda new: _convert(checkpoint, new))
    return folder


def with_tokenizer(checkpoint: Checkpoint, *, cache: Path) -> Path:
    """A folder with its tokenizer in the one-file form: its own where it has that, else one in `cache`. Raises
    PermanentError when it can't be read, or `cache` can't be written."""
    if (checkpoint.folder / TOKENIZER_FILE).exists():
        return checkpoint.folder
    folder = cache / "tokenizers" / f"{checkpoint.settings.ref.name}-{checkpoint.settings.ref.version}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / TOKENIZER_FILE).exists():
            _make(folder, lambda new: _write_tokenizer(checkpoint, new / TOKENIZER_FILE))
    return folder


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder` and put it there, within its lock: whole or not at all. What a kill left of an
    earlier try goes."""
    new = folder.with_name(f".making-{folder.name}")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        fill(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except OSError as error:
        raise PermanentError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_tokenizer(checkpoint: Checkpoint, file: Path) -> None:
    if (checkpoint.folder / TOKENIZER_FILE).exists():
        shutil.copyfile(checkpoint.folder / TOKENIZER_FILE, file)
        return
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            checkpoint.folder, use_fast=True, trust_remote_code=False, local_files_only=True
        )
        tokenizer.backend_tokenizer.save(str(file))
    except Exception as error:  # of whatever type the tokenizer's code, or a library that it lacks, chooses
        raise PermanentError(
            f"{checkpoint.folder} has no tokenizer that can be read ({type(error).__name__}); add its {TOKENIZER_FILE}"
        ) from error


def _convert(checkpoint: Checkpoint, folder: Path) -> None:
    from models.convert import calibration_batches, calibration_sentences, convert
    from models.load import load_tokenizer
    from models.sequence_classifier import load_checkpoint

    _write_tokenizer(checkpoint, folder / TOKENIZER_FILE)
    longest = checkpoint.settings.window_tokens
    batches = calibration_batches(load_tokenizer(folder), calibration_sentences(), longest=longest)
    network = load_checkpoint(checkpoint.folder, checkpoint.task)
    convert(network, [checkpoint.task], folder / OPENVINO_FILES[0], calibration=batches)
    write_settings(folder, replace(checkpoint.settings, files={}))
    seal(folder)


def _is_whole(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        verify(folder, read_settings(folder), [TOKENIZER_FILE, *OPENVINO_FILES])
    except PermanentError:
        return False
    return True


def _need_libraries(name: str) -> None:
    missing = [module for module in ("torch", "transformers", "nncf") if importlib.util.find_spec(module) is None]
    if missing:
        raise PermanentError(
            f"{name} has no int8 model yet, and making one (once) needs {', '.join(missing)}: "
            "pip install 'groundswell[train]'"
        )
