"""What admission does with groups of pods once their gates are on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve

GROUPS = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/podgroups"
WORKLOADS = "/apis/scheduling.k8s.io/v1alpha2/namespaces/default/workloads"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
FINALIZER = "scheduling.k8s.io/podgroup-protection"
ROLE = "/apis/rbac.authorization.k8s.io/v1/{}/system:controller:podgroup-protection-controller"
BASIC: dict[str, Any] = {"basic": {}}
GANG: dict[str, Any] = {"gang": {"minCount": 2}}
SERVED = {"scheduling.k8s.io/v1alpha2": "true"}
GATES = ("GenericWorkload", "GangScheduling", "WorkloadAwarePreemption")
REFUSED = 'podgroups.scheduling.k8s.io "g" is forbidden: '


@pytest.fixture
async def api(serving: Any) -> AsyncIterator[Any]:
    gates = resolve(dict.fromkeys(GATES, True))
    async with serving(feature_gates=gates, runtime_config=SERVED) as found:
        yield found


def group(policy: Any = BASIC, *, name: str = "g", meta: Any = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **(meta or {})}, "spec": {"schedulingPolicy": policy, **spec}}


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}], **spec}}
    return {"metadata": {"name": "j"}, "spec": {"parallelism": 2, "template": template}}


async def test_groups_are_protected(api: Any) -> None:
    assert (await api.create(GROUPS, group()))["metadata"]["finalizers"] == [FINALIZER]
    given = group(name="h", meta={"finalizers": ["a.b/c", FINALIZER]})
    assert (await api.create(GROUPS, given))["metadata"]["finalizers"] == ["a.b/c", FINALIZER]
    rules = (await api.get(ROLE.format("clusterroles")))["rules"]
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
        (["scheduling.k8s.io"], ["podgroups"], ["get", "list", "update", "watch"]),
        ([""], ["pods"], ["get", "list", "watch"]),
    ]
    (subject,) = (await api.get(ROLE.format("clusterrolebindings")))["subjects"]
    assert (subject["name"], subject["namespace"]) == ("podgroup-protection-controller", "kube-system")


async def test_what_is_not_given_is_null_where_go_writes_it(api: Any) -> None:
    made = await api.create(GROUPS, group())
    assert made["spec"]["podGroupTemplateRef"] is None
    assert await api.get(f"{GROUPS}/g") == made
    assert (await api.create(GROUPS, group(name="h", podGroupTemplateRef=None)))["spec"] == made["spec"]
    constraints = {"topologyConstraints": [{"topologyKey": "a"}]}  # behind a gate that is off
    templates = [
        {"name": "a", "schedulingPolicy": BASIC},
        {"name": "b", "schedulingPolicy": BASIC, "schedulingConstraints": constraints},
    ]
    body = {"metadata": {"name": "w"}, "spec": {"podGroupTemplates": templates}}
    workload = await api.create(WORKLOADS, body)
    nothing = [one["schedulingConstraints"] for one in workload["spec"]["podGroupTemplates"]]
    assert nothing == [None, None]
    assert (await api.put(f"{WORKLOADS}/w", workload))["spec"] == workload["spec"]
    again = {**body, "metadata": {"name": "w", "labels": {"a": "b"}}}
    assert (await api.put(f"{WORKLOADS}/w", again))["metadata"]["labels"] == {"a": "b"}
    reference = {"workload": {"workloadName": "w", "podGroupTemplateName": "a"}}
    given = await api.create(GROUPS, group(name="i", podGroupTemplateRef=reference))
    assert given["spec"]["podGroupTemplateRef"] == reference
    patched = await api.patch(f"{GROUPS}/g", {"metadata": {"labels": {"a": "b"}}})
    assert patched.json["spec"] == made["spec"]


async def test_without_the_gate_there_are_none(serving: Any) -> None:
    async with serving(runtime_config=SERVED) as api:
        assert (await api("POST", GROUPS, group())).status == 404
        assert (await api("GET", ROLE.format("clusterroles"))).status == 404


@pytest.mark.parametrize(
    ("workload", "template", "refusal"),
    [
        ("w", "t", ""),
        ("none", "t", 'PodGroup rejected: Workload "none" not found'),
        ("w", "none", 'PodGroup rejected: PodGroupTemplate "none" not found in Workload "w"'),
    ],
)
async def test_templates_that_groups_name_are_there(
    api: Any, workload: str, template: str, refusal: str
) -> None:
    templates = [{"name": name, "schedulingPolicy": BASIC} for name in ("s", "t")]
    await api.create(WORKLOADS, {"metadata": {"name": "w"}, "spec": {"podGroupTemplates": templates}})
    reference = {"workload": {"workloadName": workload, "podGroupTemplateName": template}}
    answer = await api("POST", GROUPS, group(podGroupTemplateRef=reference))
    assert answer.status == (403 if refusal else 201)
    assert not refusal or answer.json["message"] == REFUSED + refusal


async def test_templates_that_groups_name_are_not_about_to_go(api: Any) -> None:
    templates = [{"name": "t", "schedulingPolicy": BASIC}]
    meta = {"name": "w", "finalizers": ["a.b/c"]}
    await api.create(WORKLOADS, {"metadata": meta, "spec": {"podGroupTemplates": templates}})
    await api("DELETE", f"{WORKLOADS}/w")
    reference = {"workload": {"workloadName": "w", "podGroupTemplateName": "t"}}
    answer = await api("POST", GROUPS, group(podGroupTemplateRef=reference))
    assert answer.status == 403
    assert answer.json["message"] == f'{REFUSED}PodGroup rejected: Workload "w" is being deleted'


@pytest.mark.parametrize(
    ("default", "spec", "wanted"),
    [
        (True, {}, ("usual", 5)),
        (True, {"priorityClassName": "high"}, ("high", 9)),
        (False, {}, (None, 0)),
        (True, {"priorityClassName": "high", "priority": 9}, ("high", 9)),
        (True, {"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        (True, {"priorityClassName": "high", "priority": 8},
         "the integer value of priority (8) must not be provided in pod group spec; priority admission "
         "controller computed 9 from the given PriorityClass name"),
    ],
)  # fmt: skip
async def test_priorities_of_groups(api: Any, default: bool, spec: dict[str, Any], wanted: Any) -> None:
    for name, value in (("high", 9), *((("usual", 5),) if default else ())):
        meta = {"metadata": {"name": name}, "value": value}
        await api.create(CLASSES, {**meta, "globalDefault": name == "usual"})
    answer = await api("POST", GROUPS, group(**spec))
    if isinstance(wanted, str):
        assert (answer.status, answer.json["message"]) == (403, REFUSED + wanted)
        return
    made = answer.json["spec"]
    assert (made.get("priorityClassName"), made["priority"]) == wanted
    answer = await api.patch(f"{GROUPS}/g", {"metadata": {"labels": {"a": "b"}}})
    assert (answer.status, answer.json["spec"]) == (200, made)


@pytest.mark.parametrize(("policy", "status"), [(GANG, 403), (BASIC, 200)])
@pytest.mark.parametrize("named", [True, False])
async def test_jobs_that_start_all_at_once_keep_their_size(
    api: Any, policy: dict[str, Any], status: int, *, named: bool
) -> None:
    reference = {"schedulingGroup": {"podGroupName": "g"}} if named else {}
    made = await api.create(JOBS, job(**reference))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": made["metadata"]["uid"]}
    meta = {} if named else {"ownerReferences": [{**owner, "controller": True}]}
    await api.create(GROUPS, group(policy, meta=meta))
    assert (await api.patch(f"{JOBS}/j", {"spec": {"suspend": True}})).status == 200
    answer = await api.patch(f"{JOBS}/j", {"spec": {"parallelism": 3}})
    assert answer.status == status
    if status == 403:
        text = 'cannot change parallelism for a Job referencing gang-scheduled PodGroup "g"'
        assert answer.json["message"] == f'jobs.batch "j" is forbidden: {text}'
