"""Certificates by old rules of aggregated API servers and webhooks: refused, counted and told to audit."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.apiserver.aggregation.behind import ADDRESS, GROUP_VERSION, Extension, available

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import Forbidden
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.image_policy import ImagePolicyWebhook
from tiphys.apiserver.audit.assembly import AuditOptions, Sender
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.certificate_counts import WEBHOOKS, CertificateCounts
from tiphys.wire import pki
from tiphys.wire.client import ConnectFailed
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
NAME = "metrics.kube-system.svc"
REASON = "relies on a legacy Common Name field instead of the SAN extension for subject validation"
UNTRUSTED = "tls: failed to verify certificate: x509: certificate "
LEGACY = f"{UNTRUSTED}relies on legacy Common Name field, use SANs instead"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def without_names(common_name: str) -> pki.KeyPair:
    """Return a server's certificate as it was before alternative names."""
    usual = pki.issue_server(CA, common_name, ["x"], NOW)
    made = x509.load_pem_x509_certificate(usual.certificate)
    authority = x509.load_pem_x509_certificate(CA.certificate)
    signer: Any = serialization.load_pem_private_key(CA.key, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject).issuer_name(authority.subject).public_key(made.public_key())  # type: ignore[arg-type]
        .serial_number(made.serial_number)
        .not_valid_before(made.not_valid_before_utc).not_valid_after(made.not_valid_after_utc)
    )  # fmt: skip
    for extension in made.extensions:
        if extension.oid != x509.SubjectAlternativeName.oid:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    signed = builder.sign(signer, hashes.SHA256())
    return pki.KeyPair(signed.public_bytes(serialization.Encoding.PEM), usual.key)


class Reviewer(Extension):
    """Knows a token, allows everything and every image; also of that it is old."""

    async def __call__(self, request: Request) -> Response:
        kind = orjson.loads(request.body)["kind"]
        self.asked.append(request)
        status: dict[str, Any] = {"allowed": True}
        if kind == "TokenReview":
            status = {"authenticated": True, "user": {"username": "bob", "groups": ["system:masters"]}}
        return Response(200, {"content-type": "application/json"}, orjson.dumps({"status": status}))


@asynccontextmanager
async def old_server(common_name: str, made: type[Extension] = Extension) -> AsyncIterator[Extension]:
    server = made(CA)
    context = pki.server_context(without_names(common_name), None)
    async with serve(server, host="127.0.0.1", port=0, ssl_context=context, grace_s=0.1) as running:
        server.port = running.port
        yield server


async def audited(api: Any, method: str, path: str, body: Any = None) -> tuple[int, bytes, dict[str, str]]:
    """Return an answer and what was noted for audit."""
    head = {"authorization": "Bearer admin", "content-type": "application/json"}
    request = Request(method, path, "", head, orjson.dumps(body) if body else b"")
    noted: dict[str, str] = request.scope.setdefault("audit_annotations", {})
    response = await api.server.handler(request)
    told = b"".join([chunk async for chunk in response.stream]) if response.stream else response.body
    return response.status, told, {key: noted[key] for key in noted if "invalid-cert" in key}


async def counts(api: Any, who: str) -> list[str]:
    text = (await api("GET", "/metrics")).raw.decode()
    return [line for line in text.splitlines() if line.startswith(f"apiserver_{who}_x509_")]


@pytest.mark.parametrize("insecure", [False, True])
async def test_an_aggregated_server(api: Any, *, insecure: bool) -> None:
    async with old_server(NAME) as server:
        spec: dict[str, Any] = {"insecureSkipTLSVerify": True, "caBundle": None} if insecure else {}
        await available(api, server, **spec)
        status, text, noted = await audited(api, "GET", f"{GROUP_VERSION}/pods")
        if insecure:
            assert status == 200
        else:
            assert (status, text.decode()) == (503, f"error trying to reach service: {LEGACY}\n")
        assert noted == {f"missing-san.invalid-cert.kubernetes.io/{ADDRESS}": REASON}
        assert await counts(api, "kube_aggregator") == [
            "apiserver_kube_aggregator_x509_insecure_sha1_total 0",
            "apiserver_kube_aggregator_x509_missing_san_total 1",
        ]


async def test_a_webhook(api: Any) -> None:
    async with old_server("localhost") as server:
        bundle = base64.b64encode(CA.certificate).decode()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        hook = {
            "name": "a.example.com", "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": f"https://localhost:{server.port}/", "caBundle": bundle},
        }  # fmt: skip
        await api.create(HOOKS, {"metadata": {"name": "c"}, "webhooks": [hook]})
        await api.settle()
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
        status, text, noted = await audited(api, "POST", "/api/v1/namespaces/default/configmaps", body)
        assert (status, LEGACY in orjson.loads(text)["message"]) == (500, True)
        assert noted == {"missing-san.invalid-cert.kubernetes.io/localhost": REASON}
        assert await counts(api, "webhooks") == [
            "apiserver_webhooks_x509_insecure_sha1_total 0",
            "apiserver_webhooks_x509_missing_san_total 1",
        ]


def kubeconfig(folder: Path, url: str, *, insecure: bool = False) -> Path:
    bundle = base64.b64encode(CA.certificate).decode()
    trust = {"insecure-skip-tls-verify": True} if insecure else {"certificate-authority-data": bundle}
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "a", "cluster": {"server": url, **trust}}],
                "contexts": [{"name": "a", "context": {"cluster": "a"}}],
                "current-context": "a",
            }
        )
    )
    return path


