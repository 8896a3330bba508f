"""Which pods go when somebody evicts them: upstream's table of evictions, and its races."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.subresources import eviction

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
EVICT = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
GUARDED: dict[str, Any] = {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2}


async def pod_in(api: Any, make_pod: Any, phase: str, *, ready: bool = False) -> None:
    await api.create(PODS, make_pod(nodeName="n"))
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    answer = await api.patch(f"{PODS}/p/status", {"status": {"phase": phase, "conditions": conditions}})
    assert answer.status == 200, answer.raw


async def budget(api: Any, name: str = "b", policy: str = "", **status: Any) -> None:
    spec: dict[str, Any] = {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    made = await api.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    counts = {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 0}
    made["status"] = {"observedGeneration": 1, **counts, **status}
    await api.put(f"{BUDGETS}/{name}/status", made)


@pytest.mark.parametrize(
    ("phase", "ready", "status", "policy", "evicted"),
    [
        pytest.param("Running", True, {"disruptionsAllowed": 0}, "", 429, id="running"),
        pytest.param("Pending", False, {"disruptionsAllowed": 0}, "", 201, id="pending"),
        pytest.param("Succeeded", False, {"disruptionsAllowed": 0}, "", 201, id="succeeded"),
        pytest.param("Failed", False, {"disruptionsAllowed": 0}, "", 201, id="failed"),
        pytest.param("Running", True, {"disruptionsAllowed": 1}, "", 201, id="allowed"),
        pytest.param("Running", True, GUARDED, "", 429, id="healthy, another is not"),
        pytest.param("Running", False, GUARDED, "", 201, id="the unhealthy one"),
        pytest.param("Running", False, {**GUARDED, "currentHealthy": 1}, "", 429, id="too few others"),
        pytest.param("Running", False, {**GUARDED, "currentHealthy": 1}, "AlwaysAllow", 201, id="policy"),
        pytest.param("Running", True, {**GUARDED, "observedGeneration": 0}, "", 429, id="not counted yet"),
    ],
)
async def test_who_may_go(
    api: Any, make_pod: Any, phase: str, ready: bool, status: dict[str, Any], policy: str, evicted: int
) -> None:
    await pod_in(api, make_pod, phase, ready=ready)
    await budget(api, policy=policy, **status)
    dry = await api("POST", f"{PODS}/p/eviction?dryRun=All", EVICT)
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    assert (dry.status, answer.status) == (evicted, evicted)
    if evicted == 429:
        asked = answer.json["details"].get("retryAfterSeconds")
        assert asked == (10 if status.get("observedGeneration") == 0 else None)
        assert answer.headers.get("retry-after") == (str(asked) if asked else None)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"disruptionsAllowed": 1, "disruptedPods": {f"p{n}": "2026-01-01T00:00:00Z" for n in range(2001)}},
         'poddisruptionbudget.policy "b" is forbidden: DisruptedPods map too big - too many evictions not '
         "confirmed by PDB controller"),
    ],
)  # fmt: skip
async def test_budgets_that_give_nothing(api: Any, make_pod: Any, status: Any, message: str) -> None:
    await pod_in(api, make_pod, "Running", ready=True)
    await budget(api, **status)
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    assert (answer.status, answer.message) == (403, message)


DENIED = {"type": "DisruptionAllowed", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
WHY: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "too few": ({"currentHealthy": 3, "desiredHealthy": 3}, [], "needs 3 healthy pods and has 3 currently"),
    "its controller failed": (
        {"currentHealthy": 0, "desiredHealthy": 0},
        [{**DENIED, "reason": "SyncFailed", "message": "hoge"}],
        "does not allow evicting pods currently because it failed sync: hoge",
    ),
    "another reason": (
        {"currentHealthy": 4, "desiredHealthy": 3},
        [{**DENIED, "reason": "BarReason", "message": "hoge"}],
        "does not allow evicting pods currently (BarReason): hoge",
    ),
    "counts first": (
        {"currentHealthy": 3, "desiredHealthy": 3},
        [{**DENIED, "reason": "BarReason", "message": "hoge"}],
        "needs 3 healthy pods and has 3 currently",
    ),
    "none told": (
        {"currentHealthy": 4, "desiredHealthy": 3},
        [{**DENIED, "reason": "BarReason", "message": ""}],
        "does not allow evicting pods currently",
    ),
    "allowed, it says": (
        {"currentHealthy": 4, "desiredHealthy": 3},
        [{**DENIED, "status": "True", "reason": "SyncFailed", "message": "hoge"}],
        "does not allow evicting pods currently",
    ),
}


@pytest.mark.parametrize(("counts", "conditions", "why"), WHY.values(), ids=WHY)
async def test_why_a_budget_gives_nothing(
    api: Any, make_pod: Any, counts: dict[str, Any], conditions: list[dict[str, Any]], why: str
) -> None:
    await pod_in(api, make_pod, "Running", ready=True)
    await budget(api, conditions=conditions, **counts)
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    causes = [{"reason": "DisruptionBudget", "message": f"The disruption budget b {why}"}]
    assert (answer.status, answer.json["details"]["causes"]) == (429, causes)


async def test_two_budgets(api: Any, make_pod: Any) -> None:
    await pod_in(api, make_pod, "Running", ready=True)
    for name in ("b", "c"):
        await budget(api, name, disruptionsAllowed=1)
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    assert (answer.status, answer.json.get("reason")) == (500, None)
    assert answer.message == (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    )


@pytest.mark.parametrize(("allowed", "reason"), [(1, "InsufficientPods"), (3, "SufficientPods")])
async def test_the_last_disruption_is_told(api: Any, make_pod: Any, allowed: int, reason: str) -> None:
    await pod_in(api, make_pod, "Running", ready=True)
    condition = {
        "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
        "lastTransitionTime": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    await budget(api, disruptionsAllowed=allowed, conditions=[condition])
    assert (await api("POST", f"{PODS}/p/eviction", EVICT)).status == 201
    found = (await api.get(f"{BUDGETS}/b"))["status"]
    assert found["disruptionsAllowed"] == allowed - 1
    assert [one["reason"] for one in found["conditions"]] == [reason]


@pytest.mark.parametrize("metadata", [{"name": "other"}, {}])
@pytest.mark.parametrize(
    ("subresource", "body", "kind"),
    [("eviction", EVICT, "Eviction"), ("binding", {"target": {"name": "n"}}, "Binding")],
)
async def test_the_body_names_the_pod(
    api: Any, make_pod: Any, subresource: str, body: Any, kind: str, metadata: Any
) -> None:
    await api.create(PODS, make_pod())
    answer = await api("POST", f"{PODS}/p/{subresource}", {**body, "metadata": metadata})
    message = f"name in URL does not match name in {kind} object"
    assert (answer.status, answer.message) == (400, message)


def meddle(api: Any, monkeypatch: pytest.MonkeyPatch, changes: list[Any]) -> list[str]:
    """Change the pod's status before each deletion, while there is a change left."""
    tries: list[str] = []
    say_why = eviction._say_why

    async def meddling(call: Any, wanted: Any) -> Any:
        tries.append(wanted.resource_version)
        if changes:
            await api.patch(f"{PODS}/p/status", {"status": changes.pop(0)})
        return await say_why(call, wanted)

    monkeypatch.setattr(eviction, "_say_why", meddling)
    return tries


