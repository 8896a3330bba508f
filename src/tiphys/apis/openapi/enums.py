"""The values that fields of built-in kinds may have, as the published documents tell them.

Owns: which fields those are, and what is said of each value (``data/enums.txt``). Asked by ``definitions``
where the gate ``OpenAPIEnums`` is on. The schemas that bodies are held to know nothing of this: what is
allowed is validation's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

_API: Final = "io.k8s.api."


class Values(NamedTuple):
    """The values that a field may have."""

    definition: str
    field: str
    values: list[str]
    texts: dict[str, str]
    """What is said of each; nothing of those whose names say enough."""


def fields() -> Iterator[Values]:
    """Yield every such field, its values in order."""
    values, texts = list[str](), dict[str, str]()
    for line in files("tiphys.apis").joinpath("data/enums.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("    "):
            definition, _, field = line.strip().rpartition(".")
            yield Values(_API + definition, field, values, texts)
        elif line.startswith("  "):
            value, _, text = line.strip().partition(": ")
            texts[value.strip('"')] = text
        else:
            values, texts = line.removesuffix(":").split(", "), {}


def tell(definitions: Mapping[str, dict[str, Any]]) -> None:
    """Write the values into definitions, in place; of a list or a map, those of its items."""
    for name, field, values, texts in fields():
        node = definitions[name]["properties"][field]
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                node[key]["enum"] = values
                break
        else:
            node["enum"] = values
            listed = "".join(f'\n - `"{value}"` {texts.get(value, "")}'.rstrip() for value in values)
            node["description"] = f"{node.get('description', '')}\n\nPossible enum values:{listed}"
