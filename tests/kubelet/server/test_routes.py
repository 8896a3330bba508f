"""Which paths there are, and what is said of the others and of other methods, before and after who asks."""

import pytest

from tiphys.kubelet.server.routes import Handlers, find
from tiphys.wire.message import Request

ALL = Handlers()
NOBODYS = (404, "404 page not found\n")
NO_ROUTE = (404, "404: Page Not Found")
NO_METHOD = (405, "405: Method Not Allowed")
UNACCEPTED = "406: Not Acceptable\n\nAvailable representations: "


def led(method, path, on=ALL, **headers):
    found = find(Request(method, path, headers=headers), on)
    answer = found.early or found.answer
    return found.name if answer is None else (answer.status, answer.body.decode())


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", NOBODYS),
        ("GET", "/nothing", NOBODYS),
        ("GET", "/healthz", "healthz"),
        ("POST", "/healthz", "healthz"),
        ("GET", "/healthz/ping", "healthz"),
        ("GET", "/healthz/", NOBODYS),
        ("GET", "/healthz/other", NOBODYS),
        ("GET", "/metrics", "metrics"),
        ("GET", "/metrics/cadvisor", "metrics"),
        ("GET", "/metrics/other", NOBODYS),
        ("GET", "/pods", "pods"),
        ("GET", "/pods/", "pods"),
        ("GET", "/pods/p", NO_ROUTE),
        ("POST", "/pods", NO_METHOD),
        ("HEAD", "/pods", NO_METHOD),
        ("GET", "/runningpods/", "runningpods"),
        ("GET", "/stats/summary", "stats"),
        ("POST", "/stats/summary", "stats"),
        ("PUT", "/stats/summary", NO_METHOD),
        ("GET", "/stats/", NO_ROUTE),
        ("GET", "/stats/container", NO_ROUTE),
        ("POST", "/run/ns/p/c", "run"),
        ("POST", "/run/ns/p/uid/c", "run"),
        ("GET", "/run/ns/p/c", NO_METHOD),
        ("POST", "/run", NO_ROUTE),
        ("POST", "/run/ns/p", NO_ROUTE),
        ("POST", "/run/ns/p/uid/c/more", NO_ROUTE),
        ("GET", "/exec/ns/p/c", "exec"),
        ("POST", "/exec/ns/p/uid/c", "exec"),
        ("PUT", "/exec/ns/p/c", NO_METHOD),
        ("GET", "/attach/ns/p/c", "attach"),
        ("POST", "/portForward/ns/p", "portForward"),
        ("GET", "/portForward/ns/p/uid", "portForward"),
        ("GET", "/portForward/ns", NO_ROUTE),
        ("GET", "/containerLogs/ns/p/c", "containerLogs"),
        ("POST", "/containerLogs/ns/p/c", NO_METHOD),
        ("GET", "/containerLogs/ns/p", NO_ROUTE),
        ("POST", "/checkpoint/ns/p/c", "checkpoint"),
        ("GET", "/checkpoint/ns/p/c", NO_METHOD),
        ("GET", "/logs/", "logs"),
        ("GET", "/logs/a/b/c.log", "logs"),
        ("POST", "/logs/", NO_METHOD),
        ("GET", "/configz", "configz"),
        ("GET", "/configz/more", NOBODYS),
        ("GET", "/statusz", "statusz"),
        ("GET", "/flagz", "flagz"),
        ("PUT", "/debug/flags/v", "debug"),
        ("GET", "/debug/pprof/heap", "debug"),
        ("POST", "/debug/pprof/heap", NO_METHOD),
    ],
)
def test_paths_and_methods(method, path, expected):
    assert led(method, path) == expected


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/pods", "GET"), ("/stats/summary", "GET, POST"), ("/exec/a/b/c", "GET, POST"), ("/run/a/b/c", "POST")],
)
def test_what_is_allowed_is_told(path, methods):
    assert find(Request("DELETE", path), ALL).answer.headers["Allow"] == methods


@pytest.mark.parametrize("path", ["/stats", "/logs", "/runningpods", "/checkpoint", "/debug/pprof"])
def test_folders_without_their_slash(path):
    early = find(Request("GET", path, "a=1&b=2"), ALL).early
    assert (early.status, early.headers["Location"]) == (307, f"{path}/?a=1&b=2")
    assert early.body == f'<a href="{path}/?a=1&amp;b=2">Temporary Redirect</a>.\n\n'.encode()
    assert find(Request("POST", path), ALL).early.body == b""


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("/pods", "application/json", "pods"),
        ("/pods", "text/html, application/json;q=0.9", "pods"),
        ("/pods", "text/plain, */*", "pods"),
        ("/pods", "text/plain", (406, f"{UNACCEPTED}application/json")),
        ("/containerLogs/ns/p/c", "*/*", "containerLogs"),
        ("/containerLogs/ns/p/c", "text/plain", (406, UNACCEPTED)),
        ("/metrics", "text/plain", "metrics"),
    ],
)
def test_what_callers_accept(path, accept, expected):
    assert led("GET", path, accept=accept) == expected


def test_nobodys_paths_are_told_to_everybody():
    assert find(Request("GET", "/nothing"), ALL).early is not None
    assert find(Request("GET", "/pods/p"), ALL).early is None


@pytest.mark.parametrize(
    "path",
    [
        "/run/", "/exec/", "/attach/", "/portForward/", "/containerLogs/", "/runningpods/", "/run/xxx",
        "/exec/xxx", "/attach/xxx", "/debug/pprof/profile", "/logs/kubelet.log",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_without_debugging(method, path):
    off = Handlers(debugging=False)
    assert led(method, path, off) == (405, "Debug endpoints are disabled.\n")


def test_what_is_left_without_debugging():
    off = Handlers(debugging=False)
    assert find(Request("GET", "/run"), off).early.headers["Location"] == "/run/"
    assert led("GET", "/pods", off) == "pods"
    for path in ("/configz", "/flagz", "/statusz", "/checkpoint/a/b/c", "/debug/flags/v"):
        assert led("GET", path, off) == NOBODYS


@pytest.mark.parametrize(
    ("path", "off", "text"),
    [
        ("/logs/kubelet.log", Handlers(system_logs=False), "logs endpoint is disabled.\n"),
        ("/debug/pprof/profile", Handlers(profiling=False), "profiling endpoint is disabled.\n"),
        ("/debug/flags/v", Handlers(debug_flags=False), "flags endpoint is disabled.\n"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_single_switches(method, path, off, text):
    assert led(method, path, off) == (405, text)


def test_checkpoints_that_a_gate_turns_off():
    assert led("POST", "/checkpoint/ns/p/c", Handlers(checkpoint=False)) == NOBODYS
