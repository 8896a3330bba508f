"""Whether an APIService is available, and what is said where it is not."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from tests.apiserver.aggregation.behind import (
    ADDRESS,
    GROUP_VERSION,
    SERVICES,
    Extension,
    api_service,
    condition,
    serve_behind,
)

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.aggregation import availability
from tiphys.apiserver.outgoing.service_link import Endpoint, NoEndpoint, resolve
from tiphys.wire.pki import make_ca

UNAVAILABLE = {
    "no service": (
        False, None, "ServiceNotFound", 'service/metrics in "kube-system" is not present'
    ),
    "no slices": (
        True, 0, "EndpointsNotFound", 'cannot find endpointslices for service/metrics in "kube-system"'
    ),
    "nobody listens": (
        True, 1, "FailedDiscoveryCheck",
        "failing or missing response from https://10.96.0.77:443/apis/samples.example.com/v1beta1: "
        'Get "https://10.96.0.77:443/apis/samples.example.com/v1beta1": dial tcp 10.96.0.77:443: connect: '
        "connection refused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNAVAILABLE)
async def test_what_is_missing_is_said(api: Any, name: str) -> None:
    with_service, port, reason, message = UNAVAILABLE[name]
    if with_service:
        await serve_behind(api, port or 0)
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    found = await condition(api, "False")
    assert (found["reason"], found["message"]) == (reason, message)
    answer = await api("GET", f"{GROUP_VERSION}/pods")
    assert (answer.status, answer.raw) == (503, b"service unavailable\n")
    metrics = (await api("GET", "/metrics")).raw.decode().splitlines()
    (ended,) = (line for line in metrics if line.startswith("apiserver_request_terminations_total{"))
    assert 'code="503",component="aggregator",group="samples.example.com",resource="pods"' in ended


async def test_a_bad_answer_and_a_wrong_port(api: Any, extension: Extension) -> None:
    extension.status = 403
    await serve_behind(api, extension.port)
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    found = await condition(api, "False")
    url = f"https://{ADDRESS}:443{GROUP_VERSION}"
    assert found["message"] == f"failing or missing response from {url}: bad status from {url}: 403"


async def test_services_without_an_address_lead_nowhere(api: Any, extension: Extension) -> None:
    await serve_behind(api, extension.port, address="None")
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    found = await condition(api, "False")
    text = 'cannot route to service with ClusterIP "None"'
    assert (found["reason"], found["message"]) == ("FailedDiscoveryCheck", text)


async def test_endpoints_need_no_address_of_a_service_where_they_are_called_themselves(
    serving: Any, extension: Extension
) -> None:
    async with serving(routes_to_endpoints=True) as api:
        await serve_behind(api, extension.port, address="None")
        await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
        await condition(api, "True")


async def test_names_outside_have_no_endpoints(serving: Any) -> None:
    async with serving(routes_to_endpoints=True) as api:
        spec = {"type": "ExternalName", "externalName": "a.example", "ports": [{"port": 443}]}
        path = "/api/v1/namespaces/kube-system/services"
        await api.create(path, {"metadata": {"name": "metrics"}, "spec": spec})
        with pytest.raises(NoEndpoint, match=r'^unsupported service type "ExternalName"$'):
            await resolve(api.server.backend, "kube-system", "metrics", 443)
        with pytest.raises(NoEndpoint, match=r'^no service port 8443 found for service "metrics"$'):
            await resolve(api.server.backend, "kube-system", "metrics", 8443)


async def test_endpoints_of_a_services_first_family_come_first(api: Any, extension: Extension) -> None:
    await serve_behind(api, extension.port)
    row = api.server.table.by_path("discovery.k8s.io", "v1", "endpointslices")
    other = (await api.server.objects.get(row, "kube-system", "metrics-1")).object
    for number in range(20):
        meta = {**other["metadata"], "name": f"six-{number}", "uid": f"u{number}"}
        meta.pop("resourceVersion")
        six = {**other, "metadata": meta, "addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}
        await api.server.objects.create(row, six)
    found = await resolve(api.server.backend, "kube-system", "metrics", 443)
    assert (found.host, found.port, found.shown_host) == ("127.0.0.1", extension.port, ADDRESS)


async def test_endpoints_must_be_ready(api: Any, extension: Extension) -> None:
    await serve_behind(api, extension.port, ready=False)
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    found = await condition(api, "False")
    assert (found["reason"], found["message"]) == (
        "MissingEndpoints",
        'endpointslices for service/metrics in "kube-system" have no addresses with port name "https"',
    )


async def test_ports_must_be_those_of_the_service(api: Any, extension: Extension) -> None:
    await serve_behind(api, extension.port)
    reference = {"namespace": "kube-system", "name": "metrics", "port": 8443}
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True, service=reference))
    found = await condition(api, "False")
    assert (found["reason"], found["message"]) == (
        "ServicePortError",
        'service/metrics in "kube-system" is not listening on port 8443',
    )


async def test_other_services_are_simply_asked(api: Any) -> None:
    await api.create(
        "/api/v1/namespaces/kube-system/services",
        {
            "metadata": {"name": "metrics"},
            "spec": {"type": "NodePort", "ports": [{"name": "https", "port": 443}]},
        },
    )
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    found = await condition(api, "False")
    assert (found["reason"], found["message"]) == (
        "FailedDiscoveryCheck",
        'no endpoints available for service "metrics"',
    )


async def test_one_endpoint_that_answers_is_enough(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([1, 1, extension.port, 1, 1])

    async def resolve(*_args: Any) -> Endpoint:
        return Endpoint("127.0.0.1", next(ports, 1), "metrics.kube-system.svc")

    monkeypatch.setattr(availability, "resolve", resolve)
    await serve_behind(api, extension.port)
    backend, proxy = api.server.backend, api.server.aggregation.front_proxy
    found = await availability.check(backend, api_service(insecureSkipTLSVerify=True), proxy)
    assert (found.ok, found.reason) == (True, "Passed")


async def tried(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch, *statuses: int | None
) -> tuple[availability.Availability, int]:
    """Return what comes of attempts with these answers, and how many there were; None: after all others."""
    await serve_behind(api, extension.port)
    asked, others = 0, asyncio.Event()

    async def fetch(*_args: Any, **_more: Any) -> availability.Fetched:
        nonlocal asked
        status = statuses[asked]
        asked += 1
        if status is None:
            await others.wait()
            return availability.Fetched(500, (), b"")
        if asked == len(statuses):
            others.set()
        return availability.Fetched(status, (), b"")

    monkeypatch.setattr(availability, "fetch", fetch)
    backend, proxy = api.server.backend, api.server.aggregation.front_proxy
    async with asyncio.timeout(20):
        return await availability.check(backend, api_service(insecureSkipTLSVerify=True), proxy), asked


async def test_what_answers_is_asked_once(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, asked = await tried(api, extension, monkeypatch, 200)
    assert (found.reason, asked) == ("Passed", 1)


@pytest.mark.parametrize("status", [302, 304, 403, 500])
async def test_what_fails_is_asked_five_times(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    found, asked = await tried(api, extension, monkeypatch, *[status] * 5)
    assert (found.ok, found.reason, asked) == (False, "FailedDiscoveryCheck", 5)
    url = f"https://10.96.0.77:443{GROUP_VERSION}"
    assert found.message == f"failing or missing response from {url}: bad status from {url}: {status}"


async def test_others_are_asked_while_one_is_slow(
    api: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "_PATIENCE_S", 0.001)
    found, asked = await tried(api, extension, monkeypatch, None, 500, None, 200)
    assert (found.reason, asked) == ("Passed", 4)


async def test_availability_needs_no_trust_but_requests_do(api: Any, extension: Extension) -> None:
    other = make_ca("other", RealClock().now())
    await serve_behind(api, extension.port)
    bundle = base64.b64encode(other.certificate).decode()
    await api.create(SERVICES, api_service(caBundle=bundle))
    await condition(api, "True")
    answer = await api("GET", f"{GROUP_VERSION}/pods")
    assert (answer.status, answer.raw) == (
        503,
        b"error trying to reach service: tls: failed to verify certificate: x509: certificate signed by "
        b"unknown authority\n",
    )


async def test_checks_and_local_services_are_counted_as_the_work_of_queues(api: Any) -> None:
    aggregation = api.server.aggregation
    names = {row["metadata"]["name"] for row in (await api.get(SERVICES))["items"]}
    assert aggregation._registering.counts.adds >= len(names)
    assert aggregation._registering.counts.retries == 0
    assert aggregation._checking.counts.adds == 0
    await api.create(SERVICES, api_service(insecureSkipTLSVerify=True))
    await condition(api, "False")
    checks = aggregation._checking.counts
    assert checks.adds == checks.retries >= 1
    assert list(checks.running()) == []
    text = (await api("GET", "/metrics")).raw.decode()
    for name in ("autoregister", "RemoteAvailabilityController", "LocalAvailabilityController"):
        assert f'workqueue_adds_total{{name="{name}"}} ' in text
