"""One connection policy says the same to every client library, and shows no secret."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from domain.errors import PermanentError
from stream.kafka import KafkaConnection, SaslMechanism, SecurityProtocol

SECRET = "hunter2"


def sasl(protocol: SecurityProtocol = SecurityProtocol.SASL_SSL) -> KafkaConnection:
    return KafkaConnection(
        bootstrap_servers="a:9092, b:9093",
        security_protocol=protocol,
        sasl_mechanism=SaslMechanism.SCRAM_SHA_512,
        username="groundswell",
        password=SECRET,
    )


def test_a_plain_connection_needs_only_servers() -> None:
    settings = KafkaConnection(bootstrap_servers="a:9092").aiokafka()
    assert settings == {"bootstrap_servers": ["a:9092"], "security_protocol": "PLAINTEXT", "ssl_context": None}


def test_each_library_is_told_of_encryption_and_login() -> None:
    connection = sasl()
    for settings in (connection.aiokafka(), connection.kafka_python()):
        assert settings["bootstrap_servers"] == ["a:9092", "b:9093"]
        assert settings["security_protocol"] == "SASL_SSL"
        assert settings["sasl_mechanism"] == "SCRAM-SHA-512"
        assert (settings["sasl_plain_username"], settings["sasl_plain_password"]) == ("groundswell", SECRET)
        assert isinstance(settings["ssl_context"], ssl.SSLContext)
    faust = connection.faust()
    assert faust["broker"] == ["kafka://a:9092", "kafka://b:9093"]
    credentials = faust["broker_credentials"]
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (credentials.username, credentials.password) == ("groundswell", SECRET)
    assert credentials.ssl_context is connection.ssl_context


def test_a_login_without_encryption_and_encryption_without_login() -> None:
    plain = sasl(SecurityProtocol.SASL_PLAINTEXT).faust()["broker_credentials"]
    assert (plain.protocol.value, plain.ssl_context) == ("SASL_PLAINTEXT", None)
    encrypted = KafkaConnection(bootstrap_servers="a:1", security_protocol=SecurityProtocol.SSL)
    assert encrypted.faust()["broker_credentials"].context is encrypted.ssl_context
    assert "sasl_mechanism" not in encrypted.aiokafka()


def test_the_password_is_never_shown() -> None:
    assert SECRET not in repr(sasl())
    assert SECRET not in str(sasl())


@pytest.mark.parametrize("servers", ["", " , ", "kafka", "kafka:", ":9092", "kafka:port", "kafka:0", "kafka:70000"])
def test_servers_are_host_and_port(servers: str) -> None:
    with pytest.raises(ValueError, match="bootstrap_servers"):
        KafkaConnection(bootstrap_servers=servers)


def test_a_login_needs_a_name_and_a_password() -> None:
    with pytest.raises(ValueError, match="username and a password") as caught:
        KafkaConnection(bootstrap_servers="a:1", security_protocol=SecurityProtocol.SASL_SSL, password=SECRET)
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="certificate_file"):
        KafkaConnection(bootstrap_servers="a:1", key_file=Path("key.pem"))


def test_a_file_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    missing = KafkaConnection(
        bootstrap_servers="a:1", security_protocol=SecurityProtocol.SSL, ca_file=tmp_path / "ca.pem"
    )
    with pytest.raises(PermanentError, match=r"ca\.pem"):
        missing.aiokafka()
    (tmp_path / "cert.pem").write_text("no certificate")
    unusable = KafkaConnection(
        bootstrap_servers="a:1", security_protocol=SecurityProtocol.SSL, certificate_file=tmp_path / "cert.pem"
    )
    with pytest.raises(PermanentError, match=r"cert\.pem"):
        unusable.aiokafka()
