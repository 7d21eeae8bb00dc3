"""Makes what a checkpoint needs to be served, its int8 form first of all, once, and keeps it."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from domain.errors import PermanentError
from models.checkpoint import Checkpoint
from models.folder import OPENVINO_FILES, TOKENIZER_FILE, read_settings, seal, verify, write_settings

CONVERSION = "1"
"""Part of the name of what is kept: change it whenever `models.convert` or its sentences change."""


def converted(checkpoint: Checkpoint, *, cache: Path) -> Path:
    """The folder with its tokenizer and its int8 OpenVINO model, made on first use: takes a minute for a BERT-base, and
    a line on stderr says so. Kept in `cache` by a hash of the weights, whole or not at all.

    Raises PermanentError when a library for it is not installed, or OpenVINO can't take the architecture.
    """
    ref = checkpoint.settings.ref
    folder = cache / "converted" / f"{ref.name}-{ref.version}-{CONVERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_process_at_a_time(folder.with_suffix(".lock")):
        if not _is_whole(folder):
            _need_libraries(ref.name)
            print(f"making {ref.name} int8 for processors, once (a minute or two)", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as place:
                made = Path(place) / "folder"
                _convert(checkpoint, made)
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    return folder


def with_tokenizer(checkpoint: Checkpoint, *, cache: Path) -> Path:
    """A folder with its tokenizer in the one-file form: its own where it has that, else one in `cache`."""
    if (checkpoint.folder / TOKENIZER_FILE).exists():
        return checkpoint.folder
    folder = cache / "tokenizers" / f"{checkpoint.settings.ref.name}-{checkpoint.settings.ref.version}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / TOKENIZER_FILE).exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as place:
            made = Path(place) / TOKENIZER_FILE
            _write_tokenizer(checkpoint, made)
            made.rename(folder / TOKENIZER_FILE)
    return folder


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
    except (OSError, ValueError, AttributeError) as error:
        raise PermanentError(
            f"{checkpoint.folder} has no tokenizer that can be read; add its {TOKENIZER_FILE}"
        ) from error


def _convert(checkpoint: Checkpoint, folder: Path) -> None:
    from models.convert import calibration_batches, calibration_sentences, convert
    from models.load import load_tokenizer
    from models.sequence_classifier import load_checkpoint

    folder.mkdir()
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


@contextmanager
def _one_process_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
