"""A list that is read on after its version is gone, as upstream's test of chunks does it."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.protobuf import codec

TEMPLATES, CHUNK = 60, 6
PATH = "/api/v1/namespaces/default/podtemplates"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def _template(number: int) -> dict[str, Any]:
    spec = {"containers": [{"name": "test", "image": "test2"}]}
    return {"metadata": {"name": f"template-{number:04}"}, "template": {"spec": spec}}


@pytest.mark.parametrize("form", ["application/json", PROTOBUF])
async def test_late_chunks_are_read_on_from_the_last_name(api: Any, form: str) -> None:
    """The refusal has a token of its own, in the metadata of its Status, where typed clients look for it."""

    async def ask(token: str = "") -> tuple[int, Any]:
        answer = await api("GET", f"{PATH}?limit={CHUNK}&continue={token}", accept=f"{form},application/json")
        return answer.status, codec.decode(answer.raw) if answer.raw[:4] == b"k8s\x00" else answer.json

    for number in range(TEMPLATES):
        await api.create(PATH, _template(number))
    _, first = await ask()
    assert first["metadata"]["remainingItemCount"] == TEMPLATES - CHUNK
    await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "later"}})
    token = first["metadata"]["continue"]
    assert (await ask(token))[0] == 200
    api.clock.advance(301)
    code, refused = await ask(token)
    assert (code, refused["kind"], refused["reason"]) == (410, "Status", "Expired")
    token, found, versions = refused["metadata"]["continue"], CHUNK, set()
    while token:
        code, page = await ask(token)
        names = [one["metadata"]["name"] for one in page["items"]]
        assert names == [f"template-{number:04}" for number in range(found, found + CHUNK)]
        found += CHUNK
        assert page["metadata"].get("remainingItemCount", 0) == TEMPLATES - found
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
    assert found == TEMPLATES
    assert len(versions) == 1
    assert first["metadata"]["resourceVersion"] not in versions
