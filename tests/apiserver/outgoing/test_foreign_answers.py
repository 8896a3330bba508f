"""What is said of answers of services that know nothing of an API server's own."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apiserver.outgoing.foreign_answers import explain, is_passing, refusal

TEXT, JSON = {"content-type": "text/plain; charset=utf-8"}, {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "want"),
    [
        (400, TEXT, b"why", "the server rejected our request for an unknown reason"),
        (401, TEXT, b"who", "the server has asked for the client to provide credentials"),
        (403, TEXT, b"not you\n", "not you"),
        (403, JSON, b"{}", "unknown"),
        (404, TEXT, b"what", "the server could not find the requested resource"),
        (405, TEXT, b"", "the server does not allow this method on the requested resource"),
        (406, TEXT, b"", "the server was unable to respond with a content type that the client supports"),
        (406, TEXT, b"only XML", "only XML"),
        (415, TEXT, b"no JSON", "no JSON"),
        (418, TEXT, b"tea", "the server responded with the status code 418 but did not return more information"),
        (500, TEXT, b'say "no"', 'an error on the server ("say \\"no\\"") has prevented the request from succeeding'),
        (500, {}, b"boom", 'an error on the server ("boom") has prevented the request from succeeding'),
        (500, JSON, b"{}", 'an error on the server ("unknown") has prevented the request from succeeding'),
        (502, TEXT, b"x" * 3000, f'an error on the server ("{"x" * 2048}") has prevented the request from succeeding'),
        (503, TEXT, b"down", "the server is currently unable to handle the request"),
    ],
)  # fmt: skip
def test_texts(status: int, headers: dict[str, str], body: bytes, want: str) -> None:
    assert explain(status, headers, body) == want


STATUS = b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not today","code":403}'
TEA = "the server responded with the status code 418 but did not return more information"


@pytest.mark.parametrize(
    ("headers", "body", "want"),
    [
        (JSON, STATUS, "not today"),
        (TEXT, STATUS, "not today"),
        (JSON, b'{"status":"Failure","message":"not today"}', "not today"),
        (JSON, b'{"status":"Failure"}', ""),
        (JSON, STATUS.replace(b"Failure", b"Success"), TEA),
        (JSON, STATUS.replace(b"Status", b"Pod"), TEA),
        (JSON, STATUS.replace(b"v1", b"v2"), TEA),
        (JSON, STATUS.replace(b'"not today"', b"7"), TEA),
        (JSON, b"[]", TEA),
        (JSON, b"{}", TEA),
        (JSON, b"", TEA),
    ],
)  # fmt: skip
def test_own_words(headers: dict[str, str], body: bytes, want: str) -> None:
    """Who fails as an API server does is believed, whatever the type of the body is said to be."""
    assert refusal(418, headers, body) == want


@pytest.mark.parametrize(
    ("status", "headers", "passing"),
    [(429, {}, True), (500, {}, True), (502, {}, True), (504, {}, True), (503, {}, False),
     (503, {"retry-after": "1"}, True), (404, {}, False), (403, {}, False)],
)  # fmt: skip
def test_what_soon_passes(status: int, headers: dict[str, str], passing: bool) -> None:
    assert is_passing(status, headers) is passing
