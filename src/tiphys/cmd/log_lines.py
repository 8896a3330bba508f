"""How a component writes its log: text or a JSON object a line (``--logging-format``), and how much of it.

Owns: the JSON lines, with the keys of upstream's; ``--v`` and ``--vmodule``. Modules log a constant message
and ``key=value`` fields; as JSON each field is a key of its own. Source: the "System Logs" page.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final

import orjson

DEBUG_FROM: Final = 4
"""From this verbosity on everything is told."""
FORMATS: Final = ("text", "json")
_PLACE: Final = re.compile(r"%[-+ #0-9.]*[a-zA-Z]")
_FIELD: Final = re.compile(r"(?:^| )([\w.-]+)=(?=%)")
Pattern = tuple[str, int]


class LogFlagError(ValueError):
    """A flag about logs that upstream would refuse, in its words."""


class JsonLines(logging.Formatter):
    """Formats a record as upstream's JSON logger does: time in milliseconds, where, what, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        message, fields = parts(record)
        line: dict[str, Any] = {
            "ts": record.created * 1000,
            "caller": f"{PurePath(record.pathname).parent.name}/{record.filename}:{record.lineno}",
            "msg": message,
        }
        if record.levelno >= logging.ERROR:
            line["err"] = fields.pop("error", None)
        else:
            line["v"] = 0 if record.levelno >= logging.INFO else DEBUG_FROM
        line |= fields
        if record.exc_info and record.exc_info[0] is not None:
            line["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


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


class Modules(logging.Filter):
    """Lets through what is said at length only from modules that ``--vmodule`` names."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        super().__init__()
        self._patterns = patterns
        self._known: dict[str, bool] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.INFO:
            return True
        found = self._known.get(record.name)
        if found is None:
            found = self._known[record.name] = self._wants(record.name)
        return found

    def _wants(self, name: str) -> bool:
        """The first pattern that matches counts; one with a slash is about the whole path."""
        for pattern, level in self._patterns:
            subject = name.replace(".", "/") if "/" in pattern else name.rpartition(".")[2]
            if fnmatch.fnmatchcase(subject, pattern):
                return level >= DEBUG_FROM
        return False


def read_patterns(text: str) -> list[Pattern]:
    """Read ``--vmodule``: ``pattern=N``, several by commas. Raises LogFlagError."""
    found = []
    for one in filter(None, text.split(",")):
        pattern, equals, level = one.partition("=")
        if not equals or not pattern or not level:
            raise LogFlagError(f'"{one}" doesn\'t have the pattern=N format')
        if not level.isdecimal():
            raise LogFlagError(
                f'parsing verbosity in "{one}": strconv.ParseUint: parsing "{level}": invalid syntax'
            )
        found.append((pattern, int(level)))
    return found


def set_up(verbosity: int, log_format: str, patterns: Sequence[Pattern]) -> None:
    """Let the process' log be written so. Raises LogFlagError."""
    if log_format not in FORMATS:
        raise LogFlagError(f'format: Invalid value: "{log_format}": Unsupported log format')
    if patterns and log_format != "text":
        raise LogFlagError("vmodule: Forbidden: Only supported for text log format")
    root = logging.getLogger()
    if verbosity >= DEBUG_FROM or any(level >= DEBUG_FROM for _, level in patterns):
        root.setLevel(logging.DEBUG)
    for handler in root.handlers:
        if log_format == "json":
            handler.setFormatter(JsonLines())
        if patterns and verbosity < DEBUG_FROM:
            handler.addFilter(Modules(patterns))
