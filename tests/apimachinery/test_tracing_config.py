"""TracingConfiguration: what is read of it, and what is said of a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.tracing_config import KIND, VERSIONS, BadTracing, TracingOptions, read, read_document

NAMING = "https://github.com/grpc/grpc/blob/master/doc/naming.md"
GOOD: dict[str, tuple[dict[str, Any], TracingOptions]] = {
    "nothing": ({}, TracingOptions()),
    "both": ({"endpoint": "c:4317", "samplingRatePerMillion": 10}, TracingOptions("c:4317", 10)),
    "all": ({"samplingRatePerMillion": 1_000_000}, TracingOptions("", 1_000_000)),
    "by name": ({"endpoint": "dns://8.8.8.8/c"}, TracingOptions("dns://8.8.8.8/c")),
    "a socket": ({"endpoint": "unix:///run/c.sock"}, TracingOptions("unix:///run/c.sock")),
}


@pytest.mark.parametrize(("document", "expected"), GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_good(document: dict[str, Any], expected: TracingOptions, version: str) -> None:
    whole = {"apiVersion": f"apiserver.config.k8s.io/{version}", "kind": "TracingConfiguration", **document}
    assert read_document(whole) == expected


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "less than none": (
        {"samplingRatePerMillion": -1},
        "t.samplingRatePerMillion: Invalid value: -1: sampling rate must be positive",
    ),
    "more than all": (
        {"samplingRatePerMillion": 1_000_001},
        "t.samplingRatePerMillion: Invalid value: 1000001: sampling rate per million must be less than or "
        "equal to one million",
    ),
    "a scheme": (
        {"endpoint": "https://c:4317"},
        't.endpoint: Invalid value: "https://c:4317": unsupported scheme: https.  Options are none, dns, '
        f"unix, or unix-abstract.  See {NAMING}",
    ),
    "a scheme that is none": (
        {"endpoint": "dn%2s://localhost:4317"},
        't.endpoint: Invalid value: "dn%2s://localhost:4317": parse "dn%2s://localhost:4317": first path '
        "segment in URL cannot contain colon",
    ),
    "two ports": (
        {"endpoint": "c:1:x"},
        't.endpoint: Invalid value: "dns://c:1:x": parse "dns://c:1:x": invalid port ":x" after host',
    ),
    "no scheme": (
        {"endpoint": "a//b"},
        't.endpoint: Invalid value: "a//b": unsupported scheme: .  Options are none, dns, unix, or '
        f"unix-abstract.  See {NAMING}",
    ),
    "unknown": ({"rate": 1}, 'strict decoding error: unknown field "t.rate"'),
    "of another type": ({"samplingRatePerMillion": "1"}, "t.samplingRatePerMillion: must be of type int"),
}


@pytest.mark.parametrize(("document", "text"), BAD.values(), ids=BAD)
def test_bad(document: dict[str, Any], text: str) -> None:
    with pytest.raises(BadTracing) as raised:
        read(document, "t")
    assert str(raised.value) == text


def test_every_fault_is_told() -> None:
    with pytest.raises(BadTracing, match=r"^\[samplingRatePerMillion: .*, endpoint: .*\]$"):
        read({"samplingRatePerMillion": -1, "endpoint": "http://c"}, "")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, 'no kind "" is registered for version ""'),
        (
            {"kind": KIND, "apiVersion": "v1"},
            'no kind "TracingConfiguration" is registered',
        ),
        (
            {
                "kind": KIND,
                "apiVersion": VERSIONS[0],
                "samplingRatePerMillion": -1,
            },
            "^failed to validate tracing configuration: samplingRatePerMillion: Invalid value: -1",
        ),
    ],
)
def test_a_file_that_is_none(document: Any, text: str) -> None:
    with pytest.raises(BadTracing, match=text):
        read_document(document)