@pytest.mark.parametrize("asked", ["who it is", "whether it may"])
async def test_services_of_kubeconfigs(serving: Any, tmp_path: Path, asked: str) -> None:
    async with old_server("localhost") as server:
        path = kubeconfig(tmp_path, f"https://localhost:{server.port}/")
        options: dict[str, Any] = {"token_webhook_config": path}
        if asked == "whether it may":
            options = {"authorization_modes": ("RBAC", "Webhook"), "authorization_webhook_config": path}
        async with serving(**options) as api:
            if asked == "whether it may":
                answer = await api("GET", "/api/v1/namespaces/default/pods", user="alice")
                assert (answer.status, LEGACY in answer.raw.decode()) == (500, True)
            else:
                headers = {"authorization": "Bearer unknown"}
                request = Request("GET", "/api/v1/namespaces/default/pods", "", headers)
                assert (await api.server.handler(request)).status == 401
            assert await counts(api, "webhooks") == [
                "apiserver_webhooks_x509_insecure_sha1_total 0",
                "apiserver_webhooks_x509_missing_san_total 1",
            ]
        assert server.asked == []


async def test_the_service_of_an_image_policy(api: Any, tmp_path: Path) -> None:
    async with old_server("localhost") as server:
        path = kubeconfig(tmp_path, f"https://localhost:{server.port}/")
        plugin = ImagePolicyWebhook.configured({"imagePolicy": {"kubeConfigFile": str(path)}})
        call: Any = SimpleNamespace(
            resource=api.server.table.by_path("", "v1", "pods"), backend=api.server.backend,
            request=Request("POST", "/api/v1/namespaces/ns/pods"),
            info=RequestInfo("", "create", is_resource=True, resource="pods", namespace="ns"),
        )  # fmt: skip
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"image": "a"}]}}
        with pytest.raises(Forbidden, match=LEGACY):
            await plugin.validate(Attributes(call, "CREATE", pod, None))
        await plugin.close()
        assert (await counts(api, "webhooks"))[1] == "apiserver_webhooks_x509_missing_san_total 1"


def noted_in(log: Path) -> list[dict[str, str]]:
    """Return what the last stages of requests tell of certificates."""
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    return [
        {key: value for key, value in (one.get("annotations") or {}).items() if "invalid-cert" in key}
        for one in events
        if one["stage"] in ("ResponseComplete", "ResponseStarted")
    ]


TOLD = {"missing-san.invalid-cert.kubernetes.io/localhost": REASON}
PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize("asked", ["who it is", "whether it may", "whether its images may"])
async def test_audit_is_told_of_services_of_kubeconfigs(
    serving: Any, tmp_path: Path, asked: str, *, insecure: bool
) -> None:
    async with old_server("localhost", Reviewer) as server:
        path = kubeconfig(tmp_path, f"https://localhost:{server.port}/", insecure=insecure)
        policy, log, admission = (tmp_path / name for name in ("policy", "log", "admission"))
        policy.write_text("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}")
        rules = {"imagePolicy": {"kubeConfigFile": str(path)}}
        plugin = {"name": "ImagePolicyWebhook", "configuration": rules}
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
        admission.write_text(yaml.safe_dump({**head, "plugins": [plugin]}))
        options: dict[str, Any] = {
            "who it is": {"token_webhook_config": path},
            "whether it may": {
                "authorization_modes": ("RBAC", "Webhook"), "authorization_webhook_config": path,
            },
            "whether its images may": {
                "enabled_admission": ("ImagePolicyWebhook",), "admission_config": admission,
            },
        }[asked]  # fmt: skip
        async with serving(audit=AuditOptions(policy, LogOptions(str(log))), **options) as api:
            for name in "ab":
                if asked == "who it is":
                    await api("GET", PODS, user="", authorization="Bearer unknown")
                elif asked == "whether it may":
                    await api("GET", PODS, user="alice")
                else:
                    spec = {"containers": [{"name": "c", "image": name}]}
                    await api("POST", PODS, {"metadata": {"name": name}, "spec": spec})
            noted = noted_in(log)
            counted = (await counts(api, "webhooks"))[-1].rpartition(" ")[2]
        again = {} if insecure and asked == "whether it may" else TOLD
        if asked == "who it is":  # who is remembered comes with what was told of that; a stranger has nothing
            again, first = (TOLD, TOLD) if insecure else ({}, {})
        else:
            first = TOLD
        assert noted == [first, again]
        assert counted == ("1" if insecure and asked != "whether its images may" else "2")


async def test_the_server_of_audit_events(tmp_path: Path) -> None:
    async with old_server("localhost") as server:
        url, found = f"https://localhost:{server.port}/events", CertificateCounts()
        sender = Sender(kubeconfig(tmp_path, url), None, found)
        with pytest.raises(OSError, match=rf'^Post "{url}\?timeout=30s": {LEGACY}$'):
            await sender(b"{}")
        await sender.close()
        assert [family.samples[0].value for family in found.collect()] == [1.0, 0.0, 0.0, 0.0]
        assert server.asked == []


async def test_a_server_of_audit_events_that_is_not_verified(tmp_path: Path) -> None:
    async with old_server("localhost", Reviewer) as server:
        url, found = f"https://localhost:{server.port}/events", CertificateCounts()
        sender = Sender(kubeconfig(tmp_path, url, insecure=True), None, found)
        await sender(b'{"kind": "EventList"}')
        await sender.close()
        assert [family.samples[0].value for family in found.collect()] == [1.0, 0.0, 0.0, 0.0]


def test_signatures_that_are_too_weak() -> None:
    found, weak = CertificateCounts(), ssl.SSLCertVerificationError(1, "too weak")
    for code, wanted in ((68, ("insecure-sha1",)), (62, ())):
        weak.verify_code = code
        failed = ConnectFailed("failed")
        failed.__cause__ = weak
        assert found.refused(WEBHOOKS, failed) == wanted
    assert found.shown(WEBHOOKS, None) == found.shown(WEBHOOKS, b"none") == ()
