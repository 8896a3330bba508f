"""The kubectl on the machine speaks HTTP/2: requests, a watch beside them, bodies that are too large."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
Run = Callable[..., subprocess.CompletedProcess[str]]
TOO_LARGE = 4 << 20


@pytest.fixture
def kubectl(api: Any, namespace: str, tmp_path: Path) -> Run:
    """Run a command; what the HTTP/2 of Go does is told beside its output."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GODEBUG": "http2debug=1"}
        command = [KUBECTL, "--kubeconfig", api.kubeconfig, "--namespace", namespace, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, env=known, check=False)

    return run


def test_many_requests_are_streams_of_one_connection(kubectl: Run) -> None:
    answer = kubectl("get", "namespaces,nodes,pods", "-A", "-v=1")
    assert answer.returncode == 0, answer.stderr[-1000:]
    assert "node-3" in answer.stdout
    told = answer.stderr
    assert "received HEADERS flags=END_HEADERS stream=1 " in told
    assert "received HEADERS flags=END_HEADERS stream=9 " in told
    assert told.count("Transport creating client conn") == 1


def test_a_watch_ends_with_its_connection(kubectl: Run) -> None:
    assert kubectl("create", "configmap", "one", "--from-literal=a=b").returncode == 0
    wait = ("wait", "configmap/one", "--for=jsonpath={.data.a}=b", "--timeout=30s")
    answer = kubectl(*wait)
    assert (answer.returncode, answer.stdout) == (0, "configmap/one condition met\n"), answer.stderr[-1000:]
    answer = kubectl("get", "configmap", "one", "--watch", "--request-timeout=1s")
    assert "one " in answer.stdout
    assert "received HEADERS" in answer.stderr
    assert kubectl("delete", "configmap", "one", "--wait").returncode == 0


def test_a_body_that_is_too_large(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * TOO_LARGE)
    answer = kubectl("create", "configmap", "large", f"--from-file={tmp_path}/large", "-v=0")
    assert answer.returncode == 1
    assert "Request entity too large: limit is 3145728" in answer.stderr
