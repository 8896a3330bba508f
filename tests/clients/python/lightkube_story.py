"""lightkube: typed models over HTTP/2 or 1.1, generic resources, waits on conditions, server-side apply."""

import json

import httpx2
from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource, load_in_cluster_generic_resources
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod
from lightkube.types import PatchType

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }],
    },
}  # fmt: skip


def refused(call):
    """Return the Status of a call that fails."""
    try:
        call()
    except ApiError as error:
        return error.status
    raise AssertionError("not refused")


def typed(client):
    made = client.create(ConfigMap(metadata=ObjectMeta(name="story"), data={"a": "b"}))
    assert client.get(ConfigMap, name="story").metadata.uid == made.metadata.uid
    for kind, patch in (
        (PatchType.MERGE, {"data": {"a": "c"}}),
        (PatchType.STRATEGIC, {"data": {"a": "d"}}),
        (PatchType.JSON, [{"op": "replace", "path": "/data/a", "value": "e"}]),
    ):
        patched = client.patch(ConfigMap, "story", patch, patch_type=kind)
    assert patched.data == {"a": "e"}
    patched.data = {"a": "f"}
    assert client.replace(patched).data == {"a": "f"}
    client.delete(ConfigMap, "story")
    status = refused(lambda: client.get(ConfigMap, "story"))
    assert (status.code, status.reason) == (404, "NotFound")


def applied(client):
    for who, value in (("one", "x"), ("one", "y")):
        wanted = ConfigMap(
            metadata=ObjectMeta(name="applied"), data={"a": value}, apiVersion="v1", kind="ConfigMap"
        )
        assert client.apply(wanted, field_manager=who).data == {"a": value}
    client.apply(wanted, field_manager="other")
    wanted.data = {"a": "z"}
    status = refused(lambda: client.apply(wanted, field_manager="other"))
    assert (status.code, status.details.causes[0].reason) == (409, "FieldManagerConflict")
    assert client.apply(wanted, field_manager="other", force=True).data == {"a": "z"}


def waits(client):
    labels = {"app": "w"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    client.create(Deployment.from_dict({"metadata": {"name": "w"}, "spec": spec}))
    client.wait(Deployment, "w", for_conditions=["Available"])
    scale = client.get(Deployment.Scale, name="w")
    scale.spec = ScaleSpec(replicas=3)
    assert client.replace(scale, name="w").spec.replicas == 3
    seen = set()
    for _, pod in client.watch(Pod, labels=labels, server_timeout=20):
        seen.add(pod.metadata.name)
        if len(seen) == 3:
            break
    client.delete(Deployment, "w")


def pages(client):
    for number in range(25):
        client.create(ConfigMap(metadata=ObjectMeta(name=f"p{number}", labels={"page": "a"})))
    assert len(list(client.list(ConfigMap, labels={"page": "a"}, chunk_size=10))) == 25
    client.deletecollection(ConfigMap)
    assert list(client.list(ConfigMap, labels={"page": "a"})) == []


def generic(client):
    client.create(CustomResourceDefinition.from_dict(DEFINITION))
    client.wait(CustomResourceDefinition, "boats.example.com", for_conditions=["Established"])
    load_in_cluster_generic_resources(client)
    boat = create_namespaced_resource("example.com", "v1", "Boat", "boats")
    client.create(boat(metadata={"name": "argo"}, spec={"oars": 50}))
    client.patch(boat.Status, "argo", {"status": {"afloat": True}}, patch_type=PatchType.MERGE)
    found = client.get(boat, "argo")
    assert (found.spec, found.status) == ({"oars": 50}, {"afloat": True})
    client.delete(CustomResourceDefinition, "boats.example.com")


done = []
client = Client(timeout=httpx2.Timeout(30))
assert "default" in [one.metadata.name for one in client.list(Namespace)]
for step in (typed, applied, waits, pages, generic):
    step(client)
    done.append(step.__name__)
print(json.dumps(done))
