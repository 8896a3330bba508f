"""Heads as bytes, and request lines that are remembered."""

import pytest

from tiphys.wire import http1
from tiphys.wire.http1 import RequestLines
from tiphys.wire.http2 import answers
from tiphys.wire.message import RepeatedHeaders

DATE = "Thu, 26 Nov 2026 11:13:57 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "how", "lines"),
    [
        pytest.param(
            200, {"a": "b", "c": "d"}, {"length": 5},
            ["HTTP/1.1 200 OK", "A: b", "C: d", "Content-Length: 5"], id="plain",
        ),
        pytest.param(
            200, {"audit-id": "x", "ETag": '"y"', "X-kubernetes-PF-uid": "z"}, {"length": 0},
            ["HTTP/1.1 200 OK", "Audit-Id: x", 'Etag: "y"', "X-Kubernetes-Pf-Uid: z", "Content-Length: 0"],
            id="names",
        ),
        pytest.param(
            404, {}, {"length": 0, "closing": True},
            ["HTTP/1.1 404 Not Found", "Connection: close", "Content-Length: 0"], id="closing",
        ),
        pytest.param(
            200, {}, {"length": None, "chunked": True}, ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"],
            id="chunked",
        ),
        pytest.param(204, {}, {"length": None}, ["HTTP/1.1 204 No Content"], id="without a body"),
        pytest.param(299, {}, {"length": 1}, ["HTTP/1.1 299 Status", "Content-Length: 1"], id="unknown"),
        pytest.param(
            422, {"x": "ä€"}, {"length": 1},
            ["HTTP/1.1 422 Unprocessable Entity", "X: ä€", "Content-Length: 1"], id="not ASCII",
        ),
        pytest.param(
            200, {"a\r\nb": "c", "d": "e\nf: g"}, {"length": 0},
            ["HTTP/1.1 200 OK", "A  b: c", "D: e f: g", "Content-Length: 0"], id="line breaks",
        ),
        pytest.param(
            200, {"a": "b\r"}, {"length": 0}, ["HTTP/1.1 200 OK", "A: b ", "Content-Length: 0"],
            id="a lone carriage return",
        ),
    ],
)  # fmt: skip
def test_heads(status: int, headers: dict[str, str], how: dict[str, object], lines: list[str]) -> None:
    options = {"closing": False, "chunked": False, **how}
    head = http1.encode_head(status, headers, date=DATE, **options)  # type: ignore[arg-type]
    assert head.decode().split("\r\n") == [*lines, f"Date: {DATE}", "", ""]


def test_values_that_came_apart_are_sent_apart() -> None:
    headers = RepeatedHeaders({"set-cookie": "a", "x": "1"})
    headers.repeat("set-cookie", "b, c")
    head = http1.encode_head(200, headers, length=0, closing=False, date=DATE, chunked=False).decode()
    assert head.split("\r\n")[1:4] == ["Set-Cookie: a", "Set-Cookie: b, c", "X: 1"]
    switch = http1.encode_switch(headers).decode()
    assert switch.split("\r\n")[1:] == [
        "set-cookie: a", "set-cookie: b, c", "x: 1", "Connection: Upgrade", "", "",
    ]  # fmt: skip
    field = answers.block(200, {"set-cookie": "a"}).removeprefix(answers.block(200, {}))
    other = answers.block(200, {"set-cookie": "b, c"}).removeprefix(answers.block(200, {}))
    assert field + other in answers.block(200, headers)


def test_request_lines_are_forgotten_when_there_are_many() -> None:
    lines = RequestLines()
    for number in range(RequestLines.LIMIT):
        lines.add(b"%d" % number, ("GET", "/", "/", ""))
    assert len(lines) == RequestLines.LIMIT
    lines.add(b"one more", ("GET", "/", "/", ""))
    assert list(lines) == [b"one more"]


def test_long_request_lines_are_not_remembered() -> None:
    lines = RequestLines()
    lines.add(b"x" * (RequestLines.LONGEST_BYTES + 1), ("GET", "/", "/", ""))
    assert not lines
