"""What becomes of an object whose kind or version a patch of admission changed.

Go decodes the patched JSON into the type that it names, and makes that the type which is written. So another
version of the kind will do; another kind is an error. A custom object keeps what it says, and is refused for
it. Pure.
"""

from __future__ import annotations

import orjson

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import InternalError, Invalid, StatusError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema.type_meta import no_text
from tiphys.apimachinery.schema.walk import not_registered, unknown_conversion
from tiphys.apis.table import ResourceTable


class NotConvertible(StatusError):
    """A patched object is of a type that nothing makes the written one of; Go's error has no reason."""

    code = 500
    reason = ""


def typed_kind(changed: Object, own: GVK, table: ResourceTable) -> GVK:
    """Return the kind that a patched object is read as.

    Raises:
        InternalError: nobody knows the kind, or it is no text.
    """
    kind, version = changed.get("kind"), changed.get("apiVersion")
    if (kind, version) == (own.kind, own.api_version):
        return own
    if fault := no_text(changed):
        raise InternalError.of(f"couldn't get version/kind; json parse error: {fault}")
    found = _found(changed, kind or own.kind, version or "", own)
    if found == own:
        return own
    row = table.by_kind(found)
    if row is None or row.custom:
        raise InternalError.of(not_registered(found))
    return found


def check_typed_kind(found: GVK, own: GVK, table: ResourceTable) -> None:
    """Refuse what is not of the written object's kind, in any version. Raises NotConvertible."""
    row, written = table.by_kind(found), table.by_kind(own)
    if found != own and (row is None or written is None or row.storage != written.storage):
        raise NotConvertible(unknown_conversion(found, own))


def _found(changed: Object, kind: str, said: str, own: GVK) -> GVK:
    """Return the kind that is meant, where what is left out is the written object's."""
    if said.count("/") > 1:
        raise InternalError.of(f"unexpected GroupVersion string: {said}")
    group, _, version = said.rpartition("/")
    if not version and group in ("", own.group):
        return GVK(own.group, own.version, kind)
    if not version:
        raise InternalError.of(f"Object 'apiVersion' is missing in '{orjson.dumps(changed).decode()}'")
    return GVK(group, version, kind)


def is_custom_kind(changed: Object, row: Resource) -> bool:
    """Tell whether a patched custom object still is what its row says. Raises InternalError: of no kind."""
    if (changed.get("kind"), changed.get("apiVersion")) == (row.kind, row.api_version):
        return True
    if fault := no_text(changed):
        raise InternalError.of(f"couldn't get version/kind; json parse error: {fault}")
    if not changed.get("kind"):
        raise InternalError.of(f"Object 'Kind' is missing in '{orjson.dumps(changed).decode()}'")
    return False


def check_custom_kind(changed: Object, row: Resource, name: str, table: ResourceTable) -> None:
    """Refuse a patched custom object that is not of its kind any more.

    Raises:
        InternalError: it has no kind. NotConvertible: its version is none of its definition's. Invalid: it is
            of another kind.
    """
    if is_custom_kind(changed, row):
        return
    kind, version = changed["kind"], changed.get("apiVersion") or ""
    if version.rpartition("/")[0] != row.group:
        raise NotConvertible(
            f"{version or '/'}, Kind={kind} is unstructured and is not suitable for converting to "
            f'"{row.api_version}"'
        )
    if table.by_kind(GVK(row.group, version.rpartition("/")[2], row.kind)) is None:
        raise NotConvertible(f"request to convert CR from an invalid group/version: {version}")
    if kind != row.kind:
        faults = [field_errors.invalid("kind", kind, f"must be {row.kind}")]
        raise Invalid.of(row.group, kind, name, faults)
