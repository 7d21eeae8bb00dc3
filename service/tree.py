"""Settings as they were written, before validation: nested dictionaries, and laying one over the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from service.problems import SettingsError

Tree = dict[str, Any]
"""Sections, and in them what was written."""


def read_yaml(path: Path) -> Tree:
    """What a settings file says. Raises SettingsError."""
    try:
        content = yaml.load(path.read_bytes(), Loader=_UniqueKeys)  # noqa: S506 — a SafeLoader
    except OSError as error:
        raise SettingsError([f"the settings file {path} can't be read: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError([f"{path} is not YAML{where}: {getattr(error, 'problem', None) or error}"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([f"{path} must hold sections such as kafka: and postgres:, not a {type(content).__name__}"])
    # A section whose entries are all commented out reads as null.
    return {str(key): {} if value is None else value for key, value in content.items()}


def nest(values: Mapping[str, object]) -> Tree:
    """{"http.port": 1} as {"http": {"port": 1}}."""
    tree: Tree = {}
    for key, value in values.items():
        put(tree, tuple(key.split(".")), value)
    return tree


def get(tree: Tree, path: tuple[str, ...]) -> object:
    """What stands at a path; KeyError when nothing does."""
    for part in path:
        tree = tree[part]
    return tree


def put(tree: Tree, path: tuple[str, ...], value: object) -> None:
    """Write it at a path."""
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def lay_over(tree: Tree, layer: Tree, origin: str, origins: dict[str, str], above: str = "") -> None:
    """Write a layer over a tree, key by key of each section. `origins` notes, by dotted key, where it came from."""
    for key, value in layer.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and not above:
            if not isinstance(tree.setdefault(key, {}), dict):
                tree[key] = {}
            lay_over(tree[key], value, origin, origins, f"{path}.")
        else:
            tree[key] = value
        origins[path] = origin


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which the same key twice is an error, not the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
