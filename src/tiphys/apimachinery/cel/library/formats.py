"""Named formats: ``format.dns1123Label().validate(text)`` tells what is wrong with a text.

Source: "Kubernetes format library".
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery import names
from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel import types as t
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.library.urls import parse_request_uri
from tiphys.apimachinery.cel.types import STRING, list_of, opaque
from tiphys.apimachinery.cel.values import NONE, Optional
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.schema import formats

FORMAT = opaque("kubernetes.NamedFormat")
Faults = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class FormatValue:
    """A format; ``pattern_size`` is how long a pattern is that does the same, for its cost."""

    name: str
    faults: Faults
    pattern_size: int
    type_name = FORMAT.name
    cel_opaque = True


def _prefix(check: Faults) -> Faults:
    """Allow what a generated name may start with: a dash at the end."""
    return lambda text: check(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    try:
        parse_request_uri(text)
    except ValueError as error:
        return [str(error)]
    return []


def _as_in_schemas(name: str, fault: str) -> Faults:
    return lambda text: [] if formats.valid(name, text) else [fault]


_FORMATS = {
    "dns1123Label": FormatValue("DNS1123Label", names.is_dns1123_label, 30),
    "dns1123Subdomain": FormatValue("DNS1123Subdomain", names.is_dns1123_subdomain, 60),
    "dns1035Label": FormatValue("DNS1035Label", names.is_dns1035_label, 30),
    "qualifiedName": FormatValue("QualifiedName", names.is_qualified_name, 60),
    "dns1123LabelPrefix": FormatValue("DNS1123LabelPrefix", _prefix(names.is_dns1123_label), 30),
    "dns1123SubdomainPrefix": FormatValue("DNS1123SubdomainPrefix", _prefix(names.is_dns1123_subdomain), 60),
    "dns1035LabelPrefix": FormatValue("DNS1035LabelPrefix", _prefix(names.is_dns1035_label), 30),
    "labelValue": FormatValue("LabelValue", names.is_label_value, 40),
    "uri": FormatValue("URI", _uri, 1000),
    "uuid": FormatValue("uuid", _as_in_schemas("uuid", "does not match the UUID format"), 70),
    "byte": FormatValue("byte", _as_in_schemas("byte", "invalid base64"), 84),
    "date": FormatValue("date", _as_in_schemas("date", "invalid date"), 71),
    "datetime": FormatValue("datetime", _as_in_schemas("datetime", "invalid datetime"), 71),
}


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return NONE if found is None else Optional(found)


def _validate(wanted: FormatValue, text: str) -> Optional:
    faults = wanted.faults(text)
    return Optional(faults) if faults else NONE


def _constant(value: FormatValue) -> Callable[[], FormatValue]:
    return lambda: value


LIBRARY = Library(
    "kubernetes.format",
    (
        function("format-named", "format.named", (STRING,), t.optional_of(FORMAT), _named),
        member(
            "format-validate",
            "validate",
            (FORMAT, STRING),
            t.optional_of(list_of(STRING)),
            _validate,
            price=prices.VALIDATED,
        ),
        *(
            function(f"format.{name}", f"format.{name}", (), FORMAT, _constant(one))
            for name, one in _FORMATS.items()
        ),
    ),
    types=(FORMAT,),
)
