"""The rows of the resource table that a definition makes: one for each version it serves. Pure."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource, Subresource
from tiphys.apis.table import version_rank
from tiphys.apiserver.crd.kind import CustomKind
from tiphys.apiserver.crd.text import Given, Text

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order that discovery tells them of custom kinds."""
_LEAVING = ("delete", "deletecollection", "get", "list", "watch")
"""What discovery tells while a definition goes; objects are still changed, so that finalizers come off."""
_PART_VERBS = ("get", "patch", "update")
_SCALE = GVK("autoscaling", "v1", "Scale")


def condition(crd: Object, type_: str) -> Object:
    """Return a condition of a definition, empty where there is none."""
    for found in (crd.get("status") or {}).get("conditions") or ():
        if found.get("type") == type_:
            return found  # type: ignore[no-any-return]
    return {}


def is_true(crd: Object, type_: str) -> bool:
    return condition(crd, type_).get("status") == "True"


def best_offered(crd: Object) -> str | None:
    """Return the version that is to be used in place of those that are to go, None where all are."""
    offered = (
        one["name"] for one in crd["spec"]["versions"] if one.get("served") and not one.get("deprecated")
    )
    return min(offered, key=version_rank, default=None)


def deprecation(crd: Object, version: Object, best: str | None) -> str:
    """Return what a version that is to go warns with: its own words, or what to use in its place."""
    if not version.get("deprecated"):
        return ""
    own: str | None = version.get("deprecationWarning")
    if own is not None:
        return own
    group, kind, name = crd["spec"]["group"], crd["spec"]["names"]["kind"], version["name"]
    text = f"{group}/{name} {kind} is deprecated"
    if best is None or version_rank(best) >= version_rank(name):
        return text
    return f"{text}; use {group}/{best} {kind}"


class _Shared:
    """What all rows of a definition have: looked for once, for there may be 10,000 of them."""

    def __init__(self, crd: Object, text: Text) -> None:
        spec = crd["spec"]
        # What is accepted is served, even while other names are asked for.
        self.names: Object = crd["status"].get("acceptedNames") or spec["names"]
        self.text = text
        self.short_names = tuple(self.names.get("shortNames") or ())
        self.categories = tuple(self.names.get("categories") or ())
        self.subresources = {one["name"]: one.get("subresources") or {} for one in spec["versions"]}
        self.stored_as = _stored_as(crd)
        self.best = best_offered(crd)


def rows_of(crd: Object, text: Text | None = None) -> list[Resource]:
    """Return the rows of an established definition, none of one that is not.

    ``text`` is where the definition lies, if it lies anywhere. Nothing of ``crd`` is kept but small parts.
    """
    if not is_true(crd, "Established"):
        return []
    text = text or Text(Given(crd), crd)
    shared = _Shared(crd, text)
    return [_row(crd, version, shared) for version in crd["spec"]["versions"] if version.get("served")]


def _row(crd: Object, version: Object, shared: _Shared) -> Resource:
    spec, names = crd["spec"], shared.names
    kind = CustomKind(crd, version, shared.text, shared.subresources)
    gvk = GVK(spec["group"], version["name"], names["kind"])
    subresources = []
    for name, spoken in (("status", gvk), ("scale", _SCALE)):
        if name in (version.get("subresources") or {}):
            subresources.append(Subresource(name, _PART_VERBS, spoken))
    return Resource(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=spec["names"]["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        verbs=_VERBS,
        told_verbs=_LEAVING if kind.terminating else (),
        stored_as=shared.stored_as,
        # Handlers work in the request's version; the store converts (see ``crd.store``).
        storage=gvk,
        storage_prefix=f"/registry/{spec['group']}/{spec['names']['plural']}/",
        short_names=shared.short_names,
        categories=shared.categories,
        subresources=tuple(subresources),
        selectable_fields=tuple(
            field["jsonPath"].removeprefix(".") for field in version.get("selectableFields") or ()
        ),
        deprecation=deprecation(crd, version, shared.best),
        custom=True,
        definition=kind,
    )


def _stored_as(crd: Object) -> GVK | None:
    """Return the version that objects are stored in; None where it is not served, which discovery hides."""
    spec = crd["spec"]
    for version in spec["versions"]:
        if version.get("served") and version.get("storage"):
            return GVK(spec["group"], version["name"], spec["names"]["kind"])
    return None
