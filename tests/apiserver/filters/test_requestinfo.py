"""The grammar of API paths."""
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apiserver.filters.requestinfo import RequestInfo, is_cut_short, parse, read_query

RESOURCE_CASES = [
    ("GET", "/api/v1/namespaces", "", ("list", "", "", "namespaces", "", "")),
    ("GET", "/api/v1/namespaces/a", "", ("get", "", "a", "namespaces", "", "a")),
    ("PUT", "/api/v1/namespaces/a/finalize", "", ("update", "", "a", "namespaces", "finalize", "a")),
    ("PUT", "/api/v1/namespaces/a/status", "", ("update", "", "a", "namespaces", "status", "a")),
    ("GET", "/api/v1/namespaces/a/pods", "", ("list", "", "a", "pods", "", "")),
    ("GET", "/api/v1/namespaces/a/pods/b", "", ("get", "", "a", "pods", "", "b")),
    ("GET", "/api/v1/namespaces/a/pods/b/log", "", ("get", "", "a", "pods", "log", "b")),
    ("GET", "/api/v1/proxy/namespaces/a/pods/b/not/a/subresource", "", ("proxy", "", "a", "pods", "", "b")),
    ("HEAD", "/api/v1/namespaces/a/pods/b", "", ("get", "", "a", "pods", "", "b")),
    ("POST", "/api/v1/namespaces/a/pods", "", ("create", "", "a", "pods", "", "")),
    ("DELETE", "/api/v1/namespaces/a/pods", "", ("deletecollection", "", "a", "pods", "", "")),
    ("DELETE", "/api/v1/nodes/n", "", ("delete", "", "", "nodes", "", "n")),
    ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "", ("patch", "apps", "a", "deployments", "scale", "d")),
    ("GET", "/apis/apps/v1/deployments", "watch=true", ("watch", "apps", "", "deployments", "", "")),
    ("GET", "/api/v1/pods", "watch=1&fieldSelector=metadata.name%3Dx", ("watch", "", "", "pods", "", "x")),
    ("GET", "/api/v1/pods", "watch=false", ("list", "", "", "pods", "", "")),
    # Rights go by the selector that handlers go by: the first one of the query.
    ("GET", "/api/v1/secrets", "fieldSelector=&fieldSelector=metadata.name%3Dx", ("list", "", "", "secrets", "", "")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name%3Dx&fieldSelector=", ("list", "", "", "secrets", "", "x")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name%3Dx,metadata.name%3Dy", ("list", "", "", "secrets", "", "x")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name!%3Dx", ("list", "", "", "secrets", "", "")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name%3Dx%5C,y", ("list", "", "", "secrets", "", "x,y")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name%3Da/b", ("list", "", "", "secrets", "", "")),
    ("GET", "/api/v1/secrets", "fieldSelector=metadata.name%3Dx%3D", ("list", "", "", "secrets", "", "")),
    ("DELETE", "/api/v1/namespaces/a/secrets", "fieldSelector=metadata.name%3Dx", ("deletecollection", "", "a", "secrets", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x,foo&watch=true", ("watch", "g", "", "rs", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x,foo&watch=false", ("list", "g", "", "rs", "", "")),
    # With an option that cannot be read there is no name, though it is told whether this is a watch.
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&limit=5", ("list", "g", "", "rs", "", "x")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&limit=", ("list", "g", "", "rs", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&limit=many", ("list", "g", "", "rs", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&watch=1&timeoutSeconds=1s", ("watch", "g", "", "rs", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&labelSelector=!", ("list", "g", "", "rs", "", "")),
    ("GET", "/apis/g/v/rs", "fieldSelector=metadata.name=x&labelSelector=a!=b", ("list", "g", "", "rs", "", "x")),
    ("HEAD", "/api/v1/pods", "", ("list", "", "", "pods", "", "")),
    ("PATCH", "/api/v1/namespaces/a", "", ("patch", "", "a", "namespaces", "", "a")),
    ("OPTIONS", "/api/v1/pods", "", ("", "", "", "pods", "", "")),
    ("GET", "/api/v1/proxy/namespaces/a/pods/b", "", ("proxy", "", "a", "pods", "", "b")),
    ("GET", "/api/v1/watch/pods", "", ("watch", "", "", "pods", "", "")),
    ("GET", "/api/v1/watch/pods", "fieldSelector=metadata.name=x", ("watch", "", "", "pods", "", "")),
    ("DELETE", "/api/v1/watch/pods", "", ("watch", "", "", "pods", "", "")),
    ("GET", "/api/v1/watch/namespaces/a/pods", "", ("watch", "", "a", "pods", "", "")),
    ("GET", "/api/v1/watch/namespaces/a/pods/b", "", ("watch", "", "a", "pods", "", "b")),
    # What is empty between two slashes is a part like others; slashes at the end are none.
    ("GET", "/api/v1/namespaces/a/pods//", "", ("list", "", "a", "pods", "", "")),
    ("GET", "/api/v1/namespaces//pods", "", ("list", "", "", "pods", "", "")),
    ("GET", "/api/v1/namespaces/a/pods//log", "", ("list", "", "a", "pods", "log", "")),
    ("GET", "/api/v1/namespaces/a/pods/b//log", "", ("get", "", "a", "pods", "", "b")),
    ("GET", "/api/v1//namespaces/a/pods", "", ("get", "", "", "", "a", "namespaces")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "want"), RESOURCE_CASES)
def test_resource_paths(method: str, path: str, query: str, want: tuple[str, ...]) -> None:
    info = parse(method, path, query)
    assert info.is_resource
    assert (info.verb, info.group, info.namespace, info.resource, info.subresource, info.name) == want


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/metrics", "//api/v1/pods"],
)
def test_other_paths(path: str) -> None:
    assert parse("GET", path) == RequestInfo(path=path, verb="get")


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/api/v1/watch", True), ("/api/v1/proxy/", True), ("/apis/apps/v1/watch", True),
        ("/api/watch", False), ("/apis/apps/watch", False), ("/other/v1/watch", False), ("/api/v1/watches", False),
    ],
)  # fmt: skip
def test_how_but_not_of_what(path: str, want: bool) -> None:
    assert is_cut_short(parse("GET", path)) is want


