"""What CEL selectors of devices may refer to, and what is wrong with one. Pure.

Source: resource.k8s.io/v1 CELDeviceSelector.
"""

from __future__ import annotations

from tiphys.apimachinery.cel import CompileError, Declaration, Environment, object_declaration, types
from tiphys.apimachinery.cel.libraries import WITH_BINDINGS
from tiphys.apimachinery.cel.library.quantities import QUANTITY
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, required, too_long, too_many
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each

_MOST_SELECTORS = 32
_MAX_EXPRESSION = 10 * 1024


_MAX_COST = 1_000_000
_UNBOUNDED = 2**60
"""The estimate knows no bound for a text read by a field's name; attributes are short, so it may pass."""
_MOST_ENTRIES = 32
_MAX_DRIVER, _MAX_NAME, _MAX_VALUE = 63, 32, 64


def _map_of(value: types.Type) -> Declaration:
    """Maps by domain and by name are as large as a slice lets them be, which bounds what a selector costs."""
    inner = types.map_of(types.STRING, value)
    return Declaration(
        types.map_of(types.STRING, inner),
        size=_MOST_ENTRIES,
        key=Declaration(types.STRING, size=_MAX_DRIVER),
        element=Declaration(
            inner,
            size=_MOST_ENTRIES,
            key=Declaration(types.STRING, size=_MAX_NAME),
            element=Declaration(value, size=_MAX_VALUE),
        ),
    )


DEVICES = Environment(
    {
        "device": object_declaration(
            "kubernetes.DRADevice",
            {
                "driver": Declaration(types.STRING, size=_MAX_DRIVER),
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
        program = DEVICES.compile(text)
    except CompileError as error:
        return [invalid(path, text, f"compilation failed: {error}")]
    if program.result not in (types.BOOL, types.DYN):
        return [invalid(path, text, f"must evaluate to bool or the unknown type, not {program.result}")]
    if _MAX_COST < program.cost_estimate().most < _UNBOUNDED:
        return [forbidden(path, "too complex, exceeds cost limit")]
    return []
