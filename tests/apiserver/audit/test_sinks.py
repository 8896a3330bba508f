"""The log file and its rotation; batches to another server."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit import sinks
from tiphys.apiserver.audit.assembly import Sender
from tiphys.apiserver.audit.sinks import LogFile, LogOptions, render
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

EVENT = {
    "auditID": "1", "stage": "ResponseComplete", "stageTimestamp": "t",
    "requestReceivedTimestamp": "2026-01-02T03:04:05.120000Z", "verb": "get",
    "requestURI": "/api", "user": {"username": "alice", "groups": ["a", "b"]}, "sourceIPs": ["10.0.0.1"],
    "responseStatus": {"code": 200}, "userAgent": "kubectl",
}  # fmt: skip


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_events_are_lines_of_json_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    log = LogFile(LogOptions(str(path)), FakeClock())
    for number in range(3):
        log.put({**EVENT, "auditID": str(number)})
    assert [line["auditID"] for line in lines(path)] == ["0", "1", "2"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_are_fit_for_html() -> None:
    """As Go's encoder writes them."""
    line = render({**EVENT, "requestURI": "/api?a=1&b=<>"}, "json")
    assert b'"requestURI":"/api?a=1\\u0026b=\\u003c\\u003e"' in line
    assert orjson.loads(line)["requestURI"] == "/api?a=1&b=<>"


def test_a_restart_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for _ in range(2):
        LogFile(LogOptions(str(path)), FakeClock()).put(EVENT)
    assert len(lines(path)) == 2


def test_the_old_form() -> None:
    assert render(EVENT, "legacy") == (
        b'2026-01-02T03:04:05.12Z AUDIT: id="1" stage="ResponseComplete" ip="10.0.0.1" method="get" '
        b'user="alice" groups="\\"a\\",\\"b\\"" as="<self>" asgroups="<lookup>" user-agent="kubectl" '
        b'namespace="<none>" uri="/api" response="200"\n'
    )
    bare = {
        **EVENT,
        "user": {},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z",
        "requestURI": '/"',
    }
    for name in ("sourceIPs", "responseStatus", "userAgent"):
        del bare[name]
    bare["impersonatedUser"] = {"username": "bob", "groups": ["c"]}
    bare["objectRef"] = {"namespace": "ns"}
    assert render(bare, "legacy") == (
        b'2026-01-02T03:04:05Z AUDIT: id="1" stage="ResponseComplete" ip="<unknown>" method="get" '
        b'user="<none>" groups="<none>" as="bob" asgroups="\\"c\\"" user-agent="" namespace="ns" uri="/\\"" '
        b'response="<deferred>"\n'
    )


def big(log: LogFile, count: int) -> None:
    for _ in range(count):
        log.put({**EVENT, "userAgent": "x" * 300_000})


def test_a_full_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    clock = FakeClock()
    log = LogFile(LogOptions(str(path), max_size_mib=1), clock)
    big(log, 4)
    assert [one.name for one in sorted(tmp_path.iterdir())] == [
        "audit-2026-01-01T00-00-00.000.log", "audit.log"
    ]  # fmt: skip
    assert len(lines(path)) == 1


def test_a_file_that_was_full_is_set_aside_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for before, after in ((1024 * 1024 - len(render(EVENT, "json")), 2), (1000, 1)):
        for old in tmp_path.iterdir():
            old.unlink()
        path.write_bytes(b"x" * before)
        LogFile(LogOptions(str(path), max_size_mib=1), FakeClock()).put(EVENT)
        assert len(list(tmp_path.iterdir())) == after


def test_a_file_of_no_size_is_never_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_MEBIBYTE", 4000)
    for size_mib, files in ((0, 1), (100, 2)):
        path = tmp_path / str(size_mib) / "audit.log"
        log = LogFile(LogOptions(str(path), max_size_mib=size_mib), FakeClock())
        big(log, 2)
        assert len(list(path.parent.iterdir())) == files


def test_what_no_file_has_room_for_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), max_size_mib=1), FakeClock())
    most = 1024 * 1024
    assert log.put({**EVENT, "userAgent": "x" * (most - 1000)})
    assert not log.put({**EVENT, "userAgent": "x" * most})
    assert (log.failed, len(list(tmp_path.iterdir()))) == (1, 1)
    assert f"exceeds maximum file size {most}" in caplog.text


