"""Labels of new Jobs: where nobody gives any they are those of the pods, as these become."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
JOBS = "/apis/batch/v1/namespaces/default/jobs"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


def job(labels: dict[str, str] | None, pods: dict[str, str] | None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i"}
    template = {
        "metadata": {"labels": pods},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "labels": labels},
        "spec": {"template": template, **spec},
    }  # fmt: skip


MANUAL = {"manualSelector": True, "selector": {"matchLabels": {"app": "x"}}}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "none": (job(None, None), True),
    "none, empty": (job({}, {}), True),
    "those of the pods": (job(None, {"app": "x"}), True),
    "those of the pods, by hand": (job(None, {"app": "x"}, **MANUAL), True),
    "its own": (job({"app": "y"}, {"app": "x"}), False),
    "its own, which are the pods'": (job({"app": "x"}, {"app": "x"}), False),
}


@pytest.mark.parametrize("how", ["created", "tried", "applied"])
@pytest.mark.parametrize(("body", "shared"), CASES.values(), ids=CASES)
async def test_labels_of_a_new_job(api: Any, how: str, body: dict[str, Any], shared: bool) -> None:
    if how == "applied":
        made = (await api.patch(f"{JOBS}/j?fieldManager=it", body, "apply")).json
    else:
        made = await api.create(JOBS + ("?dryRun=All" if how == "tried" else ""), body)
    pods = made["spec"]["template"]["metadata"]["labels"]
    assert made["metadata"]["labels"] == (pods if shared else body["metadata"]["labels"])
    assert ("job-name" in pods) is ("manualSelector" not in body["spec"])
    if how == "tried":
        return
    listed = await api.get(f"{JOBS}?labelSelector=job-name%3Dj")
    assert len(listed["items"]) == (shared and "job-name" in pods)
    again = await api.put(f"{JOBS}/j", await api.get(f"{JOBS}/j"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
