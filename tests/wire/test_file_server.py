"""Files over HTTP: what a listing looks like, what a file is called, which part of it is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiphys.wire.file_server import serve_file
from tiphys.wire.message import Request, Response

CHANGED = "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pods").mkdir()
    (tmp_path / "a:b<c").write_text("x")
    (tmp_path / "syslog").write_bytes(b"0123456789")
    os.utime(tmp_path / "syslog", (1767323045, 1767323045))
    os.utime(tmp_path, (1767323045, 1767323045))
    return tmp_path


async def get(folder: Path, path: str, **headers: str) -> Response:
    request = Request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return await serve_file(request, folder / path.removeprefix("/logs").strip("/"))


async def test_a_listing(folder: Path) -> None:
    found = await get(folder, "/logs/")
    assert found.body == (
        b'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'
        b'<a href="./a:b%3Cc">a:b&lt;c</a>\n<a href="pods/">pods/</a>\n<a href="syslog">syslog</a>\n</pre>\n'
    )
    assert found.headers == {"content-type": "text/html; charset=utf-8", "last-modified": CHANGED}
    assert (await get(folder, "/logs/", if_modified_since=CHANGED)).status == 304


@pytest.mark.parametrize(
    ("path", "to"), [("/logs", "logs/"), ("/logs/pods", "pods/"), ("/logs/index.html", "./")]
)
async def test_who_asks_for_a_folder_is_led_to_it(folder: Path, path: str, to: str) -> None:
    found = await get(folder, path)
    assert (found.status, found.headers) == (301, {"location": to})
    request = Request("GET", "/logs", raw_query="a=b")
    assert (await serve_file(request, folder)).headers == {"location": "logs/?a=b"}


async def test_names_in_a_listing(folder: Path) -> None:
    pods = folder / "pods"
    (pods / "a").mkdir()
    for name in ("a-b", "a&b:'c'", "a+(d)"):
        (pods / name).touch()
    (pods / "link").symlink_to(folder)
    found = await get(folder, "/logs/pods/")
    assert isinstance(found.body, bytes)
    assert found.body.decode().splitlines()[3:-1] == [
        '<a href="a/">a/</a>',
        '<a href="./a&b:%27c%27">a&amp;b:&#39;c&#39;</a>',
        '<a href="a+%28d%29">a+(d)</a>',
        '<a href="a-b">a-b</a>',
        '<a href="link">link</a>',
    ]


async def test_a_file_has_one_path_or_two(folder: Path) -> None:
    request = Request("GET", "/logs/syslog/", raw_query="a=b")
    assert (await serve_file(request, folder / "syslog")).body == b"0123456789"
    found = await serve_file(request, folder / "syslog", one_path=True)
    assert (found.status, found.headers) == (301, {"location": "../syslog?a=b"})
    long = await serve_file(request, folder / ("x" * 300), one_path=True)
    assert (long.status, long.body) == (500, b"500 Internal Server Error\n")


async def test_an_index_stands_for_its_folder(folder: Path) -> None:
    (folder / "pods" / "index.html").write_text("<p>")
    found = await get(folder, "/logs/pods/")
    assert (found.body, found.headers["content-type"]) == (b"<p>", "text/html; charset=utf-8")


async def test_a_file(folder: Path) -> None:
    found = await get(folder, "/logs/syslog")
    assert (found.status, found.body) == (200, b"0123456789")
    assert found.headers == {
        "content-type": "text/plain; charset=utf-8", "last-modified": CHANGED, "accept-ranges": "bytes",
    }  # fmt: skip
    assert (await get(folder, "/logs/syslog", if_modified_since=CHANGED)).status == 304
    assert (
        await get(folder, "/logs/syslog", if_modified_since="Thu, 01 Jan 2026 00:00:00 GMT")
    ).status == 200
    assert (await get(folder, "/logs/syslog", if_modified_since="once")).status == 200


@pytest.mark.parametrize(
    ("wanted", "status", "body", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"invalid range: failed to overlap\n", "bytes */10"),
        ("lines=1-2", 416, b"invalid range\n", None),
        ("bytes=0-8,4-5", 200, b"0123456789", None),
    ],
)
async def test_parts(folder: Path, wanted: str, status: int, body: bytes, told: str | None) -> None:
    found = await get(folder, "/logs/syslog", range=wanted)
    assert (found.status, found.body, found.headers.get("content-range")) == (status, body, told)


async def test_several_parts(folder: Path) -> None:
    found = await get(folder, "/logs/syslog", range="bytes=0-1, 4-5,-1")
    assert found.status == 206
    assert "content-range" not in found.headers
    kind, _, boundary = found.headers["content-type"].partition("; boundary=")
    assert (kind, len(boundary)) == ("multipart/byteranges", 60)
    plain = "Content-Type: text/plain; charset=utf-8"
    parts = [
        f"--{boundary}\r\nContent-Range: bytes {told}/10\r\n{plain}\r\n\r\n{text}"
        for told, text in (("0-1", "01"), ("4-5", "45"), ("9-9", "9"))
    ]
    assert found.body == "\r\n".join([*parts, f"--{boundary}--\r\n"]).encode()
    other = await get(folder, "/logs/syslog", range="bytes=0-1,4-5")
    assert other.headers["content-type"] != found.headers["content-type"]


async def test_several_long_parts(folder: Path) -> None:
    text = os.urandom(1024) * 3000
    (folder / "long").write_bytes(text)
    found = await get(folder, "/logs/long", range="bytes=5-1000004,2000000-2999999")
    assert found.stream is not None
    body = b"".join([piece async for piece in found.stream])
    assert len(body) == found.length
    boundary = found.headers["content-type"].partition("; boundary=")[2]
    told = b"\r\nContent-Type: application/octet-stream\r\n\r\n"
    assert body == b"".join(
        [
            f"--{boundary}\r\nContent-Range: bytes 5-1000004/3072000".encode(), told, text[5:1000005],
            f"\r\n--{boundary}\r\nContent-Range: bytes 2000000-2999999/3072000".encode(), told,
            text[2000000:3000000], f"\r\n--{boundary}--\r\n".encode(),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("size", [10, 1_500_000])
async def test_heads_tell_of_the_length(folder: Path, size: int) -> None:
    (folder / "a").write_bytes(b"x" * size)
    found = await serve_file(Request("HEAD", "/logs/a"), folder / "a")
    assert (found.status, found.length) == (200, size)
    assert found.stream is not None
    assert [piece async for piece in found.stream] == []


async def test_what_is_cut_off_meanwhile_is_missing(folder: Path) -> None:
    (folder / "long").write_bytes(b"x" * 1_500_000)
    found = await get(folder, "/logs/long")
    os.truncate(folder / "long", 10)
    assert found.stream is not None
    assert b"".join([piece async for piece in found.stream]) != b"x" * 1_500_000
    assert found.length == 1_500_000  # the connection sees that something is missing


async def test_long_files_come_in_pieces(folder: Path) -> None:
    text = os.urandom(1024) * 1500
    (folder / "long").write_bytes(text)
    found = await get(folder, "/logs/long")
    assert found.stream is not None
    assert b"".join([piece async for piece in found.stream]) == text
    assert found.length == len(text)
    part = await get(folder, "/logs/long", range="bytes=10-1200000")
    assert part.stream is not None
    assert b"".join([piece async for piece in part.stream]) == text[10:1200001]
    assert part.length == 1199991


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.json", b"{}", "application/json"),
        ("a.log", b"line\n", "text/plain; charset=utf-8"),
        ("a.log", b"", "text/plain; charset=utf-8"),
        ("a.1", b"\x00\x01", "application/octet-stream"),
        ("a.gz", b"\x1f\x8b\x08", "application/x-gzip"),
        ("a", b"\n <!DOCTYPE html>", "text/html; charset=utf-8"),
    ],
)
async def test_kinds(folder: Path, name: str, text: bytes, kind: str) -> None:
    (folder / name).write_bytes(text)
    assert (await get(folder, f"/logs/{name}")).headers["content-type"] == kind


async def test_what_is_written_meanwhile_is_left_out(folder: Path) -> None:
    text = b"x" * 1_500_000
    (folder / "long").write_bytes(text)
    found = await get(folder, "/logs/long")
    with (folder / "long").open("ab") as log:
        log.write(b"more")
    assert found.stream is not None
    assert b"".join([piece async for piece in found.stream]) == text


async def test_what_is_not_shown(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in ("/logs/none", "/logs/pipe", "/logs/syslog/more", "/logs/\0"):
        found = await get(folder, path)
        assert (found.status, found.body) == (404, b"404 page not found\n")
        assert found.headers["x-content-type-options"] == "nosniff"
    long = await get(folder, "/logs/" + "x" * 300)
    assert (long.status, long.body) == (404, b"file not found\n")
