"""The authorization configuration: its meaning, its faults, its changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apiserver.authn.expressions import compile_expression
from tiphys.apiserver.authz.abac import parse as abac_policies
from tiphys.apiserver.authz.config import Webhook, parse
from tiphys.apiserver.authz.webhook import WebhookSettings
from tiphys.apiserver.config_files import BadConfiguration

GOOD = {
    "timeout": "3s", "authorizedTTL": "5m", "unauthorizedTTL": "30s", "subjectAccessReviewVersion": "v1",
    "failurePolicy": "Deny",
}  # fmt: skip


def document(*authorizers: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthorizationConfiguration",
            "authorizers": list(authorizers),
        }
    )


def hook(file: Any, **changes: Any) -> dict[str, Any]:
    info = {"type": "KubeConfigFile", "kubeConfigFile": str(file)}
    spec = {**GOOD, "connectionInfo": info, **changes}
    return {"type": "Webhook", "name": "w", "webhook": {k: v for k, v in spec.items() if v is not None}}


RBAC, NODE = {"type": "RBAC", "name": "rbac"}, {"type": "Node", "name": "node"}
ALL = {"type": "AlwaysAllow", "name": "alwaysallow"}


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()
    found = parse(document({"type": "Node", "name": "node"}, hook(file), RBAC), compile_expression)
    settings = WebhookSettings("w", "v1", 300.0, 30.0, True)
    assert found == ("Node", Webhook(settings, file, 3.0), "RBAC")


def test_answers_need_not_be_remembered(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()
    entry = hook(file, cacheAuthorizedRequests=False, cacheUnauthorizedRequests=False)
    (found,) = parse(document(entry), compile_expression)
    assert isinstance(found, Webhook)
    assert (found.settings.authorized_ttl_s, found.settings.unauthorized_ttl_s) == (0.0, 0.0)


@pytest.mark.parametrize("value", ["0s", None])
def test_no_time_to_remember_means_the_default(tmp_path: Path, value: str | None) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()
    (found,) = parse(document(hook(file, authorizedTTL=value, unauthorizedTTL=value)), compile_expression)
    assert isinstance(found, Webhook)
    assert (found.settings.authorized_ttl_s, found.settings.unauthorized_ttl_s) == (300.0, 30.0)


async def test_the_own_cluster_is_a_connection_but_no_service(serving: Any, tmp_path: Path) -> None:
    """Other API servers may name it; the one that would ask itself says so instead of serving."""
    path, entry = tmp_path / "authz.yaml", hook("", connectionInfo={"type": "InClusterConfig"})
    (found,) = parse(document(entry), compile_expression)
    assert isinstance(found, Webhook)
    assert found.kubeconfig is None
    path.write_text(document(entry))
    with pytest.raises(BadConfiguration, match="w: connection type InClusterConfig is not allowed"):
        async with serving(authorization_config=path):
            pass
    path.write_text(document(RBAC))
    async with serving(authorization_config=path) as api:
        path.write_text(document(entry, RBAC))
        assert not api.server._modes.reload(api.server.backend.authorizer)


CASES: dict[str, tuple[list[Any], str]] = {
    "none": ([], "authorizers: Required value: at least one authorization mode must be defined"),
    "no type": ([{"name": "x"}], "authorizers[0].type: Required value"),
    "unknown type": (
        [{"type": "X", "name": "x"}],
        'authorizers[0].type: Unsupported value: "X": supported values: "ABAC", "AlwaysAllow", "AlwaysDeny", '
        '"Node", "RBAC", "Webhook"',
    ),
    "twice": ([RBAC, {"type": "RBAC", "name": "y"}], 'authorizers[1].type: Duplicate value: "RBAC"'),
    "no name": ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
    "one name": ([RBAC, {"type": "Node", "name": "rbac"}], 'authorizers[1].name: Duplicate value: "rbac"'),
    "a webhook of another type": (
        [{**RBAC, "webhook": {}}],
        'authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook',
    ),
    "no webhook": (
        [{"type": "Webhook", "name": "w"}],
        "authorizers[0].webhook: Required value: required when type=Webhook",
    ),
    "no timeout": ([hook("F", timeout=None)], "authorizers[0].timeout: Required value"),
    "long timeout": (
        [hook("F", timeout="31s")],
        'authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s',
    ),
    "a minute": (
        [hook("F", timeout="60s")],
        'authorizers[0].timeout: Invalid value: "1m0s": must be > 0s and <= 30s',
    ),
    "a time before now": (
        [hook("F", authorizedTTL="-30s")],
        'authorizers[0].authorizedTTL: Invalid value: "-30s": must be > 0s',
    ),
    "another time before now": (
        [hook("F", unauthorizedTTL="-30s")],
        'authorizers[0].unauthorizedTTL: Invalid value: "-30s": must be > 0s',
    ),
    "no time": ([hook("F", timeout="0s")], "authorizers[0].timeout: Required value"),
    "another version of reviews": (
        [hook("F", subjectAccessReviewVersion="v2beta1")],
        'authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2beta1": supported values: "v1", '
        '"v1beta1"',
    ),
    "another version of reviews for conditions": (
        [hook("F", matchConditionSubjectAccessReviewVersion="v1beta1")],
        'authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": supported '
        'values: "v1"',
    ),
    "all that is wrong, in its order": (
        [
            {
                "type": "Webhook",
                "name": "w",
                "webhook": {"authorizedTTL": "-1s", "unauthorizedTTL": "-2s", "matchConditions": [{}]},
            }
        ],
        '[authorizers[0].timeout: Required value, authorizers[0].authorizedTTL: Invalid value: "-1s": must '
        'be > 0s, authorizers[0].unauthorizedTTL: Invalid value: "-2s": must be > 0s, '
        "authorizers[0].subjectAccessReviewVersion: Required value, "
        "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match "
        "conditions are specified, authorizers[0].failurePolicy: Required value, "
        "authorizers[0].connectionInfo.type: Required value, "
        "authorizers[0].matchConditions[0].expression: Required value]",
    ),
    "another connection": (
        [hook("F", connectionInfo={"type": "ExternalClusterConfig"})],
        'authorizers[0].connectionInfo.type: Unsupported value: {"Type":"ExternalClusterConfig",'
        '"KubeConfigFile":null}: supported values: "InClusterConfig", "KubeConfigFile"',
    ),
    "a file for the own cluster": (
        [hook("F", connectionInfo={"type": "InClusterConfig", "kubeConfigFile": ""})],
        'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "": can only be set when '
        "type=KubeConfigFile",
    ),
    "no file": (
        [hook("F", connectionInfo={"type": "KubeConfigFile"})],
        "authorizers[0].connectionInfo.kubeConfigFile: Required value",
    ),
    "a directory": (
        [hook("F", connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "/"})],
        'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/": must be a regular file',
    ),
    "what is below no directory": (
        [hook("F", connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "/dev/null/x"})],
        'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/dev/null/x": error loading file: '
        "stat /dev/null/x: not a directory",
    ),
    "a condition twice": (
        [
            hook(
                "F",
                matchConditionSubjectAccessReviewVersion="v1",
                matchConditions=[{"expression": "request.user == 'admin'"}] * 2,
            )
        ],
        "authorizers[0].matchConditions[1].expression: Duplicate value: \"request.user == 'admin'\"",
    ),
    "a condition that sets": (
        [
            hook(
                "F",
                matchConditionSubjectAccessReviewVersion="v1",
                matchConditions=[{"expression": "request.user = 'test'"}],
            )
        ],
        "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user = 'test'\": compilation "
        "failed: ERROR: <input>:1:14: Syntax error: token recognition error at: '= '\n "
        "| request.user = 'test'\n | .............^\nERROR: <input>:1:16: Syntax error: extraneous input "
        "''test'' expecting <EOF>\n | request.user = 'test'\n | ...............^",
    ),
    "what is no time": (
        [hook("F", timeout="soon")],
        'failed to load AuthorizationConfiguration from file: time: invalid duration "soon"',
    ),
    "a name in capitals": (
        [{"type": "Webhook", "name": "FOO.example.domain"}],
        '[authorizers[0].name: Invalid value: "FOO.example.domain": authorizer name is invalid: a lowercase '
        "RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), "
        "authorizers[0].webhook: Required value: required when type=Webhook]",
    ),
    "names that are not the types'": (
        [{**RBAC, "name": "x"}, {**NODE, "name": "z"}],
        "[expected name rbac for authorizer RBAC instead of x, expected name node for authorizer Node "
        "instead of z]",
    ),
    "a condition that is not as it is written": (
        [hook("F", matchConditionSubjectAccessReviewVersion="v1", matchConditions=[{"expression": " x"}])],
        'authorizers[0].matchConditions[0].expression: Invalid value: " x": compilation failed: ERROR: '
        "<input>:1:2: undeclared reference to 'x' (in container '')\n |  x\n | .^",
    ),
    "an unknown field": (
        [hook("F", timeoutt="3s")],
        "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field "
        '"authorizers[0].webhook.timeoutt"',
    ),
    "no policy": ([hook("F", failurePolicy=None)], "authorizers[0].failurePolicy: Required value"),
    "another policy": (
        [hook("F", failurePolicy="X")],
        'authorizers[0].failurePolicy: Unsupported value: "X": supported values: "NoOpinion", "Deny"',
    ),
    "no version": (
        [hook("F", subjectAccessReviewVersion=None)],
        "authorizers[0].subjectAccessReviewVersion: Required value",
    ),
    "conditions without version": (
        [hook("F", matchConditions=[{"expression": ""}])],
        "[authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match "
        "conditions are specified, authorizers[0].matchConditions[0].expression: Required value]",
    ),
    "no connection": (
        [hook("F", connectionInfo=None)],
        "authorizers[0].connectionInfo.type: Required value",
    ),
    "a relative path": (
        [hook("F", connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "x"})],
        'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "x": must be an absolute path',
    ),
    "no such file": (
        [hook("F", connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "/nowhere"})],
        'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/nowhere": error loading file: '
        "stat /nowhere: no such file or directory",
    ),
}


@pytest.mark.parametrize(("entries", "want"), CASES.values(), ids=CASES)
def test_faults(tmp_path: Path, entries: list[Any], want: str) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()
    with pytest.raises(BadConfiguration) as caught:
        parse(document(*entries).replace(": F\n", f": {file}\n"), compile_expression)
    assert str(caught.value) == want


def test_a_file_without_a_text() -> None:
    with pytest.raises(
        BadConfiguration, match=r"^authorizers: Required value: at least one authorization mode"
    ):
        parse("", compile_expression)


def test_types_that_may_not_go() -> None:
    with pytest.raises(BadConfiguration, match=r"^missing required types: \[Node RBAC\]$"):
        parse(document(ALL), compile_expression, ("RBAC", "Node", "AlwaysAllow"))


@pytest.mark.parametrize("text", ["kind: Pod", "kind: AuthorizationConfiguration", "- 1", "[", "a: b: c"])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(BadConfiguration):
        parse(text, compile_expression)


def test_match_conditions(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()

    def parsed(*texts: str) -> Webhook:
        conditions = [{"expression": text} for text in texts]
        entry = hook(file, matchConditions=conditions, matchConditionSubjectAccessReviewVersion="v1")
        (found,) = parse(document(entry), compile_expression)
        assert isinstance(found, Webhook)
        return found

    good = "has(request.resourceAttributes) && request.resourceAttributes.namespace == 'a'"
    assert [one.text for one in parsed(good, "!('x' in request.groups)").settings.conditions] == [
        good, "!('x' in request.groups)"
    ]  # fmt: skip
    assert parsed(good) == parsed(good), "a file that is read again changes nothing"
    for bad, text in (("request.nobody == 'x'", "undefined field 'nobody'"), ("request.user", "bool")):
        with pytest.raises(BadConfiguration, match=text):
            parsed(bad)


async def test_policies_of_a_file(serving: Any, tmp_path: Path) -> None:
    """Type ABAC goes by the policies that a flag names, and is there from the start or never."""
    path, abac = tmp_path / "authz.yaml", {"type": "ABAC", "name": "abac"}
    path.write_text(document(abac))
    with pytest.raises(BadConfiguration, match="authorization policy file not passed"):
        async with serving(authorization_config=path):
            pass
    policies = abac_policies('{"user": "alice", "readonly": true}', "policies")
    async with serving(authorization_config=path, authorization_policies=policies) as api:
        assert (await api("GET", "/api/v1/namespaces/default/pods", user="alice")).status == 200
    path.write_text(document(RBAC))
    async with serving(authorization_config=path, authorization_policies=policies) as api:
        path.write_text(document(RBAC, abac))
        assert not api.server._modes.reload(api.server.backend.authorizer)


async def test_a_file_that_changes(serving: Any, tmp_path: Path) -> None:
    path = tmp_path / "authz.yaml"
    path.write_text(document(RBAC))
    async with serving(authorization_config=path) as api:
        pods = "/api/v1/namespaces/default/pods"
        assert (await api("GET", pods, user="alice")).status == 403
        for refused in (document(ALL), document({**RBAC, "name": "other"}), document(RBAC, NODE)):
            path.write_text(refused)
            assert not api.server._modes.reload(api.server.backend.authorizer)
        assert (await api("GET", pods, user="alice")).status == 403
        path.write_text(document(ALL, RBAC))
        assert api.server._modes.reload(api.server.backend.authorizer)
        assert (await api("GET", pods, user="alice")).status == 200
        for nothing_new in (f"# the same\n{document(ALL, RBAC)}", "nonsense"):
            path.write_text(nothing_new)
            assert not api.server._modes.reload(api.server.backend.authorizer)
        assert (await api("GET", pods, user="alice")).status == 200
