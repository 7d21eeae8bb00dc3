"""Listening on a port."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
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


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_a_probe_may_ask_for_the_head_alone(port: int, path: str) -> None:
    with served(create_probe_app(PROBES), host="127.0.0.1", port=port):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method="HEAD")
        with (
            urllib.request.urlopen(request, timeout=10) as head,
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as whole,
        ):
            assert (head.status, head.read()) == (200, b"")
            assert head.headers["content-type"] == whole.headers["content-type"]
            assert head.headers["content-length"] == str(len(whole.read()))


def test_a_container_is_healthy_when_a_process_of_it_answers_on_one_of_the_ports(port: int) -> None:
    command = [sys.executable, "-m", "service.http.alive", "1", str(port)]
    folder = Path(__file__).parents[3]
    with served(create_probe_app(PROBES), host="127.0.0.1", port=port):
        assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    assert subprocess.run(command, cwd=folder, check=False).returncode == 1


def test_a_server_on_loopback_answers_to_its_own_names_alone(port: int) -> None:
    def status(host: str, name: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with served(create_probe_app(PROBES), host=host, port=port), closing(connection):
            while not is_alive(port):
                time.sleep(0.01)
            connection.request("GET", "/metrics", headers={"Host": name})
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type()

    for name in (f"localhost:{port}", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert status("127.0.0.1", name) == (200, "text/plain")
    for name in ("evil.example", f"evil.example:{port}", "localhost.evil.example"):
        assert status("localhost", name) == (421, "application/problem+json")
    assert status("0.0.0.0", "sentiment.example") == (200, "text/plain")


def test_a_port_that_is_taken_is_an_error_that_says_so(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PermanentError, match=rf"http\.port {port} is taken .*GROUNDSWELL_HTTP_PORT"):
            serve(create_probe_app(PROBES), host="127.0.0.1", port=port)
        with (
            pytest.raises(PermanentError, match=rf"metrics\.port {port} is taken .*GROUNDSWELL_METRICS_PORT"),
            served(create_probe_app(PROBES), host="127.0.0.1", port=port),
        ):
            pytest.fail("it was had")


def test_an_address_of_another_machine_is_an_error_that_says_so(port: int) -> None:
    with pytest.raises(PermanentError, match=r"can't listen on http\.host 203\.0\.113\.1"):
        serve(create_probe_app(PROBES), host="203.0.113.1", port=port)
