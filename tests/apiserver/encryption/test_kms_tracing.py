"""Spans of sealing and opening: how far each has come, and where in a write they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver.encryption.kms_plugin import Plugin, served
from tests.apiserver.encryption.test_kms_socket import Kept, configured
from tests.wire.collector import attributes, collecting

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.tracing import MILLION, Span, Tracer, present
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.apiserver.encryption.kms import Kms
from tiphys.apiserver.encryption.providers import Unreadable

KEY = "/registry/secrets/default/a"
SECRETS = "/api/v1/namespaces/default/secrets"
TO, FROM = "TransformToStorage with envelopeTransformer", "TransformFromStorage with envelopeTransformer"
SEALED = [
    "About to encrypt data using DEK", "Data encryption succeeded", "About to encode encrypted object",
    "Encoded encrypted object",
]  # fmt: skip
DECODED = ["About to decode encrypted object", "Decoded encrypted object"]
ASKED = ["About to decrypt DEK using remote service", "DEK decryption succeeded"]
OPENED = ["About to decrypt data using DEK", "Data decryption succeeded"]


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    ended: list[Span] = []
    tracer = Tracer(MILLION, FakeClock(), ended.append)
    with present(tracer.begin("whole")):
        yield ended


def provider(plugin: Plugin) -> Kms:
    kms = Kms("local", plugin)
    assert kms.poll()
    return kms


def names(span: Span) -> list[str]:
    return [event.name for event in span.events]


def test_sealing_and_opening(spans: list[Span]) -> None:
    plugin = Plugin()
    kms = provider(plugin)
    sealed = kms.seal(KEY, b"hush")
    kms.open(KEY, sealed)
    provider(plugin).open(KEY, sealed)
    assert [(span.name, names(span)) for span in spans] == [
        (TO, SEALED), (FROM, [*DECODED, *OPENED]), (FROM, [*DECODED, *ASKED, *OPENED]),
    ]  # fmt: skip
    assert {str(span.attributes) for span in spans} == {"{'transformer.provider.name': 'local'}"}


def failed(span: Span, what: str, text: str) -> bool:
    """Tell whether a span ends with what failed and how, without a status of its own."""
    said = span.events[-1].attributes.get("exception.message")
    return (names(span)[-2:], said, span.error) == ([what, "exception"], text, None)


def test_what_cannot_be_opened(spans: list[Span]) -> None:
    plugin = Plugin()
    kms = provider(plugin)
    sealed = kms.seal(KEY, b"hush")
    other = provider(plugin)
    plugin.down = True
    broken: list[tuple[Kms, str, bytes, str]] = [
        (kms, KEY, kms.prefix + b"\xff", "Decoding encrypted object failed"),
        (kms, f"{KEY}b", sealed, "Data decryption failed"),
        (other, KEY, sealed, "DEK decryption failed"),
    ]
    for who, key, value, what in broken:
        with pytest.raises(Unreadable) as raised:
            who.open(key, value)
        text = str(raised.value).removeprefix("failed to decrypt DEK, error: ")
        assert failed(spans[-1], what, text), what


def test_a_plugin_that_never_answered(spans: list[Span]) -> None:
    with pytest.raises(StatusError):
        Kms("local", Plugin()).seal(KEY, b"hush")
    assert [(span.name, names(span), span.error) for span in spans] == [(TO, [], None)]


async def test_a_write(serving: Any, tmp_path: Path) -> None:
    with served(tmp_path) as (endpoint, plugin):
        path = configured(tmp_path / "e.yaml", endpoint)
        async with collecting() as collector:
            tracing = TracingOptions(f"127.0.0.1:{collector.port}", MILLION)
            async with serving(Kept(), encryption_provider_config=path, tracing=tracing) as api:
                await api.create(SECRETS, {"metadata": {"name": "a"}})
                await api.patch(f"{SECRETS}/a", {"stringData": {"k": "hush"}})
                await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})
                await api.server.stop()
        assert plugin.asked.count("Encrypt") == 1
    sealed = [span for span in collector.spans if span.name == TO]
    writes = {span.span_id: span.name for span in collector.spans if span.name.endswith("etcd3")}
    assert [writes[span.parent_span_id] for span in sealed] == ["Create etcd3", "GuaranteedUpdate etcd3"]
    assert attributes(sealed[0].attributes) == {"transformer.provider.name": "local"}
    told = [event.name for event in collector.named("GuaranteedUpdate etcd3").events]
    assert told == [
        "initial value restored", "About to Encode", "Encode succeeded", "TransformToStorage succeeded",
        "Transaction prepared", "Txn call completed", "Transaction committed", "decode succeeded",
    ]  # fmt: skip
    created = [
        [event.name for event in span.events] for span in collector.spans if span.name == "Create etcd3"
    ]
    assert created == 2 * [
        [
            "About to Encode", "Encode succeeded", "TransformToStorage succeeded", "Txn call succeeded",
            "decode succeeded",
        ]
    ]  # fmt: skip


async def test_a_write_that_cannot_be_sealed(serving: Any, tmp_path: Path) -> None:
    with served(tmp_path) as (endpoint, plugin):
        plugin.down = True
        path = configured(tmp_path / "e.yaml", endpoint)
        async with collecting() as collector:
            tracing = TracingOptions(f"127.0.0.1:{collector.port}", MILLION)
            async with serving(Kept(), encryption_provider_config=path, tracing=tracing) as api:
                assert (await api("POST", SECRETS, {"metadata": {"name": "a"}})).status == 500
                await api.server.stop()
    (last,) = [span.events[-1] for span in collector.spans if span.name == "Create etcd3"]
    assert last.name == "TransformToStorage failed"
    assert attributes(last.attributes) == {"err": "Internal error occurred: got unexpected nil transformer"}
