"""Metrics: declared once, rendered by Prometheus's conventions, shared between processes."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from service.metrics import COUNTERS, GAUGES, HISTOGRAMS, PrometheusTelemetry, forget_process, render_shared

_BOUNDED_LABELS = {
    "stage", "outcome", "reason", "status", "rule", "transition", "receiver", "step", "topic", "partition",
    "method", "route", "model", "version", "role", "task", "label", "of",
}  # fmt: skip


def test_what_was_measured_is_rendered_under_our_prefix() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.count("documents_total", 3, stage="classify", outcome="scored")
    telemetry.gauge("watermark_timestamp_seconds", 1000.5)
    telemetry.observe("delivery_seconds", 0.2, receiver="desk")
    with telemetry.timed("step_seconds", stage="record", step="append"):
        pass
    text = telemetry.render().decode()
    assert 'groundswell_documents_total{outcome="scored",stage="classify"} 3.0' in text
    assert "groundswell_watermark_timestamp_seconds 1000.5" in text
    assert 'groundswell_delivery_seconds_bucket{le="0.25",receiver="desk"} 1.0' in text
    assert 'groundswell_step_seconds_count{stage="record",step="append"} 1.0' in text


def test_a_gauge_that_was_never_set_is_not_zero_but_absent() -> None:
    assert "groundswell_watermark_timestamp_seconds" not in PrometheusTelemetry().render().decode()


def test_a_block_that_raises_is_timed_too() -> None:
    telemetry = PrometheusTelemetry()
    with pytest.raises(RuntimeError), telemetry.timed("step_seconds", stage="record", step="append"):
        raise RuntimeError
    assert 'groundswell_step_seconds_count{stage="record",step="append"} 1.0' in telemetry.render().decode()


def test_an_undeclared_name_or_label_is_a_bug() -> None:
    telemetry = PrometheusTelemetry()
    with pytest.raises(KeyError):
        telemetry.count("documents")
    with pytest.raises(ValueError, match="label"):
        telemetry.count("documents_total", subject="topic:Earnings")


def test_the_declarations_keep_to_prometheus_conventions() -> None:
    for name in (*COUNTERS, *HISTOGRAMS, *GAUGES):
        assert re.fullmatch(r"[a-z][a-z_]*[a-z]", name)
        assert name.endswith("_total") == (name in COUNTERS)
    for spec in (*COUNTERS.values(), *HISTOGRAMS.values(), *GAUGES.values()):
        assert spec.help.endswith(".")
        assert set(spec.labels) <= _BOUNDED_LABELS
    for histogram in HISTOGRAMS.values():
        assert list(histogram.buckets) == sorted(set(histogram.buckets))


def test_processes_that_share_a_folder_show_the_sum_of_all(tmp_path: Path) -> None:
    first, second = (_measure_in_a_process(tmp_path, documents=number, watermark=number) for number in (3, 4))
    text = render_shared(tmp_path).decode()
    assert 'groundswell_documents_total{outcome="scored",stage="classify"} 7.0' in text
    assert "groundswell_watermark_timestamp_seconds 4.0" in text
    for process in (first, second):
        forget_process(process, tmp_path)
    text = render_shared(tmp_path).decode()
    assert 'groundswell_documents_total{outcome="scored",stage="classify"} 7.0' in text
    assert "groundswell_watermark_timestamp_seconds" not in text


def _measure_in_a_process(folder: Path, *, documents: int, watermark: int) -> int:
    script = f"""
        import os
        from pathlib import Path
        from service.metrics import PrometheusTelemetry
        telemetry = PrometheusTelemetry(directory=Path({str(folder)!r}))
        telemetry.count("documents_total", {documents}, stage="classify", outcome="scored")
        telemetry.gauge("watermark_timestamp_seconds", {watermark})
        print(os.getpid())
    """
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)
