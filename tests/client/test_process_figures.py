"""The figures of every process bear the names and kinds that Prometheus' own library gives them."""

from pathlib import Path

import prometheus_client as prometheus

from tiphys.client import process_figures
from tiphys.client.process_figures import ProcessFigures


def described(found):
    return {
        (one.name, one.type, one.documentation, tuple(sample.name for sample in one.samples)) for one in found
    }


def test_names_and_kinds() -> None:
    registry = prometheus.CollectorRegistry()
    for kind in (prometheus.ProcessCollector, prometheus.PlatformCollector, prometheus.GCCollector):
        kind(registry=registry)
    assert described(ProcessFigures().collect()) == described(registry.collect())


def test_values() -> None:
    ours = {one.name: one.samples[0].value for one in ProcessFigures().collect()}
    theirs = {one.name: one.samples[0].value for one in prometheus.ProcessCollector(registry=None).collect()}
    for name in ("process_max_fds", "process_start_time_seconds"):
        assert ours[name] == theirs[name]
    assert 0.5 < ours["process_resident_memory_bytes"] / theirs["process_resident_memory_bytes"] < 2
    assert 0 < ours["process_cpu_seconds"] < theirs["process_cpu_seconds"] + 0.01


def test_without_proc_python_remains(monkeypatch) -> None:
    monkeypatch.setattr(process_figures, "_SELF", Path("/nowhere"))
    assert all(one.name.startswith("python_") for one in ProcessFigures().collect())
