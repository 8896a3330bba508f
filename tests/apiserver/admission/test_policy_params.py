"""Who writes admission policies and bindings must be able to read their parameters."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


GROUP = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
KINDS = ("validating", "mutating")
MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
PATCH = '[JSONPatch{op: "remove", path: "/metadata/labels"}]'
ALICE = "&{alice 2 [dev system:authenticated] map[]}"


def policy(kind: str, param_kind: Any = None) -> dict[str, Any]:
    does = (
        {"validations": [{"expression": "true"}]}
        if kind == "validating"
        else {"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": PATCH}}],
              "reinvocationPolicy": "Never"}
    )  # fmt: skip
    spec = {"matchConstraints": {"resourceRules": [RULE]}, **does}
    return {"metadata": {"name": "p"}, "spec": {**spec, **({"paramKind": param_kind} if param_kind else {})}}


def binding(kind: str, **ref: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"policyName": "p"}
    if ref:
        spec["paramRef"] = {"parameterNotFoundAction": "Deny", **ref}
    if kind == "validating":
        spec["validationActions"] = ["Deny"]
    return {"metadata": {"name": "b"}, "spec": spec}


async def grant(api: Any, *rules: dict[str, Any]) -> None:
    """Let alice write policies and bindings, and what else is said."""
    own = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    named = [{"apiGroups": [""], **rule} for rule in rules]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "a"}, "rules": [own, *named]})
    role = {"kind": "ClusterRole", "name": "a", "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}
    bound = {"metadata": {"name": "a"}, "roleRef": role, "subjects": [subject]}
    await api.create(f"{RBAC}/clusterrolebindings", bound)
    await api.settle()


POLICIES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    # what alice may besides, the kind of parameters -> may she write the policy
    "nothing": ({"resources": ["secrets"], "verbs": ["get"]}, MAPS, False),
    "reads all": ({"resources": ["configmaps"], "verbs": ["get"]}, MAPS, True),
    "lists them": ({"resources": ["configmaps"], "verbs": ["list"]}, MAPS, False),
    "reads one": ({"resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["m"]}, MAPS, False),
    "nobody knows the kind": (
        {"resources": ["configmaps"], "verbs": ["get"]}, {"apiVersion": "v1", "kind": "Foo"}, False
    ),
    "reads whatever it is": ({"resources": ["*"], "verbs": ["get"]}, {"apiVersion": "v1", "kind": "F"}, True),
    "no parameters": ({"resources": ["secrets"], "verbs": ["get"]}, {}, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rule", "param_kind", "may"), POLICIES.values(), ids=POLICIES)
async def test_policies(api: Any, kind: str, rule: dict[str, Any], param_kind: Any, may: bool) -> None:
    await grant(api, rule)
    path = f"{GROUP}/{kind}admissionpolicies"
    answer = await api("POST", path, policy(kind, param_kind), user="alice")
    assert answer.status == (201 if may else 422), answer.raw
    if not may:
        shown = f"(kind={param_kind['kind']}, apiVersion=v1)"
        assert answer.json["details"]["causes"] == [{
            "reason": "FieldValueForbidden", "field": "spec.paramKind",
            "message": f'Forbidden: user {ALICE} must have "get" permission on all objects of the referenced '
            f"paramKind {shown}",
        }]  # fmt: skip
        await api.create(path, policy(kind, param_kind))  # masters may everything
        label = {"metadata": {"labels": {"a": "b"}}}
        assert (await api.patch(f"{path}/p", label, user="alice")).status == 200  # the kind is as it was


BINDINGS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    # what alice may besides, what the binding refers to -> may she write it
    "reads it": ({"resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["m"]},
                 {"name": "m", "namespace": "n"}, True),
    "reads another": ({"resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["o"]},
                      {"name": "m"}, False),
    "lists": ({"resources": ["configmaps"], "verbs": ["list"]}, {"selector": {}}, True),
    "reads but lists not": ({"resources": ["configmaps"], "verbs": ["get"]}, {"selector": {}}, False),
    "no reference": ({"resources": ["secrets"], "verbs": ["get"]}, {}, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rule", "ref", "may"), BINDINGS.values(), ids=BINDINGS)
async def test_bindings(api: Any, kind: str, rule: dict[str, Any], ref: Any, may: bool) -> None:
    await grant(api, rule)
    path = f"{GROUP}/{kind}admissionpolicybindings"
    await api.create(f"{GROUP}/{kind}admissionpolicies", policy(kind, MAPS))
    answer = await api("POST", path, binding(kind, **ref), user="alice")
    assert answer.status == (201 if may else 422), answer.raw
    if not may:
        verb = "get" if "name" in ref else "list"
        # of mutating ones the API mistakes the one for the other
        user, verb = (ALICE, verb) if kind == "validating" else (verb, ALICE)
        assert answer.message.endswith(
            f'spec.paramRef: Forbidden: user {user} does not have "{verb}" permission on the object '
            "referenced by paramRef"
        )


UNKNOWN: dict[str, tuple[Any, dict[str, Any], str]] = {
    # the kind of the policy's parameters (None: there is no policy), the reference -> what is not known
    "no policy": (None, {"name": "m"}, "get policy p"),
    "no policy, of many": (None, {"selector": {}}, "get policy p"),
    "no such kind": (
        {"apiVersion": "foo.e.c/v1", "kind": "Params"}, {"name": "m"},
        "resolve paramKind &{foo.e.c/v1 Params}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("param_kind", "ref", "text"), UNKNOWN.values(), ids=UNKNOWN)
async def test_bindings_of_what_is_not_known_need_every_right(
    api: Any, param_kind: Any, ref: Any, text: str
) -> None:
    await grant(api, {"resources": ["*"], "verbs": ["get", "list"]})
    path = f"{GROUP}/validatingadmissionpolicybindings"
    if param_kind:
        await api.create(f"{GROUP}/validatingadmissionpolicies", policy("validating", param_kind))
    answer = await api("POST", path, binding("validating", **ref), user="alice")
    assert answer.status == 422
    verb = "get" if "name" in ref else "list"
    assert answer.message.endswith(
        f"spec.paramRef: Forbidden: unable to {text} to determine minimum required permissions and user "
        f'{ALICE} does not have "{verb}" permission for all groups, versions and resources'
    )
    await api.create(path, binding("validating", **ref))


async def test_faults_come_first(api: Any) -> None:
    await grant(api)
    body = policy("validating", {"apiVersion": "v1"})
    answer = await api("POST", f"{GROUP}/validatingadmissionpolicies", body, user="alice")
    assert [cause["field"] for cause in answer.json["details"]["causes"]] == ["spec.paramKind.kind"]
