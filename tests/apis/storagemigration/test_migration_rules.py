"""Faults of migrations of stored objects, and of what servers tell of how they store them."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.meta import gvk_of
from tiphys.apis.apiserverinternal.kinds import STRATEGIES as STORAGE_VERSIONS
from tiphys.apis.apiserverinternal.kinds import is_storage_version_name
from tiphys.apis.strategies import strategy_for, validate_create

Body = dict[str, Any]
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def migration(resource: str = "secrets", group: str = "", **status: Any) -> Body:
    return {
        "apiVersion": "storagemigration.k8s.io/v1beta1",
        "kind": "StorageVersionMigration",
        "spec": {"resource": {"group": group, "resource": resource}},
        "status": status,
    }


def storage_version(*servers: Body, common: str | None = None, **status: Any) -> Body:
    listed = {"storageVersions": list(servers), **status}
    if common is not None:
        listed["commonEncodingVersion"] = common
    return {"apiVersion": "internal.apiserver.k8s.io/v1alpha1", "kind": "StorageVersion", "status": listed}


def server(name: str, encoding: str, *decodable: str) -> Body:
    return {"apiServerID": name, "encodingVersion": encoding, "decodableVersions": list(decodable)}


def true(*kinds: str) -> list[Body]:
    """Conditions that hold."""
    return [
        {
            "type": kind,
            "status": "True",
            "reason": "R",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in kinds
    ]


NEW: dict[str, tuple[Body, list[str]]] = {
    "migration": (migration(group="apps"), []),
    "migration of nothing": (
        migration("", "a_b"),
        [
            "spec.resource.resource: Required value: resource is required to be set",
            f'spec.resource.group: Invalid value: "a_b": {SUBDOMAIN}',
        ],
    ),
    "migration of what cannot be": (
        migration("0a"),
        [f'spec.resource.resource: Invalid value: "0a": {LABEL_1035}'],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


def test_what_is_migrated_stays(faults_of_change: Callable[[Body, Body], list[str]]) -> None:
    assert faults_of_change(migration(), migration()) == []
    assert faults_of_change(migration(), migration("pods")) == [
        'spec: Invalid value: {"Resource":{"group":"","resource":"pods"}}: field is immutable'
    ]


def shown(*kinds: str) -> str:
    return ",".join(
        f'{{"type":"{kind}","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R","message":""}}'
        for kind in kinds
    )


ENDED = [{**true("Succeeded")[0], "status": "False"}]
STATUS: dict[str, tuple[Body, Body, Body, list[str]]] = {
    "starts": (migration(), {}, {"resourceVersion": "5", "conditions": true("Running")}, []),
    "no version": (
        migration(),
        {},
        {},
        ['status.resourceVersion: Invalid value: "": resource version is not well formed: '],
    ),
    "another version": (
        migration(),
        {"resourceVersion": "5"},
        {"resourceVersion": "06"},
        [
            'status.resourceVersion: Invalid value: "06": resource version is not well formed: 06',
            'status.resourceVersion: Invalid value: "06": field is immutable',
        ],
    ),
    "all at once": (
        migration(),
        {},
        {"resourceVersion": "5", "conditions": true("Succeeded", "Failed", "Running")},
        [
            f"status.conditions: Invalid value: [{shown('Succeeded', 'Failed', 'Running')}]: {text}"
            for text in (
                "Both success and failed conditions cannot be true at the same time",
                "Running condition cannot be true when success condition is true",
                "Running condition cannot be true when failed condition is true",
            )
        ],
    ),
    "no end after all": (
        migration(),
        {"resourceVersion": "5", "conditions": true("Failed")},
        {"resourceVersion": "5", "conditions": true("Running")},
        [
            f"status.conditions: Invalid value: [{shown('Running')}]: Failed condition cannot be set to false once it is true"
        ],
    ),
    "of two that are alike the first counts": (
        migration(),
        {"resourceVersion": "5", "conditions": [*ENDED, *true("Succeeded")]},
        {"resourceVersion": "5", "conditions": [*ENDED, *true("Succeeded", "Failed")]},
        ['status.conditions[1].type: Duplicate value: "Succeeded"'],
    ),
    "servers agree": (
        storage_version(),
        {},
        storage_version(server("a", "v1", "v1"), server("b", "v1", "v1", "v2"), common="v1")["status"],
        [],
    ),
    "servers agree on another": (
        storage_version(),
        {},
        storage_version(server("a", "apps/v1", "apps/v1"), common="v2")["status"],
        [
            'status.commonEncodingVersion: Invalid value: "v2": the actual common encoding version is apps/v1',
        ],
    ),
    "servers agree on what nobody told": (
        storage_version(),
        {},
        storage_version(server("a", "v1", "v1"))["status"],
        ["status.commonEncodingVersion: Invalid value: null: the common encoding version is v1"],
    ),
    "servers that are wrong": (
        storage_version(),
        {},
        storage_version(server("a", "/V", "a/b/c"), server("b", "v1", "v1"), common="v1")["status"],
        [
            'status.storageVersions[0].encodingVersion: Invalid value: "/V": group part: must be non-empty,version part: '
            + LABEL_1035,
            'status.storageVersions[0].decodableVersions[0]: Invalid value: "a/b/c": an apiVersion is '
            + LABEL_1035.replace("label must", "label, which must")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')",
            'status.storageVersions[0].decodableVersions: Invalid value: ["a/b/c"]: decodableVersions must include '
            "encodingVersion /V",
            'status.commonEncodingVersion: Invalid value: "v1": should be nil if servers do not agree on the same encoding '
            "version, or if there is no server reporting the supported versions yet",
        ],
    ),
    "conditions": (
        storage_version(),
        {},
        {
            "conditions": [
                {"type": "A", "status": "True", "reason": "R", "message": "M"},
                {"type": "A", "status": "True"},
            ]
        },
        [
            'status[1].type: Invalid value: "A": the type of the condition is not unique, it also appears in conditions[0]',
            "status[1].reason: Required value: reason cannot be empty",
            "status[1].message: Required value: message cannot be empty",
        ],
    ),
}


@pytest.mark.parametrize(("obj", "old", "new", "expected"), STATUS.values(), ids=STATUS)
def test_status(
    obj: Body,
    old: Body,
    new: Body,
    expected: list[str],
    faults_of_status: Callable[[Body, Body, Body], list[str]],
) -> None:
    assert faults_of_status(obj, old, new) == expected


def test_finalizers_of_migrations_name_a_domain() -> None:
    obj = migration()
    obj["metadata"] = {"name": "m", "finalizers": ["x"]}
    (found,) = validate_create(strategy_for(gvk_of(obj)), obj, namespaced=False)
    assert found.field == "metadata.finalizers[0]"


def test_names_of_storage_versions() -> None:
    assert is_storage_version_name("apps.deployments") == []
    assert is_storage_version_name("pods") == ["name must be in the form of <group>.<resource>"]
    assert is_storage_version_name("a_b.0") == [
        f"the group segment {SUBDOMAIN}",
        f"the resource segment {LABEL_1035}",
    ]


def test_a_new_storage_version_tells_of_no_servers() -> None:
    made = {"spec": {}, "status": {"storageVersions": [{"apiServerID": "a"}]}}
    (strategy,) = STORAGE_VERSIONS
    strategy.prepare_create(made)
    assert made == {"spec": {}, "status": {}}
