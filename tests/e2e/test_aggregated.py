"""An API server that people bring, behind the aggregation layer: from its Deployment to its end."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import NotFoundError
from sample_image import ETCD, SAMPLE, etcd_image, sample_image

from tiphys.wire import pki

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
Object = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
NAME = f"{VERSION}.{GROUP}"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
FLUNDERS = f"/apis/{GROUP}/{VERSION}/namespaces/default/flunders"
CERTIFICATES = "/apiserver.local.config/certificates"
SERVICE_PORT = 7443
SECRET = "sample-apiserver-secret"
ETCD_URL = "http://127.0.0.1:2379"


def _deployment() -> Object:
    labels = {"app": "sample-apiserver", "apiserver": "true"}
    serving = {
        "name": "sample-apiserver",
        "image": SAMPLE,
        "args": [
            f"--etcd-servers={ETCD_URL}",
            f"--tls-cert-file={CERTIFICATES}/tls.crt",
            f"--tls-private-key-file={CERTIFICATES}/tls.key",
        ],
        "volumeMounts": [{"name": "apiserver-certs", "readOnly": True, "mountPath": CERTIFICATES}],
        "readinessProbe": {
            "httpGet": {"scheme": "HTTPS", "port": 443, "path": "/readyz"}, "periodSeconds": 1,
        },
    }  # fmt: skip
    urls = ["--listen-client-urls", ETCD_URL, "--advertise-client-urls", ETCD_URL]
    etcd = {"name": "etcd", "image": ETCD, "command": ["/usr/local/bin/etcd", *urls]}
    volumes = [{"name": "apiserver-certs", "secret": {"secretName": SECRET}}]
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "sample-apiserver-deployment"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "strategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [serving, etcd], "volumes": volumes, "terminationGracePeriodSeconds": 0,
            }},
        },
    }  # fmt: skip


def _bindings(namespace: str) -> list[Object]:
    """What every extension server needs: to read whom to believe, and to ask who may do what."""
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
    reader = {"kind": "Role", "name": "extension-apiserver-authentication-reader"}
    delegator = {"kind": "ClusterRole", "name": "system:auth-delegator"}
    rbac = "rbac.authorization.k8s.io"
    meta = {"name": "wardler-auth-reader", "namespace": "kube-system"}
    return [
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": subjects,
         "roleRef": {"apiGroup": rbac, **reader}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "subjects": subjects,
         "metadata": {"name": "wardler-auth-delegator"}, "roleRef": {"apiGroup": rbac, **delegator}},
    ]  # fmt: skip


def _api_service(namespace: str, bundle: bytes) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
        "spec": {
            "service": {"namespace": namespace, "name": "sample-api", "port": SERVICE_PORT},
            "group": GROUP, "version": VERSION, "caBundle": base64.b64encode(bundle).decode(),
            "groupPriorityMinimum": 2000, "versionPriority": 200,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def deployed(session_cluster: RunningCluster, new_kubectl: str) -> Iterator[tuple[RunningCluster, Object]]:
    """The sample API server in a namespace of its own, ready; and its APIService, not yet made."""
    it, now = replace(session_cluster, namespace="sample-system", binary=new_kubectl), datetime.now(UTC)
    for name, data in (("sample", sample_image(SAMPLE)), ("etcd", etcd_image())):
        (it.home / f"{name}.tar").write_bytes(data)
        it.tiphys("images", "import", str(it.home / f"{name}.tar"))
    authority = pki.make_ca("e2e-sampleapiserver-ca", now)
    host = f"sample-api.{it.namespace}.svc"
    pair = pki.issue_server(authority, host, [host], now)
    encoded = {
        key: base64.b64encode(value).decode()
        for key, value in (("tls.crt", pair.certificate), ("tls.key", pair.key))
    }
    ports = [{"protocol": "TCP", "port": SERVICE_PORT, "targetPort": 443}]
    service = {"selector": {"apiserver": "true"}, "ports": ports}
    reader, delegator = _bindings(it.namespace)
    it.kubectl("create", "namespace", it.namespace)
    try:
        replace(it, namespace="kube-system").apply(reader)
        it.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": encoded},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sample-api"}, "spec": service},
            delegator,
            _deployment(),
        )
        it.kubectl("rollout", "status", "deployment/sample-apiserver-deployment", "--timeout=90s")
        yield it, _api_service(it.namespace, authority.certificate)
    finally:
        it.try_kubectl("delete", "rolebinding", "wardler-auth-reader", "-n", "kube-system")
        it.try_kubectl("delete", "clusterrolebinding", "wardler-auth-delegator")
        it.try_kubectl("delete", "namespace", it.namespace, "--wait=false")


@pytest.fixture
def it(deployed: tuple[RunningCluster, Object]) -> Iterator[RunningCluster]:
    """The cluster with the sample API, registered and answering."""
    it, service = deployed
    it.apply(service)
    eventually(lambda: it.try_kubectl("get", "--raw", FLUNDERS).code == 0)
    yield it
    it.try_kubectl("delete", "apiservice", NAME, "--ignore-not-found")


@pytest.fixture
def connection(it: RunningCluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(config_file=str(it.folder / "kubeconfig")) as made:
        yield made


def _raw(connection: client.ApiClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Send a request as a client without knowledge of the kind does; return (status, document)."""
    sent = {"Accept": "application/json", "Content-Type": "application/json"}
    sent |= {key.replace("_", "-"): value for key, value in headers.items()}
    connection.update_params_for_auth(sent, [], ["BearerToken"], path, method, body)
    answer = connection.call_api(method, connection.configuration.host + path, sent, body)
    document = json.loads(answer.read())
    if answer.status >= 300:
        raise ApiException(status=answer.status, body=json.dumps(document))
    return answer.status, document


