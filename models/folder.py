"""The model folder: a standard Hugging Face folder, with `groundswell.json` beside its `config.json`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from domain.classification import ModelRef
from domain.errors import PermanentError

SETTINGS_FILE = "groundswell.json"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"
OPENVINO_FILES = ("openvino/model.xml", "openvino/model.bin")
ENCODER_FILE = "model.safetensors"
HEADS_FILE = "heads.safetensors"
TORCH_FILES = (CONFIG_FILE, ENCODER_FILE, HEADS_FILE)
ADAPTER_FILES = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")
"""Of an encoder with learnt prefixes, which cannot be merged into its weights: PEFT's own files."""


class Kind(StrEnum):
    """What a task asks."""

    SINGLE = "single"
    """One label of a text; the labels' probabilities sum to 1."""
    MULTI = "multi"
    """Any number of labels of a text; each has a probability of its own."""
    ENTITY = "entity"
    """One label of each name that is mentioned in a text."""


class Pooling(StrEnum):
    """How a text's tokens become one vector."""

    MEAN = "mean"
    CLS = "cls"


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What `groundswell.json` says."""

    name: str
    tasks: Mapping[str, tuple[str, ...]]
    """Task → its labels, in the order of the head's outputs."""
    languages: tuple[str, ...]
    """Primary language subtags (BCP 47) that the model was trained for."""
    normaliser: str
    """The version of `models.normalise` that it was trained with."""
    window_tokens: int
    """The most tokens in one pass, with the two special ones; a longer text is read in several."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Task → what it asks; SINGLE for tasks that are not named."""
    pooling: Pooling = Pooling.MEAN
    temperatures: Mapping[str, float] = field(default_factory=dict)
    """Task → what its logits are divided by (Guo et al. 2017, temperature scaling); 1 for tasks that are not named."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hex BLAKE2b-128 of each file that shapes a score, by its path in the folder; written by `seal`."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was made, and its figures: for people, and no part of the version."""

    @property
    def ref(self) -> ModelRef:
        """Name and version. The version is a hash of all that shapes a score, the same whichever backend runs it."""
        # What is at its default is left out, so that a setting that is added later changes no model's version.
        defaults = asdict(ModelSettings(name="", tasks={}, languages=(), normaliser="", window_tokens=0))
        shaping = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("name", "training") and value != defaults[key]
        }
        text = json.dumps(shaping, sort_keys=True, separators=(",", ":"))
        return ModelRef(name=self.name, version=hashlib.blake2b(text.encode(), digest_size=8).hexdigest())


def write_settings(folder: Path, settings: ModelSettings) -> None:
    """Write `groundswell.json`, beside the one there and then over it: whoever reads the folder meanwhile, or after a
    kill, finds one of the two whole."""
    text = json.dumps(asdict(settings), indent=2, ensure_ascii=False)
    new = folder / f"{SETTINGS_FILE}.new"
    new.write_text(text + "\n", encoding="utf-8")
    new.replace(folder / SETTINGS_FILE)


def read_settings(folder: Path) -> ModelSettings:
    """Read `groundswell.json`. Raises PermanentError, naming the fix, when it is missing or not of this form."""
    path = folder / SETTINGS_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        raw["tasks"] = {task: tuple(labels) for task, labels in raw["tasks"].items()}
        raw["languages"] = tuple(raw["languages"])
        raw["kinds"] = {task: Kind(kind) for task, kind in raw.get("kinds", {}).items()}
        raw["pooling"] = Pooling(raw.get("pooling", Pooling.MEAN))
        settings = ModelSettings(**raw)
        _check(settings)
        return settings
    except OSError as error:
        raise PermanentError(f"{folder} is no model folder (no {SETTINGS_FILE}: {error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PermanentError(f"{path} is damaged ({error!r}); restore it, or train the model again") from error


def _check(settings: ModelSettings) -> None:
    """Raise ValueError or TypeError for what would fail, or give wrong scores, only once a text is read."""
    for task, labels in settings.tasks.items():
        if not all(isinstance(label, str) and label.strip() for label in labels):
            raise ValueError(f"a label of task {task!r} is empty or no text")
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(f"task {task!r} must have labels, each once")
    for task, temperature in settings.temperatures.items():
        if not 0 < temperature < math.inf:
            raise ValueError(f"the temperature of {task!r} must be above 0, got {temperature!r}")
    for name in ("files", "training"):
        if not isinstance(getattr(settings, name), dict):
            raise TypeError(f"{name} must be an object")
    if settings.window_tokens < 1:
        raise ValueError(f"window_tokens must be at least 1, got {settings.window_tokens!r}")


def seal(folder: Path, **training: Any) -> ModelSettings:
    """Write the digests of the folder's files into its settings, and what is to be added to `training`."""
    settings = read_settings(folder)
    present = [
        name for name in (TOKENIZER_FILE, *TORCH_FILES, *ADAPTER_FILES, *OPENVINO_FILES) if (folder / name).exists()
    ]
    settings = replace(
        settings,
        files={name: digest(folder / name) for name in present},
        training={**settings.training, **training},
    )
    write_settings(folder, settings)
    return settings


def verify(folder: Path, settings: ModelSettings, names: Iterable[str]) -> None:
    """Raise PermanentError, naming the file and the fix, unless each of `names` is as it was sealed."""
    for name in names:
        try:
            found = digest(folder / name)
        except OSError as error:
            raise PermanentError(f"cannot read {folder / name}: {error.strerror}; restore the model folder") from error
        if found != settings.files.get(name):
            raise PermanentError(
                f"{folder / name} is not the file that {SETTINGS_FILE} names: it is damaged or was replaced; "
                "restore the folder, or make it again with `python -m models.export`"
            )


def digest(path: Path) -> str:
    """Hex BLAKE2b-128 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
