"""CEL selectors over devices: compiled once, asked once of each device.

Source: resource.k8s.io/v1 CELDeviceSelector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tiphys.apimachinery import quantity
from tiphys.apimachinery.cel import CompileError, CostExceeded, EvaluationError, Program, native
from tiphys.apimachinery.cel.library.quantities import QuantityValue
from tiphys.apimachinery.cel.library.semvers import parse_version
from tiphys.apimachinery.cel.typed import TypedMap
from tiphys.apimachinery.cel.values import MapView, type_name
from tiphys.apimachinery.errors import TiphysError
from tiphys.apis.resource.selectors import compile_selector

_PROGRAMS_KEPT = 1024


class SelectorError(TiphysError):
    """A selector is no expression, or says nothing of a device."""


class _Domains(MapView):
    """Attributes by domain; one that nobody used is empty, not missing."""

    __slots__ = ("raw",)
    type_name = "map"

    def __init__(self, raw: Mapping[str, dict[str, Any]]) -> None:
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw)

    def find(self, key: Any) -> Any:
        return TypedMap(self.raw.get(key) or {}, None)


_programs: dict[str, Program] = {}


def device_view(driver: str, device: Mapping[str, Any]) -> dict[str, Any]:
    """Return a device as expressions see it. Names without a domain are of the driver's."""
    attributes: dict[str, dict[str, Any]] = {}
    for name, value in (device.get("attributes") or {}).items():
        domain, own = split_name(name, driver)
        attributes.setdefault(domain, {})[own] = attribute_value(value)
    capacity: dict[str, dict[str, Any]] = {}
    for name, amount in (device.get("capacity") or {}).items():
        domain, own = split_name(name, driver)
        capacity.setdefault(domain, {})[own] = QuantityValue(quantity.parse(str(amount["value"])))
    return {
        "driver": driver,
        "attributes": _Domains(attributes),
        "capacity": _Domains(capacity),
        "allowMultipleAllocations": bool(device.get("allowMultipleAllocations")),
    }


def split_name(name: str, driver: str) -> tuple[str, str]:
    """Return domain and name of a qualified name."""
    domain, slash, own = name.rpartition("/")
    return (domain, own) if slash else (driver, name)


def attribute_value(value: Mapping[str, Any]) -> Any:
    """Return the one value that an attribute holds, which may be a list."""
    for kind in ("ints", "bools", "strings", "int", "bool", "string"):
        if value.get(kind) is not None:
            return value[kind]
    if value.get("versions") is not None:
        return [parse_version(one) for one in value["versions"]]
    return parse_version(str(value.get("version") or "0.0.0"))


def first_mismatch(selectors: Iterable[Mapping[str, Any]], view: dict[str, Any]) -> bool:
    """Say whether some selector turns the device down. Raises SelectorError."""
    for index, selector in enumerate(selectors):
        expression = str((selector.get("cel") or {}).get("expression") or "")
        try:
            found = _program(expression).evaluate({"device": view})
        except CompileError as error:
            raise SelectorError(f"selector #{index}: CEL compile error: {error.told()}") from error
        except (EvaluationError, CostExceeded) as error:
            raise SelectorError(f"selector #{index}: CEL runtime error: {error}") from error
        try:
            if not native.converted(found, "bool"):
                return True
        except EvaluationError as error:
            why = f"CEL result of type {type_name(found)} could not be converted to bool: {error}"
            raise SelectorError(f"selector #{index}: CEL runtime error: {why}") from error
    return False


def _program(expression: str) -> Program:
    found = _programs.get(expression)
    if found is None:
        if len(_programs) >= _PROGRAMS_KEPT:
            _programs.clear()
        # What the server let in; with lists all of it has the same meaning.
        found = _programs[expression] = compile_selector(expression, lists=True)
    return found
