"""Every kind through its whole life: JSON and protobuf, tables, patches, server-side apply, deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.every_kind import full

from tiphys.apiserver.registry.machinery import decode_protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DEPRECATED = {
    "v1 Endpoints", "certificates.k8s.io/v1beta1 ClusterTrustBundle",
    "coordination.k8s.io/v1beta1 LeaseCandidate",
}  # fmt: skip


def _served() -> Iterator[Any]:
    """Every kind of the manifests; of each group the first belongs to the quick tests."""
    groups = set()
    for one in yaml.load_all((Path(__file__).parent / "manifests.yaml").read_text(), yaml.CSafeLoader):
        group = one["apiVersion"].rpartition("/")[0]
        slow = [pytest.mark.slow] if group in groups else []
        groups.add(group)
        yield pytest.param(f"{one['apiVersion']} {one['kind']}", marks=slow)


@pytest.fixture(scope="module")
def paths(api: Any) -> dict[str, Any]:
    """From apiVersion and kind to the resource's discovery entry and path."""
    found = {}
    groups = [("v1", "/api/v1")]
    for group in api("GET", "/apis").json["groups"]:
        groups += [(one["groupVersion"], f"/apis/{one['groupVersion']}") for one in group["versions"]]
    for version, path in groups:
        for one in api("GET", path).json["resources"]:
            if "/" not in one["name"]:
                found[f"{version} {one['kind']}"] = one | {"root": path}
    return found


@pytest.fixture(scope="module")
def ns(api: Any) -> str:
    made = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "kinds-"}})
    name = str(made.json["metadata"]["name"])
    api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return name


def path_of(paths: dict[str, Any], key: str, ns: str) -> str:
    entry = paths[key]
    scope = f"/namespaces/{ns}" if entry["namespaced"] else ""
    return f"{entry['root']}{scope}/{entry['name']}"


def same_moment(api: Any, path: str) -> tuple[Any, Any]:
    """Read in JSON and in protobuf with nothing written in between."""
    for _ in range(20):
        plain = api("GET", path).json
        packed = decode_protobuf(api("GET", path, accept=PROTOBUF).raw)
        if plain["metadata"]["resourceVersion"] == packed["metadata"]["resourceVersion"]:
            break
    return plain, packed


@pytest.mark.parametrize("key", list(_served()))
def test_life(
    api: Any, ns: str, paths: dict[str, Any], manifests: Callable[[str], list[dict[str, Any]]], key: str
) -> None:
    manifest = next(one for one in manifests(ns) if f"{one['apiVersion']} {one['kind']}" == key)
    collection = path_of(paths, key, ns)
    path = f"{collection}/{manifest['metadata']['name']}"
    tried = api("POST", collection + "?dryRun=All&fieldValidation=Strict", manifest)
    assert tried.status == 201, tried.raw
    assert api("GET", path).status == 404
    made = api("POST", collection, manifest)
    assert made.status == 201, made.raw
    assert ("deprecated" in made.headers.get("warning", "")) == (key in DEPRECATED)
    try:
        check_reads(api, collection, path, manifest)
        check_writes(api, path, manifest)
    finally:
        ended = api("DELETE", path, {"gracePeriodSeconds": 0})
        assert ended.status in (200, 202), ended.raw


def check_reads(api: Any, collection: str, path: str, manifest: dict[str, Any]) -> None:
    name = manifest["metadata"]["name"]
    plain, packed = same_moment(api, path)
    assert (plain["kind"], plain["apiVersion"]) == (manifest["kind"], manifest["apiVersion"])
    assert full(packed) == full(plain)
    plain, packed = same_moment(api, collection)
    typed = [
        {key: value for key, value in one.items() if key not in ("apiVersion", "kind")}
        for one in plain["items"]
    ]
    assert full(packed) == full(plain | {"items": typed})
    assert name in [one["metadata"]["name"] for one in plain["items"]]
    table = api("GET", collection, accept=TABLE).json
    assert table["kind"] == "Table"
    names = [row["object"]["metadata"]["name"] for row in table["rows"]]
    unnamed = plain["kind"] == "IPAddressList"  # upstream's rows of them end in an age without a column
    assert len(table["rows"][names.index(name)]["cells"]) == len(table["columnDefinitions"]) + unnamed


def check_writes(api: Any, path: str, manifest: dict[str, Any]) -> None:
    for kind, body in (
        ("json-patch", [{"op": "add", "path": "/metadata/labels", "value": {"json": "x"}}]),
        ("merge-patch", {"metadata": {"labels": {"merge": "x"}}}),
        ("strategic-merge-patch", {"metadata": {"labels": {"strategic": "x"}}}),
    ):
        patched = api("PATCH", path, body, content_type=f"application/{kind}+json")
        assert patched.status == 200, patched.raw
    assert {"merge", "strategic"} <= set(patched.json["metadata"]["labels"])
    applied = [
        api(
            "PATCH",
            f"{path}?fieldManager=it&force=true",
            manifest,
            content_type="application/apply-patch+yaml",
        )
        for _ in range(2)
    ]
    assert [one.status for one in applied] == [200, 200], applied[0].raw
    managers = [one["manager"] for one in applied[1].json["metadata"]["managedFields"]]
    owns = set(manifest) - {"apiVersion", "kind", "metadata"}
    if manifest["kind"] == "CertificateSigningRequest":
        owns.clear()  # its spec is nobody's
    assert managers.count("it") == (1 if owns else 0)
    live = api("GET", path, accept=PROTOBUF)
    put = api("PUT", path + "?dryRun=All", live.raw, content_type=PROTOBUF)
    assert put.status in (200, 409), put.raw