def test_what_was_set_aside_before_is_tidied_at_the_start(tmp_path: Path) -> None:
    names = [f"audit-2025-12-0{day}T00-00-00.000.log" for day in (1, 2, 3)]
    for name in (*names, "audit-notes.log"):
        (tmp_path / name).write_text("x")
    options = LogOptions(str(tmp_path / "audit.log"), max_backups=2, compress=True)
    log = LogFile(options, FakeClock())
    log.put(EVENT)
    log.settle()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        *(f"{name}.gz" for name in names[1:]), "audit-notes.log", "audit.log"
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "kept"), [({"max_backups": 2}, 2), ({"max_age_days": 2}, 3), ({}, 5)])
def test_what_was_set_aside_goes_in_time(tmp_path: Path, options: dict[str, int], kept: int) -> None:
    clock = FakeClock()
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), **options), clock)  # type: ignore[arg-type]
    (tmp_path / "audit-notes.log").write_text("somebody else's")
    for _ in range(5):
        log.put(EVENT)
        log.rotate()
        log.settle()
        clock.advance(86400)
    assert len(list(tmp_path.glob("audit-2026*.log"))) == kept
    assert (tmp_path / "audit-notes.log").exists()


@pytest.mark.parametrize("compress", [False, True])
def test_who_may_read_a_log_may_read_the_next(tmp_path: Path, *, compress: bool) -> None:
    """Somebody may have given the file to those who collect logs."""
    clock, path = FakeClock(), tmp_path / "logs" / "audit.log"
    log = LogFile(LogOptions(str(path), compress=compress), clock)
    log.put(EVENT)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o640)
    log.rotate()
    log.settle()
    log.put(EVENT)
    assert [one.stat().st_mode & 0o777 for one in path.parent.iterdir()] == [0o640] * 2
    (aside,) = path.parent.glob("audit-*")
    text = gzip.decompress(aside.read_bytes()) if compress else aside.read_bytes()
    assert orjson.loads(text)["auditID"] == lines(path)[0]["auditID"]


def test_files_set_aside_are_compressed_while_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a full file that takes seconds, in which the server would answer nobody."""
    may_go_on, compress = threading.Event(), sinks._compress

    def slowly(path: Path) -> None:
        assert may_go_on.wait(30)
        compress(path)

    monkeypatch.setattr(sinks, "_compress", slowly)
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), compress=True), FakeClock())
    log.put(EVENT)
    log.rotate()
    assert log.put(EVENT)
    assert not list(tmp_path.glob("*.gz"))
    may_go_on.set()
    log.settle()
    assert len(list(tmp_path.glob("*.gz"))) == 1


def test_events_are_kept_where_old_files_cannot_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks, "_compress", full)
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), compress=True), FakeClock())
    log.put(EVENT)
    log.rotate()
    log.settle()
    assert log.put(EVENT)
    assert log.failed == 0
    assert "not tidied up" in caplog.text


@pytest.mark.parametrize("path", ["audit.log", "-"])
def test_a_line_is_whole_or_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A disk that is nearly full takes a part of it, and says so only when it is asked again."""
    log = LogFile(LogOptions(path if path == "-" else str(tmp_path / path)), FakeClock())
    taken: list[bytes] = []
    room = 10**6

    def write(_file: int, data: bytes) -> int:
        if room <= len(b"".join(taken)):
            raise OSError(28, "No space left on device")
        taken.append(bytes(data[:100]))
        return len(taken[-1])

    monkeypatch.setattr("os.write", write)
    assert log.put(EVENT)
    assert b"".join(taken) == render(EVENT, "json")
    room = len(b"".join(taken)) + 100
    assert not log.put(EVENT)
    assert log.failed == 1


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = LogFile(LogOptions(str(tmp_path / "file" / "audit.log")), FakeClock())
    assert not log.put(EVENT)
    assert log.failures == {"log": 1}


async def test_a_batch_is_kept_as_far_as_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(LogOptions(str(path)), FakeClock())
    assert await log.process([EVENT, EVENT])
    assert len(lines(path)) == 2


async def test_a_webhook_is_posted_to(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def answer(request: Request) -> Response:
        seen.append(request)
        return Response(200 if request.body == b"good" else 500)

    async with serve(answer) as server:
        config = tmp_path / "kubeconfig"
        url = f"http://127.0.0.1:{server.port}/audit"
        config.write_text(
            f"clusters: [{{name: a, cluster: {{server: '{url}'}}}}]\n"
            "users: [{name: a, user: {token: t}}]\n"
            "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"
        )
        send = Sender(config)
        await send(b"good")
        with pytest.raises(OSError, match="500"):
            await send(b"bad")
        await send.close()
    assert (seen[0].method, seen[0].path) == ("POST", "/audit")
    assert seen[0].headers["authorization"] == "Bearer t"
