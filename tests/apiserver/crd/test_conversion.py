"""What is said of conversion webhooks that cannot be asked or answer wrongly."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apimachinery.meta import GVK
from tiphys.apiserver.crd.conversion import Conversion
from tiphys.apiserver.crd.counts import Counts
from tiphys.apiserver.observe.certificate_counts import CertificateCounts
from tiphys.apiserver.options import ApiServerOptions
from tiphys.wire import pki
from tiphys.wire.kept import KeptConnections
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

TO = GVK("e.com", "v2", "Foo")
OLD: dict[str, Any] = {
    "apiVersion": "e.com/v1",
    "kind": "Foo",
    "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "1"}, "generation": 3},
}
META = OLD["metadata"]
Change = Callable[[dict[str, Any]], Any]


def made(**changes: Any) -> dict[str, Any]:
    return {**OLD, "apiVersion": "e.com/v2", **changes}


class Webhook:
    """Answers what a test says, as a well-formed review otherwise."""

    def __init__(self) -> None:
        self.change: Change = lambda review: review
        self.objects: list[Any] = [made()]
        self.raw: Response | None = None
        self.asked: dict[str, Any] = {}
        self.target = ""

    async def __call__(self, request: Request) -> Response:
        if self.raw is not None:
            return self.raw
        self.asked = orjson.loads(request.body)
        self.target = f"{request.path}?{request.raw_query}"
        response = {
            "uid": self.asked["request"]["uid"],
            "result": {"status": "Success"},
            "convertedObjects": self.objects,
        }
        answer = {"apiVersion": self.asked["apiVersion"], "kind": "ConversionReview", "response": response}
        body = orjson.dumps(self.change(answer))
        return Response(200, {"content-type": "application/json"}, body)


@pytest.fixture
async def webhook() -> AsyncIterator[tuple[Webhook, dict[str, Any]]]:
    now = RealClock().now()
    authority = pki.make_ca("webhook-ca", now)
    pair = pki.issue_server(authority, "webhook", ["127.0.0.1"], now)
    answering = Webhook()
    async with serve(answering, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        bundle = base64.b64encode(authority.certificate).decode()
        yield answering, {"url": f"https://127.0.0.1:{server.port}/convert", "caBundle": bundle}


def kind_of(config: dict[str, Any], version: str = "v1") -> Any:
    webhook = {"clientConfig": config, "conversionReviewVersions": [version]}
    return SimpleNamespace(
        conversion={"strategy": "Webhook", "webhook": webhook}, gvk=TO, list_kind="FooList",
        definition_name="foos.e.com",
    )  # fmt: skip


async def convert(kind: Any, count: int = 1, counts: Counts | None = None) -> list[dict[str, Any]]:
    backend: Any = SimpleNamespace(
        kept=KeptConnections(), options=ApiServerOptions(), certificates=CertificateCounts(),
        clock=RealClock(),
    )  # fmt: skip
    try:
        return await Conversion(backend, counts or Counts(lambda: 0.0))([OLD] * count, kind, TO)
    finally:
        backend.kept.close()


async def fault(kind: Any, count: int = 1) -> str:
    with pytest.raises(InternalError) as caught:
        await convert(kind, count)
    return caught.value.message


def result(**fields: Any) -> Change:
    def change(review: dict[str, Any]) -> Any:
        review["response"]["result"] = fields
        return review

    return change


ONE = "conversion webhook for e.com/v1, Kind=Foo "
REVIEW = "apiextensions.k8s.io/v1, Kind=ConversionReview"
ANSWERS: dict[str, tuple[Change, str]] = {
    "refusal": (result(status="Failure", message="no"), "failed: no"),
    "refusal without words": (
        result(status="Failure"),
        "failed: response.result.status was 'Failure', not 'Success'",
    ),
    "no result": (result(), "failed: response.result.status was '', not 'Success'"),
    "another kind": (
        lambda review: {**review, "kind": "Foo"},
        'failed: no kind "Foo" is registered for version "apiextensions.k8s.io/v1"',
    ),
    "no kind": (
        lambda review: {"response": review["response"]},
        f"failed: expected webhook response of {REVIEW}, got /, Kind=",
    ),
    "another version": (
        lambda review: {**review, "apiVersion": "apiextensions.k8s.io/v1beta1"},
        "failed: converting (v1beta1.ConversionReview) to (v1.ConversionReview): unknown conversion",
    ),
    "no response": (lambda review: {**review, "response": None}, "failed: no response provided"),
    "another uid": (
        lambda review: {**review, "response": {**review["response"], "uid": "x"}},
        'failed: expected response.uid="',
    ),
    "too few": (
        lambda review: {**review, "response": {**review["response"], "convertedObjects": []}},
        "returned 0 objects, expected 1",
    ),
}


WRONG_TYPES: dict[str, tuple[Any, str]] = {
    "a result that is a text": (
        {"result": "Success"},
        "string into Go struct field ConversionResponse.response.result of type v1.Status",
    ),
    "a status that is no text": (
        {"result": {"status": True}},
        "bool into Go struct field Status.response.result.status of type string",
    ),
    "a uid that is no text": (
        {"uid": 1},
        "number into Go struct field ConversionResponse.response.uid of type types.UID",
    ),
    "objects that are no list": (
        {"convertedObjects": {}},
        "object into Go struct field ConversionResponse.response.convertedObjects of type "
        "[]runtime.RawExtension",
    ),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
async def test_answers_of_wrong_types_are_failed_calls(webhook: Any, name: str) -> None:
    answering, config = webhook
    fields, wanted = WRONG_TYPES[name]
    answering.change = lambda review: {**review, "response": {**review["response"], **fields}}
    assert await fault(kind_of(config)) == f"{ONE}failed: json: cannot unmarshal {wanted}"


async def test_a_response_that_is_no_object_is_a_failed_call(webhook: Any) -> None:
    answering, config = webhook
    answering.change = lambda review: {**review, "response": "no"}
    wanted = "string into Go struct field ConversionReview.response of type v1.ConversionResponse"
    assert await fault(kind_of(config)) == f"{ONE}failed: json: cannot unmarshal {wanted}"


async def test_an_answer_that_is_no_json(webhook: Any) -> None:
    answering, config = webhook
    answering.raw = Response(200, {}, b"{junk")
    wanted = "failed: couldn't get version/kind; json parse error: "
    found = await fault(kind_of(config))
    assert found == f"{ONE}{wanted}invalid character 'j' looking for beginning of object key string"


@pytest.mark.parametrize("name", ANSWERS)
async def test_bad_answers(webhook: Any, name: str) -> None:
    answering, config = webhook
    answering.change, wanted = ANSWERS[name]
    assert (await fault(kind_of(config))).startswith(ONE + wanted)


OBJECTS: dict[str, tuple[Any, str]] = {
    "version": (
        made(apiVersion="e.com/v3"),
        "returned invalid object at index 0: invalid groupVersion (expected e.com/v2, received e.com/v3)",
    ),
    "kind": (
        made(kind="Bar"),
        "returned invalid object at index 0: invalid kind (expected Foo, received Bar)",
    ),
    "name": (
        made(metadata={**META, "name": "b"}),
        "returned invalid object: must have the same name: a != b",
    ),
    "uid": (made(metadata={**META, "uid": "w"}), "returned invalid object: must have the same UID: u != w"),
    "labels": (
        made(metadata={**META, "labels": []}),
        "returned invalid metadata: invalid metadata.labels of type []interface {} in converted object",
    ),
    "label": (
        made(metadata={**META, "labels": {"x": 1}}),
        "returned invalid metadata: metadata.labels[x] must be a string, but is int64 in converted object",
    ),
    "label's value": (
        made(metadata={**META, "labels": {"x": "!"}}),
        "returned invalid metadata: metadata.labels: Invalid value: ",
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
async def test_bad_objects(webhook: Any, name: str) -> None:
    answering, config = webhook
    wrong, text = OBJECTS[name]
    answering.objects = [wrong]
    assert (await fault(kind_of(config))).startswith(ONE + text)
    answering.objects = [made(), wrong]
    assert (await fault(kind_of(config), 2)).startswith(ONE + text)


NO_OBJECTS: dict[str, tuple[Any, str]] = {
    "null": (None, "unexpected end of JSON input"),
    "a list": ([], "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    "of no kind": ({"apiVersion": "e.com/v2"}, "Object 'Kind' is missing in '{\"apiVersion\":\"e.com/v2\"}'"),
}


@pytest.mark.parametrize("name", NO_OBJECTS)
async def test_what_is_no_object_is_told_as_such(webhook: Any, name: str) -> None:
    answering, config = webhook
    wrong, text = NO_OBJECTS[name]
    answering.objects = [wrong]
    assert await fault(kind_of(config)) == text


async def test_only_labels_and_annotations_may_change(webhook: Any) -> None:
    answering, config = webhook
    answering.objects = [made(metadata={**META, "labels": {"y": "2"}, "generation": 9, "finalizers": ["z"]})]
    (converted,) = await convert(kind_of(config))
    assert converted["metadata"] == {**META, "labels": {"y": "2"}}
    assert answering.target == "/convert?timeout=30s"
    assert answering.asked["request"]["objects"] == [OLD]


async def test_older_reviews_have_no_identity(webhook: Any) -> None:
    answering, config = webhook
    answering.change = lambda review: {"response": {**review["response"], "uid": ""}}
    assert len(await convert(kind_of(config, "v1beta1"))) == 1
    assert answering.asked["apiVersion"] == "apiextensions.k8s.io/v1beta1"


async def test_failures_of_http(webhook: Any) -> None:
    answering, config = webhook
    answering.raw = Response(404, {}, b"")
    wanted = f"{ONE}failed: the server could not find the requested resource"
    assert await fault(kind_of(config)) == wanted
    answering.raw = Response(503, {}, b"down")
    assert (
        await fault(kind_of(config)) == f"{ONE}failed: the server is currently unable to handle the request"
    )
    answering.raw = Response(502, {}, b"down")
    wanted = f'{ONE}failed: an error on the server ("down") has prevented the request from succeeding'
    assert await fault(kind_of(config)) == wanted


async def test_nobody_listens() -> None:
    config = {"url": "https://127.0.0.1:1/convert"}
    assert await fault(kind_of(config)) == (
        f'{ONE}failed: Post "https://127.0.0.1:1/convert?timeout=30s": dial tcp 127.0.0.1:1: connect: '
        "connection refused"
    )


async def test_a_certificate_of_somebody_else(webhook: Any) -> None:
    _, config = webhook
    other = pki.make_ca("other", RealClock().now())
    config = {**config, "caBundle": base64.b64encode(other.certificate).decode()}
    assert (await fault(kind_of(config))).endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


async def test_none_changes_the_version_alone() -> None:
    kind: Any = SimpleNamespace(conversion={"strategy": "None"})
    assert await convert(kind) == [made()]
    nobody: Any = SimpleNamespace()
    assert await asyncio.gather(Conversion(nobody, Counts(lambda: 0.0))([], kind, TO)) == [[]]


def counted(counts: Counts) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the numbers of conversions, and those of the times that they took."""
    return {
        one.name: {tuple(sample.labels.values()): sample.value for sample in one.samples if sample.name in (
            one.name, f"{one.name}_total", f"{one.name}_count", f"{one.name}_sum")}
        for one in counts.collect()
        if "conversion_webhook" in one.name
    }  # fmt: skip


