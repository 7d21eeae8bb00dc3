"""The command: help with examples, errors in one readable line."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from support.classifiers import HashClassifier
from typer.testing import CliRunner

from domain.classification import Classification
from domain.ports import Prepared
from service import wiring
from service.cli import app
from service.settings import load

COMMANDS = {
    "demo", "up", "worker", "watch", "serve", "feed", "classify", "config", "doctor",
    "topics", "topics create", "topics describe", "db", "db upgrade", "db current", "db check",
    "models", "models list", "models register", "models promote", "models rollback", "models show",
    "corrections", "corrections add", "corrections withdraw", "corrections import", "corrections list",
    "corrections export", "train", "evaluate", "explain", "compress", "label-next",
    "dead-letters", "dead-letters list", "dead-letters show", "dead-letters replay",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GROUNDSWELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GROUNDSWELL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def groundswell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _commands(group: Any, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{above}{name}"
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} ")


def test_all_commands_are_there() -> None:
    assert set(_commands(typer.main.get_command(app))) == COMMANDS


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS)])
def test_the_help_of_every_command_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"groundswell {command}".strip() in " ".join(result.output.split())


def test_help_comes_quickly() -> None:
    groundswell("--help")
    began = time.perf_counter()
    done = groundswell("--help")
    assert done.returncode == 0
    assert time.perf_counter() - began < 2  # a third of a second on an idle machine
    heavy = "{'pydantic', 'fastapi', 'faust', 'openvino', 'sqlalchemy'}"
    script = f"import sys, service.cli; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_an_unknown_setting_ends_the_command_with_one_line() -> None:
    done = groundswell("config", GROUNDSWELL_KAFKA_BOOTSTRAP="x")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "groundswell: GROUNDSWELL_KAFKA_BOOTSTRAP (environment) is not a setting; "
        "did you mean GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS?\n"
    )


def test_debug_shows_the_trace_as_well() -> None:
    done = groundswell("--debug", "config", GROUNDSWELL_NOPE="x")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("groundswell: GROUNDSWELL_NOPE")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topics", "create"], "kafka.bootstrap_servers (GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS) is not set"),
        (["db", "upgrade"], "postgres.dsn (GROUNDSWELL_POSTGRES_DSN) is not set"),
        (["--config", "nope.yml", "config"], "nope.yml can't be read"),
    ],
)
def test_what_a_command_lacks_is_said_in_one_line(arguments: list[str], said: str) -> None:
    done = groundswell(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["feed", "x.jsonl", "--speed", "fast"], "--speed is a factor such as 1x, 60x or 0.5x, or max"),
        (["feed", "x.jsonl", "--speed", "0x"], "--speed is a factor"),
        (["feed", "x.jsonl", "--column", "text"], "--column is FIELD=NAME"),
        (["feed", "x.jsonl", "--column", "tex=body"], "documents have no field 'tex'; they have author,"),
        (["classify", " "], "there is no text to classify"),
        (["feed", "x.jsonl", "--settle", "later"], "--settle must be a duration"),
        (["dead-letters", "show", "17"], "PARTITION:OFFSET"),
        (["dead-letters", "replay"], "say which"),
        (["dead-letters", "replay", "0:1", "--all"], "say which"),
        (["worker", "--stage", "cook"], "classify"),
        (["nope"], "No such command"),
    ],
)
def test_wrong_use_is_told_from_failure_by_its_status(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_wrong_use_is_said_in_one_line_too() -> None:
    done = groundswell("feed", "x.jsonl", "--speed", "fast")
    assert done.returncode == 2
    assert done.stderr == (
        "groundswell: Invalid value: --speed is a factor such as 1x, 60x or 0.5x, or max; got 'fast' "
        "(see groundswell feed --help)\n"
    )


def test_without_arguments_the_help_is_shown() -> None:
    done = groundswell()
    assert done.returncode == 2
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_config_shows_what_holds_and_where_it_comes_from_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "settings.yml"
    file.write_text("http: {port: 8111}\nkafka: {news_topic: wire}\n")
    done = groundswell(
        "--config", str(file), "config",
        GROUNDSWELL_HTTP_PORT="8112",
        GROUNDSWELL_POSTGRES_DSN="postgresql://me:hunter2@h/d?sslmode=require&sslpassword=hunter2",
        GROUNDSWELL_REDIS_URL="redis://:hunter2@h:6379/0",
        GROUNDSWELL_RECEIVERS='[{"name": "desk", "url": "https://example.com/hunter2", "secret": '
        '"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "headers": {"Authorization": "hunter2"}}]',
    )  # fmt: skip
    assert done.returncode == 0
    assert "hunter2" not in done.stdout
    assert "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" not in done.stdout
    assert "  port: 8112  # environment" in done.stdout
    assert f"  news_topic: wire  # {file}" in done.stdout
    assert "  comments_topic: comments  # default" in done.stdout
    shown = yaml.safe_load(done.stdout)
    assert shown["postgres"]["dsn"].startswith("postgresql://me:")
    assert shown["receivers"][0]["name"] == "desk"


def test_what_config_shows_can_be_used_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shown.yml"
    file.write_text(groundswell("config").stdout)
    assert load(file, environment={}).settings == load(environment=dict(os.environ)).settings


def test_classify_reads_texts_from_the_command_line_and_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "classifier", lambda settings, ref: HashClassifier())
    given = CliRunner().invoke(app, ["classify", "bad #negative", "good #positive"])
    assert [line.split()[0] for line in given.output.splitlines()] == ["negative", "positive"]
    read = CliRunner().invoke(app, ["classify", "-"], input="bad #negative\n\ngood #positive\n")
    assert read.output == given.output
    odd = CliRunner().invoke(app, ["classify", "-"], input=b"caf\xe9 #positive\n")
    assert odd.output.startswith("positive")
    assert "caf\N{REPLACEMENT CHARACTER}" in odd.output
    as_json = CliRunner().invoke(app, ["classify", "--json", "bad #negative"])
    assert yaml.safe_load(as_json.output)["tasks"]["sentiment"]["negative"] == 0.9


def test_classify_tells_what_is_said_of_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "classifier", lambda settings, ref: HashClassifier())
    asked = ["classify", "--entity", "ACME=Acme", "--entity", "EXMP=Example Corp", "#neutral Acme:negative"]
    lines = CliRunner().invoke(app, asked).output.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:]] == [("negative", "ACME")]
    as_json = CliRunner().invoke(app, [*asked, "--json"])
    assert yaml.safe_load(as_json.output)["entities"] == {"ACME": {"negative": 0.9, "neutral": 0.07, "positive": 0.03}}
    assert "wants SYMBOL=NAME" in CliRunner().invoke(app, ["classify", "--entity", "ACME", "x"]).output


def test_classify_shows_what_a_model_without_topics_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Narrow(HashClassifier):
        def infer(self, prepared: Prepared) -> list[Classification]:
            return [replace(one, tasks={"tone": {"calm": 0.25, "shrill": 0.75}}) for one in super().infer(prepared)]

    monkeypatch.setattr(wiring, "classifier", lambda settings, ref: Narrow())
    done = CliRunner().invoke(app, ["classify", "Oil falls"])
    assert done.output.split() == ["shrill", "Oil", "falls"]


def test_classify_asks_the_model_that_is_named() -> None:
    said = CliRunner().invoke(app, ["classify", "--json", "--model", "accurate", "Oil falls"]).stdout
    assert yaml.safe_load(said)["model"].startswith("groundswell-bge-small@")
    unknown = groundswell("classify", "--model", "nowhere", "Oil falls")
    assert unknown.returncode == 1
    assert "no model 'nowhere'" in unknown.stderr


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_that_is_taken_is_said_in_one_line_before_anything_is_started(command: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = groundswell(
            command,
            GROUNDSWELL_HTTP_PORT=str(port),
            GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
            GROUNDSWELL_POSTGRES_DSN="postgresql://127.0.0.1:1/groundswell",
            GROUNDSWELL_REDIS_URL="redis://127.0.0.1:1",
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"groundswell: http.port {port} is taken on 127.0.0.1: end the process that listens there, or set another "
        "http.port (GROUNDSWELL_HTTP_PORT)\n"
    )
    assert not (tmp_path / "data").exists()
