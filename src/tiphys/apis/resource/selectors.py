"""What CEL selectors of devices may refer to, and what is wrong with one. Pure.

Source: resource.k8s.io/v1 CELDeviceSelector.
"""

from __future__ import annotations

from tiphys.apimachinery.cel import CompileError, Declaration, Environment, object_declaration, types
from tiphys.apimachinery.cel.libraries import WITH_BINDINGS
from tiphys.apimachinery.cel.library.quantities import QUANTITY
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required, too_long, too_many
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each

_MOST_SELECTORS = 32
_MAX_EXPRESSION = 10 * 1024


def _map_of(value: types.Type) -> Declaration:
    return Declaration(types.map_of(types.STRING, types.map_of(types.STRING, value)), known=False)


DEVICES = Environment(
    {
        "device": object_declaration(
            "kubernetes.DRADevice",
            {
                "driver": Declaration(types.STRING, known=False),
                "attributes": _map_of(types.DYN),
                "capacity": _map_of(QUANTITY),
                "allowMultipleAllocations": Declaration(types.BOOL, known=False),
            },
        )
    },
    WITH_BINDINGS,
)


def selector_faults(obj: Object, path: str) -> list[FieldError]:
    """Return every fault of the selectors that a request or a class has."""
    selectors = list(each(obj, "selectors"))
    if len(selectors) > _MOST_SELECTORS:
        return [too_many(path, len(selectors), _MOST_SELECTORS)]
    faults: list[FieldError] = []
    for index, selector in enumerate(selectors):
        at, cel = f"{path}[{index}].cel", selector.get("cel")
        if isinstance(cel, dict):
            faults += _expression(str(cel.get("expression") or ""), f"{at}.expression")
        else:
            faults.append(required(at))
    return faults


def _expression(text: str, path: str) -> list[FieldError]:
    if len(text.encode()) > _MAX_EXPRESSION:
        return [too_long(path, _MAX_EXPRESSION)]
    try:
        result = DEVICES.compile(text).result
    except CompileError as error:
        return [invalid(path, text, f"compilation failed: {error}")]
    if result in (types.BOOL, types.DYN):
        return []
    return [invalid(path, text, f"must evaluate to bool or the unknown type, not {result}")]
