"""Settings: one file, environment over it, and errors that say what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from alerts.surge import SurgeRule
from domain.errors import PermanentError
from service import connections, wiring
from service.problems import SettingsError
from service.sections import Rule
from service.settings import Loaded, all_settings, child_environment, load

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "groundswell.yml"


def load_text(path: Path, text: str, **environment: str) -> Loaded:
    path.write_text(text)
    return load(path, environment={"GROUNDSWELL_DATA_DIR": str(path.parent / "data"), **environment})


def problems(path: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_text(path, text, **environment)
    return str(caught.value)


def test_without_file_and_environment_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(environment={"GROUNDSWELL_DATA_DIR": str(tmp_path)})
    assert loaded.file is None
    assert loaded.settings.kafka.bootstrap_servers is None
    assert [rule.name for rule in loaded.settings.rules] == ["surge"]
    assert loaded.settings.http.host == "127.0.0.1"


def test_the_default_rule_is_the_one_that_alerts_documents() -> None:
    assert wiring.surge_rules(load(environment={}, find_running=False).settings) == (SurgeRule(name="surge"),)
    assert set(Rule.model_fields) == {field.name for field in fields(SurgeRule)}


def test_the_environment_is_over_the_file_and_the_command_line_over_both(written: Path) -> None:
    written.write_text("http: {port: 1001}\nlog: {level: DEBUG}\nkafka: {partitions: 3}\n")
    loaded = load(
        written,
        environment={"GROUNDSWELL_HTTP_PORT": "1002", "GROUNDSWELL_LOG_LEVEL": "ERROR"},
        overrides={"http.port": 1003},
        find_running=False,
    )
    assert (loaded.settings.http.port, loaded.settings.log.level, loaded.settings.kafka.partitions) == (
        1003,
        "ERROR",
        3,
    )
    assert loaded.origins["http.port"] == "command line"
    assert loaded.origins["log.level"] == "environment"
    assert loaded.origins["kafka.partitions"] == str(written)
    assert "kafka.news_topic" not in loaded.origins


def test_the_three_addresses_have_the_names_that_everybody_uses(written: Path) -> None:
    settings = load_text(
        written,
        "",
        GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS="a:9092, b:9092",
        GROUNDSWELL_POSTGRES_DSN="postgresql://u:p@h/d?sslmode=require",
        GROUNDSWELL_REDIS_URL="rediss://h:6380/1",
    ).settings
    assert settings.kafka.bootstrap_servers == "a:9092,b:9092"
    assert connections.postgres_dsn(settings) == "postgresql://u:p@h/d?sslmode=require"
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "rediss://h:6380/1"


def test_no_two_settings_share_an_environment_variable() -> None:
    variables = [setting.variable for setting in all_settings()]
    assert len(set(variables)) == len(variables)
    assert "GROUNDSWELL_CONFIG" not in variables


def test_lists_are_json_in_the_environment(written: Path) -> None:
    receivers = json.dumps([{"name": "desk", "url": "https://example.com/hook", "secret": SECRET}])
    variables = {"GROUNDSWELL_RECEIVERS": receivers, "GROUNDSWELL_DELIVERY_RETRIES": '["5s", 90]'}
    settings = load_text(written, "", **variables).settings
    assert settings.receivers[0].name == "desk"
    assert wiring.surge_rules(settings)[0].receivers == ("desk",)
    assert [wait.total_seconds() for wait in settings.delivery.retries] == [5, 90]


def test_the_model_may_be_written_by_its_name_alone(written: Path) -> None:
    loaded = load_text(written, "model: accurate", GROUNDSWELL_MODEL_DEVICE="cpu")
    assert (loaded.settings.model.ref, loaded.settings.model.device) == ("accurate", "cpu")
    assert loaded.origins["model.ref"] == str(written)


def test_a_rule_may_name_its_receivers_or_none(written: Path) -> None:
    receiver = f"{{url: 'https://example.com/hook', secret: {SECRET}"
    text = f"""
