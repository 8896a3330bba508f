"""kubectl and custom kinds: client-side validation by the published schema, apply, explain."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMA = {
    "type": "object",
    "description": "Ships of the fleet.",
    "properties": {
        "spec": {
            "type": "object",
            "description": "What the ship shall be.",
            "required": ["mast"],
            "properties": {
                "mast": {"type": "integer", "description": "How many masts it has."},
                "crew": {"type": "array", "items": {"type": "object", "properties": {
                    "name": {"type": "string", "description": "Who it is."}}}},
            },
        }
    },
}  # fmt: skip
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
def run(api: Any, namespace: str) -> Any:
    def kubectl(*words: str, stdin: Any = None, fails: bool = False) -> str:
        args = [KUBECTL, "--kubeconfig", api.kubeconfig, "-n", namespace, *words]
        text = json.dumps(stdin) if stdin is not None else None
        done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return kubectl


@pytest.fixture
def define(api: Any, run: Any) -> Iterator[Any]:
    made: list[str] = []

    def definition(schema: Any) -> None:
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "ships", "kind": "Ship", "singular": "ship"}
        spec = {"group": "fleet.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        body = {"metadata": {"name": "ships.fleet.example.com"}, "spec": spec}
        assert api("POST", CRDS, body).status == 201
        made.append("ships.fleet.example.com")
        run("wait", "--for=condition=Established", f"crd/{made[-1]}", "--timeout=20s")

    yield definition
    for name in made:
        run("delete", "crd", name, "--wait")


def ship(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "fleet.example.com/v1", "kind": "Ship", "metadata": {"name": "argo"}, **more}


def test_a_schema(run: Any, define: Any) -> None:
    define(SCHEMA)
    run("create", "-f", "-", stdin=ship(spec={"mast": 1}))
    run("apply", "-f", "-", stdin=ship(spec={"mast": 2, "crew": [{"name": "Tiphys"}]}))
    refused = run("apply", "-f", "-", stdin=ship(spec={"mast": 2, "sail": 1}), fails=True)
    assert 'unknown field "spec.sail"' in refused
    assert "spec.mast" in run("apply", "-f", "-", stdin=ship(spec={"crew": []}), fails=True)
    shown = run("explain", "ships")
    assert "Ships of the fleet." in shown
    assert "What the ship shall be." in run("explain", "ships.spec")
    assert "Who it is." in run("explain", "ships.spec.crew.name")
    assert "does not exist" in run("explain", "ships.spec.oars", fails=True)


def test_no_schema(run: Any, define: Any) -> None:
    define(FREE)
    run("create", "-f", "-", stdin=ship(a={"b": 1}))
    run("apply", "-f", "-", stdin=ship(a={"b": 2}, c=3))
    shown = run("explain", "ships")
    assert "KIND:" in shown
    assert "Ship" in shown
    assert "DESCRIPTION:" in shown
