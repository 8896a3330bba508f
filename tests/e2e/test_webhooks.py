"""Webhooks that people bring: a Deployment, a Service and a certificate, asked about pods and others."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cluster import Result, RunningCluster, eventually
from manifests import pod
from sample_image import WEBHOOK, sample_image
from sample_webhook import GROUP

from tiphys.wire import pki

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
NAMESPACE, SERVICE, SERVICE_PORT = "sample-webhook", "webhooks", 8443
CERTIFICATES = "/certificates"
CONFIGURATIONS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
WATCHED = {"watched-by-webhooks": "yes"}
CRD_NAME = f"endpoints.{GROUP}"


@dataclass
class Webhooks:
    """The cluster, from a namespace that webhooks look at; and how it is told of them."""

    it: RunningCluster
    bundle: str

    def client(self, path: str) -> Object:
        where = {"namespace": NAMESPACE, "name": SERVICE, "port": SERVICE_PORT, "path": path}
        return {"service": where, "caBundle": self.bundle}

    def configure(self, kind: str, *hooks: Object, name: str = "one") -> None:
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": f"sample-{name}", "labels": WATCHED}, "webhooks": list(hooks),
        }  # fmt: skip
        self.it.apply(body)

    def hook(self, path: str, resources: str, *operations: str, group: str = "", **fields: Any) -> Object:
        rule = {"apiGroups": [group], "apiVersions": ["*"], "resources": [resources],
                "operations": list(operations) or ["CREATE", "UPDATE"]}  # fmt: skip
        about = resources.replace("/", "-").replace("*", "all")
        return {
            "name": f"{path.strip('/')}.{about}.example.com", "rules": [rule],
            "clientConfig": self.client(path), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": WATCHED}, **fields,
        }  # fmt: skip

    def create(self, obj: Object) -> Result:
        return self.it.try_kubectl("create", "-f", "-", stdin=json.dumps(obj))

    def refused(self, obj: Object, said: str, *more: str) -> None:
        """Wait until an object is refused in these words; none of it is ever made."""
        args = ("create", "--dry-run=server", "-f", "-", *more)
        eventually(lambda: said in self.it.try_kubectl(*args, stdin=json.dumps(obj)).err)
        answer = self.create(obj)
        assert answer.code != 0, answer.all
        assert said in answer.err


def _config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _definition(webhooks: Webhooks | None, stored: str = "v1") -> Object:
    """Endpoints in two versions; without webhooks only their names for them differ."""
    fields = {one: {"type": "string"} for one in ("hostPort", "host", "port")}
    data = {one: {"type": "string"} for one in ("kept", "start", "first")}
    fields["data"] = {"type": "object", "properties": data}
    schema = {"openAPIV3Schema": {"type": "object", "properties": fields}}
    versions = [
        {"name": one, "served": True, "storage": one == stored, "schema": schema} for one in ("v1", "v2")
    ]
    spec: Object = {
        "group": GROUP, "scope": "Namespaced", "names": {"plural": "endpoints", "kind": "Endpoint"},
        "versions": versions,
    }  # fmt: skip
    if webhooks is not None:
        answers = {"clientConfig": webhooks.client("/convert"), "conversionReviewVersions": ["v1"]}
        spec["conversion"] = {"strategy": "Webhook", "webhook": answers}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME, "labels": WATCHED}, "spec": spec,
    }  # fmt: skip


def _endpoint(name: str, version: str = "v1", **fields: Any) -> Object:
    return {"apiVersion": f"{GROUP}/{version}", "kind": "Endpoint", "metadata": {"name": name}, **fields}


def _deployment() -> Object:
    labels = {"app": "webhooks"}
    flags = [
        f"--tls-cert-file={CERTIFICATES}/tls.crt",
        f"--tls-private-key-file={CERTIFICATES}/tls.key",
    ]
    container = {
        "name": "webhooks", "image": WEBHOOK, "args": flags,
        "volumeMounts": [{"name": "certificates", "readOnly": True, "mountPath": CERTIFICATES}],
        "readinessProbe": {"httpGet": {"scheme": "HTTPS", "port": 443, "path": "/"}, "periodSeconds": 1},
    }  # fmt: skip
    spec = {
        "containers": [container], "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "certificates", "secret": {"secretName": "webhooks"}}],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "webhooks"},
        "spec": {"selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": spec}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def served(session_cluster: RunningCluster, new_kubectl: str) -> Iterator[str]:
    """The webhooks, running; what vouches for their certificate."""
    it, now = replace(session_cluster, namespace=NAMESPACE, binary=new_kubectl), datetime.now(UTC)
    (it.home / "webhook.tar").write_bytes(sample_image(WEBHOOK))
    it.tiphys("images", "import", str(it.home / "webhook.tar"))
    authority = pki.make_ca("e2e-webhook-ca", now)
    host = f"{SERVICE}.{NAMESPACE}.svc"
    pair = pki.issue_server(authority, host, [host], now)
    files = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    ports = [{"port": SERVICE_PORT, "targetPort": 443}]
    it.kubectl("create", "namespace", NAMESPACE)
    try:
        it.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "webhooks"}, "stringData": files},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
             "spec": {"selector": {"app": "webhooks"}, "ports": ports}},
            _deployment(),
        )  # fmt: skip
        it.kubectl("rollout", "status", "deployment/webhooks", "--timeout=90s")
        yield base64.b64encode(authority.certificate).decode()
    finally:
        it.try_kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def webhooks(served: str, newest: RunningCluster) -> Iterator[Webhooks]:
    newest.kubectl("label", "namespace", newest.namespace, "watched-by-webhooks=yes")
    yield Webhooks(newest, served)
    newest.try_kubectl("delete", CONFIGURATIONS, "-l", "watched-by-webhooks=yes")
    newest.try_kubectl("delete", "crd", CRD_NAME, "--ignore-not-found")


def test_pods_and_maps_are_judged(webhooks: Webhooks) -> None:
    """What is refused is refused in the webhook's words, however it is written, and elsewhere it is not."""
    it, hook = webhooks.it, webhooks.hook
    webhooks.configure(
        "Validating",
        hook("/nothing-bad", "pods", timeoutSeconds=2),
        hook("/nothing-bad", "configmaps"),
        hook("/refuse", "pods/attach", "CONNECT"),
    )
    denied = 'admission webhook "nothing-bad.{}.example.com" denied the request: '
    webhooks.refused(pod("bad"), denied.format("pods") + "the name is bad")
    webhooks.refused(_config_map("m", key="bad"), denied.format("configmaps") + "the data is bad")
    late = webhooks.create(pod("hang"))
    assert late.code != 0
    assert 'failed calling webhook "nothing-bad.pods.example.com"' in late.err
    it.apply(_config_map("m", key="good"))
    assert "the data is bad" in it.try_kubectl("patch", "configmap", "m", "-p", '{"data":{"key":"bad"}}').err
    assert it.path("configmap/m", ".data.key") == "good"
    webhooks.create(pod("good"))
    it.ready("good")
    assert "denied the request: none of these" in it.try_kubectl("attach", "good").err
    it.kubectl("label", "namespace", it.namespace, "watched-by-webhooks-")
    eventually(lambda: webhooks.create(_config_map("free", key="bad")).code == 0)


