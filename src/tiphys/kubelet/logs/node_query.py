"""``/logs/?query=``: what of a node's logs is asked for, and what is wrong with that. Pure.

Owns the reading of the query, every fault's words, and the journal's arguments. A word with a slash is a file
below the node's folder of logs, any other one a service. ``logs.journal`` answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from tiphys.apimachinery import field_errors, go_text, go_time
from tiphys.apimachinery.atoi import atoi, atoi_fault
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError

_MOST_LINES: Final = 100_000
_MOST_NAME: Final = 256
_MOST_SERVICES: Final = 4
_UNSAFE: Final = re.compile(r"[^a-zA-Z\-_.:0-9@]")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it was given: in its own zone, for the journal, and to be compared."""

    text: str
    at: datetime

    @property
    def for_journal(self) -> str:
        """The date and time of its own zone, as they are handed to the journal."""
        date, clock = self.text[:19].split("T")
        year, month, day = date.split("-")
        hour, minute, second = clock[:8].split(":")
        return f"{year}-{int(month)}-{int(day)} {hour}:{int(minute)}:{int(second)}"


@dataclass(frozen=True, slots=True)
class NodeLogQuery:
    """What is asked for. The fields from ``since`` on are options, which only the journal can heed."""

    services: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    tail_lines: int | None = None
    boot: int | None = None
    pattern: str = ""

    @property
    def has_options(self) -> bool:
        """Whether more is said than which log."""
        return self != NodeLogQuery(self.services, self.files)


def read(query: Mapping[str, Sequence[str]]) -> tuple[NodeLogQuery | None, list[FieldError]]:
    """Return what a request asks for, None where it asks for nothing of this kind, and its faults."""
    faults: list[FieldError] = []
    words = query.get("query")
    files = tuple(word for word in words or () if "/" in word or "\\" in word)
    services = tuple(word for word in words or () if word not in files and word.strip())
    if words is not None and not files and not services:
        faults.append(field_errors.invalid("query", list(words), "query cannot be empty"))
    since, until = (_moment(query, name, faults) for name in ("sinceTime", "untilTime"))
    boot, lines = (_number(query, name, faults) for name in ("boot", "tailLines"))
    found = NodeLogQuery(services, files, since, until, lines, boot, _first(query, "pattern"))
    return (None if faults or found == NodeLogQuery() else found), faults


def validate(asked: NodeLogQuery, stat: Callable[[str], str]) -> list[FieldError]:
    """Return what is wrong; ``stat`` says why a file below the folder of logs is not there ("": it is)."""
    faults = [_unsafe(service) for service in asked.services if _name_fault(service)]
    if len(asked.services) > _MOST_SERVICES:
        faults.append(field_errors.too_many("query", len(asked.services), _MOST_SERVICES))
    faults += _which(asked, stat)
    if asked.since and asked.until and asked.since.at > asked.until.at:
        faults.append(field_errors.invalid("untilTime", asked.until.text, "must be after `sinceTime`"))
    if asked.boot is not None and asked.boot > 0:
        faults.append(field_errors.invalid("boot", asked.boot, "must be less than 1"))
    if asked.tail_lines is not None and not 0 <= asked.tail_lines <= _MOST_LINES:
        text = f"must be between 0 and {_MOST_LINES}, inclusive"
        faults.append(field_errors.invalid("tailLines", asked.tail_lines, text))
    if asked.pattern and (why := _pattern_fault(asked.pattern)):
        faults.append(field_errors.invalid("pattern", asked.pattern, why))
    return faults


def told(faults: Sequence[FieldError]) -> str:
    """Return all faults in one text."""
    texts = list(dict.fromkeys(str(fault) for fault in faults))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def journal_arguments(asked: NodeLogQuery, services: Sequence[str]) -> list[str]:
    """Return what ``journalctl`` is to be called with for these services."""
    arguments = ["--utc", "--no-pager", "--output=short-precise"]
    if asked.since is not None:
        arguments.append(f"--since={asked.since.for_journal}")
    if asked.until is not None:
        arguments.append(f"--until={asked.until.for_journal}")
    if asked.tail_lines is not None:
        arguments += ["--pager-end", f"--lines={asked.tail_lines}"]
    arguments += [f"--unit={service}" for service in services if service]
    if asked.pattern:
        arguments.append(f"--grep={asked.pattern}")
    if asked.boot is not None:
        arguments += ["--boot", str(asked.boot)]
    return arguments


def _which(asked: NodeLogQuery, stat: Callable[[str], str]) -> list[FieldError]:
    files = list(asked.files)
    if not files and not asked.services:
        return [field_errors.required("query", "cannot be empty with options")]
    if files and asked.services:
        shown = f"{go_text.plain(files)}, {go_text.plain(list(asked.services))}"
        return [field_errors.invalid("query", shown, "cannot specify a file and service")]
    if len(files) > 1:
        return [field_errors.invalid("query", files, "cannot specify more than one file")]
    if files and asked.has_options:
        return [field_errors.invalid("query", files, "cannot specify file with options")]
    if files and (why := stat(files[0])):
        return [field_errors.invalid("query", files, why)]
    return []


def _name_fault(service: str) -> str:
    if len(service.encode()) > _MOST_NAME:
        return "length must be less than 100"
    return "input contains unsupported characters" if _UNSAFE.search(service) else ""


def _unsafe(service: str) -> FieldError:
    return field_errors.invalid("query", service, _name_fault(service))


def _pattern_fault(pattern: str) -> str:
    from tiphys.apimachinery.regex import RegexError, compile_regex  # rare, and slow to import

    try:
        compile_regex(pattern)
    except RegexError as error:
        return str(error)
    return ""


def _first(query: Mapping[str, Sequence[str]], name: str) -> str:
    return (query.get(name) or [""])[0]


def _moment(query: Mapping[str, Sequence[str]], name: str, faults: list[FieldError]) -> Moment | None:
    if not (text := _first(query, name)):
        return None
    try:
        return Moment(text, go_time.parse(text))
    except go_time.TimeError:
        faults.append(field_errors.invalid(name, text, "invalid time format"))
        return None


def _number(query: Mapping[str, Sequence[str]], name: str, faults: list[FieldError]) -> int | None:
    if not (text := _first(query, name)):
        return None
    if (number := atoi(text)) is None:
        faults.append(field_errors.invalid(name, text, atoi_fault(text)))
    return number
