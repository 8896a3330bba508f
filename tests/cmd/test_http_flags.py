"""Flags about browsers and addresses: what they mean, and upstream's refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.cmd.component import FlagError
from tiphys.cmd.http_flags import http_faults, http_options

NONE: dict[str, Any] = {
    "cors_allowed_origins": (),
    "strict_transport_security_directives": None,
    "external_hostname": "",
    "endpoint_reconciler_type": "lease",
    "tracing_config_file": "",
    "max_connection_bytes_per_sec": 0,
    "apiserver_count": 1,
    "delete_collection_workers": 1,
}
_PIN = "regular expression does not pin to start/end of host in the origin header"
_ALLOWED = "allowed values: max-age=expireTime, includeSubDomains, preload"


def test_usual() -> None:
    assert http_options(NONE) == {
        "cors_allowed_origins": (),
        "strict_transport_security": (),
        "external_hostname": "",
        "tracing": None,
        "publishes_endpoints": True,
        "max_connection_bytes_per_s": 0,
        "api_servers": 1,
        "delete_collection_workers": 1,
    }


@pytest.mark.parametrize(
    ("flag", "value", "option", "want"),
    [
        ("strict_transport_security_directives", "max-age=3,includeSubDomains,preload",
         "strict_transport_security", ("max-age=3", "includeSubDomains", "preload")),
        ("cors_allowed_origins", ("//a.b$", "^https://c.d:"), "cors_allowed_origins",
         ("//a.b$", "^https://c.d:")),
        ("endpoint_reconciler_type", "none", "publishes_endpoints", False),
        ("endpoint_reconciler_type", "master-count", "publishes_endpoints", True),
        ("external_hostname", "api.example.com", "external_hostname", "api.example.com"),
        ("apiserver_count", 3, "api_servers", 3),
        ("delete_collection_workers", 9, "delete_collection_workers", 9),
    ],
)  # fmt: skip
def test_read(flag: str, value: Any, option: str, want: Any) -> None:
    assert not list(http_faults({**NONE, flag: value}))
    assert http_options({**NONE, flag: value})[option] == want


@pytest.mark.parametrize(
    ("flag", "value", "text"),
    [
        ("strict_transport_security_directives", "", "empty value in strict-transport-security-directives"),
        ("strict_transport_security_directives", "max-age=3,", "empty value in strict-transport-security"),
        ("strict_transport_security_directives", "max-age", _ALLOWED),
        ("strict_transport_security_directives", "max-age=1=2", _ALLOWED),
        ("strict_transport_security_directives", "maxage=1", _ALLOWED),
        ("cors_allowed_origins", ("a.b",), _PIN),
        ("cors_allowed_origins", ("^a.b",), _PIN),
        ("cors_allowed_origins", ("//a.b$", "("), "--cors-allowed-origins has an invalid regular expression"),
        (
            "cors_allowed_origins",
            ("//a.b$", ""),
            "empty value in --cors-allowed-origins, help: List of allowed",
        ),
    ],
)
def test_refused(flag: str, value: Any, text: str) -> None:
    (fault,) = http_faults({**NONE, flag: value})
    assert text in fault


def test_each_fault_is_told() -> None:
    flags = {"strict_transport_security_directives": ",maxage=1", "cors_allowed_origins": ("a", "")}
    assert len(list(http_faults({**NONE, **flags}))) == 4


def test_refused_reconcilers() -> None:
    with pytest.raises(FlagError, match="--endpoint-reconciler-type must be one of lease"):
        http_options({**NONE, "endpoint_reconciler_type": "other"})
