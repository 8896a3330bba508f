"""Bodies that nest deep are refused with a 400, in every form, and never by running out of a stack."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.endpoints import nesting

REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
YAML = "application/yaml"
VERY = 1_000_000


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def revision(data: bytes) -> bytes:
    head = b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r"},"revision":1,"data":{"a":'
    return head + data + b"}}"


def in_yaml(data: bytes) -> bytes:
    return (
        b"apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: r}\nrevision: 1\ndata: {a: "
        + data
        + b"}\n"
    )


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (revision(nested(200)), "application/json", 201),
        (revision(nested(300)), "application/json", 400),
        (revision(nested(1010)), "application/json", 400),
        (revision(nested(VERY)), "application/json", 400),
        (revision(b"[" * VERY), "application/json", 400),
        (in_yaml(nested(200)), YAML, 201),
        (in_yaml(nested(300)), YAML, 400),
        (in_yaml(nested(VERY)), YAML, 400),
        (in_yaml(b"[" * VERY), YAML, 400),
        (in_yaml(b"{a: " * VERY), YAML, 400),
        (b"- " * VERY + b"a", YAML, 400),
        (b"-\t" * VERY + b"a", YAML, 400),
        (b"? " * VERY + b"a", YAML, 400),
        (in_yaml(b"&a [*a]"), YAML, 400),
    ],
    ids=["some", "deep", "deeper", "very", "open", "yaml", "deep yaml", "very deep yaml", "open yaml", "braces", "dashes",
         "tabs", "questions", "in itself"],
)  # fmt: skip
async def test_bodies(api: Any, body: bytes, media_type: str, status: int) -> None:
    answer = await api("POST", REVISIONS, body, content_type=media_type)
    assert answer.status == status, answer.raw[:300]


# What is not too deep gets as far as validation, which refuses to change the data of a revision.
PATCHES = [
    ("merge", b'{"data":{"b":' + nested(200) + b"}}", 422),
    ("merge", b'{"data":{"b":' + nested(300) + b"}}", 400),
    ("json", b'[{"op":"add","path":"/data/b","value":' + nested(300) + b"}]", 400),
    ("json", b"[" + b",".join([b'{"op":"copy","from":"/data","path":"/data/a"}'] * 12) + b"]", 422),
    ("json", b"[" + b",".join(b'{"op":"add","path":"/data%s","value":{}}' % (b"/a" * n) for n in range(1, 300)) + b"]", 400),
    ("apply", b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r"},"data":{"b":' + nested(300) + b"}}",
     400),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "patch", "status"), PATCHES)
async def test_patches(api: Any, kind: str, patch: bytes, status: int) -> None:
    await api.create(REVISIONS, revision(b"{}"))
    query = "?fieldManager=t" + ("&force=true" if kind == "apply" else "")
    answer = await api.patch(f"{REVISIONS}/r{query}", patch, kind)
    assert answer.status == status, answer.raw[:300]


def test_how_deep() -> None:
    value: Any = "leaf"
    for _ in range(nesting.MAX_DEPTH):
        value = {"a": [], "b": value} if isinstance(value, list) else [value, 1]
    nesting.check(value)
    with pytest.raises(BadRequest, match="exceeded max depth"):
        nesting.check([value])


def test_block_yaml_with_many_items_is_read() -> None:
    nesting.check_yaml(b"a:\n" + b"- b\n" * 20_000)


async def test_what_is_stored_that_deep_is_read_in_every_form(api: Any) -> None:
    await api.create(REVISIONS, revision(nested(nesting.MAX_DEPTH - 3)))
    for accept in ("application/json", YAML, "application/vnd.kubernetes.protobuf"):
        assert (await api("GET", REVISIONS, accept=accept)).status == 200
    assert (await api("GET", f"{REVISIONS}?pretty=true")).status == 200
