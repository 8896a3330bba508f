"""What a scrape shows of a registry: how many families there are, and which not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily

from tiphys.client import exposition


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry()
    Gauge("one", "[STABLE] a", registry=registry).set(1)
    Gauge("two", "[BETA] b", registry=registry)
    Counter("three", "[STABLE] c", registry=registry)
    Gauge("four", "says nothing", registry=registry)
    yield registry
    exposition.disable(())


def lines(registry: CollectorRegistry) -> list[str]:
    return [line for line in exposition.render(registry).decode().splitlines() if not line.startswith("#")]


def test_families_are_counted_by_stability(registry: CollectorRegistry) -> None:
    found = lines(registry)
    assert "one 1.0" in found
    for stability, count in (("STABLE", 2), ("BETA", 1), ("ALPHA", 1)):
        labels = f'deprecated_version="",stability_level="{stability}"'
        assert f"registered_metrics_total{{{labels}}} {count}.0" in found
    assert "disabled_metrics_total 0.0" in found
    assert "hidden_metrics_total 0.0" in found


@pytest.mark.parametrize("name", ["three", "three_total"])
def test_families_that_were_disabled_are_not_shown(registry: CollectorRegistry, name: str) -> None:
    exposition.disable([name, "none"])
    found = lines(registry)
    assert not any(line.startswith("three") for line in found)
    assert 'registered_metrics_total{deprecated_version="",stability_level="STABLE"} 1.0' in found
    assert "disabled_metrics_total 2.0" in found


def test_help_says_how_stable_a_family_is(registry: CollectorRegistry) -> None:
    Gauge("process_things", "Made by a library.", registry=registry)
    text = exposition.render(registry).decode()
    assert "# HELP four [ALPHA] says nothing" in text
    assert "# HELP two [BETA] b" in text
    assert "# HELP process_things Made by a library." in text
    assert 'registered_metrics_total{deprecated_version="",stability_level="ALPHA"} 1.0' in text


def test_families_alone_are_not_counted() -> None:
    family = GaugeMetricFamily("five", "[STABLE] e", value=5)
    assert exposition.render_alone([family]) == b"# HELP five [STABLE] e\n# TYPE five gauge\nfive 5.0\n"
    assert exposition.render_alone([]) == b""
