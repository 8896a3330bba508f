"""What custom kinds publish, to the letter, and what kubectl makes of it: validation and ``explain``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KEEPS = {"x-kubernetes-preserve-unknown-fields": True}
WORDS = {"type": "string"}
FOO: dict[str, Any] = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {"bars": {
                "description": "List of Bars and their specs.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"description": "Name of Bar.", **WORDS},
                        "age": {"description": "Age of Bar.", **WORDS},
                        "feeling": {"description": "How Bar feels.", **WORDS, "enum": ["Great", "Down"]},
                        "bazs": {"description": "List of Bazs.", "type": "array", "items": WORDS},
                    },
                },
            }},
        },
        "status": {
            "type": "object",
            "description": "Status of Foo",
            "properties": {"bars": {"type": "array", "items": {"type": "object", "properties": {
                "available": {"description": "Whether the Bar is installed.", "type": "boolean"},
                "quxType": {"pattern": "in-tree|out-of-tree", **WORDS},
            }}}},
        },
    },
}  # fmt: skip
EMPTY: dict[str, Any] = {"type": "object", **KEEPS}
ROOT: dict[str, Any] = {
    "description": "preserve-unknown-properties at root for Testing", "type": "object", **KEEPS,
    "properties": {"spec": {"description": "Specification of Waldo", "type": "object"}},
}  # fmt: skip
NESTED: dict[str, Any] = {
    "description": "preserve-unknown-properties in nested field for Testing",
    "type": "object",
    "properties": {"spec": {"type": "object", **KEEPS, "properties": {"dummy": {"type": "object"}}}},
}
OWN = ("metadata", "apiVersion", "kind")
"""Properties that every kind gets."""
KIND = "e2e-test-published-crd"
GROUP = "published.example.com"
PLURAL = f"{KIND}s"


@pytest.fixture
def kubectl(api: Any, namespace: str) -> Any:
    def run(*words: str, stdin: Any = None, fails: bool = False) -> str:
        args = [KUBECTL, "--kubeconfig", api.kubeconfig, "-n", namespace, *words]
        text = json.dumps(stdin) if stdin is not None else None
        done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def publish(api: Any, kubectl: Any) -> Iterator[Any]:
    """Make a definition; return what OpenAPI v2 says of its kind, without what every kind has."""
    name = f"{PLURAL}.{GROUP}"

    def definition(schema: Any) -> Any:
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": PLURAL, "kind": KIND, "singular": KIND, "listKind": f"{KIND}List"}
        spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
        assert api("POST", CRDS, {"metadata": {"name": name}, "spec": spec}).status == 201
        kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=20s")
        whole = api("GET", "/openapi/v2").json["definitions"][f"com.example.published.v1.{KIND}"]
        del whole["x-kubernetes-group-version-kind"]
        for own in OWN:
            whole.get("properties", {}).pop(own, None)
        return whole

    yield definition
    kubectl("delete", "crd", name, "--wait")
    assert f"com.example.published.v1.{KIND}" not in api("GET", "/openapi/v2").json["definitions"]


def custom(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": {"name": "test"}, **fields}


EXPLAINED = {
    "": r"DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*"
    r"<Object>.*Specification of Foo",
    ".metadata": r"DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>"
    r".*CreationTimestamp is a timestamp",
    ".spec": r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs",
    ".spec.bars": r"(FIELD|RESOURCE):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*"
    r"FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
}


def test_a_schema(kubectl: Any, publish: Any) -> None:
    assert publish(FOO) == FOO
    for verb in ("create", "apply"):
        kubectl(verb, "-f", "-", stdin=custom(spec={"bars": [{"name": "test-bar"}]}))
        kubectl("delete", PLURAL, "test")
        for bars, fault in (
            (
                {"bars": [{"name": "b", "feeling": "NonExistentValue"}]},
                'Unsupported value: "NonExistentValue"',
            ),
            ({"foo": True}, 'unknown field "spec.foo"'),
            ({"bars": [{"age": "10"}]}, "spec.bars[0].name: Required value"),
        ):
            assert fault in kubectl(verb, "-f", "-", stdin=custom(spec=bars), fails=True)
    for field, pattern in EXPLAINED.items():
        assert re.search(f"(?s){pattern}", kubectl("explain", PLURAL + field)), field
    assert 'field "bars2" does not exist' in kubectl("explain", f"{PLURAL}.spec.bars2", fails=True)


FREE = {
    "no schema": (EMPTY, {"a": {"b": [{"c": "d"}]}}, r"DESCRIPTION:.*<empty>", {"type": "object"}),
    "at the root": (ROOT, {"a": {"b": [{"c": "d"}]}}, rf"KIND:.*{KIND}", {"type": "object"}),
    "in a field": (
        NESTED, {"spec": {"a": None, "b": [{"c": "d"}]}},
        r"DESCRIPTION:.*preserve-unknown-properties in nested field for Testing", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_unknown_fields_that_are_kept(kubectl: Any, publish: Any, name: str) -> None:
    schema, fields, explained, published = FREE[name]
    found = publish(schema)
    assert published is None or found == published
    for verb in ("create", "apply"):
        kubectl(verb, "-f", "-", stdin=custom(**fields))
        kubectl("delete", PLURAL, "test")
    assert re.search(f"(?s){explained}", kubectl("explain", PLURAL))
