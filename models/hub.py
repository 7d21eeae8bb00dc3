"""Fetches a checkpoint from the Hugging Face hub once, at a commit that stays the same from then on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from domain.errors import GroundswellError, PermanentError
from models.folder import CONFIG_FILE, ENCODER_FILE
from models.lock import locked

HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+?)(?:@(?P<revision>\w+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INDEX = f"{ENCODER_FILE}.index.json"
"""Names the files of weights that are in several."""
_WEIGHTS = (ENCODER_FILE, _INDEX)
_FILES = [
    CONFIG_FILE,
    "model*.safetensors",
    _INDEX,
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "README.md",
]
_CONVERTER = "SFconvertbot"
"""The hub's own converter to safetensors, the one author whose proposals are taken for the weights that they convert;
transformers does the same."""


def hub_folder(ref: str, *, cache: Path) -> Path:
    """The folder of `org/name`, or of `org/name@commit`, in the hub's own cache.

    Without a commit it is pinned to the one that the hub has when it is first asked for, which is noted in `cache`:
    later loads read the same weights, without the network. Weights in safetensors alone are read, also where they are
    only proposed by the hub's own converter.

    Raises PermanentError, naming the fix, when it can't be had.
    """
    matched = HUB_ID.fullmatch(ref)
    name, revision = (matched["name"], matched["revision"]) if matched else (ref, None)
    if revision is not None and not _COMMIT.fullmatch(revision):
        raise PermanentError(
            f"{ref} names no commit: a branch or tag can move. Give the commit's 40 digits, or {name} alone"
        )
    pins = cache / "pins.json"
    revision = revision or _pins(pins).get(name)
    try:
        return _at(name, revision or _pin(name, pins))
    except GroundswellError:
        raise
    except Exception as error:  # of whatever type the hub's library and its HTTP client choose
        raise PermanentError(
            f"{name} can't be had from the Hugging Face hub and is not in its cache ({type(error).__name__}): "
            "check the name and the network, or give a folder"
        ) from error


def _at(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
        if _is_whole(folder):
            return folder
    except FileNotFoundError:
        pass
    print(f"fetching {name} at {revision[:12]}, once", file=sys.stderr, flush=True)
    folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    if not _is_whole(folder):
        # Without the network the library gives what it has.
        raise PermanentError(f"{name} at {revision[:12]} is here in part only: check the network, and try again")
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether its weights are there: a fetch that was broken off leaves a folder, too."""
    if not (folder / CONFIG_FILE).exists():
        return False
    if not (folder / _INDEX).exists():
        return (folder / ENCODER_FILE).exists()
    parts = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
    return all((folder / part).exists() for part in parts)


def _pin(name: str, pins: Path) -> str:
    """The commit that has the weights in safetensors, from now on."""
    from huggingface_hub import HfApi

    api = HfApi()
    info = api.model_info(name)
    if not _has_weights(info):
        proposals = api.get_repo_discussions(name, author=_CONVERTER, discussion_type="pull_request")
        proposed = (api.model_info(name, revision=one.git_reference) for one in proposals if one.author == _CONVERTER)
        found = next((one for one in proposed if _has_weights(one)), None)
        if found is None:
            raise PermanentError(
                f"{name} has no weights in safetensors, and other forms can run code; convert it "
                "(https://huggingface.co/spaces/safetensors/convert) or choose another"
            )
        info = found
    with locked(pins.with_suffix(".lock")):
        noted = _pins(pins)
        # Another process may have been first, and what it read is what all read from now on.
        if name not in noted:
            noted[name] = str(info.sha)
            written = pins.with_suffix(".new")
            written.write_text(json.dumps(noted, indent=1), encoding="utf-8")
            written.replace(pins)
    return noted[name]


def _pins(file: Path) -> dict[str, str]:
    try:
        return {str(name): str(commit) for name, commit in json.loads(file.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise PermanentError(f"{file} is damaged; remove it, and the hub's commits are noted anew") from error


def _has_weights(info: Any) -> bool:
    return any(file.rfilename in _WEIGHTS for file in info.siblings or ())
