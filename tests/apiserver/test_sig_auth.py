"""The behaviours that sig-auth holds every cluster to, as its suite asks for them."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import jwt
import pytest

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


async def bound_token(api: Any, make_pod: Any, **spec: Any) -> str:
    pod = await api.create(PODS, make_pod("asks"))
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "asks", "uid": pod["metadata"]["uid"]}
    made = await api.create(f"{ACCOUNTS}/default/token", {"spec": {"boundObjectRef": ref, **spec}})
    return str(made["status"]["token"])


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, "https://127.0.0.1:6443/openid/v1/jwks"),
        ({"advertise_address": "fd00::1"}, "https://[fd00::1]:6443/openid/v1/jwks"),
        ({"external_hostname": "api.example.com"}, "https://api.example.com:6443/openid/v1/jwks"),
        ({"external_hostname": "api.example.com:443"}, "https://api.example.com:443/openid/v1/jwks"),
        ({"external_hostname": "[fd00::2]:1"}, "https://[fd00::2]:1/openid/v1/jwks"),
        ({"service_account_jwks_uri": "https://a/keys"}, "https://a/keys"),
    ],
)
async def test_where_keys_are_told_to_be(serving: Any, options: dict[str, str], want: str) -> None:
    async with serving(**options) as api:
        found = await api("GET", "/.well-known/openid-configuration")
        assert found.json["jwks_uri"] == want


async def test_a_pod_verifies_its_token_by_discovery(api: Any, make_pod: Any) -> None:
    token = await bound_token(api, make_pod, audiences=["oidc-discovery-test"])
    own = await bound_token_for_api(api)
    document = await api("GET", "/.well-known/openid-configuration", user=own)
    assert document.headers["content-type"] == "application/json"
    found = document.json
    claims = jwt.decode(token, options={"verify_signature": False})
    assert found["issuer"] == claims["iss"]
    assert found["response_types_supported"] == ["id_token"]
    assert found["subject_types_supported"] == ["public"]
    assert jwt.get_unverified_header(token)["alg"] in found["id_token_signing_alg_values_supported"]
    path = "/" + found["jwks_uri"].split("/", 3)[3]
    keys = await api("GET", path, user=own, accept="*/*")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    by_id = {one["kid"]: jwt.PyJWK.from_dict(one) for one in keys.json["keys"]}
    header = jwt.get_unverified_header(token)
    verified = jwt.decode(
        token, by_id[header["kid"]].key, algorithms=[header["alg"]], audience="oidc-discovery-test",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )  # fmt: skip
    assert verified["sub"] == "system:serviceaccount:default:default"
    assert verified["kubernetes.io"]["pod"]["name"] == "asks"
    assert (await api("GET", "/.well-known/openid-configuration", user="")).status == 403


async def bound_token_for_api(api: Any) -> str:
    made = await api.create(f"{ACCOUNTS}/default/token", {"spec": {}})
    return str(made["status"]["token"])


@pytest.mark.parametrize("of_account", [None, True, False])
@pytest.mark.parametrize("of_pod", [None, True, False])
async def test_opting_out_of_the_token(
    api: Any, make_pod: Any, of_account: bool | None, of_pod: bool | None
) -> None:
    account: dict[str, Any] = {"metadata": {"name": "sa"}}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    await api.create(ACCOUNTS, account)
    spec = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    pod = await api.create(PODS, make_pod("p", serviceAccountName="sa", **spec))
    mounts = pod["spec"]["containers"][0].get("volumeMounts") or []
    expected = of_pod if of_pod is not None else of_account is not False
    assert any(mount["mountPath"] == MOUNT for mount in mounts) is expected


async def test_every_container_gets_token_ca_and_namespace(api: Any, make_pod: Any) -> None:
    containers = [{"name": f"c{at}", "image": "i"} for at in range(3)]
    pod = await api.create(PODS, make_pod("p", containers=containers))
    names = set()
    for container in pod["spec"]["containers"]:
        (mount,) = container["volumeMounts"]
        assert (mount["mountPath"], mount["readOnly"]) == (MOUNT, True)
        names.add(mount["name"])
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] in names]
    token, ca, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["path"] == "token"
    assert ca["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    (item,) = namespace["downwardAPI"]["items"]
    assert (item["path"], item["fieldRef"]["fieldPath"]) == ("namespace", "metadata.namespace")


async def test_a_projected_token_as_the_kubelet_asks_for_it(api: Any, make_pod: Any) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 43200, "audience": "a"}}
    volume = {"name": "t", "projected": {"sources": [source]}}
    pod = await api.create(PODS, make_pod("p", nodeName="n1", volumes=[volume]))
    stored = pod["spec"]["volumes"][0]["projected"]
    assert stored["sources"] == [source]
    assert stored["defaultMode"] == 420
    await api.settle()
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    spec = {"audiences": ["a"], "expirationSeconds": 43200, "boundObjectRef": ref}
    made = await api.create(f"{ACCOUNTS}/default/token", {"spec": spec}, user="node")
    review = {"spec": {"token": made["status"]["token"], "audiences": ["a"]}}
    status = (await api.create("/apis/authentication.k8s.io/v1/tokenreviews", review))["status"]
    assert (status["authenticated"], status["audiences"]) == (True, ["a"])


async def test_account_token_and_its_review(api: Any) -> None:
    await api.create(ACCOUNTS, {"metadata": {"name": "made"}})
    made = await api.create(f"{ACCOUNTS}/made/token", {"spec": {}})
    token = made["status"]["token"]
    assert token
    review = await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert review["status"]["authenticated"] is True
    assert "error" not in review["status"]
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:made"


async def test_reviews_say_what_happens(api: Any) -> None:
    await api.create(ACCOUNTS, {"metadata": {"name": "e2e"}})
    user = "system:serviceaccount:default:e2e"
    group = "/apis/authorization.k8s.io/v1"
    attributes = {
        "namespace": "default",
        "verb": "list",
        "group": "",
        "version": "v1",
        "resource": "configmaps",
    }
    spec = {"resourceAttributes": attributes, "user": user}
    for granted in (False, True):
        if granted:
            rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
            rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
            await api.create(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
            await api.create(f"{rbac}/rolebindings", {
                "metadata": {"name": "b"}, "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": "default"}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}})  # fmt: skip
            await api.settle()
        answer = await api("GET", "/api/v1/namespaces/default/configmaps", impersonate_user=user)
        assert (answer.status == 200) is granted
        whole = await api.create(f"{group}/subjectaccessreviews", {"spec": spec})
        local = await api.create(f"{group}/namespaces/default/localsubjectaccessreviews", {"spec": spec})
        assert (whole["status"]["allowed"], local["status"]["allowed"]) == (granted, granted)
        if granted:
            assert (
                whole["status"]["reason"]
                == 'RBAC: allowed by RoleBinding "b/default" of Role "r" to ServiceAccount "e2e/default"'
            )
