"""Long lists in forms that take long to make: others are served meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.evaluating import LARGE_BYTES

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FORMS = {
    "yaml": (MAPS, "application/yaml"),
    "a table": (MAPS, TABLE),
    "some of a table": (f"{MAPS}?labelSelector=a%3Db", TABLE),
    "protobuf": (MAPS, "application/vnd.kubernetes.protobuf"),
    "for people": (f"{MAPS}?pretty=1", "application/json"),
    "heads": (MAPS, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
}


@pytest.mark.parametrize("form", FORMS)
async def test_others_are_served_meanwhile(api: Any, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    path, accept = FORMS[form]
    large = {"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"x": "y" * LARGE_BYTES}}
    await api.create(MAPS, large)
    begun, served = threading.Event(), threading.Event()
    listed = respond._listed

    def slow(*args: Any) -> Any:
        begun.set()
        assert served.wait(20), "nobody else was served"
        return listed(*args)

    monkeypatch.setattr(respond, "_listed", slow)
    asking = asyncio.create_task(api.send("GET", path, accept=accept))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await api("GET", f"{MAPS}/m")).status == 200
    served.set()
    answer = await asking
    assert answer.status == 200
    assert answer.headers["content-type"] == accept.partition(";")[0]


async def test_what_is_wrong_with_a_form_is_told(api: Any) -> None:
    await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"x": "y" * LARGE_BYTES}})
    answer = await api("GET", f"{MAPS}?includeObject=Nope", accept=TABLE)
    assert answer.status == 400
