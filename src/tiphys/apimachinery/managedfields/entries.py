"""``metadata.managedFields`` read and written: managers by identity, each with a set and a time.

Owns: identities, order, the bound on updaters, what conflicts say of a manager. Refuses: walking objects.
Called by ``update`` and ``apply``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from tiphys.apimachinery import go_text
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.managedfields import fieldset
from tiphys.apimachinery.managedfields.fieldset import FieldsError, Node
from tiphys.apimachinery.meta import Object

APPLY: Final = "Apply"
UPDATE: Final = "Update"
MAX_UPDATERS: Final = 10
"""Update entries that one object keeps; the oldest are joined beyond that."""
ANCIENT: Final = "ancient-changes"


class Manager(NamedTuple):
    """Who: entries of the same identity are one. An applier's is the same in every API version."""

    name: str
    operation: str
    api_version: str
    """Empty for appliers."""
    subresource: str

    def __str__(self) -> str:
        """Describe the manager as conflicts do."""
        text = go_text.quoted(self.name)
        if self.subresource:
            text += f" with subresource {go_text.quoted(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


class Entry(NamedTuple):
    """What one manager owns."""

    fields: Node
    """In order, as it is written."""
    api_version: str
    time: str | None
    """RFC 3339, whole seconds."""


Managed: TypeAlias = dict[Manager, Entry]


def identity(name: str, operation: str, api_version: str, subresource: str) -> Manager:
    """Name a manager."""
    return Manager(name, operation, "" if operation == APPLY else api_version, subresource)


def read(managed_fields: Any, *, trusted: bool = False) -> Managed:
    """Read ``metadata.managedFields``; nothing there gives an empty dict.

    ``trusted``: it was stored by ``write``, so its sets are of the right shape.

    Raises:
        FieldsError: an entry is not valid.
    """
    managed: Managed = {}
    if managed_fields is None:
        return managed
    if not isinstance(managed_fields, list):
        raise FieldsError("managedFields must be a list")
    for position, entry in enumerate(managed_fields):
        if not isinstance(entry, dict):
            raise FieldsError("managedFields must hold objects")
        operation = entry.get("operation")
        if operation not in (APPLY, UPDATE):
            raise FieldsError("operation must be `Apply` or `Update`")
        api_version = entry.get("apiVersion")
        if not api_version:
            raise FieldsError("apiVersion must not be empty")
        fields_type = entry.get("fieldsType")
        if fields_type != "FieldsV1":
            what = f'invalid fieldsType "{fields_type}"' if fields_type else "missing fieldsType"
            raise FieldsError(f"{what} in managed fields entry {position}")
        manager = identity(entry.get("manager") or "", operation, api_version, entry.get("subresource") or "")
        fields = entry.get("fieldsV1") or {}
        if not trusted:
            fields = fieldset.check(fields)
        managed[manager] = Entry(fields, api_version, entry.get("time"))
    return managed


def write(managed: Managed) -> list[Object]:
    """Render managers as ``metadata.managedFields``, in its order; empty sets are left out."""
    if len(managed) == 1:
        return [_rendered(manager, entry) for manager, entry in managed.items()]
    order = sorted(managed, key=lambda who: (who.operation, managed[who].time or "", *_tail(who, managed)))
    return [_rendered(manager, managed[manager]) for manager in order]


def _tail(manager: Manager, managed: Managed) -> tuple[str, str, str]:
    return manager.name, managed[manager].api_version, manager.subresource


def _rendered(manager: Manager, entry: Entry) -> Object:
    result: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.api_version,
    }
    if entry.time is not None:
        result["time"] = entry.time
    result["fieldsType"] = "FieldsV1"
    result["fieldsV1"] = entry.fields
    if manager.subresource:
        result["subresource"] = manager.subresource
    return result


def put(obj: Object, managed: Managed) -> None:
    """Write managers into an object of the caller's own."""
    metadata = obj.setdefault("metadata", {})
    if managed:
        metadata["managedFields"] = write(managed)
    else:
        metadata.pop("managedFields", None)


def given(obj: Object | None) -> Any:
    """Return an object's ``managedFields`` as they stand; None when it has none."""
    return ((obj or {}).get("metadata") or {}).get("managedFields")


def is_reset(managed_fields: object) -> bool:
    """Tell whether a request asks to forget all managers: ``[]`` or ``[{}]``."""
    return managed_fields in ([], [{}])


def stamp(now: datetime) -> str:
    return rfc3339(now)


def cap_updaters(managed: Managed) -> Managed:
    """Join the oldest Update entries of one API version until at most ``MAX_UPDATERS`` are left."""
    updaters = [manager for manager in managed if manager.operation == UPDATE]
    if len(updaters) <= MAX_UPDATERS:
        return managed
    result = dict(managed)
    updaters.sort(key=lambda manager: (managed[manager].time or "", manager))
    count = len(updaters)
    first: dict[str, Manager] = {}
    for manager in updaters:
        if count <= MAX_UPDATERS:
            break
        entry = managed[manager]
        oldest = first.get(entry.api_version)
        if oldest is None:
            first[entry.api_version] = manager
            continue
        bucket = identity(ANCIENT, UPDATE, entry.api_version, "")
        if bucket not in result:
            result[bucket] = result.pop(oldest)
        fields = fieldset.ordered(fieldset.union(entry.fields, result[bucket].fields))
        if manager != bucket:
            del result[manager]
            count -= 1
        result[bucket] = result[bucket]._replace(fields=fields, time=entry.time)
    return result


Lost = Callable[[str], "tuple[Node, Node] | None"]
"""Says which fields were taken by another and which are gone, at an API version; None: it is no more."""


def take(managed: Managed, lost: Lost, spare: Manager | None = None) -> Managed:
    """Return the managers without the fields that they lost; emptied ones are dropped."""
    result: Managed = {}
    for manager, entry in managed.items():
        if manager == spare:
            result[manager] = entry
            continue
        found = lost(entry.api_version)
        if found is None:
            continue
        taken, removed = found
        fields = fieldset.difference(fieldset.difference(entry.fields, taken), removed)
        if fields is entry.fields or fields == entry.fields:
            if fields:
                result[manager] = entry
        elif fields:
            result[manager] = entry._replace(fields=fields)
    return result
