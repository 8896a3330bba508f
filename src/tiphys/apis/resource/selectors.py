"""What CEL selectors of devices may refer to, and what is wrong with one. Pure.

Source: resource.k8s.io/v1 CELDeviceSelector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tiphys.apimachinery import featuregates
from tiphys.apimachinery.cel import (
    CompileError,
    Declaration,
    Environment,
    EvaluationError,
    InstantiationError,
    Program,
    ResultTypeError,
    object_declaration,
    types,
)
from tiphys.apimachinery.cel.functions import Library, member
from tiphys.apimachinery.cel.libraries import WITH_BINDINGS
from tiphys.apimachinery.cel.library.quantities import QUANTITY
from tiphys.apimachinery.cel.prices import Estimated, Operand, Price
from tiphys.apimachinery.cel.ranges import Range
from tiphys.apimachinery.cel.values import ListView, equals
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, internal, invalid, required, too_long, too_many
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each

_MOST_SELECTORS = 32
_MAX_EXPRESSION = 10 * 1024


_MAX_COST = 1_000_000
_MOST_ENTRIES = 32
_MOST_VALUES = 48
_MAX_DRIVER, _MAX_NAME, _MAX_VALUE = 63, 32, 64


class _Same(Mapping[str, Declaration]):
    """Declares a value alike under whichever name it is read."""

    def __init__(self, one: Declaration) -> None:
        self._one = one

    def __getitem__(self, key: str) -> Declaration:
        return self._one

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _map_of(value: Declaration, *, by_name: bool = False) -> Declaration:
    """Maps by domain and by name are as large as a slice lets them be, which bounds what a selector costs."""
    inner = Declaration(
        types.map_of(types.STRING, value.type),
        size=_MOST_ENTRIES,
        key=Declaration(types.STRING, size=_MAX_NAME),
        element=value,
        fields=_Same(value) if by_name else None,
    )
    return Declaration(
        types.map_of(types.STRING, inner.type),
        size=_MOST_ENTRIES,
        key=Declaration(types.STRING, size=_MAX_DRIVER),
        element=inner,
    )


def _device(attribute: types.Type) -> Declaration:
    return object_declaration(
        "kubernetes.DRADevice",
        {
            "driver": Declaration(types.STRING, size=_MAX_DRIVER),
            "attributes": _map_of(Declaration(attribute, size=_MAX_VALUE), by_name=True),
            "capacity": _map_of(Declaration(QUANTITY)),
            "allowMultipleAllocations": Declaration(types.BOOL, known=False),
        },
    )


def _includes(one: Any, wanted: Any) -> bool:
    if not isinstance(one, list | ListView):
        return equals(one, wanted)
    for index, item in enumerate(one):
        if index >= _MOST_VALUES:
            text = f"'includes' function cannot be applied to lists longer than {_MOST_VALUES} values"
            raise EvaluationError(text)
        if equals(item, wanted):
            return True
    return False


def _looked_through(_target: Operand | None, _args: list[Operand]) -> Estimated:
    return Estimated(Range(0, _MOST_VALUES))


DEVICES = Environment({"device": _device(types.ANY)}, WITH_BINDINGS)


@cache
def _with_lists() -> Environment:
    """With DRAListTypeAttributes: what an attribute holds may be gone through, and asked what it includes."""
    includes = member(
        "dra_includes_dyn_dyn",
        "includes",
        (types.DYN, types.DYN),
        types.BOOL,
        _includes,
        price=Price(estimate=_looked_through),
    )
    libraries = (*WITH_BINDINGS, Library("kubernetes.dra", (includes,)))
    return Environment({"device": _device(types.DYN)}, libraries)


def compile_selector(text: str, *, lists: bool = False) -> Program:
    """Compile a selector, which must give a truth or what only a device tells.

    Args:
        text: the expression.
        lists: whether attributes may hold lists.

    Raises:
        CompileError: it is none.
    """
    program = (_with_lists() if lists else DEVICES).compile(text)
    if program.result not in (types.BOOL, types.DYN if lists else types.ANY):
        raise ResultTypeError(f"must evaluate to bool or the unknown type, not {program.result}")
    return program


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
        program = compile_selector(text, lists=featuregates.on("DRAListTypeAttributes"))
    except InstantiationError as error:
        return [internal(path, error.told())]
    except CompileError as error:
        return [invalid(path, text, error.told())]
    if program.cost_estimate().most > _MAX_COST:
        return [forbidden(path, "too complex, exceeds cost limit")]
    return []
