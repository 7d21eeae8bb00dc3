"""The settings: one file, environment variables over it, validated before anything starts.

`kafka.bootstrap_servers` in the file is GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS in the environment. This is the only module
that reads the environment.
"""

from __future__ import annotations

import copy
import json
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.discovery import running_servers
from service.durations import format_duration
from service.problems import SettingsError, describe, unknown_variable
from service.sections import (
    Classify,
    Delivery,
    EventTime,
    Http,
    Log,
    Metrics,
    Model,
    Receiver,
    Record,
    Rule,
    Shadow,
    Windows,
    default_data_dir,
)
from service.server_sections import Kafka, Postgres, Redis
from service.tree import Tree, get, lay_over, nest, put, read_yaml

ENV_PREFIX = "GROUNDSWELL_"
CONFIG_VARIABLE = "GROUNDSWELL_CONFIG"
DEFAULT_FILE = Path("groundswell.yml")

COMMAND_LINE = "command line"
"""Where a value came from that an option gave."""

ADDRESSES = {"kafka": "bootstrap_servers", "postgres": "dsn", "redis": "url"}
"""The setting of each section that says where its server is."""

SHORT = {"model": "ref"}
"""Sections that may be written as one value in the file, and the setting that it is: `model: accurate`."""


class Settings(BaseSettings):
    """All settings. `load` is the way to make one."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    model: Model = Model()
    shadow: Shadow = Shadow()
    classify: Classify = Classify()
    record: Record = Record()
    windows: Windows = Windows()
    event_time: EventTime = EventTime()
    rules: tuple[Rule, ...] = Field(
        default=(Rule(name="surge"),), description="What alerts are raised for: a list of surge rules."
    )
    receivers: tuple[Receiver, ...] = Field(default=(), description="Whose webhooks are called: a list of receivers.")
    delivery: Delivery = Delivery()
    http: Http = Http()
    metrics: Metrics = Metrics()
    log: Log = Log()
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Field(
        default_factory=default_data_dir, description="Where `up` and `demo` keep the data of their own servers."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` passes in: it merges the layers itself, to remember where each value came from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        if self.event_time.max_ahead > self.event_time.lateness:
            raise ValueError(
                f"event_time.max_ahead ({format_duration(self.event_time.max_ahead)}) must be at most "
                f"event_time.lateness ({format_duration(self.event_time.lateness)}): a document dated further ahead "
                "than that would make others late"
            )
        if not self.rules:
            raise ValueError("rules must hold at least one rule; leave the key out for the default one")
        for index, rule in enumerate(self.rules):
            if rule.window + rule.baseline > self.windows.retention:
                raise ValueError(
                    f"rules[{index}].baseline ({format_duration(rule.baseline)}) and rules[{index}].window "
                    f"({format_duration(rule.window)}) together must be at most windows.retention "
                    f"({format_duration(self.windows.retention)})"
                )
        names = {receiver.name for receiver in self.receivers}
        for index, rule in enumerate(self.rules):
            if unknown := [name for name in rule.receivers or () if name not in names]:
                raise ValueError(
                    f"rules[{index}].receivers names {', '.join(unknown)}, but receivers has "
                    f"{', '.join(sorted(names)) or 'none'}"
                )
        for key, items in (("rules", self.rules), ("receivers", self.receivers)):
            given = [item.name for item in items]
            if twice := sorted({name for name in given if given.count(name) > 1}):
                raise ValueError(f"{key}[].name must be unique, {', '.join(twice)} stands there more than once")
        return self


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting, for error messages, `config` and the reference."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def key(self) -> str:
        """As in the file, with dots."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """As in the environment."""
        return ENV_PREFIX + "_".join(self.path).upper()

    @property
    def structured(self) -> bool:
        """A list: written as JSON in the environment."""
        return typing.get_origin(self.field.annotation) in (tuple, list, dict)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The effective settings, and where each value came from (by dotted key; absent: the default)."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None
    written: Tree = field(repr=False)
    """What was written, all layers merged, before validation."""

    def over(self, values: Mapping[str, object], origin: str) -> Loaded:
        """The same with these values, by dotted key, over them. Raises SettingsError."""
        tree, origins = copy.deepcopy(self.written), dict(self.origins)
        lay_over(tree, nest(values), origin, origins)
        return _validated(tree, origins, self.file, [])


def all_settings() -> Iterator[Setting]:
    """Every setting, in the order of the file."""
    for name, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for inner, inner_field in info.annotation.model_fields.items():
                yield Setting(path=(name, inner), field=inner_field)
        else:
            yield Setting(path=(name,), field=info)


def load(
    config: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    find_running: bool = True,
) -> Loaded:
    """Read, merge and validate the settings.

    `config`: the file; without it GROUNDSWELL_CONFIG, then `groundswell.yml` in the working folder if there is one.
    `overrides`: values by dotted key that the command line gives, over everything else. `find_running`: for a server
    that has no address, take the one that `up` or `demo` runs on the data folder. Raises SettingsError naming every
    key that is wrong.
    """
    environment = os.environ if environment is None else environment
    file = _choose_file(config, environment)
    problems: list[str] = []
    layers = [
        (str(file), _in_full(read_yaml(file)) if file else {}),
        ("environment", _read_environment(environment, problems)),
        (COMMAND_LINE, nest(overrides or {})),
    ]
    tree: Tree = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        lay_over(tree, layer, origin, origins)
    if find_running:
        _fill_in_running(tree, origins)
    return _validated(tree, origins, file, problems)


def child_environment(loaded: Loaded, *, metrics: Path) -> dict[str, str]:
    """The environment for a child that reads the same file and shares its metrics in a folder: ours, with every setting
    that the file did not give, and none that `loaded` does not have."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    ours = {
        setting.variable: _as_variable(get(loaded.written, setting.path))
        for setting in all_settings()
        if loaded.origins.get(setting.key, str(loaded.file)) != str(loaded.file)
    }
    return {**others, **ours, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}


