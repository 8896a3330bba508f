"""``/flagz`` and ``/statusz``: text for people, JSON by version, and the gates that turn them off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.client.zpages import ZPages
from tiphys.wire.message import Request, Response

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = STARTED + timedelta(hours=2, minutes=3, seconds=4)


def ask(path: str, accept: str = "", **gates: bool) -> Response | None:
    pages = ZPages("kube-x", STARTED, {"v": "2", "a": "b"}, ("/statusz", "/flagz"), resolve(gates))
    return pages.answer(Request("GET", path, headers={"accept": accept} if accept else {}), NOW)


TEXTS = ["", "text/plain", "*/*", "text/*;q=0.5", "text/html, text/plain;charset=utf-8"]


@pytest.mark.parametrize("accept", TEXTS)
def test_texts(accept: str) -> None:
    answer = ask("/flagz", accept)
    assert answer is not None
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.body.decode().split("\n")  # type: ignore[union-attr]
    assert lines[1] == "kube-x flags"
    assert lines[2].startswith("Warning: This endpoint is not meant to be machine parseable")
    assert lines[4:] == ["a=b", "v=2", ""]


def test_the_text_of_a_status() -> None:
    answer = ask("/statusz")
    assert answer is not None
    assert answer.body.decode().split("\n")[4:] == [  # type: ignore[union-attr]
        "Started: Thu Jan 01 00:00:00 UTC 2026",
        "Up: 2 hr 03 min 04 sec",
        "Binary version: 1.36.0",
        "Emulation version: 1.36",
        "Paths: /flagz /statusz",
        "",
    ]


STRUCTURED: list[tuple[str, str, dict[str, Any]]] = [
    ("/flagz", "application/json;v=v1alpha1;g=config.k8s.io;as=Flagz", {
        "kind": "Flagz", "apiVersion": "config.k8s.io/v1alpha1", "metadata": {"name": "kube-x"},
        "flags": {"a": "b", "v": "2"},
    }),
    ("/statusz", "application/json; g=config.k8s.io; v=v1beta1; as=Statusz, text/plain", {
        "kind": "Statusz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kube-x"},
        "startTime": "2026-01-01T00:00:00Z", "uptimeSeconds": 7384, "goVersion": "",
        "binaryVersion": "1.36.0", "emulationVersion": "1.36", "paths": ["/flagz", "/statusz"],
    }),
]  # fmt: skip


@pytest.mark.parametrize(("path", "accept", "document"), STRUCTURED)
def test_documents(path: str, accept: str, document: dict[str, Any]) -> None:
    answer = ask(path, accept)
    assert answer is not None
    assert answer.headers["content-type"] == "application/json"
    assert orjson.loads(answer.body) == document  # type: ignore[arg-type]


REFUSED = [
    "application/json",
    "application/json;v=v1alpha1;g=config.k8s.io",
    "application/json;v=v1alpha1;g=config.k8s.io;as=Statusz",
    "application/json;v=v9;g=config.k8s.io;as=Flagz",
    "text/html",
]


@pytest.mark.parametrize("accept", REFUSED)
def test_what_is_not_offered(accept: str) -> None:
    answer = ask("/flagz", accept)
    assert answer is not None
    assert answer.status == 406


@pytest.mark.parametrize(
    ("path", "gates"),
    [("/other", {}), ("/flagz", {"ComponentFlagz": False}), ("/statusz", {"AllBeta": False})],
)
def test_what_is_not_there(path: str, gates: dict[str, bool]) -> None:
    assert ask(path, **gates) is None
