"""What a scrape shows of a registry: how many families there are, and which not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.apimachinery.families import GaugeMetricFamily, Registry, text_of
from tiphys.client import exposition
from tiphys.client.counting import Counts, Levels, Spreads

DATA = Path(exposition.__file__).parent / "data"


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    Levels("one", "[STABLE] a", (), registry).labels().set(1)
    Levels("two", "[BETA] b", (), registry)
    Counts("three", "[STABLE] c", (), registry)
    Levels("four", "says nothing", (), registry)
    yield registry
    exposition.disable(())
    exposition.constrain({})
    exposition.show_hidden(shown=False)


def lines(registry: Registry) -> list[str]:
    return [line for line in exposition.render(registry).decode().splitlines() if not line.startswith("#")]


def test_families_are_counted_by_stability(registry: Registry) -> None:
    found = lines(registry)
    assert "one 1" in found
    for stability, count in (("STABLE", 2), ("BETA", 1), ("ALPHA", 1)):
        labels = f'deprecated_version="",stability_level="{stability}"'
        assert f"registered_metrics_total{{{labels}}} {count}" in found
    assert "disabled_metrics_total 0" in found
    assert "hidden_metrics_total 0" in found


@pytest.mark.parametrize("name", ["three", "three_total"])
def test_families_that_were_disabled_are_not_shown(registry: Registry, name: str) -> None:
    exposition.disable([name, "none"])
    found = lines(registry)
    assert not any(line.startswith("three") for line in found)
    assert 'registered_metrics_total{deprecated_version="",stability_level="STABLE"} 1' in found
    assert "disabled_metrics_total 2" in found


def test_help_says_how_stable_a_family_is(registry: Registry) -> None:
    Levels("process_things", "Of every process.", (), registry)
    text = exposition.render(registry).decode()
    assert "# HELP four [ALPHA] says nothing" in text
    assert "# HELP two [BETA] b" in text
    assert "# HELP process_things Of every process." in text
    assert 'registered_metrics_total{deprecated_version="",stability_level="ALPHA"} 1' in text


def test_values_of_labels_that_are_not_allowed_are_added_up(registry: Registry) -> None:
    counts = Counts("asked", "[STABLE] f", ("verb", "code"), registry)
    for verb, code, times in (("GET", "200", 3), ("PUT", "200", 1), ("POST", "200", 1), ("GET", "500", 1)):
        counts.labels(verb, code).inc(times)
    took = Spreads("took_seconds", "[STABLE] g", ("verb",), (1.0,), registry)
    for verb, seconds in (("GET", 0.5), ("PUT", 0.5), ("POST", 2.0)):
        took.labels(verb).observe(seconds)
    Levels("running", "[STABLE] h", ("verb",), registry).labels("PUT").set(4)
    verbs = {"verb": frozenset({"GET"})}
    exposition.constrain({"asked_total": verbs, "took_seconds": verbs, "running": verbs, "one": verbs})
    found = lines(registry)
    assert [line for line in found if line.startswith(("asked", "running", "took_seconds"))] == [
        'asked_total{code="200",verb="GET"} 3',
        'asked_total{code="200",verb="unexpected"} 2',
        'asked_total{code="500",verb="GET"} 1',
        'running{verb="unexpected"} 4',
        'took_seconds_bucket{verb="GET",le="1"} 1',
        'took_seconds_bucket{verb="GET",le="+Inf"} 1',
        'took_seconds_sum{verb="GET"} 0.5',
        'took_seconds_count{verb="GET"} 1',
        'took_seconds_bucket{verb="unexpected",le="1"} 1',
        'took_seconds_bucket{verb="unexpected",le="+Inf"} 2',
        'took_seconds_sum{verb="unexpected"} 2.5',
        'took_seconds_count{verb="unexpected"} 2',
    ]
    assert "cardinality_enforcement_unexpected_categorizations_total 4" in found


def test_older_names_are_hidden_unless_they_are_asked_for(registry: Registry) -> None:
    Counts("kube_apiserver_pod_logs_insecure_backend", "i", ("usage",), registry).labels("x").inc(2)
    older = "kube_apiserver_pod_logs_pods_logs_insecure_backend_total"
    found = lines(registry)
    assert not any(line.startswith(older) for line in found)
    assert "hidden_metrics_total 1" in found
    exposition.show_hidden(shown=True)
    text = exposition.render(registry).decode()
    assert f"# HELP {older} [ALPHA] (Deprecated since 1.27.0) i\n# TYPE {older} counter\n" in text
    found = lines(registry)
    assert f'{older}{{usage="x"}} 2' in found
    assert 'kube_apiserver_pod_logs_insecure_backend_total{usage="x"} 2' in found
    assert "hidden_metrics_total 0" in found
    assert 'registered_metrics_total{deprecated_version="1.27.0",stability_level="ALPHA"} 1' in found
    exposition.disable([older])
    assert not any(line.startswith(older) for line in lines(registry)), "what is disabled stays so"


def test_families_alone_are_not_counted() -> None:
    family = GaugeMetricFamily("five", "[STABLE] e", value=5)
    assert text_of([family]) == b"# HELP five [STABLE] e\n# TYPE five gauge\nfive 5\n"
    assert text_of([]) == b""


def test_families_of_upstream_are_helped_by_its_words(registry: Registry) -> None:
    Counts("apiserver_request", "[STABLE] ours", (), registry)
    Counts("apiserver_storage_objects", "[STABLE] (Deprecated since 1.34.0) ours", (), registry)
    Levels("workqueue_depth", "says nothing", (), registry)
    text = exposition.render(registry).decode().splitlines()
    found = {line.split()[2]: line.split(" ", 3)[3] for line in text if line.startswith("# HELP")}
    assert found["apiserver_request_total"].startswith("[STABLE] Counter of apiserver requests broken out")
    assert found["workqueue_depth"] == "[ALPHA] Current depth of workqueue"
    assert found["disabled_metrics_total"] == "[BETA] The count of disabled metrics."
    assert found["one"] == "[STABLE] a"


def test_words_of_families_that_are_hidden(registry: Registry) -> None:
    Counts("kube_apiserver_pod_logs_backend_tls_failure", "[ALPHA] i", (), registry)
    Levels("apiserver_storage_objects", "[STABLE] (Deprecated since 1.34.0) ours", (), registry)
    exposition.show_hidden(shown=True)
    text = exposition.render(registry).decode()
    assert "# HELP apiserver_storage_objects [STABLE] (Deprecated since 1.34.0) [DEPRECATED, consider" in text
    older = "kube_apiserver_pod_logs_pods_logs_backend_tls_failure_total"
    assert f"# HELP {older} [ALPHA] (Deprecated since 1.27.0) i" in text


def test_the_words_are_in_order_and_said_once() -> None:
    names = [line.split(" ", 1)[0] for line in (DATA / "helps.txt").read_text().splitlines()]
    assert names == sorted(set(names))
