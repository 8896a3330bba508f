"""Health: names, texts, exclusion, and that each check can fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.health import Check, Health
from tiphys.apiserver.observe.stored_objects import stored_bytes
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.startup import AGGREGATING, BOOTSTRAPPED, PRIMED, Steps
from tiphys.apiserver.store_probe import StoreProbe
from tiphys.storage.base import StoreUnavailable
from tiphys.wire.message import Request

TEXT = "text/plain; charset=utf-8"


def health() -> Health:
    checks: dict[str, Check] = {"ping": lambda: None, "etcd": lambda: "gone"}
    return Health(checks, checks, {**checks, "shutdown": lambda: None})


@pytest.mark.parametrize(
    ("path", "query", "status", "body"),
    [
        ("/livez", "", 500, "[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n"),
        ("/readyz", "verbose", 500,
         "[+]ping ok\n[-]etcd failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"),
        ("/livez", "exclude=etcd", 200, "ok"),
        ("/livez", "exclude=etcd&verbose", 200,
         "[+]ping ok\n[+]etcd excluded: ok\nlivez check passed\n"),
        ("/healthz", "exclude=etcd&exclude=x&exclude=a&verbose", 200,
         "[+]ping ok\n[+]etcd excluded: ok\n"
         'warn: some health checks cannot be excluded: no matches for "a","x"\nhealthz check passed\n'),
        ("/livez/ping", "", 200, "ok"),
        ("/livez/etcd", "", 500, "internal server error: gone\n"),
        ("/readyz/shutdown", "", 200, "ok"),
    ],
)  # fmt: skip
def test_texts(path: str, query: str, status: int, body: str) -> None:
    answer = health().handle(Request("GET", path, query), path)
    assert answer is not None
    assert (answer.status, answer.body) == (status, body.encode())
    assert answer.headers["content-type"] == TEXT


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("exclude=etcd&verbose", "[+]etcd excluded: ok\n[+]etcd-override-0 excluded with etcd: ok\n"),
        ("exclude=etcd-override-0&verbose", "[+]etcd ok\n[+]etcd-override-0 excluded: ok\n"),
        ("verbose", "[+]etcd ok\n[-]etcd-override-0 failed: reason withheld\n"),
    ],
)
def test_some_are_left_out_with_others(query: str, body: str) -> None:
    checks: dict[str, Check] = {"etcd": lambda: None, "etcd-override-0": lambda: "gone"}
    answer = Health(checks, checks, checks, {"etcd-override-0": "etcd"}).handle(
        Request("GET", "/livez", query), "/livez"
    )
    assert answer is not None
    assert answer.body == f"{body}livez check {'passed' if answer.status == 200 else 'failed'}\n".encode()


@pytest.mark.parametrize("path", ["/livez/shutdown", "/livez/none"])
def test_no_such_check(path: str) -> None:
    assert health().handle(Request("GET", path), path) is None


def test_steps_are_unhealthy_until_done() -> None:
    steps = Steps(ApiServerOptions())
    checks = steps.checks()
    steps.done(PRIMED)
    assert checks["poststarthook/crd-informer-synced"]() is None
    assert checks["poststarthook/rbac/bootstrap-roles"]() == "not finished"
    assert checks["autoregister-completion"]() == "not finished"
    steps.done({**BOOTSTRAPPED, **AGGREGATING})
    assert {check() for check in checks.values()} == {None}


@pytest.mark.parametrize(
    ("options", "has", "lacks"),
    [
        ({}, "priority-and-fairness-filter", "max-in-flight-filter"),
        ({"priority_and_fairness": False}, "max-in-flight-filter", "priority-and-fairness-config-consumer"),
        ({}, "storage-readiness", "aggregator-reload-proxy-client-cert"),
        ({"proxy_client_certificate": Path("x")}, "aggregator-reload-proxy-client-cert",
         "start-encryption-provider-config-automatic-reload"),
        ({"feature_gates": resolve({"WatchCacheInitializationPostStartHook": False})},
         "start-kube-apiserver-identity-lease-controller", "storage-readiness"),
    ],
)  # fmt: skip
def test_steps_that_some_servers_have(options: dict[str, Any], has: str, lacks: str) -> None:
    names = Steps(ApiServerOptions(**options)).checks()
    assert f"poststarthook/{has}" in names
    assert f"poststarthook/{lacks}" not in names


class Store:
    def __init__(self) -> None:
        self.error: Exception | None = None

    async def get(self, _key: str) -> None:
        if self.error is not None:
            raise self.error


class FarStore(Store):
    size = 0

    def size_bytes(self) -> int:
        return self.size

    async def measure(self) -> None:
        self.size += 7


async def test_a_store_far_away_is_measured_when_it_is_looked_at() -> None:
    store = FarStore()
    source = stored_bytes([store])
    assert list(source()) == []
    await StoreProbe(store).look()  # type: ignore[arg-type]
    (family,) = source()
    (sample,) = family.samples
    assert (sample.name, sample.value) == ("apiserver_storage_size_bytes", 7)


async def test_a_store_that_fails_and_recovers() -> None:
    store = Store()
    probe = StoreProbe(store)  # type: ignore[arg-type]
    assert probe.fault is not None
    await probe.look()
    assert probe.fault is None
    store.error = StoreUnavailable("no members")
    await probe.look()
    assert probe.fault == "no members"
    store.error = None
    await probe.look()
    assert probe.fault is None


class SlowStore(Store):
    """Answers never."""

    async def get(self, _key: str) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("patient", ["store_check_s", "store_ready_check_s"])
async def test_each_check_of_the_store_has_its_own_patience(serving: Any, patient: str) -> None:
    patience_s = {"store_check_s": 0.0, "store_ready_check_s": 0.0, patient: 1e9}
    async with serving(**patience_s) as api:
        probe = api.server.stores.probes[0]
        probe._store = SlowStore()
        looking = asyncio.create_task(probe.look())
        for _ in range(9):
            await asyncio.sleep(0)
        looking.cancel()
        answers = {
            name: (await api("GET", f"/readyz/{name}")).raw for name in ("etcd", "etcd-readiness")
        }  # fmt: skip
        named = {"store_check_s": "etcd", "store_ready_check_s": "etcd-readiness"}
        assert answers.pop(named[patient]) == b"ok"
        assert list(answers.values()) == [b"internal server error: timed out waiting for the store\n"]


FIRST = ["ping", "log", "etcd"]
BOOT = [
    "poststarthook/start-apiserver-admission-initializer", "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer", "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook", "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers", "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness", "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers", "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer", "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller", "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration", "autoregister-completion",
    "poststarthook/apiservice-openapi-controller", "poststarthook/apiservice-openapiv3-controller",
]  # fmt: skip
"""As a cluster of upstream's shows them."""


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("livez", [*FIRST, *BOOT]), ("healthz", [*FIRST, *BOOT]),
        ("readyz", [*FIRST, "etcd-readiness", "informer-sync", *BOOT, "shutdown"]),
    ],
)  # fmt: skip
async def test_a_server_names_upstreams_checks_in_their_order(api: Any, path: str, names: list[str]) -> None:
    answer = await api("GET", f"/{path}?verbose")
    assert answer.raw.decode().splitlines() == [*(f"[+]{name} ok" for name in names), f"{path} check passed"]
    assert (await api("GET", f"/{path}/poststarthook/rbac/bootstrap-roles")).raw == b"ok"