receivers: [{receiver}, name: one}}, {receiver}, name: two}}]
rules: [{{name: all}}, {{name: some, receivers: [two]}}, {{name: quiet, receivers: []}}]
"""
    rules = wiring.surge_rules(load_text(written, text).settings)
    assert [rule.receivers for rule in rules] == [("one", "two"), ("two",), ()]


def test_a_variable_that_is_set_but_empty_counts_as_not_set(written: Path) -> None:
    settings = load_text(written, "kafka: {partitions: 7}", GROUNDSWELL_KAFKA_PARTITIONS="").settings
    assert settings.kafka.partitions == 7


def test_a_section_whose_entries_are_all_commented_out_is_empty(written: Path) -> None:
    assert load_text(written, "kafka:\n  # partitions: 7\n").settings.kafka.partitions == 4


def test_a_folders_own_file_is_read_without_being_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("groundswell.yml").write_text("http: {port: 8123}")
    assert load(environment={}, find_running=False).settings.http.port == 8123


def test_the_file_may_be_named_by_the_environment(written: Path) -> None:
    written.write_text("http: {port: 8124}")
    loaded = load(environment={"GROUNDSWELL_CONFIG": str(written)}, find_running=False)
    assert (loaded.settings.http.port, loaded.file) == (8124, written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka: {bootstrap_server: x}", "kafka.bootstrap_server = 'x' is not a setting"),
        ("kafka: {bootstrap_server: x}", "did you mean kafka.bootstrap_servers?"),
        ("kakfa: {}", "did you mean kafka?"),
        ("zzz: 1", "there are kafka, postgres, redis"),
        ("http: {zzz: 1}", "http has host, port"),
        ("rules: [{name: a, hight: 3}]", "did you mean rules[0].height?"),
        ("kafka: {partitions: 0}", "kafka.partitions = 0 (GROUNDSWELL_KAFKA_PARTITIONS"),
        ("kafka: {partitions: 0}", "greater than or equal to 1"),
        ("kafka: {partitions: many}", "should be a valid integer"),
        ("kafka: {bootstrap_servers: localhost}", "must be host:port"),
        ("kafka: {bootstrap_servers: 'a:99999'}", "must be host:port"),
        ("kafka: {news_topic: 'a b'}", "should match pattern"),
        ("kafka: {news_topic: comments}", "must have different names"),
        ("kafka: {security_protocol: TLS}", "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        (
            "kafka: {security_protocol: SASL_SSL, sasl_mechanism: PLAIN}",
            "needs kafka.sasl_username, kafka.sasl_password",
        ),
        ("kafka: {sasl_username: me}", "kafka.sasl_username given, but kafka.security_protocol is PLAINTEXT"),
        ("kafka: {ssl_cert_file: a.pem}", "kafka.ssl_cert_file and kafka.ssl_key_file are needed together"),
        ("postgres: {dsn: 'mysql://h/d'}", "postgresql://user:password@host:5432/database"),
        ("postgres: {dsn: 'postgresql://u:p@h:port/d'}", "is not a well-formed URL"),
        ("postgres: {lock_timeout: 5s}", "postgres.lock_timeout (5s) must be longer than"),
        ("redis: {url: 'http://h'}", "redis://user:password@host:6379/0"),
        ("redis: {prefix: 'a:b'}", "should match pattern"),
        ("model: {device: gpu}", "'auto', 'cpu' or 'cuda'"),
        ("windows: {retention: 1 fortnight}", "a duration such as"),
        ("windows: {retention: 0}", "greater than"),
        ("event_time: {max_ahead: 10m}", "event_time.max_ahead (10m) must be at most event_time.lateness (5m)"),
        ("windows: {retention: 24h}", "rules[0].baseline (1d) and rules[0].window (15m) together must be at most"),
        ("windows: {retention: 24h}", "windows.retention (1d)"),
        ("rules: []", "at least one rule"),
        ("rules: [{name: a}, {name: a}]", "rules[].name must be unique"),
        ("rules: [{name: a, receivers: [nobody]}]", "rules[0].receivers names nobody"),
        ("rules: [{name: a, window: 90s}]", "must be whole minutes"),
        ("rules: [{name: a, min_baseline: 48h}]", "min_baseline (2d) must be at most baseline (1d)"),
        ("rules: [{name: a, min_share: 1.5}]", "less than or equal to 1"),
        ("rules: [{}]", "rules[0].name is missing"),
        ("delivery: {retries: [5s, 0s]}", "delivery.retries[1]"),
        ("receivers: [{name: a, secret: x, url: 'ftp://h'}]", "must be http(s)://host"),
        ("receivers: [{name: a, secret: x, url: 'https://u:p@h'}]", "without user, password or fragment"),
        ("receivers: [{name: a, secret: x, url: 'https://h'}]", "must be whsec_ and the base64"),
        (
            f"receivers: [{{name: a, secret: {SECRET}, url: 'https://h', headers: {{Host: x}}}}]",
            "headers must not set 'Host'",
        ),
        (f"receivers: [{{name: a, secret: {SECRET}, url: 'https://h', timeout: 5m}}]", "receivers[0].timeout"),
        ("rules: [{name: a, subjects: [x, x]}]", "subjects must be a list of different"),
        ("http: {port: 70000}", "http.port = 70000 (GROUNDSWELL_HTTP_PORT"),
        ("http: all", "http = 'all'"),
        ("just text", "must hold sections"),
        ("kafka: [", "is not YAML at line 1"),
        ("kafka: {a: 1, a: 2}", "the key a stands twice"),
    ],
)
def test_what_is_wrong_is_named_with_key_value_and_what_is_allowed(written: Path, text: str, expected: str) -> None:
    assert expected in problems(written, text)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GROUNDSWELL_KAFKA_BOOTSTRAP", "a:1", "did you mean GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS?"),
        (
            "GROUNDSWELL_XYZZY",
            "1",
            "GROUNDSWELL_XYZZY (environment) is not a setting; `groundswell config --reference`",
        ),
        ("GROUNDSWELL_KAFKA", "{}", "GROUNDSWELL_KAFKA (environment) is not a setting"),
        ("GROUNDSWELL_RULES", "[{", "GROUNDSWELL_RULES (rules, from the environment) must be JSON"),
        ("GROUNDSWELL_RULES", "3", "rules = 3 (GROUNDSWELL_RULES, from environment)"),
        ("GROUNDSWELL_RULES", '[{"name": "a", "height": -1}]', "rules[0].height = -1 (GROUNDSWELL_RULES"),
        (
            "GROUNDSWELL_KAFKA_PARTITIONS",
            "four",
            "kafka.partitions = 'four' (GROUNDSWELL_KAFKA_PARTITIONS, from environment)",
        ),
    ],
)
def test_a_wrong_variable_is_named(written: Path, variable: str, value: str, expected: str) -> None:
    assert expected in problems(written, **{variable: value})


def test_all_that_is_wrong_is_said_at_once(written: Path) -> None:
    text = problems(written, "kafka: {partitions: 0}\nhttp: {port: x}", GROUNDSWELL_NOPE="1")
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "postgres: {dsn: 'mysql://u:hunter2@h/d'}",
        "postgres: {dsn: 'postgresql://u:hunter2@h:x/d'}",
        "redis: {url: 'hunter2'}",
        "kafka: {sasl_password: hunter2}",
        "kafka: {sasl_pasword: hunter2}",
        "kafka: {sasl_password: [hunter2]}",
        "postgress: {dsn: hunter2}",
        "receivers: [{name: a, url: 'https://h', secret: hunter2}]",
        "receivers: [{name: a, url: 'ftp://h/hunter2', secret: x}]",
        "receivers: [{name: a, url: 'https://h', secret: x, header: {Authorization: hunter2}}]",
        "receivers: [{name: a, url: 'https://h', secret: x, headers: {Authorization: [hunter2]}}]",
        "receivers: hunter2",
    ],
)
def test_no_error_shows_a_secret(written: Path, text: str) -> None:
    assert "hunter2" not in problems(written, text)


def test_no_secret_is_in_the_repr_of_settings(written: Path) -> None:
    loaded = load_text(
        written,
        f"receivers: [{{name: a, url: 'https://h/hunter2', secret: {SECRET}, headers: {{Authorization: hunter2}}}}]",
        GROUNDSWELL_POSTGRES_DSN="postgresql://u:hunter2@h/d",
        GROUNDSWELL_REDIS_URL="redis://:hunter2@h",
    )
    assert "hunter2" not in repr(loaded)
    assert SECRET not in repr(loaded)


def test_a_file_that_is_not_there_is_an_error_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nope\.yml can't be read: No such file"):
        load(tmp_path / "nope.yml", environment={})


def test_an_address_that_is_needed_and_not_set_is_named(written: Path) -> None:
    settings = load_text(written, "").settings
    with pytest.raises(PermanentError, match="GROUNDSWELL_POSTGRES_DSN"):
        connections.postgres_dsn(settings)
    with pytest.raises(PermanentError, match="GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS"):
        connections.kafka(settings)
    with pytest.raises(PermanentError, match="GROUNDSWELL_REDIS_URL"):
        connections.redis(settings, "test")


def test_a_child_gets_what_neither_file_nor_environment_gave(written: Path, tmp_path: Path) -> None:
    written.write_text("http: {port: 8125}")
    loaded = load(written, environment={"GROUNDSWELL_LOG_LEVEL": "ERROR"}, overrides={"kafka.partitions": 2})
    loaded = loaded.over({"postgres.dsn": "postgresql://u:p@h/d", "metrics.port": 0}, "our own servers")
    environment = child_environment(loaded, metrics=tmp_path)
    given = {name: value for name, value in environment.items() if name in {s.variable for s in all_settings()}}
    assert given["GROUNDSWELL_POSTGRES_DSN"] == "postgresql://u:p@h/d"
    assert given["GROUNDSWELL_KAFKA_PARTITIONS"] == "2"
    assert given["GROUNDSWELL_METRICS_PORT"] == "0"
    assert "GROUNDSWELL_HTTP_PORT" not in given
    assert environment["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)


def test_settings_without_receivers_load_no_http_client() -> None:
    script = "import sys, service.settings as s; s.load(environment={}); sys.exit('httpx' in sys.modules)"
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "HOME": "/nonexistent"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0
