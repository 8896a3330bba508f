"""What of a log is asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.errors import BadRequest, Invalid
from tiphys.kubelet.logs.files import LogOptions
from tiphys.kubelet.logs.query import log_options, unsplit_stream
from tiphys.wire.message import Request

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read(query: str) -> LogOptions:
    return log_options(Request("GET", "/", query, {}).query, NOW)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", LogOptions()),
        ("tailLines=5", LogOptions(tail_lines=5)),
        ("tailLines=0", LogOptions(tail_lines=0)),
        ("tail=5", LogOptions(tail_lines=5)),
        ("tail=5&tailLines=7", LogOptions(tail_lines=5)),
        ("tail=all", LogOptions()),
        ("tail=all&tailLines=7", LogOptions()),
        ("follow=1", LogOptions(follow=True)),
        ("follow", LogOptions(follow=True)),
        ("follow=FALSE&timestamps=yes", LogOptions(timestamps=True)),
        ("limitBytes=100", LogOptions(limit_bytes=100)),
        ("stream=Stdout", LogOptions(stream="stdout")),
        ("stream=Stderr&limitBytes=6", LogOptions(stream="stderr", limit_bytes=6)),
        ("stream=All&tail=1", LogOptions(tail_lines=1)),
        ("sinceSeconds=3600", LogOptions(since=NOW - HOUR)),
        ("sinceTime=2026-01-01T12:00:00%2B01:00", LogOptions(since=NOW - HOUR)),
        ("sinceTime=null", LogOptions()),
        ("limitBytes=%2B5", LogOptions(limit_bytes=5)),
    ],
)
def test_asked_for(query: str, expected: LogOptions) -> None:
    assert read(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "tail=-1", "tailLines=-1", "limitBytes=0", "sinceSeconds=0", "stream=stdout", "stream=both",
        "stream=Stdout&tailLines=1", "sinceSeconds=1&sinceTime=2026-01-01T12:00:00Z",
    ],
)  # fmt: skip
def test_what_cannot_be_meant(query: str) -> None:
    with pytest.raises(Invalid, match="Invalid request"):
        read(query)


def test_a_stream_where_they_cannot_be_had_apart() -> None:
    for query, refused in (({}, False), ({"stream": ["All"]}, False), ({"stream": ["x"]}, True)):
        assert log_options(query, NOW, split=False) == LogOptions()
        assert bool(unsplit_stream(query)) is refused


@pytest.mark.parametrize(
    "query", ["tail=x", "limitBytes=1k", "sinceTime=2026-01-01", "sinceSeconds=1.5", "tail=1_0"]
)
def test_what_cannot_be_read(query: str) -> None:
    with pytest.raises(BadRequest, match="Unable to decode query"):
        read(query)
