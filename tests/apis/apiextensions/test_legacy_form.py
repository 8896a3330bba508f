"""Definitions at v1beta1 as v1 says them."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.conversion import convert

V1 = GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
SCHEMA = {"openAPIV3Schema": {"type": "object"}}
COLUMN = {"name": "Age", "type": "date", "description": "d"}
NAMED = {"name": "v1", "served": True, "storage": True}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one version": ({"version": "v1"}, {"versions": [NAMED]}),
    "what all have in common": (
        {
            "version": "v1",
            "validation": SCHEMA,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{**COLUMN, "JSONPath": ".a"}],
            "selectableFields": [{"jsonPath": ".b"}],
            "versions": [NAMED, {**NAMED, "name": "v2", "storage": False}],
        },
        {
            "versions": [
                {
                    **version,
                    "schema": SCHEMA,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [{**COLUMN, "jsonPath": ".a"}],
                    "selectableFields": [{"jsonPath": ".b"}],
                }
                for version in (NAMED, {**NAMED, "name": "v2", "storage": False})
            ]
        },
    ),
    "each its own": (
        {"version": "v1", "versions": [{**NAMED, "schema": SCHEMA}, {"name": "v2"}]},
        {"versions": [{**NAMED, "schema": SCHEMA}, {"name": "v2"}]},
    ),
    "a webhook": (
        {
            "version": "v1",
            "conversion": {
                "strategy": "Webhook",
                "webhookClientConfig": {"url": "https://a"},
                "conversionReviewVersions": ["v1"],
            },
        },
        {
            "versions": [NAMED],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]},
            },
        },
    ),
    "no webhook": (
        {"version": "v1", "conversion": {"strategy": "None"}, "preserveUnknownFields": False},
        {"versions": [NAMED], "conversion": {"strategy": "None"}, "preserveUnknownFields": False},
    ),
}


@pytest.mark.parametrize(("old", "new"), CASES.values(), ids=CASES)
def test_definitions(old: dict[str, Any], new: dict[str, Any]) -> None:
    head = {"kind": V1.kind, "metadata": {"name": "a.b"}, "status": {"conditions": []}}
    obj = {"apiVersion": "apiextensions.k8s.io/v1beta1", **head, "spec": {"group": "b", **old}}
    assert convert(obj, V1) == {**obj, "apiVersion": "apiextensions.k8s.io/v1", "spec": {"group": "b", **new}}
