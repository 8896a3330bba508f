"""What of a log is asked for: the query of ``/containerLogs``, which is PodLogOptions of v1.

Pure. Owns how it is read and which faults end it. The API server tells its clients in full what is wrong with
their options; who comes here directly is told shortly, as by upstream's kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import BadRequest, Invalid
from tiphys.kubelet.logs.files import LogOptions

_STREAMS: Final = {"": "", "All": "", "Stdout": "stdout", "Stderr": "stderr"}
_LEAST: Final = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_FALSE: Final = ("false", "0")


def log_options(query: Mapping[str, Sequence[str]], now: datetime) -> LogOptions:
    """Read the options.

    Raises:
        BadRequest: a number or a time is none. Invalid: it is one that cannot be meant.
    """
    first = {name: values[0] for name, values in query.items() if values}
    tail = first.get("tail", "")  # its name in old times
    if tail == "all":
        first.pop("tailLines", None)
    elif tail:
        first["tailLines"] = tail
    try:
        numbers = {name: int(text) for name in _LEAST if (text := first.get(name))}
        since = parse_time(text) if (text := first.get("sinceTime")) else None
    except ValueError as error:
        raise BadRequest('{"message": "Unable to decode query."}') from error
    stream = first.get("stream", "")
    if (
        stream not in _STREAMS
        or any(number < _LEAST[name] for name, number in numbers.items())
        or (since is not None and "sinceSeconds" in numbers)
        or (_STREAMS[stream] and "tailLines" in numbers)
    ):
        raise Invalid('{"message": "Invalid request."}')
    if (seconds := numbers.get("sinceSeconds")) is not None:
        since = now - timedelta(seconds=seconds)
    return LogOptions(
        follow=is_set(query, "follow"),
        tail_lines=numbers.get("tailLines"),
        since=since,
        timestamps=is_set(query, "timestamps"),
        limit_bytes=numbers.get("limitBytes"),
        stream=_STREAMS[stream],
    )


def is_set(query: Mapping[str, Sequence[str]], name: str) -> bool:
    """Tell whether a flag is said: by all but ``false`` and ``0``, by nothing too."""
    values = query.get(name) or ("false",)
    return values[0].lower() not in _FALSE
