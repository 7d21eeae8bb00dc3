"""Fetches a checkpoint from the Hugging Face hub once, at a commit that stays the same from then on."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from domain.errors import PermanentError

HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+?)(?:@(?P<revision>\w+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_FILES = [
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
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
        return _at(name, revision) if revision else _at(name, _pin(name, pins))
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"{name} can't be had from the Hugging Face hub and is not in its cache ({type(error).__name__}): "
            "check the name and the network, or give a folder"
        ) from error


def _at(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
    except FileNotFoundError:
        print(f"fetching {name} at {revision[:12]}, once", file=sys.stderr, flush=True)
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))


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
    commit = str(info.sha)
    pins.parent.mkdir(parents=True, exist_ok=True)
    written = pins.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({**_pins(pins), name: commit}, indent=1), encoding="utf-8")
    written.replace(pins)
    return commit


def _pins(file: Path) -> dict[str, str]:
    try:
        pins: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PermanentError(f"{file} is damaged; remove it, and the hub's commits are noted anew") from error
    return pins


def _has_weights(info: Any) -> bool:
    return any(file.rfilename in _WEIGHTS for file in info.siblings or ())
