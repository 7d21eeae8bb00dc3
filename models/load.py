"""Loads a model folder onto the device at hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import PermanentError
from domain.ports import Classifier
from models.folder import (
    ADAPTER_FILES,
    OPENVINO_FILES,
    SETTINGS_FILE,
    TOKENIZER_FILE,
    TORCH_FILES,
    ModelSettings,
    read_settings,
    verify,
)
from models.normalise import VERSION as NORMALISER_VERSION

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from models.backend import Backend

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT_MODEL = "groundswell-minilm"
DEVICES = ("auto", "cpu", "cuda")


def load_classifier(ref: str | Path | None = None, *, device: str = "auto", streams: int | None = None) -> Classifier:
    """The classifier in the model folder `ref`: a path, the name of a model that ships with the project, or None for
    the default one.

    `device` is `cuda` (torch), `cpu` (OpenVINO where the folder has a file for it, else torch) or `auto` (a GPU where
    torch is installed and sees one, else the processor). `streams` is how many inferences run side by side on a
    processor (default: one per core that this process may use).

    Raises PermanentError, naming the fix, when the folder is missing, damaged or made for another normaliser, or when
    the device or a library for it isn't there.
    """
    from models.classifier import TextClassifier

    if device not in DEVICES:
        raise PermanentError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    folder = find_folder(ref)
    settings = read_settings(folder)
    if settings.normaliser != NORMALISER_VERSION:
        raise PermanentError(
            f"{folder} was trained with text normaliser {settings.normaliser}, this is {NORMALISER_VERSION}: "
            "train it again, or use the version of the project that it was made with"
        )
    verify(folder, settings, [TOKENIZER_FILE])
    tokenizer = load_tokenizer(folder)
    if device == "cuda" or (device == "auto" and _sees_gpu()):
        return TextClassifier(settings, tokenizer, _torch(folder, settings, "cuda"))
    if OPENVINO_FILES[0] in settings.files:
        from models.openvino_backend import OpenVinoBackend

        verify(folder, settings, OPENVINO_FILES)
        return TextClassifier(settings, tokenizer, OpenVinoBackend(folder, streams=streams))
    return TextClassifier(settings, tokenizer, _torch(folder, settings, "cpu"))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, neither padding nor cutting."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def find_folder(ref: str | Path | None) -> Path:
    """The model folder that `load_classifier(ref)` loads. Raises PermanentError, naming the fix, when there is none."""
    for folder in (SHIPPED / (ref or DEFAULT_MODEL), Path(ref or DEFAULT_MODEL)):
        if (folder / SETTINGS_FILE).exists():
            return folder
    shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir())) if SHIPPED.exists() else "none"
    raise PermanentError(
        f"no model {str(ref or DEFAULT_MODEL)!r}: give a folder that holds a {SETTINGS_FILE}, "
        f"or the name of a shipped model ({shipped})"
    )


def _torch(folder: Path, settings: ModelSettings, device: str) -> Backend:
    try:
        from models.torch_backend import TorchBackend
    except ImportError as error:
        raise PermanentError(
            f"{folder} needs torch on device {device}, and it is not installed: pip install 'groundswell[torch]'"
        ) from error
    verify(folder, settings, [*TORCH_FILES, *(name for name in ADAPTER_FILES if name in settings.files)])
    return TorchBackend(folder, settings, device=device)


def _sees_gpu() -> bool:
    # Importing torch takes seconds: not where there is no NVIDIA driver anyway.
    if not Path("/dev/nvidiactl").exists() or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