async def test_a_start_that_takes_long_does_not_kill(serving: Any) -> None:
    async with serving(livez_grace_period_s=10.0) as api:
        api.server.steps._done["bootstrap-controller"] = False
        api.server.begin_shutdown()
        assert [(await api("GET", f"/{path}")).status for path in ("livez", "healthz", "readyz")] == [
            200, 500, 500
        ]  # fmt: skip
        api.clock.advance(11)
        answer = await api("GET", "/livez")
        assert b"[-]poststarthook/bootstrap-controller failed: reason withheld" in answer.raw


async def test_a_server_that_ends_is_alive_but_not_ready(api: Any) -> None:
    api.server.begin_shutdown()
    assert (await api("GET", "/livez")).status == 200
    answer = await api("GET", "/readyz")
    assert answer.status == 500
    assert b"[-]shutdown failed: reason withheld" in answer.raw
    text = (await api("GET", "/metrics")).raw.decode()
    assert 'kubernetes_healthcheck{name="shutdown",type="readyz"} 0' in text
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 1' in text


async def test_health_is_open_to_everybody_metrics_are_not(api: Any) -> None:
    assert (await api("GET", "/livez", user="")).status == 200
    assert (await api("GET", "/metrics", user="")).status == 403
    assert (await api("GET", "/metrics", user="alice")).status == 403
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(f"{rbac}/clusterroles", {"metadata": {"name": "m"}, "rules": rules})
    binding = {
        "metadata": {"name": "m"},
        "roleRef": {"kind": "ClusterRole", "name": "m", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.create(f"{rbac}/clusterrolebindings", binding)
    await api.settle()
    assert (await api("GET", "/metrics", user="alice")).status == 200


async def test_health_may_be_closed(api: Any) -> None:
    """It is open by a role and a binding, which whoever may can take away."""
    assert (await api("GET", "/livez", user="")).status == 200
    binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:public-info-viewer"
    assert (await api("DELETE", binding)).status == 200
    await api.settle()
    for path in ("/livez", "/readyz", "/healthz"):
        answer = await api("GET", path, user="")
        assert (answer.status, answer.json["message"]) == (
            403, f'forbidden: User "system:anonymous" cannot get path "{path}"'
        )  # fmt: skip
