"""Failures as upstream numbers them, and how a client reads one back."""

from typing import Any

import pytest

from tiphys.apimachinery import errors
from tiphys.apimachinery.errors import StatusError, TooManyRequests, from_status

CODES = {
    "BadRequest": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404, "MethodNotAllowed": 405,
    "NotAcceptable": 406, "Conflict": 409, "AlreadyExists": 409, "Expired": 410,
    "RequestEntityTooLarge": 413, "UnsupportedMediaType": 415, "Invalid": 422, "TooManyRequests": 429,
    "InternalError": 500, "ServerTimeout": 500, "ServiceUnavailable": 503, "Timeout": 504,
}  # fmt: skip


@pytest.mark.parametrize("reason", CODES)
def test_a_reason_has_its_code(reason: str) -> None:
    assert getattr(errors, reason).code == CODES[reason]
    assert getattr(errors, reason).reason == reason


@pytest.mark.parametrize("reason", [reason for reason in CODES if reason != "TooManyRequests"])
def test_what_was_sent_is_read_back(reason: str) -> None:
    status = {"code": CODES[reason], "reason": reason, "message": "why", "details": {"name": "a"}}
    found = from_status(status, 200)
    assert type(found) is getattr(errors, reason)
    assert (found.status_code, found.status_reason, str(found), found.details) == (
        CODES[reason], reason, "why", {"name": "a"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "http_code", "kind", "code", "text"),
    [
        ({}, 404, errors.NotFound, 404, "the server answered with status 404"),
        ({}, 502, StatusError, 502, "the server answered with status 502"),
        ({"message": "no"}, 504, errors.Timeout, 504, "no"),
        ({"reason": "Odd", "message": "no"}, 409, errors.Conflict, 409, "no"),
        ({"reason": "AlreadyExists", "code": 409, "message": "no"}, 500, errors.AlreadyExists, 409, "no"),
    ],
)
def test_what_a_status_leaves_out(
    status: dict[str, Any], http_code: int, kind: type[StatusError], code: int, text: str
) -> None:
    """A proxy's answer says less than an API server's: the code of the answer has to do."""
    found = from_status(status, http_code)
    assert type(found) is kind
    assert (found.status_code, str(found)) == (code, text)


@pytest.mark.parametrize(("details", "seconds"), [(None, 1), ({"retryAfterSeconds": 7}, 7)])
def test_when_to_come_again(details: dict[str, Any] | None, seconds: int) -> None:
    found = from_status({"code": 429, "message": "busy", "details": details}, 429)
    assert isinstance(found, TooManyRequests)
    assert found.retry_after_s == seconds


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, {"retryAfterSeconds": 1}),
        ({"retry_after_s": 0}, None),
        ({"retry_after_s": 0, "details": {"name": "a"}}, {"name": "a"}),
    ],
)
def test_nothing_need_be_said_of_when(given: dict[str, Any], shown: dict[str, Any] | None) -> None:
    assert TooManyRequests("busy", **given).to_status().get("details") == shown
