"""The objects are there, stay as they must, and say what dangles."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tiphys.apimachinery.errors import NotFound
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.flowcontrol import objects, repair
from tiphys.apiserver.flowcontrol.repair import repaired, with_dangling

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
LEVEL = objects.priority_levels()[2]
CATCH_ALL = objects.priority_levels()[1]


def changed(obj: Any, *, mark: str | None = "true", generation: int = 1, shares: int = 77) -> Any:
    live = copy.deepcopy(obj)
    live["metadata"]["generation"] = generation
    live["metadata"]["annotations"] = {} if mark is None else {objects.AUTOUPDATE: mark}
    live["spec"]["limited"]["nominalConcurrencyShares"] = shares
    return live


OURS, THEIRS, NEITHER = ("true", True), ("false", False), None
KEPT: dict[str, tuple[Any, Any, tuple[str, bool] | None]] = {
    # what is there, what is wanted -> its mark afterwards and whether it was put back; None: it stays
    "right": (LEVEL, LEVEL, NEITHER),
    "ours": (changed(LEVEL), LEVEL, OURS),
    "ours, often changed": (changed(LEVEL, generation=2), LEVEL, OURS),
    "ours, in another spelling": (changed(LEVEL, mark="T", generation=2), LEVEL, ("T", True)),
    "the user's": (changed(LEVEL, mark="false", generation=4), LEVEL, NEITHER),
    "the user's, never changed": (changed(LEVEL, mark="false"), LEVEL, NEITHER),
    "the user's, in another spelling": (changed(LEVEL, mark="0"), LEVEL, NEITHER),
    "changed without a mark": (changed(LEVEL, mark=None, generation=2), LEVEL, THEIRS),
    "changed with an odd mark": (changed(LEVEL, mark="odd", generation=2), LEVEL, THEIRS),
    "changed back without a mark": (changed(LEVEL, mark=None, generation=3, shares=30), LEVEL, THEIRS),
    "never changed": (changed(LEVEL, mark=None, generation=1), LEVEL, OURS),
    "never changed, with an odd mark": (changed(LEVEL, mark="odd", generation=1), LEVEL, OURS),
    "right without a mark": (changed(LEVEL, mark=None, shares=30), LEVEL, ("true", False)),
    "mandatory": (changed(CATCH_ALL, mark="false", generation=9), CATCH_ALL, OURS),
    "mandatory without a mark": (changed(CATCH_ALL, mark=None, shares=5), CATCH_ALL, ("true", False)),
}


@pytest.mark.parametrize(("live", "wanted", "expected"), KEPT.values(), ids=KEPT)
def test_what_is_put_back(live: Any, wanted: Any, expected: tuple[str, bool] | None) -> None:
    before = copy.deepcopy(live)
    found = repaired(live, wanted)
    assert live == before
    if expected is None:
        assert found is None
        return
    assert found is not None
    mark, is_put_back = expected
    assert found["metadata"]["annotations"] == {objects.AUTOUPDATE: mark}
    assert found["spec"] == (wanted if is_put_back else live)["spec"]
    assert found["metadata"]["generation"] == live["metadata"]["generation"] + is_put_back
    assert repaired(found, wanted) is None


def test_shares_of_what_is_exempt_are_the_users() -> None:
    exempt = objects.priority_levels()[0]
    assert exempt["spec"]["type"] == "Exempt"
    live = copy.deepcopy(exempt)
    live["metadata"]["annotations"] = {objects.AUTOUPDATE: "true"}
    live["spec"]["exempt"] = {"nominalConcurrencyShares": 5, "lendablePercent": 50}
    assert repaired(live, exempt) is None
    broken = {**live, "spec": {**live["spec"], "type": "Limited"}}
    found = repaired(broken, exempt)
    assert found is not None
    assert found["spec"] == live["spec"]


def test_dangling_says_why_and_when() -> None:
    schema = objects.flow_schemas()[0]
    marked = with_dangling(schema, dangling=True, now="t1")
    assert marked is not None
    assert marked["status"]["conditions"] == [{
        "type": "Dangling", "status": "True", "reason": "NotFound", "lastTransitionTime": "t1",
        "message": 'This FlowSchema references the PriorityLevelConfiguration object named "exempt" but '
        "there is no such object",
    }]  # fmt: skip
    assert with_dangling(marked, dangling=True, now="t2") is None
    found = with_dangling(marked, dangling=False, now="t2")
    assert found is not None
    assert found["status"]["conditions"][0]["lastTransitionTime"] == "t2"
    assert found["status"]["conditions"][0]["reason"] == "Found"


async def settled(api: Any) -> None:
    for _ in range(10):
        await api.settle()


async def test_a_new_cluster_has_every_object(api: Any) -> None:
    for plural, wanted in (
        ("prioritylevelconfigurations", objects.priority_levels()),
        ("flowschemas", objects.flow_schemas()),
    ):
        found = await api.get(f"{GROUP}/{plural}")
        specs = {item["metadata"]["name"]: item["spec"] for item in found["items"]}
        assert specs == {item["metadata"]["name"]: item["spec"] for item in wanted}


async def test_what_was_deleted_comes_back(api: Any) -> None:
    await api("DELETE", f"{GROUP}/flowschemas/exempt")
    await settled(api)
    assert (await api.get(f"{GROUP}/flowschemas/exempt"))["spec"]["matchingPrecedence"] == 1


async def test_a_mandatory_spec_cannot_be_changed(api: Any) -> None:
    answer = await api(
        "PATCH",
        f"{GROUP}/prioritylevelconfigurations/catch-all",
        {"spec": {"limited": {"nominalConcurrencyShares": 500}}},
        content_type="application/merge-patch+json",
    )
    assert answer.status == 422
    assert answer.message.endswith("spec of 'catch-all' must equal the fixed value")


async def test_a_schema_dangles_until_its_level_is_there(api: Any) -> None:
    rule = {"subjects": [{"kind": "User", "user": {"name": "bob"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                               "namespaces": ["*"]}]}  # fmt: skip
    spec = {"priorityLevelConfiguration": {"name": "mine"}, "matchingPrecedence": 50, "rules": [rule]}
    await api.create(f"{GROUP}/flowschemas", {"metadata": {"name": "mine"}, "spec": spec})

    async def dangling() -> str:
        await settled(api)
        found = await api.get(f"{GROUP}/flowschemas/mine")
        return str(found["status"]["conditions"][0]["status"])

    assert await dangling() == "True"
    level = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    await api.create(f"{GROUP}/prioritylevelconfigurations", {"metadata": {"name": "mine"}, "spec": level})
    assert await dangling() == "False"


async def test_a_condition_that_somebody_keeps_changing_is_left_for_a_while(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mending = api.server.traffic._repair
    theirs = {"type": "Dangling", "status": "True", "reason": "NotFound", "message": "by another server"}
    shown = []
    for _ in range(8):
        await api(
            "PATCH", f"{GROUP}/flowschemas/exempt/status", {"status": {"conditions": [theirs]}},
            content_type="application/strategic-merge-patch+json",
        )  # fmt: skip
        await settled(api)
        await mending.mend()
        found = await api.get(f"{GROUP}/flowschemas/exempt")
        shown.append(found["status"]["conditions"][0]["status"])
    assert shown[0] == "False"
    assert shown[-2:] == ["True", "True"]
    assert shown == sorted(shown), "it is not taken up again"
    assert 30.0 <= mending._pause_s <= 75.0
    monkeypatch.setattr(repair, "_MINUTE_S", -1.0)  # a minute later
    await mending.mend()
    found = await api.get(f"{GROUP}/flowschemas/exempt")
    assert found["status"]["conditions"][0]["status"] == "False"
    assert mending._pause_s == 60.0


async def test_answers_name_schema_and_level(api: Any) -> None:
    answer = await api("GET", "/api/v1/namespaces/default/pods/none")
    schema = await api.get(f"{GROUP}/flowschemas/exempt")
    level = await api.get(f"{GROUP}/prioritylevelconfigurations/exempt")
    assert answer.status == 404
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == schema["metadata"]["uid"]
    assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == level["metadata"]["uid"]


async def test_a_level_of_no_seats_turns_requests_away(api: Any) -> None:
    user = [{"kind": "User", "user": {"name": "alice"}}]
    rule = {"subjects": user, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}
    spec = {"priorityLevelConfiguration": {"name": "shut"}, "matchingPrecedence": 2, "rules": [rule]}
    limited = {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": limited}
    await api.create(f"{GROUP}/prioritylevelconfigurations", {"metadata": {"name": "shut"}, "spec": level})
    await api.create(f"{GROUP}/flowschemas", {"metadata": {"name": "shut"}, "spec": spec})
    await settled(api)
    await api.server.traffic.flow.enter(parse("GET", "/version"), User("alice"), "")
    answer = await api("GET", "/version", user="alice")
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert (await api("GET", "/version")).status == 200
    text = (await api("GET", "/metrics")).raw.decode()
    assert (
        'apiserver_flowcontrol_rejected_requests_total{flow_schema="shut",priority_level="shut",'
        'reason="concurrency-limit"} 1' in text
    )
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} 245' in text
    dump = await api("GET", "/debug/api_priority_and_fairness/dump_priority_levels")
    assert b"workload-low," in dump.raw


async def test_what_is_gone_stays_gone_when_it_is_not_ours(api: Any) -> None:
    level = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    path = f"{GROUP}/prioritylevelconfigurations"
    await api.create(path, {"metadata": {"name": "mine"}, "spec": level})
    await api("DELETE", f"{path}/mine")
    await settled(api)
    assert (await api("GET", f"{path}/mine")).json["reason"] == NotFound.reason


async def test_what_an_earlier_version_kept_is_removed(api: Any) -> None:
    level = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    path = f"{GROUP}/prioritylevelconfigurations"
    marks = {"old": "true", "spelled": "T", "taken": "false", "odd": "invalid"}
    for name, mark in marks.items():
        meta = {"name": name, "annotations": {objects.AUTOUPDATE: mark}}
        await api.create(path, {"metadata": meta, "spec": level})
    await settled(api)
    left = {name for name in marks if (await api("GET", f"{path}/{name}")).status == 200}
    assert left == {"taken", "odd"}
