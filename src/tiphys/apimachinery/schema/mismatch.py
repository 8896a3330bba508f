"""What a value of the wrong type is refused with, in the words of Go's decoder and of its converter.

Pure. Raised and caught by ``walk``.
"""

from __future__ import annotations

from typing import Any

_CONVERTIBLE = (("float64", "int32"), ("float64", "int64"), ("int64", "string"))
"""What Go could make another type of, and its converter does not."""


class DecodeError(ValueError):
    """A value that its Go type cannot hold; the message is the decoder's.

    ``restoring`` is the same in the words of the converter that puts strategic merge patches into effect.
    ``wraps``: that one would take the value for another number, and nobody here does.
    """

    def __init__(self, message: str, restoring: str = "", *, wraps: bool = False) -> None:
        super().__init__(message)
        self.restoring, self.wraps = restoring or message, wraps


class Mismatch(Exception):
    """On its way up to the field that names it: what was found and the Go type that it should have been.

    ``by_itself``: the type reads itself, and so the converter says what a decoder says, without the field.
    ``fraction``: what was found is a number that Go has as a fraction.
    """

    def __init__(self, found: str, go_type: str, *, by_itself: bool = False, fraction: bool = False) -> None:
        super().__init__(found)
        self.found, self._fraction = found, fraction
        self.go_type = self.kind = go_type
        """The type by its name, and what it is."""
        self.by_itself = by_itself
        self.path: list[str] = []
        self.struct = ""

    def within(self, definition: str, struct: str, key: str) -> None:
        """Pass a field on the way up: the innermost names the type, all of them the path."""
        if not self.struct:
            from tiphys.apimachinery.schema.go_types import named

            self.struct, self.go_type = struct, named(definition, key, self.go_type)
        self.path.append(key)

    def text(self) -> str:
        if not self.struct:
            return self._bare()
        where = ".".join(reversed(self.path))
        return (
            f"json: cannot unmarshal {self.found} into Go struct field {self.struct}.{where}"
            f" of type {self.go_type}"
        )

    def _bare(self) -> str:
        return f"json: cannot unmarshal {self.found} into Go value of type {self.go_type}"

    def wraps(self) -> bool:
        """Tell whether Go's converter lets a whole number that is too large wrap around."""
        whole = self.found.startswith("number") and not self._fraction
        return whole and self.kind == "int32" and not self.by_itself

    def restoring(self) -> str:
        if self.by_itself:
            return self._bare()
        if self.wraps():
            return self.text()
        word = self.found.partition(" ")[0]
        number = "float64" if self._fraction else "int64"
        kind = {"object": "map", "array": "slice", "number": number}.get(word, word)
        if self.kind.startswith("map["):
            return f"cannot restore map from {kind}"
        if self.kind.startswith("[]"):
            return f"cannot restore slice from {kind}"
        if "." in self.kind:
            return f"cannot restore struct from: {kind}"
        if (kind, self.kind) in _CONVERTIBLE:
            return f"cannot convert {kind} to {self.go_type}"
        return f"unrecognized type: {self.kind}"


def json_kind(value: Any) -> str:
    """Name a JSON value as Go's decoder does."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
        case None:
            return "null"
    return "number"


def is_fraction(value: Any) -> bool:
    """Tell whether Go has a number as a fraction: one written as such, or too large for it to be whole."""
    return json_kind(value) == "number" and not (type(value) is int and -(2**63) <= value < 2**63)
