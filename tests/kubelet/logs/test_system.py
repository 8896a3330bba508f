"""Queries of a node's logs, over a journal that is a script, and files."""

import gzip
import os

import pytest
from endpoint import Context, Everybody

from tiphys.kubelet.logs.journal import Journal, stat_fault, within
from tiphys.kubelet.logs.system import SystemLogs
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.server.routes import Handlers
from tiphys.kubelet.server.server import KubeletServer
from tiphys.wire.message import Request

SCRIPT = """#!/bin/sh
if [ "$1" = --field ]; then echo kubelet.service; exit; fi
echo "$@"; echo no >&2; exit 3
"""


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "log"
    (found / "both").mkdir(parents=True)
    (found / "plain.log").write_text("plain\n")
    (found / "both" / "both.log").write_text("deep\n")
    (found / "named").write_text("named\n")
    return found


@pytest.fixture
def journalctl(tmp_path):
    script = tmp_path / "journalctl"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return str(script)


async def asked(logs, query, path="/logs/", **headers):
    answer = await logs.answer(Request("GET", path, query, headers))
    body = answer.body
    if answer.stream is not None:
        body = b"".join([piece async for piece in answer.stream])
    return answer, body


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("query=kubelet", 200, "--utc --no-pager --output=short-precise --unit=kubelet\nno\n"),
        ("query=kubelet&tailLines=3", 200,
         "--utc --no-pager --output=short-precise --pager-end --lines=3 --unit=kubelet\nno\n"),
        ("query=plain", 200, "plain\n"),
        ("query=both", 200, "deep\n"),
        ("query=named&query=plain", 200, "named\nplain\n"),
        ("query=none", 200, "\nlog not found for none\n"),
        ("query=plain&query=both&boot=0", 200,
         "\noptions present and query resolved to log files for [plain both]\n"
         "try without specifying options\n"),
        ("query=kubelet&query=plain", 200,
         "--utc --no-pager --output=short-precise --unit=kubelet\nno\nplain\n"),
        ("query=/both/both.log", 200, "deep\n"),
        ("query=/../../plain.log", 200, "plain\n"),
        ("query=", 400, 'query: Invalid value: [""]: query cannot be empty\n'),
        ("tailLines=1", 406, "query: Required value: cannot be empty with options\n"),
    ],
)  # fmt: skip
async def test_queries(folder, journalctl, query, status, text):
    answer, body = await asked(SystemLogs(folder, Journal(folder, journalctl)), query)
    assert (answer.status, body.decode()) == (status, text)


async def test_paths_and_queries_do_not_go_together(folder, journalctl):
    logs = SystemLogs(folder, Journal(folder, journalctl))
    answer, body = await asked(logs, "query=kubelet", "/logs/named")
    assert (answer.status, body) == (406, b"path not allowed in query mode\n")
    assert (await asked(logs, "x=y", "/logs/named"))[1] == b"named\n"


async def test_a_file_that_is_not_there(folder, journalctl):
    answer, body = await asked(SystemLogs(folder, Journal(folder, journalctl)), "query=/none")
    text = f'query: Invalid value: ["/none"]: stat {folder}/none: no such file or directory\n'
    assert (answer.status, body.decode()) == (406, text)


async def test_packed_answers(folder, journalctl):
    logs = SystemLogs(folder, Journal(folder, journalctl))
    answer, body = await asked(logs, "query=plain", **{"accept-encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == b"plain\n"
    answer, _ = await asked(logs, "query=plain", **{"accept-encoding": "gzip, br"})
    assert "Content-Encoding" not in answer.headers


async def test_without_a_journal(folder):
    logs = SystemLogs(folder, Journal(folder, str(folder / "nothing")))
    assert (await asked(logs, "query=plain"))[1] == b"plain\n"


@pytest.mark.parametrize(("query", "said"), [("", True), ("&boot=-1", False)])
async def test_a_journal_that_goes_away(folder, journalctl, tmp_path, query, said):
    """It knows the service, and cannot be started any more."""
    script = tmp_path / "journalctl"
    script.write_text("#!/bin/sh\necho kubelet.service\nrm \"$0\"\n")  # fmt: skip
    _, body = await asked(SystemLogs(folder, Journal(folder, journalctl)), f"query=kubelet{query}")
    assert body == (b"\nerror: journal output not available\n" if said else b"")


@pytest.mark.parametrize("packing", ["", "gzip"])
async def test_what_is_left_to_read_is_not_waited_for(folder, tmp_path, packing):
    script, process_id = tmp_path / "endless", tmp_path / "pid"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --field ] && exec echo kubelet.service\necho $$ > {process_id}\nexec yes\n'
    )
    script.chmod(0o755)
    logs = SystemLogs(folder, Journal(folder, str(script)))
    answer = await logs.answer(Request("GET", "/logs/", "query=kubelet", {"accept-encoding": packing}))
    assert await anext(answer.stream)
    await answer.stream.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(int(process_id.read_text()), 0)


@pytest.mark.parametrize(("on", "text"), [(False, b"plain.log"), (True, b"\nlog not found for none\n")])
async def test_queries_are_off_unless_turned_on(folder, tmp_path, on, text):
    options = ServerOptions(system_logs_dir=folder, handlers=Handlers(system_log_query=on))
    server = KubeletServer(Context(tmp_path, None), options, list, Everybody())
    answer = await server.handle(Request("GET", "/logs/", "query=none"))
    body = answer.body if answer.stream is None else b"".join([one async for one in answer.stream])
    assert text in body


def test_no_way_leads_out(tmp_path):
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    os.symlink("../secret", root / "up")
    os.symlink("/secret", root / "absolute")
    os.symlink("in", root / "inner")
    os.symlink("loop", root / "loop")
    for name in ("../secret", "/../../secret", "up", "absolute"):
        assert within(root, name) == root / "secret"
    assert within(root, "inner/./x") == root / "in" / "x"
    assert stat_fault(root, "in") == ""
    assert stat_fault(root, "up") == f"stat {root}/secret: no such file or directory"
    assert "too many levels of symbolic links" in stat_fault(root, "loop")
    assert stat_fault(root, "a\0b").endswith("invalid argument")


async def test_a_part_of_a_file(folder):
    answer, body = await asked(SystemLogs(folder), "", "/logs/named", range="bytes=2-3")
    assert (answer.status, answer.headers["content-range"], body) == (206, "bytes 2-3/6", b"me")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/logs/both", "both/?a=b"),
        ("/logs/named/", "../named?a=b"),
        ("/logs/both/index.html", "./?a=b"),
    ],
)
async def test_other_ways_to_the_same(folder, path, where):
    answer, _ = await asked(SystemLogs(folder), "a=b", path)
    assert (answer.status, answer.headers["location"]) == (301, where)
