"""Choosing the form of an answer."""
# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apimachinery.errors import NotAcceptable, UnsupportedMediaType
from tiphys.apiserver.endpoints.negotiation import (
    JSON,
    PROTOBUF,
    YAML,
    Format,
    accept_format,
    body_media_type,
)

KUBECTL = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        ("", Format()),
        ("*/*", Format()),
        ("application/*", Format()),
        ("application/yaml", Format(YAML)),
        ("application/vnd.kubernetes.protobuf,application/json", Format(PROTOBUF)),
        (KUBECTL, Format(JSON, "Table")),
        ("application/json;as=Bogus;v=v1;g=meta.k8s.io,application/json", Format()),
        ("application/json;q=0.1,application/yaml", Format(YAML)),
        (
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Format(JSON, "PartialObjectMetadata"),
        ),
        ("application/json;pretty=1", Format(pretty=True)),
        ("application/json;sv=v1;stream=watch", Format()),
        ("application/yaml;stream=watch,application/json", Format()),
    ],
)
def test_accept(accept: str, want: Format) -> None:
    assert accept_format(accept, "", "kubectl/v1.32") == want


def test_watches_that_begin_with_a_list_are_no_tables() -> None:
    assert accept_format(KUBECTL, "", "", watch=True, tables=False) == Format()
    with pytest.raises(NotAcceptable):
        accept_format(KUBECTL.removesuffix(",application/json"), "", "", watch=True, tables=False)


def test_not_acceptable() -> None:
    with pytest.raises(NotAcceptable) as caught:
        accept_format("text/html", "", "")
    assert caught.value.message == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.parametrize(
    "accept",
    [
        "application/json;g=meta.k8s.io;v=v1",
        "application/json;as=;g=meta.k8s.io;v=v1",
        "application/json;v=v1",
        "application/json;as=Service;g=;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1alpha1",
        "application/json;as=PartialObjectMetadata;g=k8s.io;v=v1",
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1",
        "application/json;stream=list",
        "application/json;sv=v2",
        "application/yaml;stream=watch",
    ],
)
@pytest.mark.parametrize("watch", [False, True], ids=["", "watch"])
def test_what_is_asked_for_in_part_or_in_vain(accept: str, watch: bool) -> None:
    """A watch is first refused as everything else is: with the media types of objects."""
    with pytest.raises(
        NotAcceptable, match=r"json, application/yaml, application/vnd\.kubernetes\.protobuf$"
    ):
        accept_format(accept, "", "", watch=watch)


@pytest.mark.parametrize(
    "accept",
    ["application/yaml", "application/yaml;as=Table;g=meta.k8s.io;v=v1", "application/yaml,application/json"],
)
def test_there_is_no_stream_of_yaml(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        accept_format(accept, "", "", watch=True)
    assert caught.value.message == (
        "only the following media types are accepted: "
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    )
    assert not accept_format("application/json;pretty=1", "", "", watch=True).pretty


def test_pretty_for_people() -> None:
    assert accept_format("", "", "curl/8").pretty
    assert not accept_format("", "false", "curl/8").pretty
    assert accept_format("", "1", "x").pretty


def test_body() -> None:
    assert body_media_type("") == JSON
    assert body_media_type("application/yaml; charset=utf-8") == YAML
    with pytest.raises(UnsupportedMediaType, match="accepted media types include: application/json, "):
        body_media_type("text/plain")
