"""An update that writes an amount in another way is stored, and changes nothing that a rule looks at."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
SELECTOR = {"matchLabels": {"a": "b"}}
DEVICES = {
    "requests": [{"name": "r", "exactly": {"deviceClassName": "c", "capacity": {"requests": {"m": "?"}}}}]
}


def pod_spec(amount: str = "?") -> dict[str, Any]:
    resources = {"limits": {"cpu": amount}, "requests": {"cpu": "1"}}
    container = {"name": "c", "image": "i", "resources": resources}
    volume = {"name": "v", "emptyDir": {"sizeLimit": amount}}
    return {"containers": [container], "volumes": [volume], "restartPolicy": "Always"}


def template(amount: str = "?", policy: str = "Always") -> dict[str, Any]:
    return {
        "metadata": {"labels": SELECTOR["matchLabels"]},
        "spec": {**pod_spec(amount), "restartPolicy": policy},
    }


def claim_spec(amount: str = "?") -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": amount}}}


CASES: dict[str, tuple[str, Any]] = {
    "pod": (f"{CORE}/pods", pod_spec()),
    "claim": (f"{CORE}/persistentvolumeclaims", claim_spec()),
    "job": ("/apis/batch/v1/namespaces/default/jobs", {"template": template("?", "Never")}),
    "deployment": (f"{APPS}/deployments", {"selector": SELECTOR, "template": template()}),
    "stateful set": (
        f"{APPS}/statefulsets",
        {
            "selector": SELECTOR,
            "serviceName": "s",
            "template": template("1"),
            "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": claim_spec()}],
        },
    ),
    "device claim": ("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims", {"devices": DEVICES}),
}


def spelled(value: Any, amount: str, before: str = "?") -> Any:
    if isinstance(value, dict):
        return {key: spelled(item, amount, before) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled(item, amount, before) for item in value]
    return amount if value == before else value


@pytest.mark.parametrize("name", CASES)
async def test_what_may_not_change_may_be_written_in_another_way(api: Any, name: str) -> None:
    path, spec = CASES[name]
    made = await api.create(path, {"metadata": {"name": "a"}, "spec": spelled(spec, "1500m")})
    before = "1500m"
    for amount in ("1.500", "1500m", "1500e-3", "1500e-3"):
        wanted = {**made, "spec": spelled(made["spec"], amount, before)}
        after = await api.put(f"{path}/a", wanted)
        assert amount in str(after["spec"])
        assert after["metadata"].get("generation") == made["metadata"].get("generation")
        changed = after["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        assert changed is (amount != before)  # what is stored is another text
        made, before = after, amount


async def test_another_amount_is_a_change(api: Any) -> None:
    path, spec = CASES["deployment"]
    await api.create(path, {"metadata": {"name": "a"}, "spec": spelled(spec, "1500m")})
    after = await api.put(f"{path}/a", {"metadata": {"name": "a"}, "spec": spelled(spec, "1.501")})
    assert after["metadata"]["generation"] == 2
    path, spec = CASES["device claim"]
    await api.create(path, {"metadata": {"name": "a"}, "spec": spelled(spec, "1500m")})
    wanted = {"metadata": {"name": "a"}, "spec": spelled(spec, "1.501")}
    refused = await api("PUT", f"{path}/a", wanted)
    assert refused.status == 422
    assert "field is immutable" in refused.message


async def test_a_status_that_stays_keeps_its_spelling(api: Any) -> None:
    """What an update of the whole object says of the status is not taken, nor how it is written."""
    path = f"{CORE}/resourcequotas"
    made = await api.create(path, {"metadata": {"name": "a"}, "spec": {"hard": {"cpu": "1500m"}}})
    made = await api.put(f"{path}/a/status", {**made, "status": {"hard": {"cpu": "1.500"}}})
    assert made["status"] == {"hard": {"cpu": "1.500"}}
    after = await api.put(f"{path}/a", {**made, "status": {"hard": {"cpu": "1500m"}}})
    assert after["status"] == {"hard": {"cpu": "1.500"}}
