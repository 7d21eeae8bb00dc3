"""Listening on a port."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from domain.errors import PermanentError
from service.http.alive import is_alive
from service.http.app import create_probe_app
from service.http.parts import Check, Probes
from service.http.serve import serve, served

PROBES = Probes(checks=[Check(name="kafka", probe=lambda: "fine")], render_metrics=lambda: b"groundswell_x 1\n")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_probes_are_answered_while_the_block_runs_and_not_after(port: int) -> None:
    with served(create_probe_app(PROBES), host="127.0.0.1", port=port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.read() == b"groundswell_x 1\n"
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert is_alive(port)
    assert not is_alive(port)


def test_a_container_is_healthy_when_a_process_of_it_answers_on_one_of_the_ports(port: int) -> None:
    command = [sys.executable, "-m", "service.http.alive", "1", str(port)]
    folder = Path(__file__).parents[3]
    with served(create_probe_app(PROBES), host="127.0.0.1", port=port):
        assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    assert subprocess.run(command, cwd=folder, check=False).returncode == 1


def test_a_port_that_is_taken_is_an_error_that_says_so(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PermanentError, match=rf"can't listen on 127\.0\.0\.1:{port}: Address already in use"):
            serve(create_probe_app(PROBES), host="127.0.0.1", port=port)


def test_an_address_of_another_machine_is_an_error_that_says_so(port: int) -> None:
    with pytest.raises(PermanentError, match="can't listen on"):
        serve(create_probe_app(PROBES), host="203.0.113.1", port=port)
