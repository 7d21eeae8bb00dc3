"""The demonstration, as a new user runs it."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.servers, pytest.mark.timeout(420)]


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service.cli", "demo", "--data-dir", str(folder / "data"), *options]
    # Settings of ours in the environment must not reach it.
    environment = os.environ | {"GROUNDSWELL_KAFKA_GROUP_PREFIX": "elsewhere", "COLUMNS": "120"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    )


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_all_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert not alive, [process.cmdline() for process in alive]


def assert_told(output: str) -> None:
    """The true surge, its webhook and its end; nothing about the wire item that was repeated."""
    fired = re.findall(r"FIRING\s+(\S+):", output)
    assert "entity:NGB" in fired, output
    assert not [subject for subject in fired if "CLDR" in subject]
    assert output.index("FIRING") < output.index("WEBHOOK") < output.index("RESOLVED")
    assert "signature wrong" not in output
    assert "alert.firing entity:NGB" in output
    assert "alert.resolved entity:NGB" in output
    assert re.search(r"709 documents on \d+ topics", output), output


def test_it_tells_the_true_surge_and_not_the_repeated_wire_item_and_leaves_no_process_behind(tmp_path: Path) -> None:
    process = demo(tmp_path)
    started: list[psutil.Process] = []
    while process.poll() is None and not started:
        started = descendants(process)
        time.sleep(0.5)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_told(output)
    assert_all_end(started)

    again = demo(tmp_path, "--keep")
    output = read_until(again, "Ctrl-C ends it")
    assert_told(output)
    address = re.search(r"API: (http://[\d.:]+)/docs", output)
    assert address, output
    with urllib.request.urlopen(f"{address[1]}/v1/alerts", timeout=10) as answer:
        assert b"entity:NGB" in answer.read()
    started = descendants(again)
    assert len(started) > 6
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=60)
    assert again.returncode == 130
    assert_all_end(started)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to the line with these words."""
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if words in line:
            return output
    raise AssertionError(output)


def test_killed_it_takes_everything_with_it(tmp_path: Path) -> None:
    process = demo(tmp_path, "--keep")
    read_until(process, "topics are there")
    time.sleep(3)
    started = descendants(process)
    process.kill()
    process.communicate(timeout=60)
    assert_all_end(started)
