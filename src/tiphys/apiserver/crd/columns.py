"""Tables of custom resources: the columns that a definition names, or name and age.

Pure. Called where a kind is built. Owns: which cell a value becomes under each column type.

Source: ``additionalPrinterColumns`` of apiextensions.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from tiphys.apimachinery.duration import since
from tiphys.apimachinery.meta import Object
from tiphys.apis.printers.base import NAME, Cells, Printer, name_of
from tiphys.apiserver.crd import jsonpath

_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_AGE_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
    "guaranteed to be set in happens-before order across separate operations. Clients may not set this "
    "value. It is represented in RFC3339 form and is in UTC."
)


def printer_for(columns: Sequence[Object]) -> Printer:
    """Return the printer of a version."""
    wanted = list(columns) or [{**_AGE, "description": _AGE_TEXT}]

    def row(obj: Object, now: datetime) -> Cells:
        return [name_of(obj), *(cell(obj, column, now) for column in wanted)]

    return Printer((NAME, *(_definition(column) for column in wanted)), row)


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
    """Return what one column shows of an object; None where there is nothing of its type."""
    try:
        found = jsonpath.find(obj, column["jsonPath"])
    except jsonpath.PathError:
        return None
    if not found or found[0] is None:
        return None
    value = found[0]
    match column["type"]:
        case "integer":
            return int(value) if type(value) in (int, float) else None
        case "number":
            return float(value) if type(value) in (int, float) else None
        case "boolean":
            return value if type(value) is bool else None
        case "date":
            return since(value, now) if isinstance(value, str) else "<unknown>"
    if len(found) > 1:
        return ",".join(_text(item) for item in found)
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, bool)):
        return orjson.dumps(value).decode()
    return str(value)
