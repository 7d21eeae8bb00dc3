"""The settings for people: the effective ones with secrets masked, and a reference of all there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from service.durations import format_duration
from service.problems import MASK, masked_url
from service.sections import Receiver, Rule
from service.settings import CONFIG_VARIABLE, Loaded, Setting, Settings, all_settings

_INTRODUCTION = f"""\
# Settings

One file and environment variables over it. The file is what `--config` names, else what `{CONFIG_VARIABLE}` names, else
`groundswell.yml` in the working folder; without one the defaults hold. `groundswell.example.yml` shows every section.

`kafka.bootstrap_servers` in the file is `GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS` in the environment; a variable that is
set but empty counts as not set. Lists are JSON there. A key or variable that does not exist, or a value that is not
allowed, stops every command with a line that says which. `groundswell config` shows what holds and where it comes from,
`groundswell doctor` whether it works.

Durations are written `500ms`, `90s`, `15m`, `24h`, `1h30m`, `30d`, `PT15M`, or as a number of seconds.
"""


def effective(loaded: Loaded) -> str:
    """All settings as YAML, each with where it comes from."""
    lines: list[str] = []
    section = None
    for setting in all_settings():
        *above, name = setting.path
        if above and above[0] != section:
            lines.append(f"{above[0]}:")
        section = above[0] if above else None
        value: Any = loaded.settings
        for part in setting.path:
            value = getattr(value, part)
        origin = loaded.origins.get(setting.key, "default")
        lines += _lines(name, plain(value), "  " * len(above), origin)
    return "\n".join(lines) + "\n"


def plain(value: object) -> Any:
    """A setting's value as YAML and JSON have it, with secrets masked."""
    match value:
        case SecretStr():
            return _masked(value.get_secret_value())
        case timedelta():
            return format_duration(value)
        case Enum():
            return value.value
        case Path():
            return str(value)
        case BaseModel():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case tuple() | list():
            return [plain(inner) for inner in value]
    return value


def settings_reference() -> str:
    """Every setting, in Markdown."""
    parts = [_INTRODUCTION]
    section = None
    for setting in all_settings():
        if setting.path[0] != section:
            section = setting.path[0]
            parts.append(_heading(setting))
        if len(setting.path) == 2 or not setting.structured:
            cells = (f"`{setting.key}`", f"`{setting.variable}`", _default(setting.field), setting.field.description)
            parts.append(f"| {' | '.join(map(str, cells))} |\n")
        else:
            parts.append(f"{setting.field.description} In the environment: `{setting.variable}`, as JSON.\n\n")
            parts += _item_table(Rule if section == "rules" else Receiver)
    return "".join(parts)


def _heading(setting: Setting) -> str:
    table = "| key | environment | default | meaning |\n|---|---|---|---|\n"
    if len(setting.path) == 1:
        return f"\n## {setting.key}\n\n" + ("" if setting.structured else table)
    section = Settings.model_fields[setting.path[0]].annotation
    return f"\n## {setting.path[0]}\n\n{getattr(section, '__doc__', '')}\n\n{table}"


def _item_table(item: type[BaseModel]) -> Iterator[str]:
    yield "| key of each | default | meaning |\n|---|---|---|\n"
    for name, field in item.model_fields.items():
        yield f"| `{name}` | {_default(field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is not None:
        return "the user's data folder"
    return "–" if field.default is None else f"`{_literal(plain(field.default))}`"


def _literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(name: str, value: object, indent: str, origin: str) -> list[str]:
    first, *more = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return [f"{indent}{first}  # {origin}", *(f"{indent}{line}" for line in more)]


def _masked(secret: str) -> str:
    scheme, _, _ = secret.partition("://")
    if scheme in ("http", "https"):
        parts = urlsplit(secret)
        return f"{scheme}://{parts.hostname}/{MASK}"
    return masked_url(secret) if "://" in secret else MASK