def _plain_requests(connection: client.ApiClient) -> None:
    name = "rest-flunder-1"
    made = {
        "apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder",
        "metadata": {"labels": {"sample-label": "true"}, "name": name, "namespace": "default"},
    }  # fmt: skip
    status, answer = _raw(connection, "POST", FLUNDERS, made)
    assert status == 201
    shown = (answer["apiVersion"], answer["kind"], answer["metadata"]["name"])
    assert shown == (made["apiVersion"], "Flunder", name)
    _, listed = _raw(connection, "GET", FLUNDERS)
    assert (listed["kind"], [one["metadata"]["name"] for one in listed["items"]]) == ("FlunderList", [name])
    with pytest.raises(ApiException) as refused:
        _raw(connection, "POST", FLUNDERS, made)
    assert (refused.value.status, json.loads(refused.value.body)["reason"]) == (409, "AlreadyExists")
    _raw(connection, "DELETE", f"{FLUNDERS}/{name}")
    assert _raw(connection, "GET", FLUNDERS)[1]["items"] == []


def _condition(connection: client.ApiClient, kind: str) -> Object:
    _, found = _raw(connection, "GET", f"{SERVICES}/{NAME}/status")
    return next((one for one in found["status"]["conditions"] if one["type"] == kind), {})


def _status_and_spec_of_the_service(connection: client.ApiClient) -> None:
    """Read, patched, listed, labelled, updated and replaced, while its health is checked all the time."""
    status = f"{SERVICES}/{NAME}/status"
    _, found = _raw(connection, "GET", status)
    assert found["status"]["conditions"][0]["message"] == "all checks passed"
    merge = "application/merge-patch+json"
    _, patched = _raw(
        connection, "PATCH", f"{SERVICES}/{NAME}", {"spec": {"versionPriority": 400}}, Content_Type=merge
    )
    assert patched["spec"]["versionPriority"] == 400
    assert int(patched["metadata"]["resourceVersion"]) > int(found["metadata"]["resourceVersion"])
    assert NAME in [one["metadata"]["name"] for one in _raw(connection, "GET", SERVICES)[1]["items"]]
    label = {"metadata": {"labels": {"e2e-apiservice": "patched"}}}
    strategic = "application/strategic-merge-patch+json"
    _raw(connection, "PATCH", f"{SERVICES}/{NAME}", label, Content_Type=strategic)

    def updated() -> bool:
        _, current = _raw(connection, "GET", status)
        assert current["metadata"]["labels"] == {"e2e-apiservice": "patched"}
        own = {"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        current["status"]["conditions"].append(own)
        return _unless_changed(lambda: _raw(connection, "PUT", status, current))

    eventually(updated, 10)
    assert _condition(connection, "StatusUpdated")["message"] == "Set from e2e test"

    def replaced() -> bool:
        _, current = _raw(connection, "GET", f"{SERVICES}/{NAME}")
        current["metadata"]["labels"] = {NAME: "updated"}
        return _unless_changed(lambda: _raw(connection, "PUT", f"{SERVICES}/{NAME}", current))

    eventually(replaced, 10)
    _, current = _raw(connection, "GET", f"{SERVICES}/{NAME}")
    assert current["metadata"]["labels"] == {NAME: "updated"}


def _unless_changed(write: Any) -> bool:
    try:
        write()
    except ApiException as error:
        if error.status != 409:
            raise
        return False
    return True


def _patched_status_and_the_end(connection: client.ApiClient) -> None:
    own = {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "Set by e2e test"}
    _, found = _raw(connection, "GET", f"{SERVICES}/{NAME}/status")
    patch = {"status": {"conditions": [*found["status"]["conditions"], own]}}
    _raw(connection, "PATCH", f"{SERVICES}/{NAME}/status", patch, Content_Type="application/merge-patch+json")
    assert _condition(connection, "StatusPatched")["message"] == "Set by e2e test"
    assert _condition(connection, "Available")["status"] == "True"
    api = client.ApiregistrationV1Api(connection)
    api.delete_collection_api_service(label_selector=f"{NAME}=updated")
    eventually(lambda: not api.list_api_service(label_selector=f"{NAME}=updated").items, 10)


def test_the_sample_api_server(it: RunningCluster, connection: client.ApiClient) -> None:
    """By plain requests, by a dynamic client that discovers it, and its APIService to the end."""
    _plain_requests(connection)
    flunders = dynamic.DynamicClient(connection).resources.get(
        api_version=f"{GROUP}/{VERSION}", kind="Flunder"
    )
    made = {"metadata": {"name": "dynamic-flunder-1"}, "spec": {}}
    where = {"namespace": it.namespace}
    flunders.create(body=made, **where)
    assert [one.metadata.name for one in flunders.get(**where).items] == ["dynamic-flunder-1"]
    _status_and_spec_of_the_service(connection)
    flunders.delete(name="dynamic-flunder-1", **where)
    assert flunders.get(**where).items == []
    flunders.create(body=made, **where)
    assert len(flunders.get(**where).items) == 1
    _patched_status_and_the_end(connection)
    with pytest.raises(NotFoundError):
        flunders.get(**where)


def test_kubectl_and_discovery_know_it(it: RunningCluster) -> None:
    """Both forms of discovery, OpenAPI, and kubectl's verbs with a watch."""
    document = json.loads(it.kubectl("get", "--raw", "/apis"))
    assert GROUP in [one["name"] for one in document["groups"]]
    assert f"{GROUP}/{VERSION}" in it.kubectl("api-versions").split()
    assert "flunders" in it.kubectl("api-resources", f"--api-group={GROUP}", "-o", "name")
    assert it.path(f"apiservice/{NAME}", ".status.conditions[0].reason") == "Passed"
    assert "what is wanted" in it.kubectl("explain", "flunders.spec").lower()
    manifest = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", "metadata": {"name": "one"}}
    with it.background("get", "flunders", "--watch-only", "-o", "name") as watching:
        assert "created" in it.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        watching.until("flunder.wardle.example.com/one")
    assert "labeled" in it.kubectl("label", "flunder", "one", "tier=a")
    assert it.kubectl("get", "flunders", "-l", "tier=a", "-o", "name").strip().endswith("/one")
    assert it.kubectl("get", "flunders", "-l", "tier=b", "-o", "name") == ""
    assert "deleted" in it.kubectl("delete", "flunder", "one")
    assert "NotFound" in it.try_kubectl("get", "flunder", "one").err


def test_who_asks_is_told_and_asked_about(it: RunningCluster) -> None:
    """The server behind is told who asks in front, and lets nobody in who comes to it by himself."""
    refused = it.try_kubectl("get", "flunders", "--as=jane", "--as-group=system:authenticated")
    assert 'User "jane" cannot list resource "flunders"' in refused.err
    it.kubectl("create", "role", "reader", "--verb=get,list", f"--resource=flunders.{GROUP}")
    it.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane")
    it.kubectl("get", "flunders", "--as=jane", "--as-group=system:authenticated")
    (found,) = it.json("get", "pods", "-l", "apiserver=true")["items"]
    token = it.kubectl("create", "token", "default").strip()
    account = f"system:serviceaccount:{it.namespace}:default"
    for headers, user in (
        ({}, "system:anonymous"),
        # Headers alone are believed from nobody: the proxy shows its certificate with them.
        ({"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, "system:anonymous"),
        ({"Authorization": f"Bearer {token}"}, account),
    ):
        status, said = _directly(found["status"]["podIP"], headers)
        assert (status, said) == (403, f'User "{user}" cannot list flunders')


def _directly(address: str, headers: dict[str, str]) -> tuple[int, str]:
    """Ask the server behind, not by way of the cluster's."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    made = http.client.HTTPSConnection(address, 443, context=trust, timeout=10)
    try:
        made.request("GET", FLUNDERS, headers=headers)
        answer = made.getresponse()
        return answer.status, json.loads(answer.read())["message"]
    finally:
        made.close()