def test_proxy_path_keeps_its_rest() -> None:
    info = parse("GET", "/api/v1/namespaces/a/services/s:80/proxy/x/y")
    assert (info.subresource, info.name, info.rest) == ("proxy", "s:80", ("x", "y"))


def test_a_namespace_in_another_leads_nowhere() -> None:
    """Rights are asked for in the outer one, so it must not be like the path of the inner one."""
    assert parse("GET", "/api/v1/namespaces/a/namespaces/b").nowhere
    assert parse("GET", "/api/v1/watch/namespaces/a/namespaces").nowhere
    assert not parse("GET", "/api/v1/namespaces/namespaces/status").nowhere
    assert not parse("GET", "/apis/g/v1/namespaces/a/namespaces/b").nowhere  # a kind of that name


def test_core_kinds_have_no_path_among_those_of_groups() -> None:
    assert parse("GET", "/apis//v1/pods").nowhere
    assert not parse("GET", "/api/v1/pods").nowhere
    assert not parse("GET", "/apis/apps/v1/deployments").nowhere


def test_queries_are_read_once_and_long_ones_not_kept() -> None:
    short, long = "limit=5&fieldSelector=&x", "continue=" + "c" * 600
    assert read_query(short) == {"limit": ["5"], "fieldSelector": [""], "x": [""]}
    assert read_query(short) is read_query(short)
    assert read_query(long) == {"continue": ["c" * 600]}
    assert read_query(long) is not read_query(long)
    pods = "/api/v1/namespaces/a/pods"
    named = parse("GET", pods, f"fieldSelector=metadata.name%3Dp&{long}")
    assert named == parse("GET", pods, "fieldSelector=metadata.name%3Dp")
    assert named.name == "p"
