"""What the processes say on standard error."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator

import pytest

from service import log


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, excepthook = root.handlers[:], root.level, threading.excepthook
    yield
    root.handlers[:], root.level = handlers, level
    threading.excepthook = excepthook


def test_text_is_one_line_with_a_time_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    logging.getLogger("alerts.watch").info("Alert %s", "firing")
    said = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    alerts\.watch: Alert firing\n", said)


def test_json_is_one_object_a_line_also_with_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(form="json")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("stream").exception("It\nfailed")
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "stream", "It\nfailed")
    assert "RuntimeError: broken" in entry["exception"]
    assert entry["at"].endswith("Z")


def test_what_ends_a_thread_is_one_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(form="json")
    for work in (lambda: 1 / 0, lambda: sys.exit("as it is meant to")):
        thread = threading.Thread(target=work, name="fetcher")
        thread.start()
        thread.join()
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Thread fetcher ended: ZeroDivisionError('division by zero')"
    assert "1 / 0" in json.loads(line)["exception"]


def test_libraries_are_quiet_unless_everything_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("INFO")
    logging.getLogger("httpx").info("200 OK")
    logging.getLogger("aiokafka.consumer").error("no node")
    logging.getLogger("kafka.cluster").error("no node either")
    logging.getLogger("faust.app").warning("lost")
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["lost"]
    log.set_up("DEBUG")
    logging.getLogger("aiokafka.consumer").debug("joined")
    assert "joined" in capsys.readouterr().err
    log.set_up("ERROR")
    logging.getLogger("faust.app").warning("lost")
    log.set_up("WARNING", libraries="CRITICAL")
    logging.getLogger("faust.app").error("lost")
    assert capsys.readouterr().err == ""
    log.set_up("INFO")
