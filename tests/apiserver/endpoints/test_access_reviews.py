"""Reviews of rights: what may be asked, and how it is answered."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.endpoints.access_reviews import asked_about

GROUP = "/apis/authorization.k8s.io/v1"
SAR, SELF = f"{GROUP}/subjectaccessreviews", f"{GROUP}/selfsubjectaccessreviews"
LOCAL = f"{GROUP}/namespaces/default/localsubjectaccessreviews"
RULES = f"{GROUP}/selfsubjectrulesreviews"
PODS = {"namespace": "default", "verb": "get", "resource": "pods"}
URL = {"path": "/x", "verb": "get"}


def asked(user: str = "bob", **attributes: Any) -> dict[str, Any]:
    return {"spec": {"user": user, "resourceAttributes": {**PODS, **attributes}}}


def invalid(kind: str, *faults: str) -> str:
    shown = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return f'{kind}.authorization.k8s.io "" is invalid: {shown}'


NOBODY = 'spec.user: Invalid value: "": at least one of user or group must be specified'
NOTHING = "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
BOTH = 'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes'
FIELDS = "spec.resourceAttributes.fieldSelector"
LABELS = "spec.resourceAttributes.labelSelector.requirements"
WORDS = "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'My{}',  or '{}',  or '{}', regex used for validation is '{}')"
NAME = "must " + WORDS.format("Name", "my.name", "123-abc", "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
VALUE = WORDS.format("Value", "my_value", "12345", "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing": (SAR, {"spec": {}}, invalid("SubjectAccessReview", NOTHING, NOBODY)),
    "both": (SAR, {"spec": {"user": "b", "resourceAttributes": PODS, "nonResourceAttributes": URL}}, invalid("SubjectAccessReview", BOTH)),
    "nothing of myself": (SELF, {"spec": {}}, invalid("SelfSubjectAccessReview", NOTHING)),
    "a name": (SAR, {**asked(), "metadata": {"name": "x"}},
               invalid("SubjectAccessReview", 'metadata: Invalid value: {"name":"x"}: must be empty')),
    "another namespace": (LOCAL, asked(namespace="other"),
                          invalid("LocalSubjectAccessReview", 'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace')),
    "a path in a namespace": (LOCAL, {"spec": {"user": "b", "nonResourceAttributes": URL}},
                              invalid("LocalSubjectAccessReview", 'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: disallowed on this kind of request')),
    "both forms of a selector": (SAR, asked(fieldSelector={"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}),
                                 invalid("SubjectAccessReview", f'{FIELDS}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements')),
    "an empty selector": (SAR, asked(fieldSelector={}),
                          invalid("SubjectAccessReview", f"{FIELDS}.requirements: Required value: when {FIELDS} is specified, requirements or rawSelector is required")),
    "both forms, and no key": (SAR, asked(fieldSelector={"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]}),
                               invalid("SubjectAccessReview",
                                       f'{FIELDS}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
                                       f"{FIELDS}.requirements[0].key: Required value: must be specified",
                                       f"{FIELDS}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'")),
    "fields": (SELF, asked(fieldSelector={"requirements": [
        {"key": "a", "operator": "Exists", "values": ["x"]}, {"key": "()", "operator": "NotIn"}, {"key": "a", "operator": "New"}]}),
        invalid("SelfSubjectAccessReview",
                f"{FIELDS}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                f"{FIELDS}.requirements[1].values: Required value: must be specified when `operator` is 'In' or 'NotIn'")),
    "labels": (SAR, asked(labelSelector={"requirements": [
        {"key": "", "operator": "In", "values": ["a"]}, {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]}, {"key": "()foo", "operator": "Gt", "values": ["1", "-"]}]}),
        invalid("SubjectAccessReview",
                f'{LABELS}[0].key: Invalid value: "": name part must be non-empty',
                f'{LABELS}[0].key: Invalid value: "": name part {NAME}',
                f"{LABELS}[1].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                f"{LABELS}[2].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                f'{LABELS}[3].key: Invalid value: "()foo": name part {NAME}',
                f'{LABELS}[3].values[1]: Invalid value: "-": a valid label must be an empty string or {VALUE}')),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "text"), CASES.values(), ids=CASES)
async def test_faults(api: Any, path: str, body: dict[str, Any], text: str) -> None:
    answer = await api("POST", path, body)
    assert (answer.status, answer.message) == (422, text)


def needs(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


ASKED: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "one value": ([needs("one", "In", "apple")], "one=apple", "one in (apple)"),
    "not one value": ([needs("two", "NotIn", "banana")], "two!=banana", "two notin (banana)"),
    "values": ([needs("one", "In", "apple", "other")], "", "one in (apple,other)"),
    "there": ([needs("one", "Exists")], "", "one"),
    "not there": ([needs("one", "DoesNotExist")], "", "!one"),
    "operators of others leave the rest": ([needs("x", "bad"), needs("a", "In", "b")], "a=b", "a in (b)"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_is_asked_about(case: str) -> None:
    requirements, fields, labels = ASKED[case]
    selector = {"requirements": requirements}
    info = asked_about({"resourceAttributes": {"fieldSelector": selector, "labelSelector": selector}})
    assert (info.field_selector, info.label_selector) == (fields, labels)


def test_every_version_is_asked_about_unless_one_is_named() -> None:
    versions = [asked_about({"resourceAttributes": given}).version for given in ({}, {"version": "v1"})]
    assert versions == ["*", "v1"]


async def test_a_namespace_is_needed_for_rules(api: Any) -> None:
    answer = await api("POST", RULES, {"spec": {}})
    assert (answer.status, answer.message) == (400, "no namespace on request")


async def test_why(api: Any) -> None:
    masters = {"spec": {"user": "x", "groups": ["system:masters"], "resourceAttributes": PODS}}
    assert (await api.create(SAR, masters))["status"] == {"allowed": True}
    body = {
        "spec": {
            "user": "x",
            "groups": ["system:authenticated"],
            "nonResourceAttributes": {"path": "/api", "verb": "get"},
        }
    }
    assert (await api.create(SAR, body))["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"',
    }
    assert (await api.create(SAR, asked()))["status"] == {"allowed": False}


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({"rawSelector": "spec.nodeName=n1"}, True),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, True),
        ({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n1"]}]}, False),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1", "n2"]}]}, False),
        (None, False),
    ],
)
async def test_selectors_count(api: Any, selector: Any, allowed: bool) -> None:
    attributes = {"verb": "list", "resource": "pods", **({"fieldSelector": selector} if selector else {})}
    body = {"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": attributes}}
    status = (await api.create(SAR, body))["status"]
    assert status["allowed"] is allowed
    if not allowed:
        assert status["reason"] == "can only list/watch pods with spec.nodeName field selector"


KEY, WRONG = needs("a", "In", "b"), needs("a", "New")
UNREAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all is read": ({"fieldSelector": {"requirements": [KEY]}, "labelSelector": {"rawSelector": "a in (b, c)"}}, ()),
    "neither text": (
        {"fieldSelector": {"rawSelector": "a"}, "labelSelector": {"rawSelector": "a in"}}, ("fieldSelector ", "labelSelector "),
    ),
    "nothing of fields": ({"fieldSelector": {"requirements": [needs("a", "In", "b", "c"), needs("a", "Exists")]}}, ("fieldSelector ",)),
    "some of both": (
        {"fieldSelector": {"requirements": [KEY, WRONG]}, "labelSelector": {"requirements": [WRONG, KEY]}},
        ("fieldSelector partially ", "labelSelector partially "),
    ),
    "nothing of labels": ({"labelSelector": {"requirements": [WRONG]}}, ("labelSelector ",)),
}  # fmt: skip


@pytest.mark.parametrize("path", [SAR, SELF, LOCAL])
@pytest.mark.parametrize("case", UNREAD)
async def test_selectors_that_are_not_read(api: Any, case: str, path: str) -> None:
    selectors, told = UNREAD[case]
    body = asked(**selectors)
    if path == SELF:
        del body["spec"]["user"]
    text = "; ".join(f"spec.resourceAttributes.{one}ignored due to parse error" for one in told)
    assert (await api.create(path, body))["status"].get("evaluationError", "") == text


async def test_rules(api: Any) -> None:
    status = (await api.create(RULES, {"spec": {"namespace": "default"}}, user="alice"))["status"]
    assert status["incomplete"] is False
    assert "evaluationError" not in status
    assert {
        "verbs": ["create"],
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["selfsubjectreviews"],
    } in status["resourceRules"]
    assert any("/healthz" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    status = (await api.create(RULES, {"spec": {"namespace": "default"}}, user="node"))["status"]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "node authorizer does not support user rule resolution"


async def test_rules_without_limits(serving: Any) -> None:
    async with serving(authorization_modes=("AlwaysAllow",)) as api:
        status = (await api.create(RULES, {"spec": {"namespace": "default"}}, user="alice"))["status"]
        assert status["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        assert status["nonResourceRules"] == [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


async def test_a_role_that_is_not_there(api: Any) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    binding = {
        "metadata": {"name": "b"},
        "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "missing"},
    }
    await api.create(f"{rbac}/clusterrolebindings", binding)
    await api.settle()
    answer = await api("GET", "/api/v1/pods", user="alice")
    assert answer.message == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the cluster scope: '
        'RBAC: clusterrole.rbac.authorization.k8s.io "missing" not found'
    )
    status = (await api.create(RULES, {"spec": {"namespace": "default"}}, user="alice"))["status"]
    text = 'clusterrole.rbac.authorization.k8s.io "missing" not found'
    assert (status["incomplete"], status["evaluationError"]) == (False, text)
    other = {**binding, "metadata": {"name": "c"}, "roleRef": {**binding["roleRef"], "name": "none"}}
    await api.create(f"{rbac}/clusterrolebindings", other)
    await api.settle()
    status = (await api.create(RULES, {"spec": {"namespace": "default"}}, user="alice"))["status"]
    assert status["evaluationError"] == f"[{text}, {text.replace('missing', 'none')}]"


async def test_forms_of_an_answer(api: Any) -> None:
    """A review has metadata, if empty, and no columns."""
    body, form = (
        {"spec": {"resourceAttributes": {"verb": "get"}}},
        "application/json;as={};v=v1;g=meta.k8s.io",
    )
    partial = await api.create(SELF, body, accept=form.format("PartialObjectMetadata"))
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
    table = form.format("Table")
    assert (await api.create(SELF, body, accept=f"{table},application/json"))[
        "kind"
    ] == "SelfSubjectAccessReview"
    assert (await api("POST", SELF, body, accept=table)).status == 406
    answer = await api("POST", SELF, body, accept=form.format("PartialObjectMetadataList"))
    assert (answer.status, answer.message) == (
        406,
        "you requested PartialObjectMetadataList, but the requested object is not a list "
        "(*authorization.SelfSubjectAccessReview)",
    )
