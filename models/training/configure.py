"""Reads `train.yml`."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from domain.errors import InvalidInput
from models.folder import SETTINGS_FILE, read_settings
from models.training.config import Config
from models.training.policies import Distil
from models.training.strict import bad_option, read

RECIPES = Path(__file__).parent / "recipes"
EXTENDS = "extends"
"""The key by which a configuration names the file or the shipped recipe that it changes."""

FREE_IN_REFIT = frozenset(
    {"name", "held_out", "refit_of", "bf16", "checkpoint_steps", "log_steps", "report_to", "search"}
)
"""The options in which a model trained again on everything may differ from its sister."""


def read_config(ref: str | Path, changes: Sequence[str] = ()) -> Config:
    """The configuration in the file `ref`, or the recipe of that name that ships with the project, with `changes`
    over it: `optimiser.learning_rate=5e-5`, `data.0.weight=2`, their values YAML.

    Raises InvalidInput, naming the file or the option, when it cannot be read or is wrong.
    """
    return config_from(read_tree(ref), changes)


def config_from(tree: Mapping[str, Any], changes: Sequence[str] = ()) -> Config:
    """The configuration that plain values (of YAML or JSON) say; otherwise as `read_config`."""
    return read(Config, change(tree, changes))


def change(tree: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Plain values with changes over them, unchecked. Raises InvalidInput when a change names no place or no value."""
    changed = copy.deepcopy(dict(tree))
    for one in changes:
        key, sign, value = one.partition("=")
        if not sign:
            raise bad_option(one, "a change is written key=value")
        try:
            _set(changed, key.strip(), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise bad_option(key, f"{value!r} is no YAML value") from error
    return changed


def read_tree(ref: str | Path) -> dict[str, Any]:
    """What a file or a shipped recipe says, unchecked, over what the one says that it `extends`: options one by one,
    lists whole; of a model folder, what it was trained with. The name of a recipe is the recipe, also where a folder of
    that name stands, which is what training by it leaves: `./NAME` is the folder.

    Raises InvalidInput when there is none, it is no YAML or extends itself, and PermanentError when the folder is
    damaged.
    """
    if (Path(ref) / SETTINGS_FILE).is_file() and _recipe(ref) is None:
        return _kept(Path(ref))
    return _tree(_find(ref), ())


def refit_tree(ref: str | Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """What the model folder `ref` was trained with, for a run on all that it held out.

    Raises InvalidInput when it is no such folder, held nothing out, or ended by what it held out, and when `changes`
    would give another model than the one whose figures are to stand for this one: only its name, its teachers (who may
    have learnt everything too) and how the run is watched may differ.
    """
    folder = Path(ref)
    if not (folder / SETTINGS_FILE).is_file():
        raise InvalidInput("training_config", f"--refit trains a model again: --config must be its folder, not {ref}")
    kept = _kept(folder)
    sister = config_from(kept)
    if not sister.held_out.share:
        raise InvalidInput("training_config", f"{ref} held nothing out: there is nothing to train it on again")
    if sister.keep_best or sister.early_stopping is not None:
        raise InvalidInput(
            "training_config",
            f"{ref} was ended, or chosen, by what it held out (early_stopping, keep_best): train it once more with the "
            "number of epochs that this gave, and refit that model",
        )
    tree = change(kept, [f"refit_of={json.dumps(str(folder.resolve()))}", "held_out.share=0", *changes])
    refitted = config_from(tree)
    for option in (each.name for each in fields(Config) if each.name not in FREE_IN_REFIT):
        if _without_teachers(getattr(sister, option)) != _without_teachers(getattr(refitted, option)):
            raise InvalidInput(
                "training_config",
                f"{option}: --refit trains {ref} as it was trained, whose figures are no other model's: train one with "
                "this change, and refit that",
            )
    return tree


def _without_teachers(value: object) -> object:
    return replace(value, teachers=()) if isinstance(value, Distil) else value


def _kept(folder: Path) -> dict[str, Any]:
    """The configuration that training left in a model folder."""
    kept = read_settings(folder).training.get("config")
    if kept is None:
        raise InvalidInput("training_config", f"{folder} does not say what it was trained with")
    return copy.deepcopy(dict(kept))


def _tree(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if path in below:
        raise InvalidInput("training_config", f"extends: {path} extends itself")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput("training_config", f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise InvalidInput("training_config", f"{path} must hold a mapping of options")
    if (base := tree.pop(EXTENDS, None)) is None:
        return tree
    # A file is looked for beside the one that names it.
    beside = path.parent / str(base)
    return _over(_tree(beside.resolve() if beside.is_file() else _find(str(base)), (*below, path)), tree)


def _over(base: dict[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `tree` says in its place, in it too."""
    for key, value in tree.items():
        known = base.get(key)
        base[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return base


def _find(ref: str | Path) -> Path:
    path = Path(ref)
    if path.is_file():
        return path.resolve()
    if (recipe := _recipe(ref)) is not None:
        return recipe
    shipped = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yml")))
    raise InvalidInput(
        "training_config", f"there is no file {ref}, no model folder, nor a shipped recipe of that name ({shipped})"
    )


def _recipe(ref: str | Path) -> Path | None:
    """The recipe of this name; None where there is none, or where `ref` names a place."""
    path = RECIPES / f"{ref}.yml"
    return path if str(ref) == Path(ref).name and path.is_file() else None


def _set(tree: dict[str, Any], key: str, value: object) -> None:
    *path, last = key.split(".")
    node: Any = tree
    try:
        for part in path:
            # A section that was not written is made; whether there is such an option is checked with the rest.
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise bad_option(key, "there is no such place in the configuration") from error
