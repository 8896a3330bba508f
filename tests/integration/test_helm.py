"""helm against a cluster: install with its own starter chart, upgrade, roll back, list, uninstall."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kubectls import newest_tools

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def binary() -> str:
    """Return the helm on PATH, or one that is downloaded once for this machine."""
    return shutil.which("helm") or str(newest_tools() / "helm")


def test_the_life_of_a_release(api: Any, binary: str, namespace: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": api.kubeconfig}

    def helm(*words: str) -> str:
        done = subprocess.run(
            [binary, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    helm("create", "argo")
    here = ("--namespace", namespace)
    helm("install", "ship", "argo", *here, "--wait", "--timeout", "60s")
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    (made,) = api("GET", deployments).json["items"]
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    helm("upgrade", "ship", "argo", *here, "--set", "replicaCount=2", "--wait", "--timeout", "60s")
    (made,) = api("GET", deployments).json["items"]
    assert (made["spec"]["replicas"], made["status"]["readyReplicas"]) == (2, 2)
    helm("rollback", "ship", "1", *here, "--wait", "--timeout", "60s")
    (made,) = api("GET", deployments).json["items"]
    assert made["spec"]["replicas"] == 1
    (release,) = json.loads(helm("list", *here, "-o", "json"))
    assert (release["name"], release["revision"], release["status"]) == ("ship", "3", "deployed")
    assert "kind: Deployment" in helm("get", "manifest", "ship", *here)
    helm("uninstall", "ship", *here, "--wait")
    assert json.loads(helm("list", *here, "-o", "json")) == []
