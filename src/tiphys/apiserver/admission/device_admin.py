"""Devices that others use are looked into only from namespaces whose label says that admins work there.

Source: KEP-5018 (dynamic resource allocation: admin access).
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apimachinery.field_errors import forbidden
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find

_GROUP = "resource.k8s.io"
_LABEL: Final = "resource.kubernetes.io/admin-access"
_TEXT = f"admin access to devices requires the `{_LABEL}: true` label on the containing namespace"


class DeviceAdminAccess:
    """Judges the requests of new claims and templates, and what a claim is given."""

    NAME = "DeviceAdminAccess"
    RESOURCES = frozenset({(_GROUP, "resourceclaims"), (_GROUP, "resourceclaimtemplates")})
    SUBRESOURCES = frozenset({"", "status"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if faults := await access_faults(attributes):
            kind = attributes.call.resource.kind
            raise Invalid.of(attributes.group, kind, attributes.name, faults)


async def access_faults(attributes: Attributes) -> list[FieldError]:
    """Return what is wrong with such a write in its namespace: it comes before the object's own faults."""
    path = _asked(attributes) if attributes.group == _GROUP else ""
    if not path:
        return []
    namespace = await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
    if peek(namespace or {}, "metadata", "labels").get(_LABEL) == "true":
        return []
    return [forbidden(path, _TEXT)]


def _asked(attributes: Attributes) -> str:
    """Return where a write asks for the access of an admin."""
    obj = attributes.obj or {}
    if attributes.subresource == "status":
        return "" if _given(attributes.old or {}) else _given(obj)
    if attributes.operation != "CREATE":
        return ""
    spec = peek(obj, "spec", "spec") if attributes.plural == "resourceclaimtemplates" else peek(obj, "spec")
    for index, request in enumerate(each(spec, "devices", "requests")):
        if request.get("adminAccess") or peek(request, "exactly").get("adminAccess"):
            return f"spec.devices.requests[{index}].adminAccess"
    return ""


def _given(claim: Object) -> str:
    for index, result in enumerate(each(claim, "status", "allocation", "devices", "results")):
        if result.get("adminAccess"):
            return f"status.allocation.devices.results[{index}].adminAccess"
    return ""
