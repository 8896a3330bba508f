"""The values that fields of built-in kinds may have, as the published documents tell them.

Owns: which fields those are (``data/enums.txt``). Asked by ``definitions`` where the gate
``OpenAPIEnums`` is on. The schemas that bodies are held to know nothing of this: what is
allowed is validation's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

_API: Final = "io.k8s.api."


def fields() -> Iterator[tuple[str, str, list[str]]]:
    """Yield every such field: its definition, its name, its values in order."""
    values: list[str] = []
    for line in files("tiphys.apis").joinpath("data/enums.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            values = line.removesuffix(":").split(", ")
            continue
        definition, _, field = line.strip().rpartition(".")
        yield _API + definition, field, values


def tell(definitions: Mapping[str, dict[str, Any]]) -> None:
    """Write the values into definitions, in place; of a list or a map, those of its items."""
    for name, field, values in fields():
        node = definitions[name]["properties"][field]
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                node[key]["enum"] = values
                break
        else:
            node["enum"] = values
            listed = "".join(f'\n - `"{value}"`' for value in values)
            node["description"] = f"{node.get('description', '')}\n\nPossible enum values:{listed}"
