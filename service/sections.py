"""The sections of `groundswell.yml`: every setting with its default, its bounds and what it means. Those that say where
the servers are stand in `server_sections.py`.

Descriptions are what `docs/settings.md` and error messages show. A section is one level deep, so that the environment
variable of `kafka.bootstrap_servers` is GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS without any ambiguity.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from platformdirs import user_data_path
from pydantic import Field, SecretStr, model_validator

from alerts.delivery.schedule import STANDARD_DELAYS
from alerts.surge import SurgeRule
from domain.alert import Severity
from service.durations import Duration, format_duration
from service.server_sections import Section
from service.values import (
    Minutes,
    MinutesOrNone,
    Name,
    Pattern,
    Port,
    Positive,
)

if TYPE_CHECKING:
    import alerts.delivery.receiver


class Model(Section):
    """The classifier."""

    ref: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="fast or accurate, the models that ship, a model folder or a Hugging Face classifier: pins it. "
        "Without it the promoted model holds (`groundswell models`), or while none is promoted the fast one. "
        "`model: accurate` is short for it.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto takes a GPU where torch is installed and sees one."
    )
    streams: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Inferences side by side on a processor; without it one for each core.",
    )
    cache_size: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Texts whose answers are kept (3 KB each), so that what is repeated is read once; 0 keeps none.",
    )
    follow_every: Positive = Field(
        default=timedelta(seconds=5),
        description="How often a worker asks which model is promoted; only without model.ref.",
    )
    drift_window: int = Field(
        default=5000,
        ge=500,
        le=1_000_000,
        description="Newest documents over which drift and agreement are reported.",
    )


class Shadow(Section):
    """A challenger that runs beside the model in force, and only in the metrics."""

    ref: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="What model.ref takes. Without it none runs."
    )
    share: float = Field(
        default=0.1, gt=0, le=1, description="Share of the documents that it sees; the same ones on every machine."
    )
    max_queued: int = Field(
        default=1024, ge=1, le=100_000, description="Documents that wait for it; more are left out, and counted."
    )


class Classify(Section):
    """The stage that decodes and classifies."""

    batch_size: int = Field(default=256, ge=1, le=10_000, description="Documents that make a batch full.")
    batch_wait: Positive = Field(
        default=timedelta(milliseconds=100),
        description="How long a batch waits to become full before it goes as it is.",
    )
    idle_after: Positive = Field(
        default=timedelta(seconds=30),
        description="After how long without a message a partition that is read to its end counts as idle and no "
        "longer holds event time back.",
    )
    max_text_bytes: int = Field(
        default=65_536,
        ge=1,
        le=400_000,
        description="Longest text of a document, in bytes of UTF-8; more is a dead letter.",
    )
    max_symbols: int = Field(
        default=50, ge=0, le=1000, description="Most symbols of a document; more is a dead letter."
    )
    names_file: Path | None = Field(
        default=None,
        description="A CSV file with the columns symbol and name, a row for each name by which texts speak of a "
        "symbol: what is said of that symbol then counts for it, where the model tells entities apart. A cashtag needs "
        "no row.",
    )


class Record(Section):
    """The stage that writes history and windows."""

    batch_size: int = Field(default=2000, ge=1, le=10_000, description="Messages that make a batch full.")
    batch_wait: Positive = Field(
        default=timedelta(milliseconds=100),
        description="How long a batch waits to become full before it goes as it is.",
    )
    reconcile_every: Positive = Field(
        default=timedelta(seconds=5),
        description="How often the windows are compared with the history when nothing comes in.",
    )


class Windows(Section):
    """The rolling windows."""

    retention: Positive = Field(
        default=timedelta(hours=48),
        description="How far back from the watermark Redis keeps minute buckets; at least the longest rule's baseline "
        "and window together.",
    )


class EventTime(Section):
    """How event time moves."""

    lateness: Duration = Field(
        default=timedelta(minutes=5),
        description="How much older than its source partition's newest a document may be and still be counted; the "
        "watermark is this far behind.",
    )
    max_ahead: Duration = Field(
        default=timedelta(minutes=5),
        description="How far ahead of the Kafka record's timestamp published_at may be; more is a dead letter. At most "
        "event_time.lateness.",
    )


class Rule(Section):
    """A surge of negative documents on one subject against what its baseline leads to expect."""

    name: Name = Field(description="Names the rule in alerts and metrics.")
    severity: Severity = Field(default=Severity.WARNING, description="How urgent its alerts are.")
    window: Minutes = Field(default=timedelta(minutes=15), description="The span that is compared with the baseline.")
    baseline: Minutes = Field(
        default=timedelta(hours=24), description="The span before the window that says what to expect."
    )
    min_baseline: Minutes = Field(
        default=timedelta(hours=1), description="How much of the baseline must have been observed; with less, no alert."
    )
    height: float = Field(
        default=3.0, gt=0, allow_inf_nan=False, description="How many times the expected number is a surge."
    )
    min_count: int = Field(default=10, ge=1, description="Fewest negative documents in the window.")
    min_publishers: int = Field(default=3, ge=1, description="Fewest publishers of negative documents in the window.")
    min_share: float = Field(default=0.5, ge=0, le=1, description="Smallest share of negative documents in the window.")
    hold_for: MinutesOrNone = Field(
        default=timedelta(minutes=1), description="How long the condition must have held before the alert fires."
    )
    resolve_after: MinutesOrNone = Field(
        default=timedelta(minutes=5), description="How long the condition must be false before the alert resolves."
    )
    subjects: tuple[Pattern, ...] = Field(
        default=("*",), min_length=1, description="Which subjects it watches: patterns such as topic:* or entity:AAPL."
    )
    except_subjects: tuple[Pattern, ...] = Field(default=(), description="Which of them it does not.")
    receivers: tuple[Name, ...] | None = Field(
        default=None, description="Names of the receivers that are told; without it all of them."
    )

    @model_validator(mode="after")
    def _baseline_holds_its_minimum(self) -> Self:
        if self.min_baseline > self.baseline:
            raise ValueError(
                f"min_baseline ({format_duration(self.min_baseline)}) must be at most baseline "
                f"({format_duration(self.baseline)})"
            )
        self.as_alerts_have_it(())
        return self

    def as_alerts_have_it(self, everyone: Sequence[str]) -> SurgeRule:
        """The rule itself; one that names no receivers tells everyone."""
        receivers = everyone if self.receivers is None else self.receivers
        return SurgeRule(**(dict(self) | {"receivers": tuple(receivers)}))


class Receiver(Section):
    """Someone whose webhook is called when an alert fires and when it resolves."""

    name: Name = Field(description="Names the receiver in deliveries and metrics.")
    url: SecretStr = Field(
        description="Where to POST, http:// or https://. Kept secret: such addresses often are the key."
    )
    secret: SecretStr = Field(
        description="whsec_ and the base64 of 24 to 64 random bytes: signs the webhook (Standard Webhooks)."
    )
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(minutes=2))] = Field(
        default=timedelta(seconds=15), description="For a whole attempt, from 1 s to 2 minutes."
    )
    headers: dict[str, SecretStr] = Field(default={}, description="Sent with every request, such as Authorization.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust instead of the system's."
    )

    @model_validator(mode="after")
    def _alerts_take_it(self) -> Self:
        self.as_alerts_have_it()
        return self

    def as_alerts_have_it(self) -> alerts.delivery.receiver.Receiver:
        """The receiver itself. Raises ValueError, without secrets."""
        # Where there are receivers, and only there, loading the HTTP client is worth its time.
        from alerts.delivery.receiver import Receiver as ToldReceiver

        return ToldReceiver(
            name=self.name,
            url=self.url.get_secret_value(),
            secret=self.secret.get_secret_value(),
            timeout=self.timeout,
            headers={name: value.get_secret_value() for name, value in self.headers.items()},
            ca_file=self.ca_file,
        )


class Delivery(Section):
    """How webhooks are delivered."""

    retries: tuple[Positive, ...] = Field(
        default=STANDARD_DELAYS,
        max_length=100,
        description="How long to wait after the first attempt that failed, after the second, and so on; after the last "
        "one it is given up. By default as the Standard Webhooks specification suggests.",
    )


class Http(Section):
    """The HTTP API (`groundswell serve`)."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="Address to listen on; loopback unless told otherwise."
    )
    port: Port = Field(default=8400, description="Port to listen on.")
    max_body_bytes: int = Field(
        default=4_194_304, ge=1024, le=268_435_456, description="Largest request body; more is answered 413."
    )
    max_documents: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Most documents in one POST /v1/documents, and corrections in one POST /v1/corrections.",
    )


class Metrics(Section):
    """/livez, /readyz and /metrics of worker and watch processes (serve shows them on its own port)."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(
        default=0, ge=0, le=65535, description="Port to listen on, another for each process; 0: listen nowhere."
    )


class Log(Section):
    """What the processes say on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least important to be shown."
    )
    format: Literal["text", "json"] = Field(default="text", description="text for people, json for log collectors.")


def default_data_dir() -> Path:
    """The user's data folder."""
    return user_data_path("groundswell")
