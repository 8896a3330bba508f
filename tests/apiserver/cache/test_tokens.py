"""Continue tokens that no server has made, and what is said of them."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.cache import versions

MADE = {"v": "meta.k8s.io/v1", "rv": 5, "start": "ns/a"}


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({**MADE, **fields})).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("invalidContinueToken", "invalid character '\\u008a' looking for beginning of value"),
        ("a+b", "illegal base64 data at input byte 1"),
        ("abcde", "illegal base64 data at input byte 4"),
        ("W10", "json: cannot unmarshal array into Go value of type storage.continueToken"),
        ("bnVsbA", "server does not recognize this encoded version "),
        (token(v="v2"), "server does not recognize this encoded version v2"),
        (token(rv=0), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(rv="5"), "json: cannot unmarshal string into Go struct field continueToken.rv of type int64"),
        (
            token(rv=1.5),
            "json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64",
        ),
        (token(start=""), "encoded start key empty (version meta.k8s.io/v1)"),
        (token(start="ns/../../a"), "ns/../../a"),
        (token(start="//a"), "//a"),
        (token(start="ns/"), "ns/"),
    ],
)
def test_tokens_that_are_none(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        versions.decode_token(text)
    assert caught.value.message == f"invalid continue token: continue key is not valid: {why}"


@pytest.mark.parametrize(
    ("fields", "revision", "start"),
    [({}, 5, "ns/a"), ({"start": "/ns/a"}, 5, "ns/a"), ({"rv": -1}, -1, "ns/a"), ({"rv": -7}, -1, "ns/a")],
)
def test_tokens_of_other_servers(fields: dict[str, Any], revision: int, start: str) -> None:
    found = versions.decode_token(token(**fields))
    assert (found.revision, found.start) == (revision, start)
