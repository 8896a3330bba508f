"""What upstream's tests of definitions do, step by step: lists, watches, status, discovery."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Typed, condition, eventually

CRDS = "apiextensions.k8s.io/v1"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NO_PEERS = AGGREGATED + ";profile=nopeer"
LEGACY = "application/json"
BUILT_IN = {
    ("admissionregistration.k8s.io", "v1"): "validatingwebhookconfigurations",
    ("apiextensions.k8s.io", "v1"): "customresourcedefinitions",
    ("apiregistration.k8s.io", "v1"): "apiservices", ("apps", "v1"): "deployments",
    ("authentication.k8s.io", "v1"): "tokenreviews",
    ("authorization.k8s.io", "v1"): "selfsubjectaccessreviews",
    ("autoscaling", "v1"): "horizontalpodautoscalers", ("autoscaling", "v2"): "horizontalpodautoscalers",
    ("batch", "v1"): "jobs", ("certificates.k8s.io", "v1"): "certificatesigningrequests",
    ("coordination.k8s.io", "v1"): "leases", ("discovery.k8s.io", "v1"): "endpointslices",
    ("events.k8s.io", "v1"): "events", ("networking.k8s.io", "v1"): "ingresses",
    ("node.k8s.io", "v1"): "runtimeclasses", ("policy", "v1"): "poddisruptionbudgets",
    ("scheduling.k8s.io", "v1"): "priorityclasses", ("storage.k8s.io", "v1"): "csinodes",
}  # fmt: skip


def _definition(word: str, group: str, scope: str = "Cluster", **labels: str) -> Object:
    kept = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": kept}}
    names = {
        "plural": f"{word}s", "singular": word, "kind": f"{word.title()}K", "listKind": f"{word.title()}List",
    }  # fmt: skip
    return {
        "apiVersion": CRDS, "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{word}s.{group}", "labels": labels},
        "spec": {"group": group, "versions": [version], "names": names, "scope": scope},
    }  # fmt: skip


def _resources(api: Any, group: str) -> list[str]:
    answer = api("GET", f"/apis/{group}/v1beta1")
    return [one["name"] for one in answer.json["resources"]] if answer.status == 200 else []


def _make(definitions: Typed, crd: Object) -> Object:
    """Wait for a definition and for its discovery, as upstream's fixtures do; return it as it was made."""
    made = definitions.create(crd)
    name, group = crd["metadata"]["name"], crd["spec"]["group"]
    definitions.until(name, lambda live: condition(live, "Established").get("status") == "True")
    eventually(lambda: crd["spec"]["names"]["plural"] in _resources(definitions.api, group))
    return made


@pytest.fixture
def definitions(api: Any) -> Iterator[Typed]:
    """Of groups of their own, and gone with the test."""
    found = Typed(api, CRDS, "customresourcedefinitions")
    yield found
    found.delete_collection(labelSelector="steps=yes")
    eventually(lambda: found.list(labelSelector="steps=yes")["items"] == [])


def test_a_definition_comes_and_goes(api: Any, definitions: Typed) -> None:
    _make(definitions, _definition("come", "come.example.com", steps="yes"))
    definitions.delete("comes.come.example.com")
    eventually(lambda: definitions.gone("comes.come.example.com"))
    eventually(lambda: _resources(api, "come.example.com") == [])


@pytest.mark.slow
def test_ten_of_a_label_go_together(definitions: Typed) -> None:
    made = {}
    for number in range(10):
        word = f"set{number}x"
        one = _make(definitions, _definition(word, f"{word}.example.com", steps="yes", mine="yes"))
        made[one["metadata"]["name"]] = one["spec"]
    _make(definitions, _definition("alone", "alone.example.com", steps="yes"))
    listed = definitions.list(labelSelector="mine=yes")["items"]
    assert {one["metadata"]["name"]: one["spec"] for one in listed} == made
    definitions.delete_collection(labelSelector="mine=yes")
    eventually(lambda: definitions.list(labelSelector="mine=yes")["items"] == [])
    definitions.get("alones.alone.example.com")


def test_the_status_of_a_definition(definitions: Typed) -> None:
    """Conditions that say a message and nothing else, by a typed client and by a JSON patch."""
    made = _make(definitions, _definition("told", "told.example.com", steps="yes"))
    name = made["metadata"]["name"]
    status = definitions.as_json().get(name, "status")
    assert status["spec"] == made["spec"]
    status["status"]["conditions"].append({"type": "", "status": "", "message": "updated"})
    updated = definitions.update(status, "status")
    assert "updated" in [one.get("message") for one in updated["status"]["conditions"]]
    change = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
    patched = definitions.patch(name, change, "application/json-patch+json", "status")
    assert "patched" in [one.get("message") for one in patched["status"]["conditions"]]


def test_watches_of_custom_objects_by_name(api: Any, definitions: Typed) -> None:
    _make(definitions, _definition("noxu", "mygroup.example.com", steps="yes"))
    noxus = Typed(api, "mygroup.example.com/v1beta1", "noxus", form=LEGACY)

    def body(name: str) -> Object:
        content = {"key": "value"}
        meta = {"apiVersion": noxus.version, "kind": "NoxuK", "metadata": {"name": name}}
        return {**meta, "content": content, "num": {"num1": 9223372036854775807, "num2": 1000000}}

    with (
        noxus.watch("", fieldSelector="metadata.name=name1", timeoutSeconds="600") as first,
        noxus.watch("", fieldSelector="metadata.name=name2", timeoutSeconds="600") as second,
    ):
        for name, events in (("name1", first), ("name2", second)):
            made = noxus.create(body(name))
            assert made["metadata"]["uid"]
            assert (made["apiVersion"], made["kind"], made["num"]) == (
                noxus.version, "NoxuK", body(name)["num"],
            )  # fmt: skip
            assert next(events) == ("ADDED", made)
        for name, events in (("name1", first), ("name2", second)):
            add = [{"op": "add", "path": "/dummy", "value": "test"}]
            patched = noxus.patch(name, add, "application/json-patch+json")
            assert next(events) == ("MODIFIED", patched)
        for name, events in (("name1", first), ("name2", second)):
            noxus.delete(name)
            kind, last = next(events)
            assert (kind, last["metadata"]["name"], last["dummy"]) == ("DELETED", name, "test")


def _discovered(answer: Any) -> dict[tuple[str, str], list[str]]:
    return {
        (group.get("metadata", {}).get("name", ""), version["version"]): [
            one["resource"] for one in version["resources"]
        ]
        for group in answer.json["items"]
        for version in group["versions"]
    }


def test_aggregated_documents_have_what_is_built_in(api: Any) -> None:
    found = _discovered(api("GET", "/apis", accept=AGGREGATED))
    for key, resource in BUILT_IN.items():
        assert resource in found[key]
    assert "namespaces" in _discovered(api("GET", "/api", accept=AGGREGATED))["", "v1"]


@pytest.mark.parametrize("accept", [AGGREGATED, f"{NO_PEERS},{AGGREGATED},{LEGACY}"])
def test_aggregated_documents_gain_a_definition(api: Any, definitions: Typed, accept: str) -> None:
    """By the plain header, and by the one that client-go's discovery sends."""
    group = f"group{len(accept)}.example.com"
    _make(definitions, _definition("testcrd", group, "Namespaced", steps="yes"))
    key = group, "v1beta1"
    eventually(lambda: "testcrds" in _discovered(api("GET", "/apis", accept=accept)).get(key, []))
