"""Which way a server reaches what it calls, and that nothing else is asked for one."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.apiserver.authn.test_jwt_tokens import token
from tests.apiserver.egress.proxies import Asked, connect_proxy
from tests.wire.collector import collecting

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.egress.selector import EgressSelector
from tiphys.cmd.component import FlagError
from tiphys.cmd.egress_flags import egress_from
from tiphys.storage.etcd_client import EtcdClient, EtcdOptions
from tiphys.storage.etcd_wire import STATUS, request
from tiphys.testing.etcd import EtcdProcess
from tiphys.wire import pki
from tiphys.wire.dial import TunnelFailed
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
AWAY = "10.9.9.9"
"""Nobody is there: only tunnels lead on."""
NAMES = [AWAY, "hook.default.svc", "hook.example"]
PAIR = pki.issue_server(CA, "server", NAMES, NOW)
BUNDLE = base64.b64encode(CA.certificate).decode()
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
RULES = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def answer(value: Any, code: int = 200) -> Response:
    return Response(code, {"Content-Type": "application/json"}, orjson.dumps(value))


async def anybody(request: Request) -> Response:
    """Whoever is called: a kubelet, a pod, a webhook, an API server, a judge of tokens and rights."""
    body = orjson.loads(request.body) if request.body else {}
    match request.path:
        case "/tokens":
            known = {"authenticated": True, "user": {"username": "far"}}
            return answer({**body, "status": known})
        case "/rights":
            return answer({**body, "status": {"allowed": True}})
        case "/hook":
            return answer({**body, "response": {"uid": body["request"]["uid"], "allowed": True}})
        case "/apis/samples.example.com/v1":
            return answer(
                {"kind": "APIResourceList", "groupVersion": "samples.example.com/v1", "resources": []}
            )
    return Response(200, {"Content-Type": "text/plain"}, b"words")


class Noting:
    """Tunnels that note who was asked for, and lead all to one server."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, str, int]] = []
        self.told = asyncio.Event()
        """Somebody was asked for."""

    def selector(self) -> EgressSelector:
        return EgressSelector(
            **{name: self._tunnel(name) for name in ("cluster", "controlplane", "etcd")},
        )

    def _tunnel(self, name: str) -> Any:
        async def tunnel(host: str, port: int) -> socket.socket:
            self.seen.append((name, host, port))
            self.told.set()
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            return sock

        return tunnel


@pytest.fixture
async def noting() -> AsyncIterator[Noting]:
    found = Noting()
    async with (
        asyncio.timeout(60),
        serve(anybody, ssl_context=pki.server_context(PAIR, None), grace_s=0.1) as server,
    ):
        found.port = server.port
        yield found


def kubeconfig(path: Path, what: str) -> Path:
    """Write where one of the services of the control plane is."""
    cluster = {"server": f"https://{AWAY}:7443/{what}", "certificate-authority-data": BUNDLE}
    named = {"name": "it", "cluster": cluster}
    context = {"name": "it", "context": {"cluster": "it"}}
    document = {"clusters": [named], "contexts": [context], "current-context": "it"}
    (path / what).write_text(yaml.safe_dump(document))
    return path / what


async def add_service(api: Any) -> None:
    """Have a Service whose only endpoint is away."""
    ports = [{"port": 443, "targetPort": 8443}]
    await api.create(
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "hook"}, "spec": {"clusterIP": "10.96.0.99", "ports": ports}},
    )
    await api.create(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        {
            "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8443}],
            "endpoints": [{"addresses": [AWAY]}],
        },
    )


def hook(**where: Any) -> dict[str, Any]:
    client = {"caBundle": BUNDLE, **where}
    webhook = {
        "name": "a.example.com", "clientConfig": client, "rules": RULES, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
    }  # fmt: skip
    return {"metadata": {"name": "a"}, "webhooks": [webhook]}


async def test_webhooks(noting: Noting, serving: Any) -> None:
    service = {"namespace": "default", "name": "hook", "path": "/hook"}
    for where, seen in (
        ({"service": service}, ("cluster", AWAY, 8443)),
        ({"url": "https://hook.example:9443/hook"}, ("controlplane", "hook.example", 9443)),
    ):
        async with serving(egress=noting.selector()) as api:
            await add_service(api)
            await api.create(HOOKS, hook(**where))
            await api.settle()
            await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}})
        assert noting.seen == [seen]
        noting.seen.clear()


async def test_kubelets_and_pods(noting: Noting, serving: Any, make_pod: Any) -> None:
    async with serving(egress=noting.selector()) as api:
        node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": AWAY}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        }
        await api.put("/api/v1/nodes/n1/status", node)
        created = await api.create(PODS, make_pod("p", nodeName="n1"))
        created["status"] = {"podIP": AWAY, "podIPs": [{"ip": AWAY}]}
        await api.put(f"{PODS}/p/status", created)
        paths = {
            f"{PODS}/p/log": 10250,
            f"{PODS}/https:p:8443/proxy/x": 8443,
            "/api/v1/nodes/n1/proxy/healthz": 10250,
        }
        for path, port in paths.items():
            noting.seen.clear()
            response = await api.send("GET", path)
            assert response.status == 200, path
            assert b"".join([part async for part in response.stream]) == b"words"
            assert ("cluster", AWAY, port) in noting.seen