@pytest.mark.parametrize(
    ("changes", "allowed", "status", "tries"),
    [
        pytest.param([{"message": "m"}, {"message": "n"}], 0, 201, 3, id="still pending"),
        pytest.param([{"phase": "Running"}], 0, 429, 1, id="it runs, and is guarded"),
        pytest.param([{"phase": "Running"}], 1, 201, 2, id="it runs, and may go"),
        pytest.param([{"message": str(n)} for n in range(20)], 0, 409, 20, id="always another change"),
    ],
)
async def test_a_pending_pod_changes(
    api: Any,
    make_pod: Any,
    monkeypatch: pytest.MonkeyPatch,
    changes: Any,
    allowed: int,
    status: int,
    tries: int,
) -> None:
    await pod_in(api, make_pod, "Pending", ready=True)
    await budget(api, disruptionsAllowed=allowed)
    tried = meddle(api, monkeypatch, changes)
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    assert (answer.status, len(tried)) == (status, tries)


async def test_a_pod_that_did_not_count_gets_ready(
    api: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its budget was not asked, and would have been: the client has to come again."""
    await pod_in(api, make_pod, "Running")
    await budget(api, **GUARDED)
    meddle(api, monkeypatch, [{"conditions": [{"type": "Ready", "status": "True"}]}])
    answer = await api("POST", f"{PODS}/p/eviction", EVICT)
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    assert answer.json["details"]["causes"][0]["message"] == (
        "The disruption budget b is still being processed by the server."
    )


async def test_a_version_that_the_client_names_is_tried_once(
    api: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pod_in(api, make_pod, "Pending")
    tried = meddle(api, monkeypatch, [])
    options = {"deleteOptions": {"preconditions": {"resourceVersion": "1"}}}
    answer = await api("POST", f"{PODS}/p/eviction", EVICT | options)
    assert (answer.status, tried) == (409, ["1"])
