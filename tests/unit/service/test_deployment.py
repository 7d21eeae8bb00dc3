"""The files that people deploy with: example settings, compose, Dockerfile, and the reference of settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from fastapi.routing import APIRoute

from service.cli import app
from service.http import health, posting, reading
from service.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX
from service.problems import SettingsError
from service.settings import all_settings, load
from service.show import effective, settings_reference

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU = yaml.safe_load((ROOT / "docker-compose.cuda.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "groundswell"}


def interpolated(value: str, environment: dict[str, str]) -> str:
    """As compose does it: ${NAME:-default}."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: environment.get(match[1]) or match[2], value)


def test_the_example_says_what_the_defaults_are(tmp_path: Path) -> None:
    example, defaults = (
        load(file, environment={}, overrides={"data_dir": str(tmp_path)}).settings
        for file in (ROOT / "groundswell.example.yml", _touch(tmp_path / "empty.yml"))
    )
    assert example == defaults


def test_what_is_commented_out_in_the_example_is_valid_as_well(tmp_path: Path) -> None:
    text = (ROOT / "groundswell.example.yml").read_text()
    text = re.sub(r"(?m)^(\s+)# (\w+: |- name: |  (?:url|secret|timeout): )", r"\1\2", text)
    text = text.replace("receivers: []", "receivers:").replace("whsec_…", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    text = text.replace("PLAINTEXT ", "SASL_SSL ").replace("…  ", "secret")
    file = tmp_path / "all.yml"
    file.write_text(text)
    settings = load(file, environment={}, find_running=False).settings
    assert settings.kafka.sasl_mechanism == "SCRAM-SHA-512"
    assert settings.receivers[0].name == "risk-desk"
    assert settings.rules[0].receivers == ("risk-desk",)
    assert settings.postgres.dsn is not None
    assert settings.redis.url is not None


def test_the_example_mentions_every_section() -> None:
    text = (ROOT / "groundswell.example.yml").read_text()
    for section in {setting.path[0] for setting in all_settings()}:
        assert re.search(rf"(?m)^{section}:", text), section


def test_the_reference_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_reference(), (
        "write it anew: groundswell config --reference > docs/settings.md"
    )


def test_the_operations_page_describes_every_metric_as_it_is_declared() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    for kind, specs in (("counter", COUNTERS), ("histogram", HISTOGRAMS), ("gauge", GAUGES)):
        for name, spec in specs.items():
            assert f"| `{PREFIX}{name}` | {kind} | {', '.join(spec.labels) or '–'} | {spec.help} |" in text


def test_the_api_page_names_every_route() -> None:
    text = (ROOT / "docs/api.md").read_text()
    for router in (health.router, posting.router, reading.router):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            path = route.path.replace(":path", "")
            if route.include_in_schema:
                assert all(f"`{method} {path}`" in text for method in route.methods)


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_service_of_compose_has_valid_settings(name: str, tmp_path: Path) -> None:
    environment = {key: interpolated(value, {}) for key, value in OURS[name]["environment"].items()}
    environment |= _image_environment()
    settings = load(_touch(tmp_path / "none.yml"), environment=environment, find_running=False).settings
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.postgres.dsn is not None
    assert settings.redis.url is not None
    assert (settings.http.port, settings.metrics.port) == (8400, 8401)


def test_a_misspelt_setting_in_compose_would_be_found(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="GROUNDSWELL_KAFKA_BOOTSTRAP"):
        load(_touch(tmp_path / "none.yml"), environment={"GROUNDSWELL_KAFKA_BOOTSTRAP": "kafka:9092"})


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_service_of_compose_runs_a_command_that_there_is(name: str) -> None:
    service = OURS[name]
    arguments = [*service.get("entrypoint", ["groundswell"])[1:], *service["command"]]
    command: Any = typer.main.get_command(app)
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]
    assert command.callback is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_compose_starts_the_parts_in_an_order_that_works() -> None:
    services = COMPOSE["services"]
    assert {"kafka", "redis", "postgres", "migrate", "classify", "record", "watch", "serve"} <= set(services)
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            healthy = services[needed].get("healthcheck", {"disable": True})
            if how["condition"] == "service_healthy":
                assert "test" in healthy
            else:
                assert how["condition"] == "service_completed_successfully"
                assert str(services[needed]["restart"]).startswith("on-failure")


def test_compose_publishes_ports_on_loopback_only() -> None:
    for service in COMPOSE["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_the_redis_of_compose_does_not_evict() -> None:
    command = COMPOSE["services"]["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_gpu_file_changes_a_service_that_there_is() -> None:
    assert set(GPU["services"]) <= set(OURS)
    assert GPU["services"]["classify"]["build"]["target"] in _dockerfile_stages()


def test_the_dockerfile_follows_the_rules_of_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_the_image_has_both_targets_and_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert {"cpu", "cuda"} <= _dockerfile_stages()
    for stage in re.split(r"(?m)^FROM ", text)[-2:]:
        assert stage.rstrip().endswith("USER 10001")
    assert "HEALTHCHECK" in text


def test_everything_that_the_image_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text())
    for source in shlex.split(" ".join(copied)):
        assert f"!{source}" in ignored
        assert (ROOT / source).exists()


def test_effective_settings_name_every_setting() -> None:
    shown = yaml.safe_load(effective(load(environment=dict(os.environ), find_running=False)))
    for setting in all_settings():
        value = shown
        for part in setting.path:
            assert part in value
            value = value[part]


def _touch(file: Path) -> Path:
    file.touch()
    return file


def _image_environment() -> dict[str, str]:
    return dict(re.findall(r"(GROUNDSWELL_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def _dockerfile_stages() -> set[str]:
    return set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text()))
