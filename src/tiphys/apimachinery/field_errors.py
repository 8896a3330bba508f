"""Builds ``FieldError``s in the API's own wording; every validator uses these constructors.

Owns the texts before the detail (``Required value``, ``Invalid value: ...``) and how a value is shown.
Knows nothing of any kind.

Source: the causes of a ``Status`` (meta/v1 ``CauseType``) and API conventions on validation errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery import go_json, go_text
from tiphys.apimachinery.errors import FieldError

IMMUTABLE = "field is immutable"


class Struct(dict[str, Any]):
    """A value whose fields are shown in the order that they were given in, under the names given here.

    The API shows some values in the shape that it has inside, not in the one on the wire.
    """


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value) if isinstance(value, Struct) else sorted(value)
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _encode(value: Any) -> str:
    text = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))
    return go_json.written(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")


def shown_selector(selector: dict[str, Any]) -> Struct:
    """A label selector as the API shows it."""
    fields = ("matchLabels", "matchExpressions")
    return Struct({key: selector[key] for key in fields if selector.get(key)})


def render(value: Any) -> str:
    """Show a value as the API does: strings quoted, numbers bare, the rest as compact JSON."""
    if isinstance(value, str):
        return go_text.quoted(value)
    if isinstance(value, (bool, int, float)):
        return go_text.plain(value)
    return go_text.safe_in_html(_encode(value))


def _with_detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(path: str, detail: str = "") -> FieldError:
    """A field that must be given is missing or empty."""
    return FieldError("FieldValueRequired", path, _with_detail("Required value", detail))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """A value breaks a rule that ``detail`` tells."""
    return FieldError("FieldValueInvalid", path, _with_detail(f"Invalid value: {render(value)}", detail))


def invalid_unshown(path: str, detail: str) -> FieldError:
    """A value breaks a rule, and is too long to be repeated."""
    return FieldError("FieldValueInvalid", path, _with_detail("Invalid value", detail))


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    """A value has the wrong type."""
    return FieldError("FieldValueTypeInvalid", path, _with_detail(f"Invalid value: {render(value)}", detail))


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """A value is none of those that the field takes."""
    names = ", ".join(go_text.quoted(name) for name in supported)
    detail = f"supported values: {names}" if names else ""
    return FieldError(
        "FieldValueNotSupported", path, _with_detail(f"Unsupported value: {render(value)}", detail)
    )


def forbidden(path: str, detail: str) -> FieldError:
    """A value may not be given here, whatever it is."""
    return FieldError("FieldValueForbidden", path, _with_detail("Forbidden", detail))


def duplicate(path: str, value: Any, detail: str = "") -> FieldError:
    """A value that must be unique occurs again."""
    return FieldError("FieldValueDuplicate", path, _with_detail(f"Duplicate value: {render(value)}", detail))


def duplicate_unshown(path: str) -> FieldError:
    """A value that must be unique occurs again, and is too long to be repeated."""
    return FieldError("FieldValueDuplicate", path, "Duplicate value")


def not_found(path: str, value: Any, detail: str = "") -> FieldError:
    """A value names something that is not there."""
    return FieldError("FieldValueNotFound", path, _with_detail(f"Not found: {render(value)}", detail))


def too_long(path: str, max_bytes: int) -> FieldError:
    """A string exceeds ``max_bytes``; the value itself is not repeated."""
    return FieldError("FieldValueTooLong", path, f"Too long: may not be more than {max_bytes} bytes")


def too_many(path: str, actual: int, most: int) -> FieldError:
    """A list has ``actual`` items where ``most`` are allowed."""
    noun = "item" if most == 1 else "items"
    return FieldError("FieldValueTooMany", path, f"Too many: {actual}: must have at most {most} {noun}")


def internal(path: str, error: str) -> FieldError:
    """Validation itself could not be done."""
    return FieldError("InternalError", path, f"Internal error: {error}")


def invalid_all(path: str, value: Any, details: Iterable[str]) -> list[FieldError]:
    """One ``invalid`` for each text that a name check returned."""
    return [invalid(path, value, detail) for detail in details]


def immutable(path: str, new: Any, old: Any) -> list[FieldError]:
    """The fault of changing a field that never may change; empty when it did not."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]
