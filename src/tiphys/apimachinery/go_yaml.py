"""YAML as Go's library reads and writes it (``sigs.k8s.io/yaml`` over ``yaml.v2``), as JSON values.

The work is done in ``go_yaml_documents``, which comes with the first document: our own clients speak JSON,
and PyYAML is a fiftieth of a server's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class YamlError(ValueError):
    """No such document; the text is the library's and begins with ``yaml: `` where its does."""


def load(body: bytes | str) -> tuple[Any, list[str]]:
    """Return the first document as JSON has it, and the texts of keys that come twice; the last one wins.

    Raises:
        YamlError: it is no YAML, or not to be said in JSON.
    """
    from tiphys.apimachinery import go_yaml_documents

    return go_yaml_documents.load(body)


def doubled_fault(doubled: Sequence[str]) -> list[str]:
    """Return the one fault that Go's library makes of all keys that come twice; none where none do."""
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(doubled)] if doubled else []


def dump(value: Any) -> str:
    """Return a JSON value as a document that Go reads as the same value."""
    from tiphys.apimachinery import go_yaml_documents

    return go_yaml_documents.dump(value)
