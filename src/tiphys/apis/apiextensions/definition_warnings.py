"""What the API tells of a definition that it lets through: formats of texts that it will not check.

Source: the "Custom Resources" page, and which formats there are in ``apimachinery.schema.formats``.
"""

from __future__ import annotations

import json

from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema import formats
from tiphys.apis.apiextensions.schema_rules import every_node
from tiphys.apis.defaulting import each, peek


def definition_warnings(crd: Object, old: Object | None) -> list[str]:
    """Return the warnings about a CustomResourceDefinition; what it had before is not told again."""
    before = _unknown_formats(old) if old is not None else {}
    return [f"unrecognized format {name}" for name in _unknown_formats(crd) if name not in before]


def _unknown_formats(crd: Object) -> dict[str, None]:
    """The formats of texts, quoted, each once; those of numbers are the clients' own business."""
    return {
        json.dumps(node["format"], ensure_ascii=False): None
        for version in each(crd, "spec", "versions")
        for node in every_node(peek(version, "schema", "openAPIV3Schema"))
        if node.get("type") == "string" and node.get("format") and not formats.known(node["format"])
    }
