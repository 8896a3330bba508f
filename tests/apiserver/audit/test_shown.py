"""What events show of what was sent and answered, by the level that a request is kept at."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.audit.conftest import Events

from tiphys.wire.message import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_objects_are_shown_as_they_were_read(audited: tuple[Any, Events]) -> None:
    api, events = audited
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api("POST", "/api/v1/namespaces/default/pods", pod)
    shown = events()[-1]["requestObject"]
    assert (shown["kind"], shown["spec"]["restartPolicy"]) == ("Pod", "Always")
    assert shown["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert "nodeName" not in shown["spec"]
    assert "uid" not in shown["metadata"]
    answer = await api("POST", "/api/v1/namespaces/default/pods", b"{")
    assert answer.status == 400
    assert "requestObject" not in events()[-1]


OPTIONS = [
    ({"propagationPolicy": "Background"}, "meta.k8s.io/v1"),
    ({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}, "v1"),
]


@pytest.mark.parametrize("path", ["/m", ""])
@pytest.mark.parametrize(("options", "version"), OPTIONS)
async def test_options_of_deletions_tell_their_kind(
    audited: tuple[Any, Events], path: str, options: dict[str, Any], version: str
) -> None:
    api, events = audited
    await api.create(MAPS, {"metadata": {"name": "m"}})
    await api("DELETE", MAPS + path, options)
    shown = {"kind": "DeleteOptions", "apiVersion": version, "propagationPolicy": "Background"}
    assert events()[-1]["requestObject"] == shown
    await api("DELETE", MAPS + path, b"{")
    assert "requestObject" not in events()[-1]
    await api("DELETE", f"/api/v1/namespaces/default/secrets{path}", options)
    assert "requestObject" not in events()[-1]


async def test_lists_are_put_together_only_to_be_shown(audited: tuple[Any, Events]) -> None:
    api, events = audited

    class Pieces(tuple[bytes, ...]):
        looked = 0

        def __iter__(self) -> Any:
            Pieces.looked += 1
            return super().__iter__()

    async def listing(_call: Any) -> Any:
        return Response(200, {"content-type": "application/json"}, Pieces((b'{"kind":', b'"List"}')))

    table = api.server._chain._nonresource
    table.answer = listing
    for path, looks in (("/healthz", 1), ("/api", 3)):  # one each to measure it
        await api.server._chain(Request("GET", path, headers={"authorization": "Bearer admin"}))
        assert Pieces.looked == looks
    assert events()[-1]["responseObject"] == {"kind": "List"}


async def test_documents_are_shown(audited: tuple[Any, Events]) -> None:
    api, events = audited
    for path, kind in (("/api", "APIVersions"), ("/apis/apps/v1", "APIResourceList"), ("/version", None)):
        await api("GET", path)
        assert events()[-1].get("responseObject", {}).get("kind") == kind


@pytest.mark.parametrize(("path", "code"), [("/readyz", 200), ("/nowhere", 404)])
async def test_text_is_no_object(audited: tuple[Any, Events], path: str, code: int) -> None:
    api, events = audited
    await api("GET", path)
    complete = events()[-1]
    assert complete["responseStatus"] == {"metadata": {}, "code": code}
    assert "responseObject" not in complete


async def test_a_secret_is_never_in_the_log(audited: tuple[Any, Events]) -> None:
    api, events = audited
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    await api.create("/api/v1/namespaces/default/secrets", secret)
    await api.get("/api/v1/namespaces/default/secrets/s")
    found = events()
    assert len(found) == 4
    text = orjson.dumps(found)
    assert b"hunter2" not in text
    assert b"aHVudGVyMg" not in text
    assert all("requestObject" not in one and "responseObject" not in one for one in found)


async def test_the_level_request_leaves_answers_out(audited: tuple[Any, Events]) -> None:
    api, events = audited
    await api.create("/api/v1/namespaces/kube-public/configmaps", {"metadata": {"name": "m"}})
    (_, complete) = events()
    assert complete["requestObject"] == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m"}}
    assert "responseObject" not in complete
