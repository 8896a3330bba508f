"""What deletions answer, write and tell watchers of: cases of upstream's generic store and of its tests."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CORE = "/api/v1/namespaces/default/"
NO, OPEN, HELD = "", "deleted", "held"
"""What was done before: nothing, a deletion with 30 s, such a deletion of an object with a finalizer."""


@pytest.mark.parametrize(
    ("plural", "before", "options", "kind", "moves"),
    [
        ("pods", NO, {}, "Pod", True),
        ("pods", NO, {"propagationPolicy": "Orphan"}, "Pod", True),
        ("pods", NO, {"propagationPolicy": "Foreground"}, "Pod", True),
        ("pods", NO, {"gracePeriodSeconds": 15}, "Pod", True),
        ("pods", NO, {"gracePeriodSeconds": 0}, "Pod", True),
        ("pods", OPEN, {}, "Pod", False),
        ("pods", OPEN, {"gracePeriodSeconds": 15}, "Pod", True),
        ("pods", OPEN, {"gracePeriodSeconds": 0}, "Pod", True),
        ("pods", HELD, {}, "Pod", False),
        ("pods", HELD, {"propagationPolicy": "Orphan"}, "Pod", False),
        ("pods", HELD, {"propagationPolicy": "Foreground"}, "Pod", False),
        ("pods", HELD, {"gracePeriodSeconds": 15}, "Pod", True),
        ("pods", HELD, {"gracePeriodSeconds": 0}, "Pod", True),
        ("serviceaccounts", NO, {}, "ServiceAccount", True),
        ("serviceaccounts", NO, {"propagationPolicy": "Orphan"}, "ServiceAccount", True),
        ("serviceaccounts", NO, {"propagationPolicy": "Foreground"}, "ServiceAccount", True),
        ("serviceaccounts", HELD, {}, "ServiceAccount", False),
        ("serviceaccounts", HELD, {"propagationPolicy": "Orphan"}, "ServiceAccount", True),
        ("serviceaccounts", HELD, {"propagationPolicy": "Foreground"}, "ServiceAccount", True),
        ("configmaps", NO, {}, "Status", True),
        ("configmaps", NO, {"propagationPolicy": "Orphan"}, "ConfigMap", True),
        ("configmaps", NO, {"propagationPolicy": "Foreground"}, "ConfigMap", True),
        ("configmaps", HELD, {}, "ConfigMap", False),
        ("configmaps", HELD, {"propagationPolicy": "Orphan"}, "ConfigMap", True),
        ("configmaps", HELD, {"propagationPolicy": "Foreground"}, "ConfigMap", True),
    ],
)
async def test_what_is_answered(
    api: Any, make_pod: Any, plural: str, before: str, options: dict[str, Any], kind: str, moves: bool
) -> None:
    body: Any = make_pod("o", nodeName="n") if plural == "pods" else {"metadata": {"name": "o"}}
    if before == HELD:
        body["metadata"]["finalizers"] = ["example.com/a"]
    await api.create(CORE + plural, body)
    if before:
        await api("DELETE", f"{CORE}{plural}/o?gracePeriodSeconds=30")
    version = int((await api.get(f"{CORE}{plural}/o"))["metadata"]["resourceVersion"])
    answer = await api("DELETE", f"{CORE}{plural}/o", options)
    assert (answer.status, answer.json["kind"]) == (200, kind)
    if kind != "Status":
        assert (int(answer.json["metadata"]["resourceVersion"]) > version) is moves


async def events(api: Any, path: str, count: int) -> list[tuple[str, Any, Any]]:
    response = await api.send("GET", path)
    told: list[tuple[str, Any, Any]] = []
    async for chunk in response.stream:
        for event in map(orjson.loads, chunk.splitlines()):
            meta = event["object"]["metadata"]
            told.append(
                (event["type"], meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds"))
            )
        if len(told) >= count:
            break
    await response.stream.aclose()
    return told


@pytest.mark.parametrize("node", ["n", ""])
async def test_a_pod_without_grace_is_marked_before_it_goes(api: Any, make_pod: Any, node: str) -> None:
    made = await api.create(CORE + "pods", make_pod("p", **({"nodeName": node} if node else {})))
    query = "?gracePeriodSeconds=0" if node else ""
    tried = (await api("DELETE", f"{CORE}pods/p?dryRun=All&{query[1:]}")).json["metadata"]
    gone = (await api("DELETE", f"{CORE}pods/p{query}")).json["metadata"]
    for meta in (tried, gone):
        assert (meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:00Z", 0)
        assert meta["generation"] == 2
    since = made["metadata"]["resourceVersion"]
    told = await events(api, f"{CORE}pods?watch=1&resourceVersion={since}", 2)
    assert told == [("MODIFIED", "2026-01-01T00:00:00Z", 0), ("DELETED", "2026-01-01T00:00:00Z", 0)]


async def test_the_last_finalizer_goes_and_the_object_with_it(api: Any) -> None:
    """What is answered is what was sent, of the version that it was sent for."""
    await api.create(CORE + "configmaps", {"metadata": {"name": "c", "finalizers": ["example.com/a"]}})
    going = (await api("DELETE", f"{CORE}configmaps/c")).json["metadata"]
    for query in ("?dryRun=All", ""):
        answer = await api("PUT", f"{CORE}configmaps/c{query}", {"metadata": {"name": "c"}})
        assert "finalizers" not in answer.json["metadata"]
        assert answer.json["metadata"]["resourceVersion"] == going["resourceVersion"]
    assert (await api("GET", f"{CORE}configmaps/c")).status == 404


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (CORE + "configmaps/none", "/registry/configmaps/default/none"),
        ("/api/v1/nodes/none", "/registry/minions/none"),
        ("/api/v1/nodes/none/status", "/registry/minions/none"),
        ("/api/v1/namespaces/none/finalize", "/registry/namespaces/none"),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases/none", "/registry/leases/default/none"),
    ],
)
async def test_an_update_of_one_that_is_gone(api: Any, path: str, key: str) -> None:
    """Who names its uid learns that it is not there any more as of a conflict."""
    answer = await api("PUT", path, {"metadata": {"name": "none", "uid": "u"}})
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert answer.message.endswith(
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        "Precondition failed: UID in precondition: u, UID in object meta: "
    )


async def test_a_namespace_goes_in_steps(api: Any) -> None:
    """Its first deletion marks it, whatever it holds; preconditions are told in its own words."""
    path = "/api/v1/namespaces/n"
    made = await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    for name, word, found in (("uid", "UID", uid), ("resourceVersion", "ResourceVersion", version)):
        answer = await api("DELETE", path, {"preconditions": {name: "7"}})
        assert answer.message == (
            'Operation cannot be fulfilled on namespaces "n": Precondition failed: '
            f"{word} in precondition: 7, {word} in object meta: {found}"
        )
    await api.put(f"{path}/finalize", {"metadata": {"name": "n"}, "spec": {}})
    marked = (await api("DELETE", path)).json
    assert marked["status"]["phase"] == "Terminating"
    assert "deletionGracePeriodSeconds" not in marked["metadata"]
    assert (await api("DELETE", path)).status == 200
    assert (await api("GET", path)).status == 404


async def test_what_only_waits_is_not_admitted_again(api: Any, make_pod: Any, monkeypatch: Any) -> None:
    """A pod that has its deadline, and a namespace that still holds something."""
    await api.create(CORE + "pods", make_pod("p", nodeName="n"))
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    asked: list[str] = []
    admission = type(api.server.backend.admission)
    admit = admission.admit

    async def told(self: Any, attributes: Any) -> None:
        asked.append(attributes.old["metadata"]["name"])
        await admit(self, attributes)

    monkeypatch.setattr(admission, "admit", told)
    for path in (f"{CORE}pods/p", "/api/v1/namespaces/n"):
        for _ in range(2):
            assert (await api("DELETE", path)).status == 200
    await api("DELETE", f"{CORE}pods/p?gracePeriodSeconds=1")
    assert asked == ["p", "n", "p"]
