"""Steps that upstream's tests take with kinds that no controller works on, one kind after the other.

Where ``test_api_operations`` walks every kind through the same operations, here are the names, patches and
selectors of each kind's own test.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.pki import make_ca

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Refused, Typed, eventually


def _refused(call: Any, *args: Any) -> str:
    with pytest.raises(Refused) as told:
        call(*args)
    return str(told.value.reason)


def test_a_map_from_creation_to_its_collection(api: Any, namespace: str) -> None:
    """Found everywhere by the label that a patch gave it, deleted by the one it had from the start."""
    maps = Typed(api, "v1", "configmaps", namespace)
    name, static = f"test-configmap-{namespace}", {"test-configmap-static": "true"}
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": static}}
    maps.create({**head, "data": {"valueName": "value"}})
    found = maps.get(name)
    assert (found["data"], found["metadata"]["labels"]) == ({"valueName": "value"}, static)
    patch = {
        "metadata": {"creationTimestamp": None, "labels": {"test-configmap": "patched"}},
        "data": {"valueName": "value1"},
    }
    maps.patch(name, patch, STRATEGIC)
    listed = maps.within("").list(labelSelector="test-configmap=patched")["items"]
    (mine,) = [one for one in listed if one["metadata"]["namespace"] == namespace]
    assert (mine["metadata"]["name"], mine["data"]) == (name, {"valueName": "value1"})
    assert mine["metadata"]["labels"] == {**static, "test-configmap": "patched"}
    maps.delete_collection(labelSelector="test-configmap-static=true")
    assert maps.list(labelSelector="test-configmap-static=true")["items"] == []


def test_a_map_replaced_by_what_was_sent(api: Any, namespace: str) -> None:
    """The update has no version: it is unconditional, and all of the old data goes."""
    maps = Typed(api, "v1", "configmaps", namespace)
    head: Object = {"apiVersion": "v1", "kind": "ConfigMap"}
    head["metadata"] = {"name": "configmap-test", "namespace": namespace}
    maps.create({**head, "data": {f"data-{number}": f"value-{number}" for number in (1, 2, 3)}})
    maps.update({**head, "data": {"data": "value"}})
    assert maps.get("configmap-test")["data"] == {"data": "value"}


def test_a_secret_whose_value_is_encoded_twice(api: Any, namespace: str) -> None:
    secrets = Typed(api, "v1", "secrets", namespace)
    static, name = "testsecret-constant=true", f"test-secret-{namespace}"
    meta = {"name": name, "labels": {"testsecret-constant": "true"}}
    value = base64.b64encode(b"value").decode()
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"key": value}, "type": "Opaque"}
    secrets.create(made)

    def everywhere() -> list[str]:
        listed = secrets.within("").list(labelSelector=static)["items"]
        return [one["metadata"]["name"] for one in listed if one["metadata"]["namespace"] == namespace]

    assert everywhere() == [name]
    twice = base64.b64encode(base64.b64encode(b"value1")).decode()
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": twice}}
    secrets.patch(name, patch, STRATEGIC)
    assert base64.b64decode(base64.b64decode(secrets.get(name)["data"]["key"])) == b"value1"
    secrets.delete_collection(labelSelector="testsecret=true")
    assert everywhere() == []


def _template(name: str, **labels: str) -> Object:
    spec = {"containers": [{"name": "nginx", "image": "nginx"}]}
    return {
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name, "labels": labels},
        "template": {"spec": spec},
    }  # fmt: skip


def test_templates(api: Any, namespace: str) -> None:
    """One patched and deleted, one replaced though it had no annotations, three deleted together."""
    templates, static = Typed(api, "v1", "podtemplates", namespace), f"podtemplate-static={namespace}"
    assert templates.within("").list(labelSelector=static)["items"] == []
    templates.create(_template("nginx-pod-template", **{"podtemplate-static": namespace}))
    assert templates.get("nginx-pod-template")["metadata"]["name"] == "nginx-pod-template"
    templates.patch("nginx-pod-template", {"metadata": {"labels": {"podtemplate": "patched"}}}, STRATEGIC)
    labels = templates.get("nginx-pod-template")["metadata"]["labels"]
    assert labels == {"podtemplate-static": namespace, "podtemplate": "patched"}
    templates.delete("nginx-pod-template")
    assert templates.within("").list(labelSelector=static)["items"] == []
    templates.create(_template("podtemplate-replaced"))
    noted = {"annotations": {"updated": "true"}}
    replaced = templates.changed("podtemplate-replaced", lambda live: live["metadata"].update(noted))
    assert replaced["metadata"]["annotations"] == {"updated": "true"}
    for number in (1, 2, 3):
        templates.create(_template(f"test-podtemplate-{number}", **{"podtemplate-set": "true"}))
    assert len(templates.list(labelSelector="podtemplate-set=true")["items"]) == 3
    templates.delete_collection(labelSelector="podtemplate-set=true")
    assert templates.list(labelSelector="podtemplate-set=true")["items"] == []


STORAGE = "storage.k8s.io/v1"
ATTACHMENT: Object = {
    "attacher": "e2e-test.storage.k8s.io", "nodeName": "node-1", "source": {"persistentVolumeName": "pv-e2e"},
}  # fmt: skip
RELABELLED = [
    ("storageclasses", "StorageClass", {"provisioner": "e2e-fake-provisioner"}, STRATEGIC),
    (
        "volumeattributesclasses",
        "VolumeAttributesClass",
        {"driverName": "e2e-fake-csi-driver", "parameters": {"foo": "bar"}},
        STRATEGIC,
    ),
    ("csinodes", "CSINode", {}, STRATEGIC),
    ("volumeattachments", "VolumeAttachment", {"spec": ATTACHMENT}, MERGE),
]


@pytest.mark.parametrize(("plural", "kind", "body", "how"), RELABELLED, ids=[one[1] for one in RELABELLED])
def test_labels_named_after_their_object(api: Any, plural: str, kind: str, body: Object, how: str) -> None:
    """One patched, found and deleted; two others updated, all their labels replaced, and gone together."""
    client = Typed(api, STORAGE, plural)

    def made() -> Object:
        head = {"apiVersion": STORAGE, "kind": kind, "metadata": {"generateName": "e2e-"}}
        created = client.create({**head, **body})
        assert client.get(created["metadata"]["name"])["metadata"]["uid"] == created["metadata"]["uid"]
        return created

    first = made()
    name = first["metadata"]["name"]
    patched = client.patch(name, {"metadata": {"labels": {name: "patched"}}}, how)
    assert patched["metadata"]["labels"] == {name: "patched"}
    versions = [int(one["metadata"]["resourceVersion"]) for one in (first, patched)]
    assert versions[0] < versions[1]
    assert len(client.list(labelSelector=f"{name}=patched")["items"]) == 1
    client.delete(name)
    eventually(lambda: client.list(labelSelector=f"{name}=patched")["items"] == [])
    label = {f"{plural}-e2e": "updated"}
    for one in (made(), made()):
        updated = client.changed(one["metadata"]["name"], lambda live: live["metadata"].update(labels=label))
        assert updated["metadata"]["labels"] == label
    selector = f"{plural}-e2e=updated"
    assert len(client.list(labelSelector=selector)["items"]) == 2
    client.delete_collection(labelSelector=selector)
    eventually(lambda: client.list(labelSelector=selector)["items"] == [])


def test_an_attachments_status(api: Any) -> None:
    """The client gives a UID, which is not taken, and a status, which is there to be read."""
    client, name = Typed(api, STORAGE, "volumeattachments"), "va-e2e-status"
    made = client.create({
        "apiVersion": STORAGE, "kind": "VolumeAttachment", "metadata": {"name": name, "uid": name},
        "spec": ATTACHMENT, "status": {"attached": False},
    })  # fmt: skip
    assert made["metadata"]["name"] == name
    assert made["metadata"]["uid"] != name
    patched = client.patch(name, {"metadata": {"labels": {name: "patched"}}}, MERGE)
    assert patched["metadata"]["labels"] == {name: "patched"}
    assert client.as_json().get(name, "status")["status"]["attached"] is False
    told = client.patch(name, {"status": {"attached": True}}, MERGE, "status")
    assert told["status"]["attached"] is True
    updated = client.changed(name, lambda live: live["status"].update(attached=False), "status")
    assert not updated["status"].get("attached")
    client.delete(name)
    eventually(lambda: client.list(labelSelector=f"{name}=patched")["items"] == [])


def test_drivers(api: Any, namespace: str) -> None:
    """Two; made twice is refused; one is relabelled and goes by that label."""
    client, label = Typed(api, STORAGE, "csidrivers"), {"e2e-test": namespace}

    def driver(name: str, *modes: str) -> Object:
        spec = {"volumeLifecycleModes": list(modes), "fsGroupPolicy": "ReadWriteOnceWithFSType"}
        meta = {"name": f"{name}-{namespace}", "labels": label}
        return {"apiVersion": STORAGE, "kind": "CSIDriver", "metadata": meta, "spec": spec}

    bodies = [driver("one", "Ephemeral"), driver("two", "Persistent", "Ephemeral")]
    made = [client.create(body) for body in bodies]
    assert _refused(client.create, bodies[0]) == "AlreadyExists"
    first, second = (one["metadata"]["name"] for one in made)
    for one in made:
        assert client.get(one["metadata"]["name"])["metadata"]["uid"] == one["metadata"]["uid"]
    patched = client.patch(second, {"metadata": {"labels": {second: "patched"}}}, STRATEGIC)
    assert patched["metadata"]["labels"][second] == "patched"
    updated = client.changed(second, lambda live: live["metadata"]["labels"].update({second: "updated"}))
    assert updated["metadata"]["labels"] == {**label, second: "updated"}
    assert len(client.list(labelSelector=f"e2e-test={namespace}")["items"]) == 2
    client.delete(first)
    assert client.gone(first)
    client.delete_collection(labelSelector=f"{second}=updated")
    assert client.gone(second)


def test_a_pod_with_volumes_of_a_driver(api: Any, namespace: str) -> None:
    """No such driver is there; the API keeps what it was given, with what it leaves to the API."""
    pods = Typed(api, "v1", "pods", namespace)
    name, driver = "pod-csi-inline-volumes", {"driver": "e2e.example.com"}
    body: Object = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "volumes": [
                {"name": "csi-inline-vol1", "csi": driver},
                {"name": "csi-inline-vol2", "csi": {**driver, "fsType": "ext4", "readOnly": True}},
            ],
            "containers": [{
                "name": name, "image": "busybox", "command": ["sh", "-c", "ls /mnt/*"],
                "volumeMounts": [
                    {"name": "csi-inline-vol1", "mountPath": "/mnt/vol1"},
                    {"name": "csi-inline-vol2", "mountPath": "/mnt/vol2"},
                ],
            }],
        },
    }  # fmt: skip
    made = pods.create(body)
    assert _refused(pods.create, body) == "AlreadyExists"
    found = pods.get(name)
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert [one["csi"] for one in found["spec"]["volumes"][:2]] == [
        one["csi"] for one in body["spec"]["volumes"]
    ]
    assert len(pods.list()["items"]) == 1
    patched = pods.patch(name, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    pods.delete(name)
    assert all("deletionTimestamp" in one["metadata"] for one in pods.list()["items"])


LATE_WATCHED = [
    ("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", {"handler": "e2e-handler"}, False),
    (STORAGE, "csistoragecapacities", "CSIStorageCapacity", {"storageClassName": "e2e.example.com"}, True),
]


@pytest.mark.parametrize(
    ("version", "plural", "kind", "body", "namespaced"), LATE_WATCHED, ids=[one[2] for one in LATE_WATCHED]
)
def test_a_watch_from_no_version(
    api: Any, namespace: str, version: str, plural: str, kind: str, body: Object, namespaced: bool
) -> None:
    """It tells of what was there before, then of what comes; also the one across namespaces."""
    client = Typed(api, version, plural, namespace if namespaced else "")

    def named(number: int) -> Object:
        meta = {"name": f"{namespace}-{number}", "labels": {"test": namespace}}
        return {"apiVersion": version, "kind": kind, "metadata": meta, **body}

    selector = f"test={namespace}"
    made = client.create(named(1))
    assert _refused(client.create, named(1)) == "AlreadyExists"
    client.create(named(2))
    name = made["metadata"]["name"]
    with (
        client.watch("", labelSelector=selector) as events,
        client.within("").watch("", labelSelector=selector) as everywhere,
    ):
        client.create(named(3))
        assert client.get(name)["metadata"]["uid"] == made["metadata"]["uid"]
        for where in (client, client.within("")):
            assert len(where.list(labelSelector=selector)["items"]) == 3
        patched = client.patch(name, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        assert patched["metadata"]["annotations"] == {"patched": "true"}
        patched["metadata"]["annotations"]["updated"] = "true"
        assert client.update(patched)["metadata"]["annotations"]["updated"] == "true"
        for seen in (events, everywhere):
            kinds = [next(seen) for _ in range(5)]
            assert [one[0] for one in kinds] == ["ADDED"] * 3 + ["MODIFIED"] * 2
            notes = [len(one[1]["metadata"].get("annotations") or {}) for one in kinds]
            assert notes == [0, 0, 0, 1, 2]
    client.delete(name)
    assert client.gone(name)
    assert len(client.list(labelSelector=selector)["items"]) == 2
    client.delete_collection(labelSelector=selector)
    assert client.list(labelSelector=selector)["items"] == []


def test_addresses(api: Any) -> None:
    """Of a parent of no known kind; one deleted by name, the other with the collection of its label."""
    client = Typed(api, "networking.k8s.io/v1", "ipaddresses")
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}

    def address(name: str, label: str) -> Object:
        meta = {"name": name, "labels": {"type": label}}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": meta}
        return {**body, "spec": {"parentRef": parent}}

    broadcast, link = "255.255.255.255", "fe80::42:1dff:fe84:f9e2"
    made = client.create(address(broadcast, "broadcast"))
    client.create(address(link, "link-local"))
    patched = client.patch(broadcast, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    assert int(made["metadata"]["resourceVersion"]) < int(patched["metadata"]["resourceVersion"])
    updated = client.changed(broadcast, lambda live: live["metadata"]["annotations"].update(updated="true"))
    assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
    assert client.get(broadcast)["spec"]["parentRef"] == parent
    assert len(client.list(labelSelector="type=broadcast")["items"]) == 1
    with client.watch("", labelSelector="type=broadcast") as events:
        assert next(events)[1]["metadata"]["name"] == broadcast
    client.delete(broadcast)
    client.delete_collection(labelSelector="type=link-local")
    assert client.list(labelSelector="type=link-local")["items"] == []


def _signing_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e.example.com")])
    names = x509.SubjectAlternativeName([x509.DNSName("e2e.example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


CERTIFICATES, REQUESTS = "certificates.k8s.io/v1", "certificatesigningrequests"
E2E = {"status": "True", "reason": "E2E", "message": "Set from an e2e test"}


def test_signing_requests(api: Any, namespace: str) -> None:
    """Found by the field of their signer; one is approved, and given the certificate of somebody else."""
    client, signer = Typed(api, CERTIFICATES, REQUESTS), f"example.com/e2e-{namespace}"
    body: Object = {
        "apiVersion": CERTIFICATES, "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "e2e-example-csr-"},
        "spec": {
            "request": _signing_request(), "signerName": signer, "expirationSeconds": 3600,
            "usages": ["digital signature", "key encipherment", "server auth"],
        },
    }  # fmt: skip
    _discovered(api)
    made = [client.create(body) for _ in range(3)][2]
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    found = client.get(name)
    assert (found["metadata"]["uid"], found["spec"]["expirationSeconds"]) == (uid, 3600)
    selector = f"spec.signerName={signer}"
    listed = client.list(fieldSelector=selector)
    assert len(listed["items"]) == 3
    start = listed["metadata"]["resourceVersion"]
    with client.watch(start, fieldSelector=f"metadata.name={name}") as events:
        patched = client.patch(name, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        patched["metadata"]["annotations"]["updated"] = "true"
        assert client.update(patched)["metadata"]["annotations"]["updated"] == "true"
        kind, seen = next(events)
        assert (kind, seen["metadata"]["annotations"]) == ("MODIFIED", {"patched": "true"})
    _decided(client, name, uid)
    _issued(client, name, uid)
    client.delete(name)
    assert client.gone(name)
    assert len(client.list(fieldSelector=selector)["items"]) == 2
    client.delete_collection(fieldSelector=selector)
    assert client.list(fieldSelector=selector)["items"] == []


def _discovered(api: Any) -> None:
    groups = {one["name"]: one for one in api("GET", "/apis").json["groups"]}
    for versions in (groups["certificates.k8s.io"], api("GET", "/apis/certificates.k8s.io").json):
        assert "v1" in [one["version"] for one in versions["versions"]]
    resources = {one["name"] for one in api("GET", f"/apis/{CERTIFICATES}").json["resources"]}
    assert {REQUESTS, f"{REQUESTS}/approval", f"{REQUESTS}/status"} <= resources


def _read(client: Typed, name: str, uid: str, subresource: str) -> None:
    read = client.as_json().get(name, subresource)
    assert (read["apiVersion"], read["kind"]) == (CERTIFICATES, "CertificateSigningRequest")
    assert read["metadata"]["uid"] == uid


def _decided(client: Typed, name: str, uid: str) -> None:
    _read(client, name, uid, "approval")
    noted = {"metadata": {"annotations": {"patchedapproval": "true"}}}
    own = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
    patched = client.patch(name, {**noted, "status": {"conditions": [own]}}, MERGE, "approval")
    assert [one["type"] for one in patched["status"]["conditions"]] == ["ApprovalPatch"]
    assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
    patched["status"]["conditions"].append({"type": "Approved", **E2E})
    updated = client.update(patched, "approval")
    assert [one["type"] for one in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"]


def _issued(client: Typed, name: str, uid: str) -> None:
    _read(client, name, uid, "status")
    noted = {"metadata": {"annotations": {"patchedstatus": "true"}}}
    chain = base64.b64encode(make_ca("e2e.example.com", RealClock().now()).certificate).decode()
    patched = client.patch(name, {**noted, "status": {"certificate": chain}}, MERGE, "status")
    assert patched["status"]["certificate"] == chain
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    patched["status"]["conditions"].append({"type": "StatusUpdate", **E2E})
    updated = client.update(patched, "status")
    assert [one["type"] for one in updated["status"]["conditions"]][2:] == ["StatusUpdate"]
