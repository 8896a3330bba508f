"""How Go prints JSON values, for messages that show them so: ``plain`` (``%v``) and ``syntax`` (``%#v``)."""

from __future__ import annotations

import json
from typing import Any


def plain(value: object) -> str:
    """Return a JSON value as ``%v`` prints it: ``map[a:1 b:[x y]]``."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return f"[{' '.join(map(plain, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, float):
        return _float(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _float(value: float) -> str:
    """The shortest digits that say the number, with an exponent from a million on."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        for precision in range(17):
            short = f"{value:.{precision}e}"
            if float(short) == value:
                return short
    return str(int(value)) if value.is_integer() else repr(value)


def as_floats(value: object) -> object:
    """Return a JSON value as it is where all numbers are read as floats."""
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def syntax(value: object) -> str:
    """Return a JSON value as ``%#v`` prints it: ``map[string]interface {}{"a":"b"}``."""
    if isinstance(value, dict):
        items = ", ".join(f"{_quoted(key)}:{syntax(value[key])}" for key in sorted(value))
        return f"{type_name(value)}{{{items}}}"
    if isinstance(value, list):
        return f"{type_name(value)}{{{', '.join(map(syntax, value))}}}"
    if value is None:
        return "interface {}(nil)"
    return _quoted(value) if isinstance(value, str) else plain(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def type_name(value: Any) -> str:
    """Return what ``%T`` says of a JSON value that is not a number."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return "bool" if isinstance(value, bool) else "string"
