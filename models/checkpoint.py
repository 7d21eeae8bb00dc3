"""What a Hugging Face sequence classification checkpoint answers, read from the files of its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.classification import SENTIMENT, TOPIC, Label
from domain.errors import PermanentError
from models.folder import CONFIG_FILE, TOKENIZER_FILE, Kind, ModelSettings, Pooling, digest
from models.normalise import VERSION as NORMALISER_VERSION

_SENTIMENTS = {label.value: label.value for label in Label} | {"bearish": "negative", "bullish": "positive"}
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert")
"""Architectures whose positions begin after the padding token's id, so that fewer of them can be used."""
_MOST_TOKENS = 512
_WEIGHTS = "*.safetensors"
_SLOW_TOKENIZER = (
    "vocab.*", "merges.txt", "*.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
"""What a tokenizer is made of where there is no `tokenizer.json`, which says all of it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder that `AutoModelForSequenceClassification` reads."""

    folder: Path
    settings: ModelSettings
    """As of a model folder of one task; `files` are the checkpoint's own."""
    padding_id: int

    @property
    def task(self) -> str:
        """What it answers."""
        return next(iter(self.settings.tasks))


def read_checkpoint(folder: Path, *, name: str, task: str | None = None) -> Checkpoint:
    """What the folder's files say. Without `task` it is guessed: sentiment where the labels are negative, neutral and
    positive (or bearish and bullish) in any case, topic where `name` says so.

    Raises PermanentError, naming the fix, when it isn't such a checkpoint or doesn't say what it answers.
    """
    config = _json(folder / CONFIG_FILE)
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else "?"
    if not architecture.endswith("ForSequenceClassification"):
        raise PermanentError(
            f"{folder} holds a {architecture}, not a sequence classifier; fine-tune it first (groundswell train)"
        )
    weights = sorted(folder.glob(_WEIGHTS))
    if not weights:
        raise PermanentError(f"{folder} has no weights in safetensors; other forms can run code and are not read")
    labels = _labels(folder, config)
    task = task or _guessed(labels, name)
    if task == SENTIMENT:
        labels = _sentiments(folder, labels)
    multi = config.get("problem_type") == "multi_label_classification"
    if config.get("problem_type") == "regression" or (task == SENTIMENT and multi):
        raise PermanentError(f"{folder} is a {config['problem_type']} model, which gives no probabilities of {task}")
    files = [folder / CONFIG_FILE, *weights, *(folder / one for one in _tokenizer_files(folder))]
    settings = ModelSettings(
        name=name,
        tasks={task: labels},
        kinds={task: Kind.MULTI} if multi else {},
        languages=_languages(folder),
        normaliser=NORMALISER_VERSION,
        window_tokens=_window_tokens(folder, config),
        pooling=Pooling.CLS,
        files={file.name: digest(file) for file in files},
    )
    return Checkpoint(folder=folder, settings=settings, padding_id=_whole(folder / CONFIG_FILE, config, "pad_token_id"))


def _labels(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    by_number = config.get("id2label")
    named = by_number if isinstance(by_number, dict) else {}
    labels = tuple(str(named.get(str(number), "")) for number in range(len(named)))
    if len(labels) < 2 or not all(labels) or len(set(labels)) < len(labels):
        raise PermanentError(f"{folder / CONFIG_FILE} must name two or more labels in id2label, numbered from 0")
    return labels


def _guessed(labels: Sequence[str], name: str) -> str:
    if all(label.lower() in _SENTIMENTS for label in labels):
        return SENTIMENT
    if TOPIC in name.lower():
        return TOPIC
    raise PermanentError(
        f"{name} does not say what it answers (its labels: {', '.join(labels)[:200]}); name the task, as in {TOPIC}=REF"
    )


def _sentiments(folder: Path, labels: Sequence[str]) -> tuple[str, ...]:
    named = tuple(_SENTIMENTS.get(label.lower(), "") for label in labels)
    if not all(named) or len(set(named)) < len(named):
        raise PermanentError(
            f"{folder / CONFIG_FILE}: the labels of {SENTIMENT} must be negative, neutral and positive (or bearish "
            f"and bullish), once each, in id2label; they are {', '.join(labels)[:200]}"
        )
    return named


def _window_tokens(folder: Path, config: Mapping[str, Any]) -> int:
    positions = _whole(folder / CONFIG_FILE, config, "max_position_embeddings") or _MOST_TOKENS
    if config.get("model_type") in OFFSET_POSITIONS:
        positions -= _whole(folder / CONFIG_FILE, config, "pad_token_id") + 1
    tokenizer = folder / "tokenizer_config.json"
    said = _whole(tokenizer, _json(tokenizer), "model_max_length") if tokenizer.exists() else 0
    return min(positions, _MOST_TOKENS, said or _MOST_TOKENS)


def _whole(file: Path, said: Mapping[str, Any], key: str) -> int:
    """0 where it is not said."""
    value = said.get(key) or 0
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise PermanentError(f"{file}: {key} must be a whole number, got {value!r}")
    return int(value)


def _languages(folder: Path) -> tuple[str, ...]:
    """Those of the model card; English where it names none, as the text normaliser and most checkpoints are."""
    import yaml
    from huggingface_hub.repocard import metadata_load

    try:
        said = (metadata_load(folder / "README.md") or {}).get("language")
    except (OSError, ValueError, yaml.YAMLError):
        said = None
    listed = said if isinstance(said, list) else [said]
    languages = {one.lower().split("-")[0] for one in listed if isinstance(one, str) and one.isascii()}
    return tuple(sorted(languages - {"multilingual"})) or ("en",)


def _tokenizer_files(folder: Path) -> list[str]:
    if (folder / TOKENIZER_FILE).exists():
        return [TOKENIZER_FILE]
    return sorted({file.name for pattern in _SLOW_TOKENIZER for file in folder.glob(pattern)})


def _json(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PermanentError(f"{file} cannot be read as JSON ({type(error).__name__}); restore the folder") from error
    if not isinstance(raw, dict):
        raise PermanentError(f"{file} is no JSON object; restore the folder")
    return raw
