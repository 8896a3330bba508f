"""Parameters of validating policies: by name, by selector, of another namespace, of none."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.admission.test_validating_policies import (
    MAPS,
    POLICIES,
    binding,
    config_map,
    install,
    policy,
    refusal,
    rule,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


PARAM_KIND = {"apiVersion": "v1", "kind": "ConfigMap"}


def with_params(**ref: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    made = policy(
        "params != null && object.data.x == params.data.allowed",
        match={"objectSelector": {"matchLabels": {"app": "x"}}},
        paramKind=PARAM_KIND,
    )
    return made, binding(paramRef={"parameterNotFoundAction": "Deny", **ref})


async def test_parameters_by_name(api: Any) -> None:
    await install(api, *with_params(name="limits"))
    missing = "failed to configure binding: no params found for policy binding with `Deny` "
    assert (await api("POST", MAPS, config_map(x="1"))).message == refusal(
        missing + "parameterNotFoundAction"
    )
    await api.create(MAPS, {"metadata": {"name": "limits"}, "data": {"allowed": "1"}})
    assert (await api("POST", MAPS, config_map(x="2"))).status == 422
    await api.create(MAPS, config_map(x="1"))


async def test_parameters_by_selector_all_count(api: Any) -> None:
    await install(api, *with_params(selector={"matchLabels": {"limits": "yes"}}))
    for name, allowed in (("one", "1"), ("two", "2")):
        meta = {"name": name, "labels": {"limits": "yes"}}
        await api.create(MAPS, {"metadata": meta, "data": {"allowed": allowed}})
        assert (await api("POST", MAPS, config_map(f"m{name}", x="1"))).status == (
            201 if name == "one" else 422
        )


async def test_parameters_of_another_namespace_and_none(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await install(api, *with_params(name="limits", namespace="other", parameterNotFoundAction="Allow"))
    await api.create(MAPS, config_map("free", x="9"))
    meta = {"name": "limits"}
    await api.create("/api/v1/namespaces/other/configmaps", {"metadata": meta, "data": {"allowed": "1"}})
    assert (await api("POST", MAPS, config_map(x="9"))).status == 422


async def test_a_kind_of_parameters_that_is_not_served(api: Any) -> None:
    made = policy("true", paramKind={"apiVersion": "rules.example.com/v1", "kind": "Limit"})
    await install(api, made, binding(paramRef={"name": "l", "parameterNotFoundAction": "Deny"}))
    answer = await api("POST", MAPS, config_map())
    assert answer.message == (
        "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure "
        "policy: failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Limit'"
    )
    await api.patch(f"{POLICIES}/p", {"spec": {"failurePolicy": "Ignore"}})
    await api.settle()
    await api.create(MAPS, config_map())


async def test_cluster_scoped_parameters_have_no_namespace(api: Any) -> None:
    made = policy("false", paramKind={"apiVersion": "v1", "kind": "Namespace"})
    ref = {"name": "default", "namespace": "default", "parameterNotFoundAction": "Deny"}
    await install(api, made, binding(paramRef=ref))
    assert (await api("POST", MAPS, config_map())).message == refusal(
        "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
        "`paramKind`"
    )


async def test_namespaced_parameters_need_a_namespace(api: Any) -> None:
    made = policy("false", paramKind=PARAM_KIND, match={"resourceRules": [rule("namespaces")]})
    bound = binding(paramRef={"name": "x", "parameterNotFoundAction": "Allow"})
    await install(api, made, bound)
    answer = await api("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "metadata": {"name": "s"}, "provisioner": "x"
    })  # fmt: skip
    assert answer.status == 201
    made["spec"]["matchConstraints"]["resourceRules"] = [rule("storageclasses", "storage.k8s.io")]
    await api.patch(f"{POLICIES}/p", {"spec": made["spec"]})
    await api.settle()
    answer = await api("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "metadata": {"name": "t"}, "provisioner": "x"
    })  # fmt: skip
    assert answer.message.endswith(
        "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
    )
