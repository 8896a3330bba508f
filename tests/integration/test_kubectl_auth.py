"""kubectl about identity and rights: what people type, and what they read."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]


@pytest.fixture
def kubectl(api: Any, namespace: str, tmp_path: Path) -> Any:
    def run(*words: str, given: str = "", fails: bool = False) -> str:
        known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        command = [KUBECTL, "--kubeconfig", api.kubeconfig, "--namespace", namespace, *words]
        answer = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=60, env=known, check=False
        )
        assert (answer.returncode != 0) is fails, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    return run


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_may_i_do(kubectl: Any, namespace: str) -> None:
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods", "--resource=deployments.apps")
    kubectl("create", "rolebinding", "b", "--role=r", "--user=jane")
    assert kubectl("auth", "can-i", "list", "pods", "--as=jane") == "yes\n"
    assert kubectl("auth", "can-i", "delete", "pods", "--as=jane", fails=True).startswith("no")
    shown = rows(kubectl("auth", "can-i", "--list", "--as=jane"))
    assert shown[0] == ["Resources", "Non-Resource", "URLs", "Resource", "Names", "Verbs"]
    assert ["pods", "[]", "[]", "[get", "list]"] in shown
    assert ["deployments.apps", "[]", "[]", "[get", "list]"] in shown
    assert ["selfsubjectreviews.authentication.k8s.io", "[]", "[]", "[create]"] in shown
    assert ["[/healthz]", "[]", "[get]"] in shown
    kubectl("create", "rolebinding", "gone", "--role=missing", "--user=jane")
    said = kubectl("auth", "can-i", "delete", "pods", "--as=jane", fails=True)
    assert said == 'no - RBAC: role.rbac.authorization.k8s.io "missing" not found\n'


def test_who_am_i(kubectl: Any) -> None:
    shown = kubectl("auth", "whoami", "--as=jane", "--as-group=dev", "--as-uid=7", "-o", "yaml")
    assert yaml.safe_load(shown)["status"]["userInfo"] == {
        "username": "jane", "uid": "7", "groups": ["dev", "system:authenticated"]
    }  # fmt: skip
    assert rows(kubectl("auth", "whoami", "--as=jane")) == [
        ["ATTRIBUTE", "VALUE"], ["Username", "jane"], ["Groups", "[system:authenticated]"]
    ]  # fmt: skip


def test_tokens(kubectl: Any, namespace: str) -> None:
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot", "--duration=11m", "--audience=vault").strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["vault"], 660)
    said = kubectl("create", "token", "robot", "--duration=1m", fails=True)
    assert "may not specify a duration less than 10 minutes" in said
    own = kubectl("create", "token", "robot").strip()
    shown = kubectl("auth", "whoami", f"--token={own}", "-o", "jsonpath={.status.userInfo.username}")
    assert shown == f"system:serviceaccount:{namespace}:robot"


def test_certificates(kubectl: Any, namespace: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM)

    def manifest(csr_name: str) -> str:
        return yaml.safe_dump(
            {
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "metadata": {"name": csr_name},
                "spec": {
                    "request": base64.b64encode(pem).decode(),
                    "signerName": "kubernetes.io/kube-apiserver-client",
                    "usages": ["client auth"],
                },
            }
        )

    good, bad = f"{namespace}-good", f"{namespace}-bad"
    for one in (good, bad):
        kubectl("create", "-f", "-", given=manifest(one))
    assert (
        kubectl("certificate", "approve", good)
        == f"certificatesigningrequest.certificates.k8s.io/{good} approved\n"
    )
    assert (
        kubectl("certificate", "deny", bad) == f"certificatesigningrequest.certificates.k8s.io/{bad} denied\n"
    )
    conditions = [row[-1] for row in rows(kubectl("get", "csr", good, bad, "--no-headers"))]
    assert conditions[0].startswith("Approved")
    assert conditions[1] == "Denied"
    kubectl("certificate", "approve", bad, fails=True)
    kubectl("delete", "csr", good, bad)


def test_nobody_grants_what_he_has_not(kubectl: Any, namespace: str) -> None:
    kubectl("create", "role", "r", "--verb=create", "--resource=roles", "--resource=rolebindings")
    kubectl("create", "rolebinding", "b", "--role=r", "--user=jane")
    said = kubectl("create", "role", "x", "--verb=get,list", "--resource=secrets", "--as=jane", fails=True)
    assert said.endswith(
        'user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
    )
    said = kubectl("create", "rolebinding", "x", "--clusterrole=view", "--user=jane", "--as=jane", fails=True)
    assert "is attempting to grant RBAC permissions not currently held" in said
