"""Which methods a path answers: what discovery says of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest, MethodNotAllowed, NotFound
from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource, Subresource
from tiphys.apis.table import TABLE
from tiphys.apiserver.endpoints.router import find_handler
from tiphys.apiserver.filters.requestinfo import parse

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ON_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
ON_OBJECT = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
ON_PART = {**ON_OBJECT, "POST": "create"}
ROWS = [row for row in TABLE if row.plural != "componentstatuses"]


def root_of(row: Resource) -> str:
    start = f"/apis/{row.group}" if row.group else "/api"
    return f"{start}/{row.version}{'/namespaces/n' if row.namespaced else ''}/{row.plural}"


def paths_of(row: Resource) -> Iterator[tuple[str, dict[str, str], tuple[str, ...]]]:
    """Every path below a resource with what each method would be, and what it serves."""
    root = root_of(row)
    yield root, ON_COLLECTION, row.verbs
    yield f"{root}/x", ON_OBJECT, row.verbs
    for part in row.subresources:
        if part.name != "proxy":
            yield f"{root}/x/{part.name}", ON_PART, part.verbs


def outcome(row: Resource, method: str, path: str) -> str:
    try:
        find_handler(row, parse(method, path))
    except MethodNotAllowed as refused:
        return refused.message
    except (BadRequest, NotFound) as missing:
        return missing.message
    return "served"


FOO = GVK("example.com", "v1", "Foo")
FOOS = Resource(
    group="example.com",
    version="v1",
    kind="Foo",
    plural="foos",
    singular="foo",
    namespaced=True,
    verbs=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    storage=FOO,
    storage_prefix="/registry/example.com/foos/",
    subresources=(Subresource("status", ("get", "patch", "update"), FOO),),
    custom=True,
)
NO_METHOD = "the server does not allow this method on the requested resource"
NO_PATH = "the server could not find the requested resource"
NO_NAME = "name must be provided"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.plural}.{row.version}.{row.group}")
def test_a_path_serves_what_discovery_says(row: Resource) -> None:
    for path, verbs, served in paths_of(row):
        exists = any(verb in served for verb in verbs.values())
        for method in METHODS:
            expected = "served" if verbs.get(method) in served else NO_METHOD if exists else NO_PATH
            assert outcome(row, method, path) == expected, (method, path)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("GET", "/api/v1/pods", "served", id="all namespaces"),
        pytest.param("GET", "/api/v1/watch/namespaces/n/pods/x", "served", id="old watch of one"),
        pytest.param("DELETE", "/api/v1/pods", NO_METHOD, id="all namespaces are only read"),
        pytest.param("GET", "/api/v1/pods/x", NO_PATH, id="an object without its namespace"),
        pytest.param("PUT", "/api/v1/pods/x", NO_PATH, id="a write without its namespace"),
        pytest.param("POST", "/api/v1/bindings", NO_PATH, id="what nobody lists"),
        pytest.param("GET", "/api/v1/pods/x/log", NO_PATH, id="a part without its namespace"),
        pytest.param("GET", "/api/v1/proxy/namespaces/n/pods/x", NO_PATH, id="the proxy of old"),
        pytest.param("OPTIONS", "/api/v1/namespaces/n/pods/x/proxy", "served", id="a proxy passes all on"),
        pytest.param("GET", "/api/v1/namespaces/n/pods/x/proxy/a/b", "served", id="behind a proxy"),
        pytest.param("GET", "/api/v1/namespaces/n/pods/x/log/two", NO_PATH, id="behind a part"),
        pytest.param(
            "POST", "/api/v1/namespaces/n/pods/x/status/two", NO_PATH, id="behind a part, any method"
        ),
        pytest.param("GET", "/api/v1/namespaces/n/pods/x//status", NO_PATH, id="a part without a name"),
        pytest.param("GET", "/api/v1/namespaces/n/status/two", NO_PATH, id="behind a namespace's part"),
        pytest.param("GET", "/api/v1/watch/namespaces/n/pods/x/log", NO_PATH, id="old watch of a part"),
        pytest.param("GET", "/api/v1/namespaces/n/pods//status", NO_NAME, id="a part of nothing"),
        pytest.param("GET", "/api/v1/namespaces//pods", "served", id="all namespaces, by an empty name"),
    ],
)
def test_paths_across_namespaces(method: str, path: str, expected: str) -> None:
    info = parse(method, path)
    row = next(row for row in ROWS if (row.group, row.plural) == ("", info.resource))
    assert outcome(row, method, path) == expected


@pytest.mark.parametrize(
    ("method", "rest", "expected"),
    [
        pytest.param("OPTIONS", "", ' is not supported on resources of kind "foos.example.com"', id="verb"),
        pytest.param(
            "DELETE",
            "/x/status",
            'delete is not supported on resources of kind "foos.example.com"',
            id="verb of a part",
        ),
        pytest.param("GET", "/x/scale", 'foos.example.com "x" not found', id="part that it does not have"),
        pytest.param("GET", "/x/status", "served", id="part"),
        pytest.param("GET", "/x/status/two", "served", id="behind a part"),
        pytest.param("PUT", "", NO_METHOD, id="write of a collection"),
    ],
)
def test_custom_kinds(method: str, rest: str, expected: str) -> None:
    assert outcome(FOOS, method, root_of(FOOS) + rest) == expected


async def test_nothing_is_behind_a_part_that_was_just_read(api: Any) -> None:
    path = "/api/v1/namespaces/default/status"
    for rest, status in (("", 200), ("", 200), ("/two", 404), ("//two", 404), ("/", 200)):
        assert (await api("GET", path + rest)).status == status, rest


async def test_a_path_that_ends_before_its_kind(api: Any) -> None:
    for user in ("admin", "alice", ""):
        answer = await api("GET", "/apis/apps/v1/watch?a=1&b", user=user)
        assert (answer.status, answer.raw.decode()) == (
            500,
            'Internal Server Error: "/apis/apps/v1/watch?a=1&amp;b": failed to create RequestInfo: unable to '
            "determine kind and namespace from url, /apis/apps/v1/watch?a=1&amp;b\n",
        )


NO_PAGE = b"404 page not found\n"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/v1/nodes/", 200, None),
        ("/api/v1//nodes", 404, NO_PATH),
        ("/api//v1/nodes", 404, NO_PATH),
        ("//api/v1/nodes", 404, NO_PAGE),
        ("/apis//apps/v1/deployments", 404, NO_PAGE),
        ("/apis/apps//deployments", 404, NO_PATH),
        ("/version/", 200, None),
        ("/healthz/", 404, NO_PAGE),
        ("/readyz/ping/", 404, NO_PAGE),
        ("/metrics/", 404, NO_PAGE),
        ("/openapi/v2/", 404, NO_PAGE),
    ],
)
async def test_paths_with_slashes_too_many(
    api: Any, path: str, status: int, text: str | bytes | None
) -> None:
    answer = await api("GET", path)
    assert answer.status == status
    assert text is None or text in (answer.raw, answer.json and answer.message)


@pytest.mark.parametrize("query", ["", "?propagationPolicy=Background"])
@pytest.mark.parametrize("path", ["/gone", ""])
async def test_jobs_leave_their_pods_with_a_warning(api: Any, query: str, path: str) -> None:
    answer = await api("DELETE", f"/apis/batch/v1/namespaces/default/jobs{path}{query}")
    warned = "child pods are preserved by default" in answer.headers.get("warning", "")
    assert (answer.status, warned) == (404 if path else 200, not query)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default", "/api/v1/pods", "/api/v1/pods?watch=true",
        "/apis/apps/v1/namespaces/default/deployments/a/scale",
    ],
)  # fmt: skip
async def test_heads_of_built_in_kinds_are_not_to_be_had(api: Any, path: str) -> None:
    """Also where the same user has just read the same."""
    if path == "/api/v1/namespaces/default":
        await api.get(path)
    answer = await api("HEAD", path)
    assert (answer.status, answer.json["message"]) == (405, NO_METHOD)


async def test_heads_of_custom_kinds_are(api: Any) -> None:
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    })  # fmt: skip
    await api.settle()
    assert (await api("HEAD", "/apis/example.com/v1/foos")).status == 200