def metrics_directory(environment: Mapping[str, str] | None = None) -> Path | None:
    """The folder in which the processes of one machine share their metrics (PROMETHEUS_MULTIPROC_DIR, which the
    supervisor sets for its children); None when this process measures for itself alone."""
    folder = (os.environ if environment is None else environment).get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def _validated(tree: Tree, origins: dict[str, str], file: Path | None, problems: list[str]) -> Loaded:
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems = problems + [describe(problem, tree, origins, Settings, ENV_PREFIX) for problem in error.errors()]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return Loaded(settings=settings, origins=origins, file=file, written=tree)


def _choose_file(config: Path | None, environment: Mapping[str, str]) -> Path | None:
    if config is not None:
        return config
    if named := environment.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _in_full(tree: Tree) -> Tree:
    short = {key: {SHORT[key]: value} for key, value in tree.items() if key in SHORT and isinstance(value, str)}
    return {**tree, **short}


def _read_environment(environment: Mapping[str, str], problems: list[str]) -> Tree:
    known = {setting.variable: setting for setting in all_settings()}
    tree: Tree = {}
    for variable in sorted(environment):
        value = environment[variable]
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        setting = known.get(variable)
        if setting is None:
            problems.append(unknown_variable(variable, known, ENV_PREFIX))
        elif not value:
            continue  # compose files pass on variables that are not set as empty ones
        elif setting.structured:
            try:
                put(tree, setting.path, json.loads(value))
            except ValueError as error:
                problems.append(f"{variable} ({setting.key}, from the environment) must be JSON: {error}")
        else:
            put(tree, setting.path, value)
    return tree


def _fill_in_running(tree: Tree, origins: dict[str, str]) -> None:
    running = running_servers(Path(str(tree.get("data_dir") or default_data_dir())).expanduser())
    for section, address in ADDRESSES.items():
        given = tree.get(section)
        if running.get(f"{section}.{address}") and not (isinstance(given, dict) and given.get(address)):
            ours = {key: value for key, value in running.items() if key.startswith(f"{section}.")}
            lay_over(tree, nest(ours), "running servers", origins)


def _as_variable(value: object) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)
