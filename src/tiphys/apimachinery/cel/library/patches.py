"""JSON patches: ``jsonpatch.escapeKey('example.com/a')`` for keys inside of pointers.

Source: "Mutating Admission Policy" and RFC 6901.
"""

from __future__ import annotations

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.functions import Library, function
from tiphys.apimachinery.cel.types import STRING


def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


LIBRARY = Library(
    "kubernetes.jsonpatch",
    (
        function(
            "jsonpatch_escapekey_string",
            "jsonpatch.escapeKey",
            (STRING,),
            STRING,
            _escape_key,
            price=prices.READ,
        ),
    ),
)
