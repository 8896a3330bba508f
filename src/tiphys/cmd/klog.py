"""The text form of a component's log: klog's header, the message in quotes, and the fields behind it. Pure.

Owns: that form, and how a record comes apart into message and fields. Source: the "System Logs" page.
"""

from __future__ import annotations

import logging
import re
from pathlib import PurePath
from typing import Any, Final

from tiphys.apimachinery.go_text import quoted

_PLACE: Final = re.compile(r"%[-+ #0-9.]*[a-zA-Z]")
_FIELD: Final = re.compile(r"(?:^| )([\w.-]+)=(?=%)")
_WORDS: Final = {logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


def parts(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Split a record into its message and its fields, which keep their types."""
    first = _FIELD.search(str(record.msg))
    arguments = record.args
    if first is None or not isinstance(arguments, tuple):
        return record.getMessage(), {}
    head, rest = record.msg[: first.start()], record.msg[first.start() :]
    before = len(_PLACE.findall(head.replace("%%", "")))
    keys, values = _FIELD.findall(rest), arguments[before:]
    if not len(keys) == len(values) == len(_PLACE.findall(rest)):
        return record.getMessage(), {}
    return head % arguments[:before] if before else head, dict(zip(keys, values, strict=True))


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
        time = f"{self.formatTime(record, '%m%d %H:%M:%S')}.{round(record.created % 1 * 1e6) % 1_000_000:06}"
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
