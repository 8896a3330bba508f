"""What a pod names in its namespace."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.core.pod_references import SECRET_DRIVERS, references

SECRET = ("secrets", "s")
CASES: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "its account": ({"serviceAccountName": "a"}, {("serviceaccounts", "a")}),
    "images": ({"imagePullSecrets": [{"name": "s"}]}, {SECRET}),
    "environment from": (
        {"initContainers": [{"envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}]}]},
        {SECRET, ("configmaps", "c")},
    ),
    "one variable": (
        {"ephemeralContainers": [{"env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c"}}},
            {"name": "C", "value": "x"},
        ]}]},
        {SECRET, ("configmaps", "c")},
    ),
    "volumes": (
        {"volumes": [
            {"name": "a", "secret": {"secretName": "s"}},
            {"name": "b", "configMap": {"name": "c"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "p"}},
            {"name": "d", "ephemeral": {}},
            {"name": "e", "emptyDir": {}},
        ]},
        {SECRET, ("configmaps", "c"), ("persistentvolumeclaims", "p"), ("persistentvolumeclaims", "pod-d")},
    ),
    "parts of a volume": (
        {"volumes": [{"name": "a", "projected": {"sources": [
            {"secret": {"name": "s"}}, {"configMap": {"name": "c"}}, {"serviceAccountToken": {"path": "t"}},
        ]}}]},
        {SECRET, ("configmaps", "c")},
    ),
    "Azure": ({"volumes": [{"name": "a", "azureFile": {"secretName": "s"}}]}, {SECRET}),
    "CSI": ({"volumes": [{"name": "a", "csi": {"nodePublishSecretRef": {"name": "s"}}}]}, {SECRET}),
    **{
        driver: ({"volumes": [{"name": "a", driver: {"secretRef": {"name": "s"}}}]}, {SECRET})
        for driver in SECRET_DRIVERS
    },
    "devices": (
        {"resourceClaims": [{"name": "x", "resourceClaimName": "r"}]}, {("resourceclaims", "r")}
    ),
    "nothing": ({"containers": [{"name": "c", "image": "i"}]}, set()),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "named"), CASES.values(), ids=CASES)
def test_references(spec: dict[str, Any], named: set[tuple[str, str]]) -> None:
    found = references({"metadata": {"name": "pod", "namespace": "ns"}, "spec": spec})
    assert {reference for reference in found if reference[1]} == named


def test_claims_that_were_made_for_it() -> None:
    status = {
        "resourceClaimStatuses": [{"name": "x", "resourceClaimName": "r"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "e"},
    }
    found = references({"metadata": {"name": "pod", "namespace": "ns"}, "spec": {}, "status": status})
    assert set(found) == {("resourceclaims", "r"), ("resourceclaims", "e")}