def test_one_change_after_another(webhooks: Webhooks) -> None:
    """What the first adds makes the second act; what is added to a pod has defaults, and runs."""
    it, hook = webhooks.it, webhooks.hook
    webhooks.configure("Mutating", hook("/second", "configmaps"), name="second")
    webhooks.configure("Mutating", hook("/first", "configmaps"), hook("/init", "pods"), name="first")

    def changed() -> bool:
        it.try_kubectl("delete", "configmap", "m", "--ignore-not-found")
        it.apply(_config_map("m", start="yes"))
        return bool(
            it.json("get", "configmap", "m")["data"] == {"start": "yes", "first": "yes", "second": "yes"}
        )

    eventually(changed)
    eventually(lambda: "initContainers" in json.loads(_made_dry(webhooks, pod("p")))["spec"])
    webhooks.create(pod("p"))
    it.ready("p")
    (added,) = it.json("get", "pod", "p")["spec"]["initContainers"]
    assert added["terminationMessagePolicy"] == "File"
    assert it.path("pod/p", ".status.initContainerStatuses[0].state.terminated.reason") == "Completed"


def _made_dry(webhooks: Webhooks, obj: Object) -> str:
    return webhooks.it.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(obj))


def test_custom_objects_and_their_definitions(webhooks: Webhooks) -> None:
    """Refused, changed and pruned as any other; after another version is stored too."""
    it, hook = webhooks.it, webhooks.hook
    it.apply(_definition(None))
    it.wait(f"crd/{CRD_NAME}", "condition=Established")
    webhooks.configure("Validating", hook("/no-deletion", "endpoints", "DELETE", group=GROUP))
    webhooks.configure(
        "Mutating", *(hook(path, "endpoints", group=GROUP) for path in ("/first", "/second")), name="two"
    )
    it.apply(_endpoint("a", data={"kept": "yes"}))
    stays = 'admission webhook "no-deletion.endpoints.example.com" denied the request: it stays'
    eventually(lambda: stays in it.try_kubectl("delete", f"endpoints.{GROUP}", "a").err)

    def pruned() -> bool:
        made = json.loads(_made_dry(webhooks, _endpoint("b", data={"start": "yes"})))
        return bool(made["data"] == {"start": "yes", "first": "yes"})  # no field for the second's

    eventually(pruned)
    it.apply(_definition(None, stored="v2"))
    patch = json.dumps({"data": {"first": "no"}})
    it.kubectl("patch", f"endpoints.v2.{GROUP}", "a", "--type=merge", "-p", patch)
    assert it.json("get", f"endpoints.v1.{GROUP}", "a")["data"] == {"kept": "yes", "first": "no"}
    it.kubectl("label", f"endpoints.{GROUP}", "a", "free=yes")
    gone = it.try_kubectl("delete", f"endpoints.{GROUP}", "a")
    assert "deleted" in gone.out
    assert "Warning: it is gone for good" in gone.err


