"""Discovery, health, version, metrics, OpenAPI, token keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@pytest.fixture
def api(module_api: Any) -> Any:
    """Nothing is written here."""
    return module_api


async def test_discovery(api: Any) -> None:
    assert (await api.get("/api"))["versions"] == ["v1"]
    groups = await api.get("/apis")
    assert any(group["name"] == "apps" for group in groups["groups"])
    resources = await api.get("/api/v1")
    assert any(item["name"] == "pods/binding" for item in resources["resources"])
    assert (await api("GET", "/apis/none")).status == 404


async def test_aggregated_discovery_has_a_tag(api: Any) -> None:
    first = await api("GET", "/apis", accept=AGGREGATED)
    assert first.json["kind"] == "APIGroupDiscoveryList"
    assert "as=APIGroupDiscoveryList" in first.headers["content-type"]
    again = await api("GET", "/apis", accept=AGGREGATED, if_none_match=first.headers["etag"])
    assert (again.status, again.raw) == (304, b"")


DEFAULT = "/api/v1/namespaces/default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("path", "more", "end"),
    [
        pytest.param(DEFAULT, {}, b"}}\n", id="an object"),
        pytest.param(DEFAULT, {"accept": TABLE}, b"}]}\n", id="a table"),
        pytest.param("/api/v1/namespaces", {}, b"}]}\n", id="a list"),
        pytest.param(f"{DEFAULT}/configmaps/none", {}, b'"code":404}\n', id="a failure"),
        pytest.param("/apis/apps/v1", {}, b"}]}\n", id="discovery"),
        pytest.param(DEFAULT, {"user_agent": "curl/8"}, b"  }\n}", id="laid out for people"),
        pytest.param(f"{DEFAULT}?pretty=true", {}, b"  }\n}", id="laid out on request"),
        pytest.param("/version", {}, b'"\n}', id="the version"),
        pytest.param("/openid/v1/jwks", {"accept": "*/*"}, b'"}]}', id="token keys"),
    ],
)
async def test_how_an_answer_ends(api: Any, path: str, more: dict[str, str], end: bytes) -> None:
    raw = (await api("GET", path, **more)).raw
    assert raw.endswith(end), raw[-20:]


@pytest.mark.parametrize("path", ["*", "host:443"])
async def test_targets_that_are_no_paths_are_not_found(api: Any, path: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.raw) == (404, b"404 page not found\n")


@pytest.mark.parametrize("method", ["BREW", "get"])
async def test_methods_that_nothing_has_are_not_allowed(api: Any, method: str) -> None:
    assert (await api(method, "/api/v1/namespaces")).status == 405
    assert (await api(method, "/version")).status == 405


@pytest.mark.parametrize(
    "path", ["/healthz", "/livez/ping", "/readyz", "/metrics", "/openapi/v2", "/openapi/v3"]
)
async def test_what_asks_for_no_method(api: Any, path: str) -> None:
    """Probes of load balancers come by what they like."""
    for method in ("POST", "OPTIONS", "DELETE", "BREW"):
        assert (await api(method, path)).status == 200, method
    assert (await api("POST", "/healthz/none")).status == 404


async def test_version(api: Any) -> None:
    assert (await api.get("/version"))["gitVersion"] == "v1.36.0"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping"])
async def test_health(api: Any, path: str) -> None:
    assert (await api("GET", path)).raw == b"ok"


async def test_the_root_lists_what_is_served(api: Any) -> None:
    paths = (await api.get("/"))["paths"]
    assert paths == sorted(paths)
    assert {"/api/v1", "/apis/apps/v1", "/livez/ping", "/readyz/shutdown", "/version"} <= set(paths)


async def test_metrics(api: Any) -> None:
    await api.get("/api/v1/namespaces")
    assert b'apiserver_request_total{code="200",component="apiserver"' in (await api("GET", "/metrics")).raw


async def test_token_keys(api: Any) -> None:
    found = await api.get("/.well-known/openid-configuration")
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert (await api.get("/openid/v1/jwks", accept="*/*"))["keys"][0]["crv"] == "P-256"


@pytest.mark.parametrize(
    ("path", "accept", "produced"),
    [
        ("/version", "text/plain", "application/json"),
        ("/.well-known/openid-configuration", "text/html", "application/json"),
        ("/openid/v1/jwks", "application/json", "application/jwk-set+json"),
    ],
)
async def test_what_comes_must_be_accepted(api: Any, path: str, accept: str, produced: str) -> None:
    answer = await api("GET", path, accept=accept)
    text = f"406: Not Acceptable\n\nAvailable representations: {produced}"
    assert (answer.status, answer.json["reason"], answer.json["details"]) == (406, "NotAcceptable", {})
    assert answer.message == text


@pytest.mark.parametrize(
    ("issuer", "fault"),
    [
        ("my-issuer", "issuer URL must use https scheme, got: my-issuer"),
        ("http://127.0.0.1", "issuer URL must use https scheme, got: http://127.0.0.1"),
        ("https://127.0.0.1?a=b", "issuer URL may not include a query, got: https://127.0.0.1?a=b"),
        ("https://127.0.0.1#a", "issuer URL may not include a fragment, got: https://127.0.0.1#a"),
    ],
)
async def test_keys_of_an_issuer_that_nobody_could_ask(
    serving: Any, caplog: pytest.LogCaptureFixture, issuer: str, fault: str
) -> None:
    """Its tokens are good here, and what others would verify them by is not served."""
    async with serving(service_account_issuer=issuer) as api:
        assert fault in caplog.text
        for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
            assert (await api("GET", path)).status == 404
            assert (await api("POST", path, {})).status == 404
            assert path not in (await api.get("/"))["paths"]


async def test_bootstrap_objects(api: Any) -> None:
    found = await api.get("/api/v1/namespaces")
    assert [item["metadata"]["name"] for item in found["items"]] == [
        "default", "kube-node-lease", "kube-public", "kube-system"
    ]  # fmt: skip
    roles = await api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles")
    assert len(roles["items"]) > 60
    assert (await api("GET", "/api", user="alice")).status == 200


async def test_every_answer_has_an_audit_id(api: Any) -> None:
    assert len((await api("GET", "/nothing")).headers["audit-id"]) == 36
    assert (await api("GET", "/api", audit_id="mine")).headers["audit-id"] == "mine"


async def test_log_files(serving: Any, tmp_path: Path) -> None:
    (tmp_path / "syslog").write_text("line\n")
    async with serving(logs_dir=tmp_path) as api:
        assert "/logs" in (await api.get("/"))["paths"]
        assert (await api("GET", "/logs/syslog")).raw == b"line\n"
        assert b'<a href="syslog">syslog</a>' in (await api("GET", "/logs/")).raw
        assert (await api("GET", "/logs")).headers["location"] == "logs/"
        assert (await api("GET", "/logs/none")).raw == b"404 page not found\n"
        above = await api("GET", "/logs/../secret")
        assert (above.status, above.raw) == (400, b'invalid path: "../secret"\n')
        assert (await api("GET", "/logs/a/./b")).status == 400
        assert (await api("POST", "/logs/syslog")).status == 405
        assert (await api("GET", "/logs/syslog", user="alice")).status == 403
    async with serving(logs_dir=None) as api:
        assert "/logs" not in (await api.get("/"))["paths"]
        assert (await api("GET", "/logs/syslog")).status == 404


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({"advertise_address": "10.0.0.1"}, "10.0.0.1:6443"),
        ({"advertise_address": "fd00::2"}, "[fd00::2]:6443"),
        ({"external_hostname": "api.example.com"}, "api.example.com:6443"),
        ({"external_hostname": "api.example.com:443"}, "api.example.com:443"),
    ],
)
async def test_where_clients_are_told_to_find_the_server(
    serving: Any, options: dict[str, str], address: str
) -> None:
    async with serving(**options) as api:
        (told,) = (await api.get("/api"))["serverAddressByClientCIDRs"]
        assert told == {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
