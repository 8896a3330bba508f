"""Bearer tokens in headers and among a websocket's subprotocols."""

from __future__ import annotations

import pytest

from tiphys.wire.bearer import has_extra_space, header_token, other_protocols, websocket_token
from tiphys.wire.message import RepeatedHeaders

P = "base64url.bearer.authorization.k8s.io."
UPGRADE = {"connection": "Upgrade", "upgrade": "websocket"}


@pytest.mark.parametrize(
    ("header", "want"),
    [
        ("Bearer token", "token"),
        ("bearer token", "token"),
        ("  Bearer token  ", "token"),
        ("Bearer token a", "token"),
        ("Bearer token a b c", "token"),
        ("Bearer token   a", "token"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Bearer  token", ""),
        ("bear token", ""),
        ("Bearer: token", ""),
        ("Basic 123", ""),
        ("", ""),
    ],
)
def test_the_header(header: str, want: str) -> None:
    assert header_token({"authorization": header}) == want
    assert has_extra_space({"authorization": header}) is (header == "Bearer  token")


def test_the_first_of_several_headers_counts() -> None:
    headers = RepeatedHeaders({"authorization": "Bearer a"})
    headers.repeat("authorization", "Bearer b")
    assert header_token(headers) == "a"
    assert header_token({}) == ""


@pytest.mark.parametrize(
    ("protocols", "want"),
    [
        (f"{P}dG9rZW4,dummy", "token"),
        (f"dummy, {P}dG9rZW4", "token"),
        (f"{P}8J-YgA,dummy", "\U0001f600"),
        ("other-protocol", ""),
        ("", ""),
        (P, ""),
        (f"{P},dummy", ""),
    ],
)
def test_among_subprotocols(protocols: str, want: str) -> None:
    assert websocket_token({**UPGRADE, "sec-websocket-protocol": protocols}) == want


@pytest.mark.parametrize(
    ("protocols", "text"),
    [
        (f"{P}dG9rZW4", "missing additional subprotocol"),
        (f"{P}dG9rZW4,{P}dG9rZW4,dummy", "multiple base64.bearer.authorization tokens specified"),
        (f"{P}dG9rZW4=,dummy", "invalid base64.bearer.authorization token encoding"),
        (f"{P}dG9,rZW4%,dummy".replace(",r", "r"), "invalid base64.bearer.authorization token encoding"),
        (f"{P}dG9rZ+4,dummy", "invalid base64.bearer.authorization token"),
        (f"{P}gICA,dummy", "invalid base64.bearer.authorization token"),
    ],
)
def test_what_is_no_token(protocols: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        websocket_token({**UPGRADE, "sec-websocket-protocol": protocols})


@pytest.mark.parametrize("missing", ["connection", "upgrade"])
def test_only_of_websockets(missing: str) -> None:
    headers = {**UPGRADE, "sec-websocket-protocol": f"{P}dG9rZW4,dummy"}
    assert websocket_token({**headers, missing: "other"}) == ""
    del headers[missing]
    assert websocket_token(headers) == ""


@pytest.mark.parametrize(
    ("offered", "want"),
    [(f"{P}dG9rZW4, dummy, dummy2", "dummy,dummy2"), ("a, b", "a, b"), (P, ""), ("", "")],
)
def test_what_is_passed_on(offered: str, want: str) -> None:
    assert other_protocols(offered) == want
