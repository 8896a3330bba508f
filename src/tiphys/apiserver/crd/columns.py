"""Tables of custom resources: the columns that a definition names, or name and age.

Pure. Called where a kind is built. Owns: which cell a value becomes under each column type.

Source: ``additionalPrinterColumns`` of apiextensions.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from tiphys.apimachinery import go_text, jsonpath
from tiphys.apimachinery.duration import INVALID, UNKNOWN, since
from tiphys.apimachinery.meta import Object
from tiphys.apis.printers.base import NAME, Cells, Printer, name_of

_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_AGE_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
    "guaranteed to be set in happens-before order across separate operations. Clients may not set this "
    "value. It is represented in RFC3339 form and is in UTC."
)


def printer_for(columns: Sequence[Object]) -> Printer:
    """Return the printer of a version; columns end before the first whose path is none."""
    wanted = list(columns) or [{**_AGE, "description": _AGE_TEXT}]
    readable = list(takewhile(lambda column: _is_path(column["jsonPath"]), wanted))

    def row(obj: Object, now: datetime) -> Cells:
        return [name_of(obj), *(cell(obj, column, now) for column in readable)]

    of_metadata = all(column["jsonPath"].startswith(".metadata.") for column in readable)
    return Printer((NAME, *(_definition(column) for column in readable)), row, of_metadata=of_metadata)


def _is_path(path: str) -> bool:
    try:
        jsonpath.parse(path)
    except jsonpath.PathError:
        return False
    return True


def _definition(column: Object) -> Object:
    text = column.get("description") or (
        f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    )
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": text,
        "priority": column.get("priority", 0),
    }


def cell(obj: Object, column: Object, now: datetime) -> Any:
    """Return what one column shows of an object: the first value, None where there is none of its type."""
    try:
        found = jsonpath.find(obj, column["jsonPath"])
    except jsonpath.Misfit:
        return None
    if not found:
        return None
    value = found[0]
    match column["type"]:
        case "string":
            return _text(value)
        case "integer":
            return _whole(value) if type(value) in (int, float) else None
        case "number":
            return value if type(value) in (int, float) else None
        case "boolean":
            return value if type(value) is bool else None
        case "date":
            return _age(value, now) if isinstance(value, str) else None
    return None


def _whole(value: float) -> int:
    """Cut a number as Go does, which has the least one for all that do not fit."""
    whole = int(value)
    return whole if -(2**63) <= whole < 2**63 else -(2**63)


def _age(value: str, now: datetime) -> str:
    shown = since(value, now)
    return INVALID if value and shown == UNKNOWN else shown


def _text(value: Any) -> str:
    if value is None:
        return "<no value>"
    return go_text.encoded(value) if isinstance(value, (dict, list)) else go_text.plain(value)
