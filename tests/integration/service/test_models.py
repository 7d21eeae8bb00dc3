"""`groundswell models`, and a worker of the shipped model that takes another one up, as people run them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.kafka_world import Sent, document, produce, read_all
from support.model_folders import variant
from typer.testing import CliRunner

from domain.classification import ScoredDocument
from domain.errors import InvalidInput, PermanentError
from domain.log import ScoredRecord
from models.load import DEFAULT_MODEL
from service import connections
from service.cli import app
from service.settings import load
from store.postgres import migrate
from stream import wire
from stream.admin import KafkaAdmin
from stream.topics import create_topics

pytestmark = pytest.mark.servers


@dataclass
class Machine:
    """A Kafka, a migrated Postgres, and the command in their environment."""

    folder: Path
    environment: dict[str, str]
    topics: dict[str, str]
    kafka: str

    def models(self, *arguments: str, **environment: str) -> str:
        """What `groundswell models` prints. Raises what it fails of."""
        done = CliRunner().invoke(app, ["models", *arguments], env={**self.environment, **environment})
        if done.exception is not None:
            raise done.exception
        return done.output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def machine(
    kafka_bootstrap: str,
    fresh_database: str,
    unique_topic: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    monkeypatch.chdir(tmp_path)
    migrate.upgrade(fresh_database)
    topics = {name: unique_topic(name) for name in ("news", "comments", "scored", "dead_letters")}
    ours = {
        "GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "GROUNDSWELL_POSTGRES_DSN": fresh_database,
        "GROUNDSWELL_DATA_DIR": str(tmp_path / "data"),
        "GROUNDSWELL_MODEL_DEVICE": "cpu",
        "GROUNDSWELL_MODEL_FOLLOW_EVERY": "200ms",
        "GROUNDSWELL_METRICS_PORT": str(free_port()),
        **{f"GROUNDSWELL_KAFKA_{name.upper()}_TOPIC": topic for name, topic in topics.items()},
    }
    settings = load(environment=ours, find_running=False).settings
    with KafkaAdmin(connections.kafka(settings)) as admin:
        create_topics(admin, connections.topic_plans(settings))
    others = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
    environment = {**others, "PYTHONPATH": str(Path(__file__).parents[3]), **ours}
    return Machine(folder=tmp_path, environment=environment, topics=topics, kafka=kafka_bootstrap)


def test_the_command_registers_promotes_lists_and_rolls_back(machine: Machine, tmp_path: Path) -> None:
    made = variant(tmp_path / "tone", name="tone")
    ref = f"tone@{made.ref.version}"

    assert machine.models("list") == f"in force: {DEFAULT_MODEL}, the one that ships, since none is promoted\n"
    assert machine.models("register", "tone") == f"{ref} is registered, at {tmp_path / 'tone'} (not measured)\n"
    said = machine.models("promote", "tone", "--reason", "calmer", "--by", "ann")
    assert "not compared: it and the model in force share no frozen evaluation set" in said
    told = rf"{ref}, promoted \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ by ann, in place of what ships: calmer"
    assert re.search(f"^{told}$", said, re.M)
    listed = machine.models("list")
    assert re.search(f"^in force: {told}$", listed, re.M)
    assert f"* {ref}  {tmp_path / 'tone'}  not measured" in listed
    assert re.search(told, machine.models("show"))

    pinned = machine.models("list", GROUNDSWELL_MODEL_REF=DEFAULT_MODEL)
    assert f"in force: {DEFAULT_MODEL}, pinned by model.ref" in pinned
    assert f"the registry, which has {ref} promoted, is not followed" in pinned

    back = machine.models("rollback", "--reason", "too calm")
    assert re.match(rf"the model of the settings, back in force .* by \S+@\S+, in place of {ref}: too calm\n", back)
    assert machine.models("list").startswith(f"in force: {DEFAULT_MODEL}, the one that ships")
    history = machine.models("show", "tone").splitlines()
    assert history[0].startswith(f"{ref}  {tmp_path / 'tone'}  registered ")
    assert ["promoted" in history[-1], "back in force" in history[-2]] == [True, True]


def test_what_the_command_refuses_it_says_with_the_fix(machine: Machine) -> None:
    with pytest.raises(InvalidInput, match="no model is promoted: there is nothing to roll back"):
        machine.models("rollback")
    with pytest.raises(InvalidInput, match=r"no model calm@1 is registered \(none yet\): groundswell models register"):
        machine.models("promote", "calm@1")
    with pytest.raises(PermanentError, match="no model 'nowhere'"):
        machine.models("register", "nowhere")
    with pytest.raises(PermanentError, match=r"postgres\.dsn \(GROUNDSWELL_POSTGRES_DSN\) is not set"):
        machine.models("list", GROUNDSWELL_POSTGRES_DSN="")


@pytest.fixture
def worker(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    with (machine.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "worker", "--stage", "classify"],
            env=machine.environment, cwd=machine.folder, stdout=log, stderr=log,
        )  # fmt: skip
    yield process
    process.terminate()
    assert process.wait(30) == 0


async def test_a_worker_takes_promoted_models_up_and_goes_on_when_a_rollback_leads_to_a_broken_one(
    machine: Machine, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    tone = variant(tmp_path / "tone", name="tone", temperature=3.0).ref
    mood = variant(tmp_path / "mood", name="mood", temperature=2.0).ref

    async def scored(number: int) -> ScoredDocument:
        """A document, once the worker has scored it."""
        sent = [Sent(topic=machine.topics["news"], value=document(f"doc-{number}"))]
        await produce(machine.kafka, sent)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for messages in (await read_all(machine.kafka, machine.topics["scored"])).values():
                for content in (wire.decode(message.value) for message in messages):
                    if isinstance(content, ScoredRecord) and content.scored.document.id == f"doc-{number}":
                        return content.scored
        raise AssertionError((tmp_path / "worker.log").read_text())

    def until(line: str) -> None:
        """Wait for a line in the worker's metrics."""
        url = f"http://127.0.0.1:{machine.environment['GROUNDSWELL_METRICS_PORT']}/metrics"
        deadline = time.monotonic() + 60
        while line not in urllib.request.urlopen(url, timeout=5).read().decode().splitlines():
            assert time.monotonic() < deadline, (line, (tmp_path / "worker.log").read_text())
            time.sleep(0.2)

    first = await scored(1)
    assert first.classification is not None
    assert first.classification.model.name == DEFAULT_MODEL

    for model in (tone, mood):
        machine.models("register", model.name)
        machine.models("promote", model.name)
        until(f'groundswell_model_info{{model="{model.name}",version="{model.version}"}} 1.0')
    until(f'groundswell_model_info{{model="tone",version="{tone.version}"}} 0.0')
    second = await scored(2)
    assert second.classification is not None
    assert second.classification.model == mood
    assert second.config_hash != first.config_hash

    (tmp_path / "tone" / "openvino" / "model.bin").unlink()
    machine.models("rollback")
    until('groundswell_model_swaps_total{outcome="failed"} 1.0')
    third = await scored(3)
    assert third.classification is not None
    assert third.classification.model == mood
    assert third.config_hash == second.config_hash
    listed = machine.models("list")
    assert re.search(r"NOT taken up by \S+:\d+, which goes on with the one it had: cannot read .*model\.bin", listed)
    assert worker.poll() is None
