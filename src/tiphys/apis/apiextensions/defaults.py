"""Defaults and resets of CustomResourceDefinitions."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, fill, fill_optional, peek, section

_HTTPS = 443


def default_crd(crd: Object) -> None:
    """Names that follow from the kind, no conversion, and the HTTPS port for a conversion webhook."""
    spec = section(crd, "spec")
    names = section(spec, "names")
    kind = names.get("kind") or ""
    if kind:
        fill(names, "singular", kind.lower())
        fill(names, "listKind", kind + "List")
    for version in each(spec, "versions"):
        version.setdefault("served", False)
        version.setdefault("storage", False)
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    service = peek(spec, "conversion", "webhook", "clientConfig").get("service")
    if isinstance(service, dict):
        fill_optional(service, "port", _HTTPS)


def prepare_crd(crd: Object) -> None:
    """A new definition is not established; what its storage version stores begins now."""
    stored = _storage(crd)
    crd["status"] = {
        "conditions": [],
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": None if stored is None else [stored],
    }


def _storage(crd: Object) -> str | None:
    """Return the version that objects are kept in, the first that says so."""
    versions = each(crd, "spec", "versions")
    return next((version.get("name") or "" for version in versions if version.get("storage")), None)


def prepare_crd_update(new: Object, old: Object) -> None:
    """A version that becomes the storage version is remembered for as long as objects may be kept in it."""
    status = dict(old.get("status") or {})
    stored: list[str] = list(status.get("storedVersions") or ())
    name = _storage(new)
    if name is not None and name not in stored:
        stored.append(name)
    status["storedVersions"] = stored
    new["status"] = status
