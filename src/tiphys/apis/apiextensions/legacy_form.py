"""CustomResourceDefinitions at v1beta1: no version that is served, but the one that upstream stores them at.

What all versions have in common stood once beside them there: schema, subresources, columns. Pure.
Called by ``apis.conversion``. Source: apiextensions/v1beta1 CustomResourceDefinitionSpec.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import Object

_COMMON = (
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
)
"""What a definition says for all its versions, and what each of them calls it at v1."""


def definition_from_v1beta1(obj: Object) -> Object:
    """Return a definition as v1 says it."""
    spec = dict(obj.get("spec") or {})
    first = {"name": spec.pop("version", ""), "served": True, "storage": True}
    common = {new: spec.pop(old) for old, new in _COMMON if spec.get(old)}
    versions = [_version({**common, **one}) for one in spec.get("versions") or [first]]
    return {**obj, "spec": {**spec, "versions": versions, **_conversion(spec)}}


def _version(version: dict[str, Any]) -> dict[str, Any]:
    columns = version.get("additionalPrinterColumns")
    if columns:
        version["additionalPrinterColumns"] = [
            {("jsonPath" if key == "JSONPath" else key): value for key, value in column.items()}
            for column in columns
        ]
    return version


def _conversion(spec: dict[str, Any]) -> dict[str, Any]:
    old = spec.get("conversion") or {}
    if "webhookClientConfig" not in old and "conversionReviewVersions" not in old:
        return {}
    webhook = {"conversionReviewVersions": old.get("conversionReviewVersions") or []}
    if old.get("webhookClientConfig"):
        webhook = {"clientConfig": old["webhookClientConfig"], **webhook}
    return {"conversion": {"strategy": old.get("strategy", ""), "webhook": webhook}}
