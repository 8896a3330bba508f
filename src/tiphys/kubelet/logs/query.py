"""What of a log is asked for: the query of ``/containerLogs``, which is PodLogOptions of v1.

Pure. Owns how it is read and which faults end it. The API server tells its clients in full what is wrong with
their options; who comes here directly is told shortly, as by upstream's kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from tiphys.apimachinery import go_time
from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.errors import BadRequest, Invalid
from tiphys.kubelet.logs.files import LogOptions

_ALL: Final = "All"
_NO_TIME: Final = ("", "null")
_STREAMS: Final = {"": "", _ALL: "", "Stdout": "stdout", "Stderr": "stderr"}
_LEAST: Final = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_FALSE: Final = ("false", "0")


def log_options(query: Mapping[str, Sequence[str]], now: datetime, *, split: bool = True) -> LogOptions:
    """Read the options; where streams cannot be had apart (not ``split``), which one is said is not judged.

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
        numbers = {name: _number(text) for name in _LEAST if (text := first.get(name))}
        text = first.get("sinceTime", "")
        since = go_time.parse(text) if text not in _NO_TIME else None
    except ValueError as error:
        raise BadRequest('{"message": "Unable to decode query."}') from error
    stream = first.get("stream", "") if split else ""
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


def _number(text: str) -> int:
    number = atoi(text)
    if number is None:
        raise ValueError(text)
    return number


def unsplit_stream(query: Mapping[str, Sequence[str]]) -> str:
    """Return what is said of a stream alone where streams cannot be had apart; "" where none is asked for."""
    stream = (query.get("stream") or [_ALL])[0]
    if stream in ("", _ALL):
        return ""
    enable = "Please enable PodLogsQuerySplitStreams feature gate in kubelet"
    return f'unable to return the given log stream: "{stream}". {enable}'


def is_set(query: Mapping[str, Sequence[str]], name: str) -> bool:
    """Tell whether a flag is said: by all but ``false`` and ``0``, by nothing too."""
    values = query.get(name) or ("false",)
    return values[0].lower() not in _FALSE
