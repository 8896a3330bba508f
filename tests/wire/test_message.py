"""Headers that came several times, and what of them is text."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.wire import client
from tiphys.wire.message import RepeatedHeaders, Request, Response, values_of, wire_text
from tiphys.wire.server import serve


def test_values_stay_apart() -> None:
    headers = RepeatedHeaders({"a": "1, 2", "b": "x"})
    headers.repeat("a", "3")
    assert headers["a"] == "1, 2, 3"
    assert values_of(headers, "a") == ["1, 2", "3"]
    assert (values_of(headers, "b"), values_of(headers, "c")) == (["x"], [])
    assert values_of({"a": "1, 2"}, "a") == ["1, 2"]


@pytest.mark.parametrize("name", ["accept", "content-type", "user-agent"])
def test_headers_of_which_the_first_counts(name: str) -> None:
    headers = RepeatedHeaders({name: "a"})
    headers.repeat(name, "b")
    assert (headers[name], values_of(headers, name)) == ("a", ["a", "b"])


@pytest.mark.parametrize(
    ("sent", "read"), [("plain", "plain"), ("J\xc3\xbcrgen", "Jürgen"), ("J\xfcrgen", "Jürgen")]
)
def test_text(sent: str, read: str) -> None:
    assert values_of({"a": sent}, "a") == [read]
    assert values_of({"a": wire_text(read)}, "a") == [read]


async def test_over_the_wire() -> None:
    seen: list[list[str]] = []

    async def answer(request: Request) -> Response:
        seen.append([request.headers["x-group"], *values_of(request.headers, "x-group")])
        return Response(200)

    pairs = [("X-Group", "a, b"), ("x-group", "c"), ("X-GROUP", wire_text("日"))]
    async with serve(answer, host="127.0.0.1", port=0) as server:
        for _ in range(2):
            got = await client.send("127.0.0.1", server.port, "GET", "/", pairs)
            await got.close()
    joined = ", ".join(["a, b", "c", wire_text("日")])
    assert seen == [[joined, "a, b", "c", "日"]] * 2


@pytest.mark.parametrize("value", ["x\r\nX-Remote-Group: system:masters", "x\ny", "x\ry"])
async def test_a_line_break_is_never_sent(value: str) -> None:
    async def answer(_request: Request) -> Response:
        raise AssertionError("nothing must come")

    async with serve(answer, host="127.0.0.1", port=0) as server, asyncio.timeout(5):
        with pytest.raises(client.ConnectFailed, match="line break"):
            await client.send("127.0.0.1", server.port, "GET", "/", [("X-Remote-User", value)])
