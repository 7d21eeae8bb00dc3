"""Loads a model folder, or a Hugging Face checkpoint, onto the device at hand."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import PermanentError
from domain.ports import Classifier
from models.folder import (
    ADAPTER_FILES,
    CONFIG_FILE,
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
    from models.cache import ScoreCache
    from models.classifier import TextClassifier

SHIPPED = Path(__file__).parent / "shipped"
CHOICES = {"fast": "groundswell-minilm", "accurate": "groundswell-bge-small"}
"""What people choose by → the model that ships for it."""
DEFAULT_MODEL = CHOICES["fast"]
DEVICES = ("auto", "cpu", "cuda")


def load_classifier(
    ref: str | Path | None = None,
    *,
    device: str = "auto",
    int8: bool = True,
    streams: int | None = None,
    cache_size: int = 0,
    cache_dir: Path | None = None,
) -> Classifier:
    """The classifier that `ref` names:

    - `fast` (the default, also for None) or `accurate`, or the name of a model that ships with the project;
    - a model folder (with a `groundswell.json`);
    - the folder of any Hugging Face sequence classifier, or its id on the hub (`ProsusAI/finbert`, pinned to a commit
      at its first use, or `org/name@commit`). For a processor it is made int8 at its first use;
    - one of these for each task: `sentiment=REF,topic=REF`. A checkpoint whose labels don't tell what it answers needs
      its task named so, too.

    `device` is `cuda` (torch), `cpu` (OpenVINO where there is a file for it, else torch) or `auto` (a GPU where torch
    is installed and sees one, else the processor). With `int8` False a processor runs torch in full precision, to see
    what int8 costs. `streams` is how many inferences run side by side on a processor (default: one per core that this
    process may use). `cache_size` is how many texts' answers are kept, so that what is
    repeated is read once. `cache_dir` is where pins and converted checkpoints are kept (default: the user's cache).

    Raises PermanentError, naming the fix, when the folder is missing, damaged or made for another normaliser, or when
    the device or a library for it isn't there.
    """
    if device not in DEVICES:
        raise PermanentError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    from models.cache import ScoreCache
    from models.combined import CombinedClassifier

    gpu = device == "cuda" or (device == "auto" and _sees_gpu())
    cache = ScoreCache(cache_size) if cache_size else None
    loader = _Loader(gpu=gpu, int8=int8 and not gpu, streams=streams, cache=cache, cache_dir=cache_dir)
    loaded: list[Classifier] = [loader.load(part, task) for task, part in _parts(ref)]
    return loaded[0] if len(loaded) == 1 else CombinedClassifier(loaded)


def find_folder(ref: str | Path | None) -> Path:
    """The model folder (with a `groundswell.json`) that `load_classifier(ref)` loads. Raises PermanentError, naming the
    fix, when there is none."""
    folder = own_folder(ref or DEFAULT_MODEL)
    if folder is None:
        raise PermanentError(
            f"no model {str(ref)!r}: give a folder that holds a {SETTINGS_FILE}, or one that ships ({_shipped()})"
        )
    return folder


def own_folder(ref: str | Path) -> Path | None:
    """The model folder of ours that `ref` names: `fast`, `accurate`, another name of one that ships, or a path. None
    where it names none."""
    places = (SHIPPED / CHOICES.get(str(ref), ref), Path(ref))
    return next((folder for folder in places if (folder / SETTINGS_FILE).exists()), None)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, neither padding nor cutting. Raises PermanentError when it can't be read."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:  # tokenizers raises no type of its own
        raise PermanentError(f"{folder / TOKENIZER_FILE} cannot be read as a tokenizer; restore the folder") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@dataclass(frozen=True, kw_only=True)
class _Loader:
    gpu: bool
    int8: bool
    streams: int | None
    cache: ScoreCache | None
    cache_dir: Path | None

    def load(self, ref: str | Path, task: str | None) -> TextClassifier:
        if (own := own_folder(ref)) is not None:
            return self._own(own, task)
        if (Path(ref) / CONFIG_FILE).exists():
            return self._checkpoint(Path(ref).resolve(), Path(ref).resolve().name, task)
        from models.hub import HUB_ID, hub_folder

        if (named := HUB_ID.fullmatch(str(ref))) and not Path(ref).exists():
            return self._checkpoint(hub_folder(str(ref), cache=self._kept()), named["name"].split("/")[1], task)
        raise PermanentError(
            f"no model {str(ref)!r}: give a folder that holds a {SETTINGS_FILE} or a Hugging Face classifier, "
            f"a hub id such as org/name, or one that ships ({_shipped()})"
        )

    def _own(self, folder: Path, task: str | None) -> TextClassifier:
        settings = read_settings(folder)
        if settings.normaliser != NORMALISER_VERSION:
            raise PermanentError(
                f"{folder} was trained with text normaliser {settings.normaliser}, this is {NORMALISER_VERSION}: "
                "train it again, or use the version of the project that it was made with"
            )
        if task is not None and task not in settings.tasks:
            raise PermanentError(f"{folder} does not answer {task!r}, only {', '.join(settings.tasks)}")
        verify(folder, settings, [TOKENIZER_FILE])
        if OPENVINO_FILES[0] in settings.files and self.int8:
            verify(folder, settings, OPENVINO_FILES)
            backend = self._openvino(folder)
        else:
            backend = self._torch(folder, settings)
        asked = settings if task is None else replace(settings, tasks={task: settings.tasks[task]})
        return self._classifier(asked, folder, backend, padding_id=_padding_id(folder))

    def _checkpoint(self, folder: Path, name: str, task: str | None) -> TextClassifier:
        from models.checkpoint import read_checkpoint
        from models.converted import converted, with_tokenizer

        checkpoint = read_checkpoint(folder, name=name, task=task)
        if self.int8:
            place = converted(checkpoint, cache=self._kept())
            backend = self._openvino(place)
        else:
            place = with_tokenizer(checkpoint, cache=self._kept())
            backend = self._torch(folder, checkpoint.settings)
        return self._classifier(checkpoint.settings, place, backend, padding_id=checkpoint.padding_id)

    def _classifier(
        self, settings: ModelSettings, folder: Path, backend: Backend, *, padding_id: int
    ) -> TextClassifier:
        from models.classifier import TextClassifier

        return TextClassifier(settings, load_tokenizer(folder), backend, padding_id=padding_id, cache=self.cache)

    def _openvino(self, folder: Path) -> Backend:
        from models.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(folder, streams=self.streams)

    def _torch(self, folder: Path, settings: ModelSettings) -> Backend:
        device = "cuda" if self.gpu else "cpu"
        try:
            from models.torch_backend import TorchBackend, gpu_backend
        except ImportError as error:
            raise PermanentError(
                f"{folder} needs torch on device {device}, and it is not installed: pip install 'groundswell[torch]'"
            ) from error
        if (folder / SETTINGS_FILE).exists():
            verify(folder, settings, [*TORCH_FILES, *(name for name in ADAPTER_FILES if name in settings.files)])
        try:
            return gpu_backend(folder, settings) if self.gpu else TorchBackend(folder, settings, device=device)
        except RuntimeError as error:
            said = str(error).partition("\n")[0][:200]
            raise PermanentError(f"torch cannot put {folder} on device {device}: {said}") from error

    def _kept(self) -> Path:
        from platformdirs import user_cache_path

        return self.cache_dir or user_cache_path("groundswell")


def _shipped() -> str:
    names = sorted(path.name for path in SHIPPED.iterdir()) if SHIPPED.exists() else []
    return ", ".join([*(choice for choice, name in CHOICES.items() if name in names), *names]) or "none"


def _parts(ref: str | Path | None) -> Sequence[tuple[str | None, str | Path]]:
    """(task, ref) of each model; one without a task where none is named."""
    if ref is None or isinstance(ref, Path) or "=" not in ref or Path(ref).exists():
        return [(None, ref or DEFAULT_MODEL)]
    parts = [(task.strip(), one.strip()) for task, _, one in (part.partition("=") for part in ref.split(","))]
    tasks = [task for task, _ in parts]
    if not all(task and one for task, one in parts) or len(set(tasks)) < len(tasks):
        raise PermanentError(f"{ref!r} must be one model, or TASK=MODEL,TASK=MODEL with each task once")
    return parts


def _padding_id(folder: Path) -> int:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return int(config.get("pad_token_id") or 0)
    except FileNotFoundError:
        return 0
    except (ValueError, TypeError, AttributeError) as error:
        raise PermanentError(f"{folder / CONFIG_FILE} is damaged; restore the model folder") from error


def _sees_gpu() -> bool:
    # Importing torch takes seconds: not where there is no NVIDIA driver anyway.
    if not Path("/dev/nvidiactl").exists() or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
