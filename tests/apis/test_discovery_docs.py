from tiphys.apimachinery.meta import GVK
from tiphys.apis import discovery_docs as discovery
from tiphys.apis.table import TABLE


def test_legacy_groups() -> None:
    groups = discovery.group_list(TABLE)["groups"]
    assert "" not in [group["name"] for group in groups]
    autoscaling = next(group for group in groups if group["name"] == "autoscaling")
    assert autoscaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    one = discovery.group(TABLE, "apps")
    assert one is not None
    assert (one["kind"], one["name"]) == ("APIGroup", "apps")
    assert discovery.group(TABLE, "none") is None
    assert discovery.api_versions("h:1")["versions"] == ["v1"]


def test_legacy_resources() -> None:
    core = discovery.resource_list(TABLE, "", "v1")
    assert core is not None
    assert "apiVersion" not in core
    entries = {entry["name"]: entry for entry in core["resources"]}
    assert entries["pods"] == {
        "name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
    }  # fmt: skip
    assert entries["pods/eviction"] == {
        "name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
        "kind": "Eviction", "verbs": ["create"],
    }  # fmt: skip
    assert "group" not in entries["pods/status"]
    assert "storageVersionHash" not in entries["bindings"]
    apps = discovery.resource_list(TABLE, "apps", "v1")
    assert apps is not None
    assert (apps["apiVersion"], apps["groupVersion"]) == ("v1", "apps/v1")
    assert discovery.resource_list(TABLE, "apps", "v2") is None


def test_aggregated() -> None:
    core = discovery.aggregated(TABLE, core=True)
    assert [item["metadata"].get("name", "") for item in core["items"]] == [""]
    document = discovery.aggregated(TABLE, core=False, version="v2beta1")
    assert document["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    apps = next(item for item in document["items"] if item["metadata"]["name"] == "apps")
    deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
    assert deployments["scope"] == "Namespaced"
    assert deployments["subresources"][0] == {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get", "patch", "update"],
    }


def test_storage_version_hash() -> None:
    assert discovery.storage_version_hash(GVK("", "v1", "Pod")) == "xPOwRZ+Yhw8="
