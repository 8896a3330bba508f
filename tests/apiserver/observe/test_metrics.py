"""What a scrape shows of the requests that were counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.apiserver.filters import chain, counting
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.observe.durations import Durations
from tiphys.apiserver.observe.metrics import Metrics, labels_of
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore
from tiphys.wire.message import Response

POD = "/api/v1/namespaces/default/pods/p"
POD_GETS = labels_of(parse("GET", POD))
TEXT = (
    'component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",'
    'verb="GET",version="v1"'
)


@pytest.mark.parametrize(
    ("method", "path", "query", "labels"),
    [
        ("GET", POD, "", ("GET", "", "", "v1", "pods", "", "resource")),
        ("GET", "/api/v1/pods", "", ("LIST", "", "", "v1", "pods", "", "cluster")),
        ("GET", "/api/v1/namespaces/default/pods", "watch=1",
         ("WATCH", "", "", "v1", "pods", "", "namespace")),
        ("POST", "/apis/apps/v1/namespaces/default/deployments", "",
         ("POST", "", "apps", "v1", "deployments", "", "resource")),
        ("PUT", POD + "/status", "", ("PUT", "", "", "v1", "pods", "status", "resource")),
        ("DELETE", "/api/v1/nodes", "", ("DELETECOLLECTION", "", "", "v1", "nodes", "", "cluster")),
        ("POST", POD + "/exec", "", ("CONNECT", "", "", "v1", "pods", "exec", "resource")),
        ("GET", "/readyz", "", ("GET", "", "", "", "", "/readyz", "")),
        ("GET", POD + "/log", "", ("CONNECT", "", "", "v1", "pods", "log", "resource")),
        ("HEAD", POD, "", ("GET", "", "", "v1", "pods", "", "resource")),
        ("HEAD", "/readyz", "", ("GET", "", "", "", "", "/readyz", "")),
        ("OPTIONS", POD, "", ("other", "", "", "v1", "pods", "", "resource")),
        ("BREW", POD, "", ("other", "", "", "v1", "pods", "", "resource")),
    ],
)  # fmt: skip
def test_labels(method: str, path: str, query: str, labels: tuple[str, ...]) -> None:
    assert labels_of(parse(method, path, query)) == labels


def test_what_is_applied_is_told_from_other_patches() -> None:
    patch = parse("PATCH", POD)
    assert labels_of(patch, media_type="application/apply-patch+yaml")[0] == "APPLY"
    assert labels_of(patch, media_type="application/merge-patch+json")[0] == "PATCH"
    assert (
        labels_of(parse("PATCH", POD + "/proxy"), media_type="application/apply-patch+yaml")[0] == "CONNECT"
    )


def values(metrics: Metrics, family: str) -> dict[str, float]:
    """Return the samples of a family by the rest of their lines."""
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith(family)]
    return {line.removeprefix(family).rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_sizes_are_shown_of_answers_to_reads_alone() -> None:
    metrics = Metrics()
    for method in ("GET", "PUT", "DELETE", "POST"):
        metrics.observe(labels_of(parse(method, POD)), 200, 0.001, 2000)
    found = values(metrics, "apiserver_response_sizes_count")
    assert ['verb="GET"' in labels for labels in found] == [True]


def test_time_that_others_took_is_left_out() -> None:
    metrics = Metrics()
    for dry_run, seconds, aside_s in (
        (False, 0.03, 0.0),
        (False, 3.0, 2.5),
        (True, 0.07, 0.0),
        (True, 1.0, 2.0),
    ):
        kind = metrics.kind(labels_of(parse("POST", "/api/v1/namespaces/n/pods"), dry_run=dry_run))
        kind.observe(201, seconds, 100)
        if aside_s:
            kind.held_up(seconds, aside_s)
    found = values(metrics, "apiserver_request_sli_duration_seconds_")
    labels = (
        'component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="POST",'
        'version="v1"'
    )
    for bound, count in (
        ("0.05", 2.0),
        ("0.1", 3.0),
        ("0.4", 3.0),
        ("0.6", 4.0),
        ("60", 4.0),
        ("+Inf", 4.0),
    ):
        assert found["bucket{" + labels + f',le="{bound}"}}'] == count
    assert not any('le="0.025"' in one for one in found)
    assert found["sum{" + labels + "}"] == pytest.approx(0.03 + 0.5 + 0.07)
    assert found["count{" + labels + "}"] == 4.0


async def test_bodies_and_validations_are_counted(api: Any) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "x" * 60_000}}
    await api("POST", f"{path}?fieldValidation=Strict", body)
    await api("POST", f"{path}?fieldValidation=Never", body)
    metrics = api.server.backend.metrics
    sizes = values(metrics, "apiserver_request_body_size_bytes_bucket")
    assert sizes['{group="",resource="configmaps",verb="create",le="50000"}'] == 0.0
    assert sizes['{group="",resource="configmaps",verb="create",le="150000"}'] == 2.0
    validations = values(metrics, "field_validation_request_duration_seconds_count")
    assert validations == {f'{{field_validation="{one}"}}': 0.0 for one in ("", "Strict", "invalid")}


async def test_authorization_is_counted_whether_it_was_known_or_not(api: Any) -> None:
    metrics = api.server.backend.metrics

    def shown() -> tuple[float, float, float, float]:
        attempts = values(metrics, "authorization_attempts_total")
        times = values(metrics, "authorization_duration_seconds_count")
        filters = values(metrics, "apiserver_request_filter_duration_seconds_count")
        allowed, refused = '{result="allowed"}', '{result="no-opinion"}'
        assert (attempts.get(allowed), attempts.get(refused)) == (times.get(allowed), times.get(refused))
        return (
            attempts.get(allowed, 0.0), attempts.get(refused, 0.0),
            filters['{filter="authentication"}'], filters['{filter="authorization"}'],
        )  # fmt: skip

    before = shown()
    for _ in range(5):
        await api.get("/api/v1/namespaces/default")
    await api("GET", "/api/v1/namespaces/default/secrets", user="alice")
    after = shown()
    assert [one - other for one, other in zip(after, before, strict=True)] == [5.0, 1.0, 6.0, 5.0]


async def test_lists_by_watches_are_timed_up_to_their_bookmark(api: Any) -> None:
    more = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    response = await api.send("GET", f"/api/v1/namespaces/default/configmaps?watch=1&{more}")
    text = b""
    while b"initial-events-end" not in text:
        text += await anext(response.stream)
    plain = await api.send("GET", "/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true")
    await response.stream.aclose()
    await plain.stream.aclose()
    labels = '{group="",resource="configmaps",scope="namespace",version="v1"}'
    found = values(api.server.backend.metrics, "apiserver_watch_list_duration_seconds_count")
    assert found == {labels: 1.0}


async def test_without_audit_there_are_no_events(api: Any) -> None:
    assert await _values(api, "apiserver_audit_") == {
        "apiserver_audit_event_total": 0, "apiserver_audit_requests_rejected_total": 0
    }  # fmt: skip


async def test_versions_are_shown(api: Any) -> None:
    assert values(api.server.backend.metrics, "version_info") == {
        '{binary="1.36.0",component="kube",emulation="1.36",min_compat="1.35"}': 1.0
    }


def test_requests_are_counted_by_what_they_asked_and_how_they_ended() -> None:
    metrics = Metrics()
    for code in (200, 200, 404):
        metrics.observe(POD_GETS, code, 0.001)
    text = metrics.render().decode()
    for code, count in ((200, 2), (404, 1)):
        assert f'apiserver_request_total{{code="{code}",{TEXT}}} {count}' in text


def test_durations_fall_into_cumulative_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.03, 100.0):
        metrics.observe(POD_GETS, 200, seconds, 2000)
    lines = metrics.render().decode().splitlines()

    def value(family: str, part: str) -> str:
        return next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(family) and part in line)

    name = "apiserver_request_duration_seconds_"
    assert value(name, 'le="0.005"') == "2"
    assert value(name, 'le="0.025"') == "2"
    assert value(name, 'le="0.05"') == "3"
    assert value(name, 'le="60"') == "3"
    assert value(name, 'le="+Inf"') == "4"
    assert value(f"{name}count", "") == "4"
    assert value(f"{name}sum", "") == "100.036"
    assert value("apiserver_response_sizes_bucket", 'le="1000"') == "0"
    assert value("apiserver_response_sizes_bucket", 'le="10000"') == "4"


async def test_what_nobody_scrapes_does_not_pile_up(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_SETTLE_EVERY", 4)
    elsewhere = Durations()
    for _ in range(100):
        elsewhere.observe(1.0)
    for _ in range(4):
        await api.get("/api/v1/namespaces/default")
    assert not elsewhere._fresh
    assert elsewhere.observe == elsewhere._observe_first
    assert sum(elsewhere.buckets) == 100


async def test_watches_are_counted_while_they_last(api: Any) -> None:
    response = await api.send("GET", "/api/v1/namespaces?watch=1")
    assert response.stream is not None
    await anext(response.stream)

    async def lines(name: str) -> list[str]:
        text = (await api("GET", "/metrics")).raw.decode()
        return [line for line in text.splitlines() if line.startswith(name) and '"namespaces"' in line]

    (running,) = await lines("apiserver_longrunning_requests")
    assert running.endswith("} 1")
    (sent,) = await lines("apiserver_watch_events_total")
    assert float(sent.rsplit(" ", 1)[1]) >= 4
    assert not [line for line in await lines("apiserver_request_") if "WATCH" in line], "it is not over"
    await response.stream.aclose()
    (running,) = await lines("apiserver_longrunning_requests")
    assert running.endswith("} 0")
    watched = [line for line in await lines("apiserver_request_total") if "WATCH" in line]
    assert [line.rpartition(" ")[2] for line in watched] == ["1"]


@pytest.mark.parametrize(
    ("path", "upgraded", "counted"),
    [
        ("/api/v1/namespaces/default/pods/p/exec", True, ("CONNECT", "exec", "0", True)),
        ("/api/v1/nodes/n/proxy/x", False, ("CONNECT", "proxy", "200", True)),
        ("/api/v1/namespaces/default/pods/p/log", False, ("CONNECT", "log", "200", False)),
    ],
)
async def test_what_streams_is_counted_when_it_has_ended(
    api: Any, monkeypatch: pytest.MonkeyPatch, path: str, upgraded: bool, counted: tuple[str, str, str, bool]
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"

    async def serve(_stream: Any) -> None:
        await asyncio.sleep(0)

    async def handle(*_: Any) -> Response:
        return Response(101, upgrade=serve) if upgraded else Response(200, stream=chunks())

    monkeypatch.setattr(chain.Chain, "_dispatch", handle)
    response = await api.send("GET", path)
    monkeypatch.undo()

    async def found(name: str) -> list[tuple[str, str, str, float]]:
        rows = []
        for key, value in (await _values(api, name)).items():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', key))
            if labels["verb"] == "CONNECT":
                rows.append((labels["verb"], labels["subresource"], labels.get("code", ""), value))
        return rows

    verb, subresource, code, shown = counted
    assert not await found("apiserver_request_total")
    assert await found("apiserver_longrunning_requests") == ([(verb, subresource, "", 1.0)] if shown else [])
    if upgraded:
        await response.upgrade(None)
    else:
        assert [chunk async for chunk in response.stream] == [b"a"]
    assert await found("apiserver_request_total") == [(verb, subresource, code, 1.0)]
    assert await found("apiserver_request_duration_seconds_count") == [(verb, subresource, "", 1.0)]
    assert await found("apiserver_longrunning_requests") == ([(verb, subresource, "", 0.0)] if shown else [])


REQUESTS = "apiserver_request_total"


async def test_what_no_route_takes_is_not_counted(api: Any) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    for accept, count in (("text/html", 0), ("application/json;as=Boat;g=meta.k8s.io;v=v1", 1)):
        assert (await api("GET", path, accept=accept)).status == 406
        refused = [value for key, value in (await _values(api, REQUESTS)).items() if 'code="406"' in key]
        assert sum(refused) == count


async def _counted(api: Any, *requests: tuple[str, str, str]) -> dict[tuple[str, ...], float]:
    """Return what is added to the count by some requests: component, resource, subresource, verb and code."""
    before = await _values(api, REQUESTS)
    for method, path, user in requests:
        await api(method, path, user=user)
    added: dict[tuple[str, ...], float] = {}
    for name, value in (await _values(api, REQUESTS)).items():
        if value != before.get(name, 0):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            key = tuple(labels[one] for one in ("component", "resource", "subresource", "verb", "code"))
            added[key] = value - before.get(name, 0)
    return added


async def test_who_is_sent_away_before_its_turn_is_not_counted(api: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    for method, path, user, status in (
        ("GET", pods, "stranger", 401), ("GET", pods, "alice", 403), ("PUT", pods, "admin", 405),
        ("GET", f"{pods}?timeout=x", "admin", 400),
    ):  # fmt: skip
        assert (await api(method, path, user=user)).status == status
        assert not await _counted(api, (method, path, user))
    assert await _counted(api, ("GET", f"{pods}/nothing", "admin")) == {
        ("apiserver", "pods", "", "GET", "404"): 1
    }


async def test_of_what_is_no_resource_health_alone_is_counted(api: Any) -> None:
    others = ("/version", "/api", "/apis/apps/v1", "/openapi/v3", "/readyz/ping", "/metrics")
    assert await _counted(
        api, *(("GET", path, "admin") for path in (*others, "/healthz", "/livez", "/readyz", "/readyz"))
    ) == {
        ("", "", "/healthz", "GET", "200"): 1,
        ("", "", "/livez", "GET", "200"): 1,
        ("", "", "/readyz", "GET", "200"): 2,
    }


async def test_who_gets_no_turn_is_counted_but_not_timed(serving: Any) -> None:
    async with serving(priority_and_fairness=False, max_requests_inflight=1) as api:
        api.server.traffic.traffic.gate.reading.used = 1
        await api("GET", "/version", user="alice")
        await api("GET", "/api/v1/secrets", user="alice")
        assert (await api("GET", "/api/v1/pods", user="alice")).status == 429
        text = (await api("GET", "/metrics")).raw.decode()
    found = [line for line in text.splitlines() if line.startswith(REQUESTS) and 'code="429"' in line]
    assert [re.findall(r'(?:resource|verb|scope)="([^"]*)"', line) for line in found] == [
        ["", "", "", "GET"], ["pods", "cluster", "", "LIST"], ["secrets", "cluster", "", "LIST"]
    ]  # fmt: skip
    timed = [line for line in text.splitlines() if line.startswith("apiserver_request_duration_seconds")]
    assert not [line for line in timed if 'resource="pods",scope="cluster"' in line]
    assert "apiserver_request_terminations_total{" in text


async def test_nobody_makes_labels_by_asking_for_nonsense(api: Any) -> None:
    for path in ("/api/v1/nonsense", "/nonsense", "/apis/nonsense/v1/things"):
        assert (await api("GET", path)).status == 404
        assert (await api("GET", path, user="alice")).status >= 400
    assert b"nonsense" not in (await api("GET", "/metrics")).raw


async def _values(api: Any, *families: str) -> dict[str, float]:
    text = (await api("GET", "/metrics")).raw.decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith(families))
    return {name: float(value) for name, _, value in lines}


async def test_objects_are_counted_by_resource(api: Any) -> None:
    families = ("apiserver_storage_objects", "apiserver_resource_objects")
    before = await _values(api, *families)
    for name in ("a", "b"):
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
    found = await _values(api, *families)
    for name in (
        'apiserver_storage_objects{resource="configmaps"}',
        'apiserver_resource_objects{group="",resource="configmaps"}',
    ):
        assert found[name] == before[name] + 2
    assert found['apiserver_storage_objects{resource="deployments.apps"}'] == 0
    assert found['apiserver_resource_objects{group="rbac.authorization.k8s.io",resource="clusterroles"}'] > 50
    assert 'apiserver_resource_objects{group="events.k8s.io",resource="events"}' not in found


async def test_what_was_built_is_told_as_version_tells_it(api: Any) -> None:
    version = await api.get("/version")
    ((name, value),) = (await _values(api, "kubernetes_build_info")).items()
    assert value == 1
    for label, key in (("git_version", "gitVersion"), ("minor", "minor"), ("platform", "platform")):
        assert f'{label}="{version[key]}"' in name


async def test_who_shows_a_wrong_token_is_counted(api: Any) -> None:
    name = "authentication_attempts"
    before = await _values(api, name)
    assert (await api("GET", "/version", user="stranger")).status == 401
    assert (await api("GET", "/version")).status == 200
    after = await _values(api, name)
    added = {key: after[key] - before[key] for key in after}
    results = {"success": 2.0, "failure": 0.0, "error": 1.0}
    assert added == {f'{name}{{result="{result}"}}': count for result, count in results.items()}


async def test_admission_is_timed_plugin_by_plugin(api: Any, make_pod: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    await api.create(pods, make_pod("p"))
    bad = make_pod("q", serviceAccountName="nobody")
    assert (await api("POST", pods, bad)).status == 403
    found = await _values(api, "apiserver_admission_controller_admission_duration_seconds_count")

    def count(name: str, kind: str, rejected: str) -> float:
        labels = f'name="{name}",operation="CREATE",rejected="{rejected}",type="{kind}"'
        return found.get(f"apiserver_admission_controller_admission_duration_seconds_count{{{labels}}}", 0.0)

    assert count("ServiceAccount", "admit", "false") == 1
    assert count("ServiceAccount", "admit", "true") == 1
    assert count("PodSecurity", "validate", "false") == 1
    assert count("ResourceQuota", "validate", "false") >= 1
    steps = "apiserver_admission_step_admission_duration_seconds_count"
    whole = await _values(api, steps)
    for kind, rejected, expected in (("admit", "false", 1), ("admit", "true", 1), ("validate", "false", 1)):
        labels = f'operation="CREATE",rejected="{rejected}",type="{kind}"'
        assert whole[f"{steps}{{{labels}}}"] >= expected


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("x/v1beta1 X is deprecated in v1.19+, unavailable in v1.22+", "1.22"),
        ("v1 X is deprecated in v1.19+", ""),
    ],
)
def test_when_a_resource_goes(text: str, release: str) -> None:
    metrics = Metrics()
    metrics.deprecated(parse("GET", "/apis/x/v1beta1/namespaces/d/xs/a/status", ""), text)
    labels = {
        "group": "x", "version": "v1beta1", "resource": "xs", "subresource": "status",
        "removed_release": release,
    }  # fmt: skip
    assert metrics._registry.sample_value("apiserver_requested_deprecated_apis", labels) == 1


async def test_what_is_on_its_way_out_is_noted(api: Any) -> None:
    name = "apiserver_requested_deprecated_apis"
    assert await _values(api, name) == {}
    await api.get("/api/v1/namespaces/default/endpoints")
    labels = 'group="",removed_release="",resource="endpoints",subresource="",version="v1"'
    assert await _values(api, name) == {f"{name}{{{labels}}}": 1.0}


@pytest.mark.parametrize("on_disk", [True, False])
async def test_how_large_the_store_is(serving: Any, tmp_path: Path, *, on_disk: bool) -> None:
    name = "apiserver_storage_size_bytes"
    store = SqliteStore(tmp_path / "store.db") if on_disk else MemoryStore()
    async with serving(store) as api:
        found = await _values(api, name)
    assert list(found) == ([f'{name}{{storage_cluster_id="etcd-0"}}'] if on_disk else [])
    assert all(size > 4096 for size in found.values())


async def test_what_the_store_was_asked_and_the_cache_heard(api: Any) -> None:
    families = ("etcd_", "apiserver_watch_cache_", "apiserver_storage_events", "apiserver_resource_size")
    before = await _values(api, *families)
    await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    await api("DELETE", "/api/v1/namespaces/default/configmaps/a")
    await api.create("/apis/batch/v1/namespaces/default/jobs", JOB)
    found = await _values(api, *families)

    def added(name: str) -> float:
        return found[name] - before.get(name, 0.0)

    kind = 'group="",{}resource="configmaps"'
    for operation in ("create", "delete"):
        labels = kind.format(f'operation="{operation}",')
        assert added(f"etcd_requests_total{{{labels}}}") == 1
        assert added(f"etcd_request_duration_seconds_count{{{labels}}}") == 1
    labels = 'group="batch",operation="create",resource="jobs"'
    assert added(f"etcd_requests_total{{{labels}}}") == 1
    for name in ("storage_events_received", "watch_cache_events_received", "watch_cache_events_dispatched"):
        assert added(f"apiserver_{name}_total{{{kind.format('')}}}") == 2
    assert found[f"apiserver_watch_cache_initializations_total{{{kind.format('')}}}"] == 1
    assert found['apiserver_watch_cache_resource_version{group="batch",resource="jobs"}'] > 1
    assert found['apiserver_resource_size_estimate_bytes{group="batch",resource="jobs"}'] > 300
    assert not any(name.startswith("etcd_request_errors_total") for name in found)


JOB = {
    "metadata": {"name": "j"},
    "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}},
}


async def test_rules_that_are_told_twice_are_none(api: Any) -> None:
    raw = (await api("GET", "/metrics")).raw.decode()
    for name in (
        "declarative_validation_mismatch",
        "declarative_validation_panic",
        "duplicate_validation_error",
    ):
        whole = f"apiserver_validation_{name}_total"
        assert f"# TYPE {whole} counter" in raw
        assert f"\n{whole} 0\n" in raw