def test_definitions_can_be_refused(webhooks: Webhooks) -> None:
    group = "apiextensions.k8s.io"
    only = {"objectSelector": {"matchLabels": WATCHED}, "namespaceSelector": {}}
    webhooks.configure(
        "Validating", webhooks.hook("/refuse", "customresourcedefinitions", group=group, **only)
    )
    webhooks.refused(_definition(None), "denied the request: none of these")
    assert "NotFound" in webhooks.it.try_kubectl("get", "crd", CRD_NAME).err


@pytest.mark.parametrize(
    ("timeout", "policy", "said"),
    [
        (1, "Fail", "failed calling webhook"),
        (1, "Ignore", ""),
        (10, "Fail", ""),
    ],
)
def test_a_webhook_that_takes_five_seconds(webhooks: Webhooks, timeout: int, policy: str, said: str) -> None:
    it = webhooks.it
    slow = webhooks.hook("/slowly", "configmaps", timeoutSeconds=timeout, failurePolicy=policy)
    mark = webhooks.hook("/refuse", "secrets")  # once it refuses, the other is known too
    webhooks.configure("Validating", slow, mark)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    webhooks.refused(secret, "none of these")
    answer = webhooks.create(_config_map("m"))
    assert said in answer.err if said else answer.code == 0, answer.all
    assert it.try_kubectl("get", "configmap", "m").code == (1 if said else 0)
    if said:
        assert "deadline exceeded" in answer.err


def test_one_that_cannot_be_reached_closes(webhooks: Webhooks) -> None:
    """Whom nobody vouches for, and a Service that is not there: refused, as the policy says by itself."""
    unknown = webhooks.hook("/nothing-bad", "configmaps")
    unknown["clientConfig"]["caBundle"] = base64.b64encode(
        pki.make_ca("other", datetime.now(UTC)).certificate
    ).decode()
    absent = webhooks.hook("/nothing-bad", "secrets")
    absent["clientConfig"]["service"]["name"] = "nobody"
    webhooks.configure("Validating", unknown, absent)
    webhooks.refused(_config_map("m"), "certificate")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    webhooks.refused(secret, 'service "nobody" not found')


def test_webhooks_are_not_asked_about_webhooks(webhooks: Webhooks) -> None:
    """Or nobody could take back one that refuses everything."""
    it, group = webhooks.it, "admissionregistration.k8s.io"
    every = {"group": group, "namespaceSelector": {}, "objectSelector": {"matchLabels": WATCHED}}
    mark = webhooks.hook("/refuse", "configmaps")
    webhooks.configure("Validating", webhooks.hook("/refuse", "*", "*", **every), mark)
    webhooks.configure("Mutating", webhooks.hook("/label", "*", "*", **every), name="labels")
    webhooks.refused(_config_map("m"), "none of these")
    webhooks.configure("Mutating", webhooks.hook("/first", "secrets"), name="bystander")
    made = it.json("get", "mutatingwebhookconfiguration", "sample-bystander")
    assert made["metadata"]["labels"] == WATCHED
    assert "deleted" in it.kubectl("delete", "mutatingwebhookconfiguration", "sample-bystander")


def test_objects_are_read_in_the_version_that_is_asked_for(webhooks: Webhooks) -> None:
    """Each by itself, and in lists of objects that are stored in two versions."""
    it = webhooks.it
    it.apply(_definition(webhooks))
    it.wait(f"crd/{CRD_NAME}", "condition=Established")
    eventually(lambda: webhooks.create(_endpoint("old", hostPort="there:80")).code == 0)
    assert it.path(f"endpoints.v2.{GROUP}/old", ".host") == "there"
    it.apply(_definition(webhooks, stored="v2"))
    eventually(lambda: webhooks.create(_endpoint("new", "v2", host="here", port="81")).code == 0)
    listed = it.json("get", f"endpoints.v1.{GROUP}")["items"]
    assert {one["metadata"]["name"]: one["hostPort"] for one in listed} == {
        "old": "there:80",
        "new": "here:81",
    }
    listed = it.json("get", f"endpoints.v2.{GROUP}")["items"]
    assert {(one["host"], one["port"]) for one in listed} == {("there", "80"), ("here", "81")}
    with it.background(
        "get", f"endpoints.v1.{GROUP}", "--watch", "-o", "jsonpath={.hostPort}{'\\n'}"
    ) as watch:
        watch.until("here:81")
        it.kubectl("patch", f"endpoints.v2.{GROUP}", "new", "--type=merge", "-p", '{"port":"82"}')
        watch.until("here:82")
