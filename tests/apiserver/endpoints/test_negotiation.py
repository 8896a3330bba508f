"""Choosing the form of an answer."""
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import replace

import pytest

from tiphys.apimachinery.errors import NotAcceptable, UnsupportedMediaType
from tiphys.apiserver.endpoints.negotiation import (
    JSON,
    PROTOBUF,
    YAML,
    Format,
    accept_format,
    body_media_type,
    failure_format,
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
        ("*/*,application/yaml", Format(YAML)),
        ("application/*,application/yaml", Format(YAML)),
        ("*/*,application/*,application/vnd.kubernetes.protobuf;q=0.1", Format(PROTOBUF)),
        ("application/yaml;q=0.1,*/*", Format()),
        ("application/json;q=x,application/yaml;q=-1", Format()),
        ("application/json;as=,application/yaml", Format()),
        (
            "application/json;as=Table;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Format(JSON, "PartialObjectMetadata"),
        ),
        ("text/html,,json,application/yaml/,", Format(YAML)),
        ("*;pretty=1", Format(pretty=True)),
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
        "Application/JSON",
        'application/json;as="Table";g=meta.k8s.io;v=v1',
        "application/json;as==Table;g=meta.k8s.io;v=v1",
        " ",
        "*/json",
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


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        ("", Format()),
        ("application/json;q=0.1,application/vnd.kubernetes.protobuf", Format(PROTOBUF)),
        (KUBECTL, Format()),
        (f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json", Format()),
        (KUBECTL.removesuffix(",application/json"), None),
        ("application/json;sv=v1", None),
        ("application/json;stream=watch", Format()),
        ("text/html", None),
    ],
)
def test_failures_have_no_other_form(accept: str, want: Format | None) -> None:
    assert failure_format(accept, "", "") == want
    assert failure_format(accept, "1", "") == (want and replace(want, pretty=True))


@pytest.mark.parametrize("pretty", ["0", "yes", "tRue"])
def test_pretty_is_a_truth_as_go_reads_it(pretty: str) -> None:
    assert not accept_format("", pretty, "curl/8").pretty


BODIES = {
    "": JSON,
    "application/yaml; charset=utf-8": YAML,
    " Application/JSON ;": JSON,
    'application/json; charset="utf-8"; a=b ': JSON,
    "application/json; a=b; A=b": JSON,
}


@pytest.mark.parametrize(("said", "want"), BODIES.items())
def test_body(said: str, want: str) -> None:
    assert body_media_type(said) == want


@pytest.mark.parametrize(
    "said",
    [
        "text/plain",
        "application/cbor",
        "application/json,application/yaml",
        "application/json; charset",
        "application/json; charset=",
        "application/json; a=b; a=c",
        'application/json; a="b',
        "application/json;; a=b",
        ";",
        "json",
    ],
)
def test_bodies_of_other_types(said: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        body_media_type(said)
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
