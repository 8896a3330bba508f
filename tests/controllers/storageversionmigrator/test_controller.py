"""Objects that were stored in an old form are written anew, and no others."""

import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.apimachinery.meta import GVR
from tiphys.client.kinds import CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS
from tiphys.client.kinds import STORAGE_VERSION_MIGRATIONS as MIGRATIONS
from tiphys.controllers.storageversionmigrator import plan
from tiphys.testing import Cluster

GATES = resolve({"StorageVersionMigrator": True})
GROUP = "example.com"
SCHEMA = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
async def cluster():
    options = {"feature_gates": GATES, "runtime_config": {"storagemigration.k8s.io/v1beta1": "true"}}
    asked = {"gates": GATES, "controllers": ("serviceaccount", "storage-version-migrator")}
    made = Cluster(nodes=0, scheduler=False, options=options, controller_options=asked)
    async with made as running:
        yield running


def version(name, stored):
    return {"name": name, "served": True, "storage": stored, "schema": {"openAPIV3Schema": SCHEMA}}


def definition(stored, **scope):
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    versions = [version(name, name == stored) for name in ("v1", "v2")]
    spec = {"group": GROUP, "names": names, "scope": scope.get("scope", "Namespaced"), "versions": versions}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": spec,
    }


def migration(name, resource, group=""):
    return {
        "apiVersion": "storagemigration.k8s.io/v1beta1",
        "kind": "StorageVersionMigration",
        "metadata": {"name": name},
        "spec": {"resource": {"group": group, "resource": resource}},
    }


def holds(kind):
    def condition(obj):
        told = ((obj or {}).get("status") or {}).get("conditions") or ()
        return any(one["type"] == kind and one["status"] == "True" for one in told)

    return condition


async def ended(cluster, name):
    return await cluster.wait_for(MIGRATIONS, name, condition=lambda obj: obj and plan.has_ended(obj))


async def established(cluster, stored):
    """Wait until the definition's storage version is this one."""
    return await cluster.wait_for(
        DEFINITIONS,
        f"widgets.{GROUP}",
        condition=lambda obj: holds("Established")(obj) and stored in obj["status"]["storedVersions"],
    )


async def stored_as(cluster, name):
    record = await cluster.store.get(f"/registry/{GROUP}/widgets/default/{name}")
    return b'"apiVersion":"example.com/v2"' in record.value


async def test_custom_objects_are_stored_at_the_new_version(cluster):
    client, widgets = cluster.client, GVR(GROUP, "v1", "widgets")
    await client.create(DEFINITIONS, definition("v1"))
    await established(cluster, "v1")
    for name in ("a", "b"):
        meta = {"name": name, "namespace": "default", "labels": {"keep": "me"}}
        await client.create(widgets, {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": meta})
    live = await client.get(DEFINITIONS, f"widgets.{GROUP}")
    await client.update(DEFINITIONS, {**live, "spec": definition("v2")["spec"]})
    await established(cluster, "v2")
    meta = {"name": "c", "namespace": "default"}
    await client.create(
        GVR(GROUP, "v2", "widgets"), {"apiVersion": f"{GROUP}/v2", "kind": "Widget", "metadata": meta}
    )
    before = {name: await client.get(widgets, name, "default") for name in "abc"}
    assert [await stored_as(cluster, name) for name in "abc"] == [False, False, True]

    await client.create(MIGRATIONS, migration("m", "widgets", GROUP))
    told = await ended(cluster, "m")
    assert [(one["type"], one["status"]) for one in told["status"]["conditions"]] == [
        ("Running", "False"),
        ("Succeeded", "True"),
    ]
    assert int(told["status"]["resourceVersion"]) >= int(before["c"]["metadata"]["resourceVersion"])
    assert [await stored_as(cluster, name) for name in "abc"] == [True, True, True]
    after = {name: await client.get(widgets, name, "default") for name in "abc"}
    assert after["c"] == before["c"]
    for name in "ab":
        changed = after[name]["metadata"].pop("resourceVersion")
        assert changed != before[name]["metadata"].pop("resourceVersion")
        assert after[name] == before[name]


async def test_what_nobody_serves_fails(cluster, monkeypatch):
    monkeypatch.setattr("tiphys.controllers.storageversionmigrator.controller._MAY_APPEAR_S", 0.0)
    await cluster.client.create(MIGRATIONS, migration("m", "nosuch", "nosuch.example.com"))
    told = await ended(cluster, "m")
    (condition,) = told["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "Failed", "StorageVersionMigrationFailed", "resource not found",
    )  # fmt: skip


async def test_a_definition_that_comes_later_is_waited_for(cluster, monkeypatch):
    monkeypatch.setattr("tiphys.controllers.storageversionmigrator.controller._LOOK_AGAIN_S", 0.05)
    await cluster.client.create(MIGRATIONS, migration("m", "widgets", GROUP))
    await cluster.client.create(DEFINITIONS, definition("v1"))
    told = await ended(cluster, "m")
    assert holds("Succeeded")(told)


async def test_an_object_that_cannot_be_written_fails_the_migration(cluster):
    client = cluster.client
    await client.create(DEFINITIONS, definition("v1"))
    await established(cluster, "v1")
    meta = {"name": "a", "namespace": "default"}
    await client.create(
        GVR(GROUP, "v1", "widgets"), {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": meta}
    )
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["widgets"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "frozen"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "frozen"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "frozen"},
        "spec": {"policyName": "frozen", "validationActions": ["Deny"]},
    }
    group = "admissionregistration.k8s.io"
    await client.create(GVR(group, "v1", "validatingadmissionpolicies"), policy)
    await client.create(GVR(group, "v1", "validatingadmissionpolicybindings"), binding)
    await client.create(MIGRATIONS, migration("m", "widgets", GROUP))
    told = await ended(cluster, "m")
    assert [(one["type"], one["status"], one["message"]) for one in told["status"]["conditions"]] == [
        ("Running", "False", ""),
        ("Failed", "True", "migration encountered unhandled error"),
    ]
