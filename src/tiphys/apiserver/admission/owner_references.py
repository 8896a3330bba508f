"""OwnerReferencesPermissionEnforcement: an owner decides when its objects go, so naming one takes rights.

Who sets owners must be allowed to delete the object; who lets an object hold up its owner's deletion must be
allowed to set the owner's finalizers. Source: the "Admission Control" page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.defaulting import each
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.filters.requestinfo import RequestInfo

_FINALIZE_ANYTHING: Final = RequestInfo(
    path="", verb="update", is_resource=True, group="*", version="*", resource="*", subresource="finalizers",
    name="*",
)  # fmt: skip


class OwnerReferencesPermissionEnforcement:
    """Asks the authorizers about new owners."""

    NAME = "OwnerReferencesPermissionEnforcement"
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if attributes.core("pods", "status") or attributes.obj is None:
            return
        old, new = _owners(attributes.old), _owners(attributes.obj)
        if old == new:
            return
        delete = RequestInfo(
            path="", verb="delete", is_resource=True, group=attributes.group,
            version=attributes.call.resource.version, namespace=attributes.namespace,
            resource=attributes.plural, subresource=attributes.subresource, name=attributes.name,
        )  # fmt: skip
        why = await _missing(attributes, delete)
        if why is not None:
            raise attributes.refuse(f"cannot set an ownerRef on a resource you can't delete: {why}")
        blocking = _newly_blocking(old, new)
        if not blocking or await _missing(attributes, _FINALIZE_ANYTHING) is None:
            return  # who may do so everywhere need not wait until the owner's kind is found
        for owner in blocking:
            await _check_owner(attributes, owner)


def _owners(obj: Object | None) -> list[Object]:
    return list(each(obj or {}, "metadata", "ownerReferences"))


def _newly_blocking(old: list[Object], new: list[Object]) -> list[Object]:
    blocked = {str(one.get("uid")) for one in old if one.get("blockOwnerDeletion")}
    return [one for one in new if one.get("blockOwnerDeletion") and str(one.get("uid")) not in blocked]


async def _check_owner(attributes: Attributes, owner: Object) -> None:
    version, kind = str(owner.get("apiVersion") or ""), str(owner.get("kind") or "")
    group = version.rpartition("/")[0]
    rows = _rows(attributes, version, kind)
    if not rows:
        raise attributes.refuse(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
            f'{version} Kind {kind}: no matches for kind "{kind}" in version "{version}"'
        )
    update = RequestInfo(
        path="", verb="update", is_resource=True, group=group, version=version.rpartition("/")[2],
        subresource="finalizers", name=str(owner.get("name") or ""),
    )  # fmt: skip
    for row in rows:
        namespace = attributes.namespace if row.namespaced else ""
        asked = replace(update, resource=row.plural, namespace=namespace)
        why = await _missing(attributes, asked)
        if why is not None:
            raise attributes.refuse(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
                f"finalizers on: {why}"
            )


def _rows(attributes: Attributes, version: str, kind: str) -> list[Resource]:
    """Return every resource that a kind may be; of all versions where none serves the one named."""
    group = version.rpartition("/")[0]
    rows = [row for row in attributes.call.backend.table if row.group == group and row.kind == kind]
    exact = [row for row in rows if row.version == version.rpartition("/")[2]]
    return exact or rows


async def _missing(attributes: Attributes, info: RequestInfo) -> str | None:
    """Return why the user may not, None when the user may."""
    decision = await attributes.call.backend.authorizer.decide(attributes.call.user, info)
    return None if decision.allowed else f"{decision.reason}, {decision.error or '<nil>'}"
