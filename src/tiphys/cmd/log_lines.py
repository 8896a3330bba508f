"""How a component writes its log: text or a JSON object a line (``--logging-format``), and how much of it.

Owns: the JSON lines, with the keys of upstream's (text is ``cmd.klog``'s); ``--v`` and ``--vmodule``. Modules
log a constant message and ``key=value`` fields; as JSON each field is a key of its own. Source: the "System
Logs" page.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final

import orjson

from tiphys.apimachinery import verbosity as verbosities
from tiphys.apimachinery.verbosity import DETAILS, Pattern
from tiphys.cmd.klog import parts

FORMATS: Final = ("text", "json")


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
            line["v"] = getattr(record, "verbosity", 0 if record.levelno >= logging.INFO else DETAILS)
        line |= fields
        if record.exc_info and record.exc_info[0] is not None:
            line["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


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
                return level >= DETAILS
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
    verbosities.ask(verbosity, patterns)
    root = logging.getLogger()
    if verbosity >= DETAILS or any(level >= DETAILS for _, level in patterns):
        root.setLevel(logging.DEBUG)
    for handler in root.handlers:
        if log_format == "json":
            handler.setFormatter(JsonLines())
        if patterns and verbosity < DETAILS:
            handler.addFilter(Modules(patterns))
