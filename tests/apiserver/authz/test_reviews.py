"""Rights through the whole server: bindings take effect, reviews answer, nobody escalates."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

RBAC = "/apis/rbac.authorization.k8s.io/v1"
READ = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]


async def grant(api: Any, name: str, rules: list[Any]) -> None:
    path = f"{RBAC}/namespaces/default"
    await api.create(path + "/roles", {"metadata": {"name": name}, "rules": rules})
    await api.create(
        path + "/rolebindings",
        {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
        },
    )
    await api.settle()


async def test_bindings_take_effect_and_cease(api: Any) -> None:
    path = "/api/v1/namespaces/default/pods"
    assert (await api("GET", path, user="alice")).status == 403
    await grant(api, "r", READ)
    assert (await api("GET", path, user="alice")).status == 200
    await api("DELETE", f"{RBAC}/namespaces/default/rolebindings/r")
    await api.settle()
    assert (await api("GET", path, user="alice")).status == 403


async def test_access_reviews(api: Any) -> None:
    await grant(api, "r", READ)
    path = "/apis/authorization.k8s.io/v1"
    question = {"namespace": "default", "verb": "get", "resource": "pods"}
    mine = await api.create(
        path + "/selfsubjectaccessreviews", {"spec": {"resourceAttributes": question}}, user="alice"
    )
    assert mine["status"]["allowed"] is True
    other = {"spec": {"user": "bob", "resourceAttributes": question}}
    theirs = await api.create(path + "/subjectaccessreviews", other)
    assert theirs["status"]["allowed"] is False
    rules = await api.create(
        path + "/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user="alice"
    )
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]} in rules["status"][
        "resourceRules"
    ]


async def test_escalation_is_refused(api: Any) -> None:
    everything = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]
    await grant(api, "roles", everything)
    answer = await api(
        "POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "x"}, "rules": READ}, user="alice"
    )
    assert answer.status == 403
    assert answer.message == (
        'roles.rbac.authorization.k8s.io "x" is forbidden: user "alice" '
        '(groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'
    )


async def test_a_node_reads_what_its_pods_use(api: Any, make_pod: Any) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    for name in ("used", "other"):
        await api.create(secrets, {"metadata": {"name": name}})
    volumes = [{"name": "v", "secret": {"secretName": "used"}}]
    await api.create("/api/v1/namespaces/default/pods", make_pod("p", nodeName="n1", volumes=volumes))
    await api.settle()
    assert (await api("GET", secrets + "/used", user="node")).status == 200
    answer = await api("GET", secrets + "/other", user="node")
    assert answer.status == 403
    assert "no relationship found between node 'n1' and this object" in answer.message
