"""Health: names, texts, exclusion, and that each check can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.health import Health, Steps
from tiphys.apiserver.store_probe import StoreProbe
from tiphys.storage.base import StoreUnavailable
from tiphys.wire.message import Request

TEXT = "text/plain; charset=utf-8"


def health() -> Health:
    return Health({"ping": lambda: None, "etcd": lambda: "gone"}, {"shutdown": lambda: None})


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
         'warn: some health checks cannot be excluded: no matches for "a", "x"\nhealthz check passed\n'),
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


@pytest.mark.parametrize("path", ["/livez/shutdown", "/livez/none"])
def test_no_such_check(path: str) -> None:
    assert health().handle(Request("GET", path), path) is None


def test_steps_are_unhealthy_until_done() -> None:
    steps = Steps(["a", "b/c"])
    checks = steps.checks()
    steps.done("a")
    assert checks["poststarthook/a"]() is None
    assert checks["poststarthook/b/c"]() == "not finished"
    with pytest.raises(KeyError):
        steps.done("d")


class Store:
    def __init__(self) -> None:
        self.error: Exception | None = None

    async def get(self, _key: str) -> None:
        if self.error is not None:
            raise self.error


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


async def test_a_server_names_upstreams_checks(api: Any) -> None:
    answer = await api("GET", "/readyz?verbose")
    assert answer.status == 200
    lines = answer.raw.decode().splitlines()
    assert lines[:3] == ["[+]ping ok", "[+]log ok", "[+]etcd ok"]
    for name in ("poststarthook/rbac/bootstrap-roles", "poststarthook/bootstrap-controller",
                 "poststarthook/priority-and-fairness-config-producer", "informer-sync",
                 "poststarthook/start-apiextensions-informers",
                 "poststarthook/start-apiextensions-controllers",
                 "poststarthook/start-cluster-authentication-info-controller", "autoregister-completion",
                 "poststarthook/apiservice-status-local-available-controller",
                 "poststarthook/apiservice-openapi-controller"):  # fmt: skip
        assert f"[+]{name} ok" in lines
    assert lines[-2:] == ["[+]shutdown ok", "readyz check passed"]
    assert (await api("GET", "/livez/poststarthook/rbac/bootstrap-roles")).raw == b"ok"


async def test_a_server_that_ends_is_alive_but_not_ready(api: Any) -> None:
    api.server.begin_shutdown()
    assert (await api("GET", "/livez")).status == 200
    answer = await api("GET", "/readyz")
    assert answer.status == 500
    assert b"[-]shutdown failed: reason withheld" in answer.raw
    text = (await api("GET", "/metrics")).raw.decode()
    assert 'kubernetes_healthcheck{name="shutdown",type="readyz"} 0.0' in text
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 1.0' in text


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
