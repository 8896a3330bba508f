"""What is said of answers that are none: webhooks need not know the forms in which an API server fails.

Pure. Owns: the words of Go's client for each status, and which of them soon pass. Called for webhooks of
admission, conversion, authentication and authorization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tiphys.apimachinery.go_text import syntax

MOST_BYTES: Final = 16 << 20
"""What is longer is not read to its end: others do not fill our memory."""
_SHOWN_BYTES: Final = 2048
_UNKNOWN: Final = "unknown"
_OWN_WORDS: Final = (403, 415)
"""What the service itself says of these is told."""
_TEXTS: Final = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: (
        "the server was unable to return a response in the time allotted, but may still be processing the "
        "request"
    ),
}
_REASONS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    406: "NotAcceptable", 409: "Conflict", 415: "UnsupportedMediaType", 422: "Invalid",
    429: "TooManyRequests", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Say why a service refuses: in its own words where it fails as an API server does."""
    told = _own_words(body)
    return explain(status, headers, body) if told is None else told


def is_refused(status: int) -> bool:
    """Tell whether an answer of that status is none."""
    return not 200 <= status <= 206


def silence(status: int, headers: Mapping[str, str]) -> str:
    """Say of an answer that counts that it is empty."""
    kind = headers.get("content-type") or "application/json"
    return f"0-length response with status code: {status} and content type: {kind}"


def _own_words(body: bytes) -> str | None:
    """Return the message of a ``Status``, None where a body is none. Its kind need not be told."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or found.get("status") != "Failure":
        return None
    if (found.get("apiVersion") or "v1", found.get("kind") or "Status") != ("v1", "Status"):
        return None
    message = found.get("message") or ""
    return message if isinstance(message, str) else None


def explain(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Say what an answer of that status means; the body counts where it is text."""
    kind = headers.get("content-type", "")
    said = _UNKNOWN
    if not kind or kind.lower().startswith("text/"):
        said = body[:_SHOWN_BYTES].decode(errors="replace").strip()
    if status in _OWN_WORDS or (status == 406 and said not in ("", _UNKNOWN)):
        return said
    text = _TEXTS.get(status)
    if text is not None:
        return text
    if status >= 500:
        return f"an error on the server ({syntax(said)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def reason_for(status: int) -> str:
    """Return the reason that clients read in a ``Status`` of that code; empty where it has none."""
    return _REASONS.get(status) or ("InternalError" if status >= 500 else "")


def is_passing(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether another attempt may do better."""
    return status == 429 or (status >= 500 and status != 503) or "retry-after" in headers
