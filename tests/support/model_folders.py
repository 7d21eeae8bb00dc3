"""Model folders for tests: the shipped one's files under another name and version, without training anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from models.folder import OPENVINO_FILES, TOKENIZER_FILE, ModelSettings, read_settings, write_settings
from models.load import DEFAULT_MODEL, SHIPPED

SHIPPED_FOLDER = SHIPPED / DEFAULT_MODEL


def variant(folder: Path, *, name: str = "variant", temperature: float = 1.5, **changes: Any) -> ModelSettings:
    """Make `folder` a model that runs on a processor. Another temperature is another version; `changes` are of the
    settings. The files are the shipped ones themselves (links): don't write to them."""
    settings = read_settings(SHIPPED_FOLDER)
    files = {path: settings.files[path] for path in (TOKENIZER_FILE, *OPENVINO_FILES)}
    for path in (*files, "config.json"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(SHIPPED_FOLDER / path)
    changed = replace(
        settings,
        **{"name": name, "files": files, "temperatures": {"sentiment": temperature}, "training": {}, **changes},
    )
    write_settings(folder, changed)
    return changed
