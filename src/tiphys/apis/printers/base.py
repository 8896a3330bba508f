"""What a printer is, and the texts that many kinds' rows share.

Used by the modules of this package; the server asks ``apis.printers.table_for``. Pure: ``now`` is passed in.

Source: the ``Table`` type of meta/v1 and its column definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from tiphys.apimachinery import labels
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import since
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

Cells: TypeAlias = list[Any]
RowOf = Callable[[Object, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Printer:
    """Columns as ``TableColumnDefinition`` objects, and the cells of one object, one for each column."""

    columns: tuple[Object, ...]
    row: RowOf
    conditions: Callable[[Object], list[Object]] | None = None
    """Conditions of a row: whether what it shows is over."""
    order: Callable[[Object], Any] | None = None
    """A sort key of lists; None: as they are stored."""
    of_metadata: bool = False
    """Rows are made of nothing but metadata."""


def column(
    name: str, description: str = "", *, type: str = "string", format: str = "", wide: bool = False
) -> Object:
    """Return a column definition; a ``wide`` one shows with ``-o wide`` only."""
    return {
        "name": name,
        "type": type,
        "format": format,
        "description": description,
        "priority": 1 if wide else 0,
    }


def integer(name: str, description: str = "") -> Object:
    return column(name, description, type="integer")


def boolean(name: str, description: str = "") -> Object:
    return column(name, description, type="boolean")


NAME = column("Name", "The object's name, unique among its kind in a namespace.", format="name")
AGE = column("Age", "Time since the object was created.")
CREATED_AT = column("Created At", "When the object was created.", type="date")
CONTAINERS = column("Containers", "Names of the containers of the template.", wide=True)
IMAGES = column("Images", "Images of the containers of the template.", wide=True)
SELECTOR = column("Selector", "Which pods belong to this object.", wide=True)


def name_of(obj: Object) -> str:
    return str(peek(obj, "metadata").get("name") or "")


def age_of(obj: Object, now: datetime) -> str:
    return since(peek(obj, "metadata").get("creationTimestamp"), now)


def generic_row(obj: Object, now: datetime) -> Cells:
    """Name and age: what there is to say of any object."""
    return [name_of(obj), age_of(obj, now)]


def created_row(obj: Object, _now: datetime) -> Cells:
    """Name and time of creation: built-in kinds that have no columns of their own."""
    return [name_of(obj), peek(obj, "metadata").get("creationTimestamp")]


GENERIC = Printer((NAME, AGE), generic_row, of_metadata=True)
CREATED = Printer((NAME, CREATED_AT), created_row, of_metadata=True)


def limited(items: Iterable[str], most: int, *, separator: str = ",", empty: str = NONE) -> str:
    """Join up to ``most`` items and tell how many more there are."""
    texts = list(items)
    if not texts:
        return empty
    joined = separator.join(texts[:most])
    return f"{joined} + {len(texts) - most} more..." if len(texts) > most else joined


def format_labels(pairs: Object | None) -> str:
    """Return ``a=b,c=d`` in order of keys."""
    if not pairs:
        return NONE
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs))


def format_selector(selector: Object | None) -> str:
    """Return a label selector in its text form."""
    if not selector:
        return NONE
    try:
        return str(labels.from_label_selector(selector)) or NONE
    except StatusError:
        return "<error>"


def containers_and_images(pod_spec: Object) -> tuple[str, str]:
    """Return the containers' names and their images, each joined with commas."""
    containers = list(each(pod_spec, "containers"))
    return (
        ",".join(str(container.get("name") or "") for container in containers),
        ",".join(str(container.get("image") or "") for container in containers),
    )


def condition_of(obj: Object, type_: str) -> Object:
    """Return a status condition, an empty object where there is none."""
    for condition in each(obj, "status", "conditions"):
        if condition.get("type") == type_:
            return condition
    return {}


def bool_text(value: bool | None) -> str:
    """Return an optional boolean as tables spell it."""
    return UNSET if value is None else str(bool(value))


def load_balancer(obj: Object) -> str:
    """Return the addresses that a load balancer gave, in order, each once."""
    found = [
        str(ingress.get("ip") or ingress.get("hostname"))
        for ingress in each(obj, "status", "loadBalancer", "ingress")
        if ingress.get("ip") or ingress.get("hostname")
    ]
    return ",".join(sorted(dict.fromkeys(found)))


Rows = dict[tuple[str, str], Printer]
"""Printers of a module by group and kind."""