FAILURES: dict[str, tuple[Callable[[Webhook], None], str]] = {
    "none": (lambda webhook: None, ""),
    "call": (
        lambda webhook: setattr(webhook, "raw", Response(500, {}, b"no")),
        "conversion_webhook_call_failure",
    ),
    "no JSON": (
        lambda webhook: setattr(webhook, "raw", Response(200, {}, b"no")),
        "conversion_webhook_call_failure",
    ),
    "a response that is no object": (
        lambda webhook: setattr(webhook, "change", lambda review: {**review, "response": "no"}),
        "conversion_webhook_call_failure",
    ),
    "refused": (
        lambda webhook: setattr(webhook, "change", result(status="Failure")),
        "conversion_webhook_malformed_response_failure",
    ),
    "objects that lack": (
        lambda webhook: setattr(webhook, "objects", []),
        "conversion_webhook_partial_response_failure",
    ),
    "another kind": (
        lambda webhook: setattr(webhook, "objects", [made(kind="Bar")]),
        "conversion_webhook_invalid_converted_object_failure",
    ),
    "bad labels": (
        lambda webhook: setattr(webhook, "objects", [made(metadata={**META, "labels": 1})]),
        "conversion_webhook_invalid_converted_object_failure",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_was_asked_is_counted(webhook: Any, name: str) -> None:
    answering, config = webhook
    change, failure = FAILURES[name]
    change(answering)
    now = iter(range(100))
    counts = Counts(lambda: float(next(now)))
    with suppress(InternalError):
        await convert(kind_of(config), counts=counts)
    asked = ("failure" if failure else "success", failure)
    converted = ("foos.e.com", "v1", "v2", "false" if failure else "true")
    assert counted(counts) == {
        "apiserver_conversion_webhook_request": {asked: 1},
        "apiserver_conversion_webhook_duration_seconds": {asked: 1},
        "apiserver_crd_conversion_webhook_duration_seconds": {converted: 1},
    }
    bounds = {
        one.name: [sample.labels["le"] for sample in one.samples if sample.name.endswith("_bucket")]
        for one in counts.collect()
    }
    assert " ".join(bounds["apiserver_conversion_webhook_duration_seconds"]) == (
        "0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 20 30 45 60 +Inf"
    )
    assert " ".join(bounds["apiserver_crd_conversion_webhook_duration_seconds"]) == (
        "0.001 0.002 0.004 0.008 0.016 0.032 0.064 0.128 0.256 0.512 1.024 2.048 4.096 8.192 16.384 +Inf"
    )


async def test_a_change_of_nothing_but_the_version_is_not_counted() -> None:
    counts = Counts(lambda: 0.0)
    kind: Any = SimpleNamespace(conversion={"strategy": "None"})
    await convert(kind, counts=counts)
    assert not any(counted(counts).values())
