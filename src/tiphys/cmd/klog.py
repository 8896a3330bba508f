"""The text form of a component's log: klog's header, the message in quotes, and the fields behind it. Pure.

Owns: that form, and how a record comes apart into message and fields. Source: the "System Logs" page.
"""

from __future__ import annotations

import logging
import re
from pathlib import PurePath
from typing import Any, Final

from tiphys.apimachinery.go_text import quoted

_PLACE: Final = re.compile(r"%(?!%)[-+ #0-9.]*[a-zA-Z]")
_FIELD: Final = re.compile(rf"(?:^| )([\w.-]+)=({_PLACE.pattern}(?:/{_PLACE.pattern})*\w*)")
_WORDS: Final = {logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


def parts(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Split a record into its message and its fields, which keep their types.

    Words behind a field belong to the message. A field of several parts (``pod=%s/%s``), or with a unit, is a
    text.
    """
    arguments, template = record.args, str(record.msg)
    if not isinstance(arguments, tuple):
        return record.getMessage(), {}
    words, told, fields = "", list[Any](), dict[str, Any]()
    at, left = 0, arguments
    for field in _FIELD.finditer(template):
        before, (key, shape) = template[at : field.start()], field.groups()
        mine, left = _cut(left, before)
        values, left = _cut(left, shape)
        words, at = words + before, field.end()
        told += mine
        fields[key] = values[0] if _PLACE.fullmatch(shape) and values else shape % values
    if not fields:
        return record.getMessage(), {}
    return (words + template[at:]).lstrip() % (*told, *left), fields


def _cut(arguments: tuple[Any, ...], template: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the arguments that a template takes, and those left."""
    count = len(_PLACE.findall(template.replace("%%", "")))
    return arguments[:count], arguments[count:]


class KlogLines(logging.Formatter):
    """Formats a record as upstream's components do, for whoever takes their lines apart."""

    def format(self, record: logging.LogRecord) -> str:
        message, fields = parts(record)
        if record.levelno >= logging.ERROR and "error" in fields:
            fields = {"err": fields.pop("error"), **fields}
        text = message if "\n" in message else quoted(message)
        told = " ".join([text, *(f"{key}={_value(value)}" for key, value in fields.items())])
        return "\n".join([f"{self._head(record)}] {told}", *self._behind(record)])

    def _head(self, record: logging.LogRecord) -> str:
        micros = min(round(record.created % 1 * 1e6), 999_999)
        time = f"{self.formatTime(record, '%m%d %H:%M:%S')}.{micros:06}"
        where = f"{PurePath(record.pathname).name}:{record.lineno}"
        return f"{_WORDS.get(record.levelno, 'I')}{time} {record.process or 0:7} {where}"

    def _behind(self, record: logging.LogRecord) -> list[str]:
        failed = record.exc_info and record.exc_info[0] is not None
        return [self.formatException(record.exc_info)] if failed and record.exc_info else []


def _value(value: Any) -> str:
    """Write a value as klog does: text in quotes, numbers as they are."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return "<nil>" if value is None else quoted(str(value))
