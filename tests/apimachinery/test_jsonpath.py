"""Paths into objects: what they find, what they do not fit, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery import jsonpath

THINGS: dict[str, Any] = {
    "bools": [True, False, True, False],
    "ints": [1, 2, 3, 4],
    "maps": [{"name": "one", "v": 1}, {"name": "two", "v": 2.02, "w": 0}, {"name": "three", "v": 3}],
    "labels": {"kubernetes.io/hostname": "n1", "web/html": 15, "k8s-app": 20},
    "deep": {"ready": True, "inner": [{"ready": False}]},
    "null": None,
}
FOUND: dict[str, list[Any]] = {
    ".bools[-1]": [False],
    ".bools[0:2]": [True, False],
    ".bools[:4:2]": [True, True],
    ".ints[-2]": [3],
    ".ints[-1:]": [4],
    ".ints[:2]": [1, 2],
    ".ints[1::2]": [2, 4],
    ".ints[0,2,3]": [1, 3, 4],
    ".ints[*]": [1, 2, 3, 4],
    ".ints[?(@<3)]": [1, 2],
    ".ints[?(@>=3)]": [3, 4],
    ".ints[?(@!=3)]": [1, 2, 4],
    ".labels.*": ["n1", 15, 20],
    r".labels.kubernetes\.io/hostname": ["n1"],
    r".labels['kubernetes\.io/hostname']": ["n1"],
    ".labels.web/html": [15],
    ".labels['k8s-app']": [20],
    ".labels['k8s-app','web/html']": [20, 15],
    "$.labels.k8s-app": [20],
    '.maps[?(@.name=="two")].v': [2.02],
    ".maps[?(@.name=='two')].v": [2.02],
    ".maps[?(@.w)].name": ["two"],
    ".maps[?(@.w==0)].name": ["two"],
    '.maps[?(@.name=="a)b")].v': [],
    ".bools[?(@==true)]": [True, True],
    ".deep..ready": [True, False],
    "..ready": [True, False],
    ".null.a": [],
    ".null[0]": [],
    ".": [],
}


@pytest.mark.parametrize("path", FOUND)
def test_paths(path: str) -> None:
    assert jsonpath.find(THINGS, path) == FOUND[path]


MISFITS = (
    ".labels[0]", ".ints[7]", ".ints[0:9]", ".ints[3:1]", ".labels[?(@.a==1)]", '.ints[?(@=="1")]',
    ".maps[?(@.name==two)]", ".maps[?(@.v<>1)]", ".bools[?(@<true)]", ".maps[?(@.*==1)]",
)  # fmt: skip


@pytest.mark.parametrize("path", MISFITS)
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(jsonpath.Misfit):
        jsonpath.find(THINGS, path)


BROKEN = (
    ".a[", '.a["b"]', ".a[b]", ".a[]", ".a[?(@.b==1]", ".a[?(@.b==1)", ".a....b",
    "#a", '"a', ".a -", ".a[::0]",
)  # fmt: skip


@pytest.mark.parametrize("path", BROKEN)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(jsonpath.PathError):
        jsonpath.parse(path)