async def test_aggregated_servers(noting: Noting, serving: Any) -> None:
    async with serving(egress=noting.selector()) as api:
        await add_service(api)
        await api.create(
            "/apis/apiregistration.k8s.io/v1/apiservices",
            {
                "metadata": {"name": "v1.samples.example.com"},
                "spec": {
                    "group": "samples.example.com", "version": "v1", "caBundle": BUNDLE,
                    "groupPriorityMinimum": 1000, "versionPriority": 10,
                    "service": {"namespace": "default", "name": "hook"},
                },
            },
        )  # fmt: skip
        await noting.told.wait()
        assert set(noting.seen) == {("cluster", AWAY, 8443)}


async def test_services_of_the_control_plane(noting: Noting, serving: Any, tmp_path: Path) -> None:
    seen = [("controlplane", AWAY, 7443)]
    async with serving(
        egress=noting.selector(),
        token_webhook_config=kubeconfig(tmp_path, "tokens"),
        authorization_modes=("RBAC", "Webhook"),
        authorization_webhook_config=kubeconfig(tmp_path, "rights"),
    ) as api:
        answered = await api("GET", "/api/v1/nodes", user="unknown")
        assert answered.status == 200, "far knows the user, and what she may"
        assert noting.seen == seen * 2


async def test_the_audit_webhook(noting: Noting, serving: Any, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    audit = AuditOptions(policy, webhook_config_file=kubeconfig(tmp_path, "audit"), webhook_mode="blocking")
    async with serving(egress=noting.selector(), audit=audit) as api:
        await api.get("/api/v1/nodes")
        assert set(noting.seen) == {("controlplane", AWAY, 7443)}


@pytest.mark.parametrize("name", ["controlplane", "cluster", ""])
async def test_issuers_say_themselves(name: str, noting: Noting, serving: Any, tmp_path: Path) -> None:
    issuer = {
        "url": f"https://{AWAY}:5443", "audiences": ["app"], "egressSelectorType": name,
        "certificateAuthority": CA.certificate.decode(),
    }  # fmt: skip
    mappings = {"username": {"claim": "sub", "prefix": ""}}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{"issuer": issuer, "claimMappings": mappings}],
    }  # fmt: skip
    path = tmp_path / "authentication"
    path.write_text(yaml.safe_dump(document))
    if not name:
        issuer["url"] = "https://127.0.0.1:1"  # the network's own way leads nowhere
        path.write_text(yaml.safe_dump(document))
    async with serving(egress=noting.selector(), authentication_config=path) as api:
        ends = int(api.clock.now().timestamp()) + 60
        answered = await api("GET", "/api/v1/nodes", user=token(iss=issuer["url"], exp=ends))
        assert answered.status == 401
        if name:
            await noting.told.wait()
        assert noting.seen == ([(name, AWAY, 5443)] if name else [])


async def test_spans(noting: Noting, serving: Any) -> None:
    tracing = TracingOptions(f"{AWAY}:4317", 1_000_000)
    async with collecting() as collector:
        noting.port = collector.port
        async with serving(egress=noting.selector(), tracing=tracing) as api:
            await api.get("/api/v1/nodes")
        assert "List" in {span.name for span in collector.spans}, "what waits is sent at the end"
    assert noting.seen == [("controlplane", AWAY, 4317)]


@pytest.mark.etcd
async def test_the_store(tmp_path: Path) -> None:
    process, asked = EtcdProcess(tmp_path / "etcd"), Asked()
    await process.start()
    try:
        port = int(process.url.rpartition(":")[2])
        asked.lead = lambda address: ("127.0.0.1", port)
        socket_path = tmp_path / "proxy.sock"
        text = (
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n"
            "- name: etcd\n  connection:\n    proxyProtocol: HTTPConnect\n"
            f"    transport: {{uds: {{udsName: {socket_path}}}}}\n"
        )
        (tmp_path / "egress").write_text(text)
        selector = egress_from(str(tmp_path / "egress"))
        async with asyncio.timeout(60), connect_proxy(asked, path=socket_path):
            client = EtcdClient(["http://etcd.example:2379"], EtcdOptions(through=selector.etcd))
            client.open()
            spans: list[tracing.Span] = []
            tracer = tracing.Tracer(tracing.MILLION, RealClock(), spans.append)
            with tracer.span("request"):
                answered = await client.call(STATUS, request(STATUS))
            assert [span.name for span in spans] == ["etcdserverpb.Maintenance/Status", "request"]
            assert spans[0].attributes == {"rpc.system": "grpc"}
            assert answered.version.startswith("3.")
            await client.close()
        assert set(asked.addresses) == {"etcd.example:2379"}
        await selector.close()
    finally:
        await process.end()


def test_the_flag(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FlagError, match=f"egress-selector-config-file {missing} does not exist"):
        egress_from(str(missing))
    wrong = tmp_path / "wrong"
    wrong.write_text("apiVersion: apps/v1\nkind: DaemonSet\n")
    with pytest.raises(FlagError, match='failed to read egress selector config: no kind "DaemonSet"'):
        egress_from(str(wrong))
    assert egress_from("").cluster is None


def test_failures_are_of_the_network() -> None:
    assert issubclass(TunnelFailed, OSError), "whoever calls is prepared for those"
