"""As whom the server shows itself to which webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.admission.webhooks.credentials import Credentials
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.outgoing.webhook_call import ANONYMOUS, Identity
from tiphys.wire.pki import issue_client, make_ca, server_context
from tiphys.wire.server import serve

KIND = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
USERS = {
    name: Identity(name)
    for name in ("a.ns.svc", "a.ns.svc:8443", "*.ns.svc", "*.svc", "b.example.com:443", "*", "")
}
CASES = {
    "a service at the usual port": ("a.ns.svc", 443, "a.ns.svc"),
    "at another": ("a.ns.svc", 8443, "a.ns.svc:8443"),
    "at one that is not named": ("a.ns.svc", 9443, "*"),
    "one of a namespace": ("b.ns.svc", 443, "*.ns.svc"),
    "one of another namespace": ("b.other.svc", 443, "*.svc"),
    "a host with its port": ("b.example.com", 443, "b.example.com:443"),
    "a host that is not named": ("c.example.org", 443, "*"),
}


@pytest.mark.parametrize(("host", "port", "name"), CASES.values(), ids=CASES)
def test_the_most_exact_name_counts(host: str, port: int, name: str) -> None:
    assert Credentials(USERS).of(host, port) == Identity(name)


def test_without_a_fitting_name() -> None:
    assert Credentials({"": Identity("current")}).of("a", 1) == Identity("current")
    assert Credentials({"x": Identity("x")}).of("a", 1) is ANONYMOUS
    assert Credentials.configured(None).of("a", 443) is ANONYMOUS


def test_a_version_that_is_gone() -> None:
    with pytest.raises(BadConfiguration, match="is registered for version"):
        Credentials.configured({**KIND, "apiVersion": "apiserver.config.k8s.io/v1alpha1"})


def kubeconfig(folder: Path, **user: Any) -> dict[str, Any]:
    users = [{"name": "*", "user": user}]
    (folder / "kube").write_text(yaml.safe_dump({"users": users}))
    return {**KIND, "kubeConfigFile": str(folder / "kube")}


HEADERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a token": ({"token": "t"}, {"Authorization": "Bearer t"}),
    "a token in a file": ({"tokenFile": "token"}, {"Authorization": "Bearer from-file"}),
    "a password": ({"username": "u", "password": "p"}, {"Authorization": "Basic dTpw"}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize(("user", "header"), HEADERS.values(), ids=HEADERS)
def test_headers(tmp_path: Path, user: dict[str, Any], header: dict[str, str]) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert Credentials.configured(kubeconfig(tmp_path, **user)).of("a", 443).header() == header


async def test_a_webhook_sees_certificate_and_token(serving: Any, webhooks: Any, tmp_path: Path) -> None:
    now = RealClock().now()
    ca = make_ca("webhook-ca", now)
    mine = issue_client(ca, "apiserver", (), now)
    mine.write(tmp_path / "c.pem", tmp_path / "k.pem")
    said = kubeconfig(tmp_path, token="t", **{"client-certificate": "c.pem", "client-key": "k.pem"})
    plugins = [{"name": "ValidatingAdmissionWebhook", "configuration": said}]
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**head, "plugins": plugins}))
    hook = webhooks.Webhook(ca)
    seen: list[tuple[str, bool]] = []

    async def answer(request: Any) -> Any:
        seen.append((request.headers.get("authorization"), request.shown_certificates != ()))
        return await hook(request)

    pair = webhooks.issue_server(ca, "webhook", ("127.0.0.1",), now)
    context = server_context(pair, ca.certificate)
    async with serve(answer, host="127.0.0.1", port=0, ssl_context=context) as server:
        hook.port = server.port
        async with serving(admission_config=tmp_path / "a.yaml") as api:
            rule = {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["*"],
                "resources": ["configmaps"],
            }
            webhook = {
                "name": "a.example.com", "clientConfig": hook.url(), "rules": [rule], "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }  # fmt: skip
            path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
            await api.create(path, {"metadata": {"name": "c"}, "webhooks": [webhook]})
            await api.settle()
            await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})
    assert seen == [("Bearer t", True)]
