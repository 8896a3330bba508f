"""resourceVersion and continue tokens: what clients send, and the errors that answer them.

Pure. Source: the API concepts on resource versions and chunked lists.
"""

from __future__ import annotations

import base64
import posixpath
from typing import Any, Final, NamedTuple

import orjson

from tiphys.apimachinery.errors import BadRequest, Expired, Timeout
from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.mismatch import json_kind

_TOKEN_VERSION: Final = "meta.k8s.io/v1"
LATEST: Final = -1
"""Revision in a token that goes on at the present: its list is not of one moment."""
TOKEN_LASTS_S: Final = 300
"""For how long the pages of one list may be asked for, whatever history is kept beyond that: a client that
comes later is told that its list is old, as it would be where history is compacted every five minutes."""

_TOKEN_GONE: Final = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the first chunk "
    "was returned and now may show up in the list."
)
_DIGITS_MAX: Final = 20
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_TOKEN_FIELDS: Final[dict[str, tuple[type, str]]] = {
    "v": (str, "string"),
    "rv": (int, "int64"),
    "start": (str, "string"),
}
_LIST_GONE: Final = "The resourceVersion for the provided list is too old."


class Token(NamedTuple):
    """Where a list goes on: at ``revision``, from the key ``start`` (relative to the list's prefix)."""

    revision: int
    start: str
    begun: int = 0
    """When the list began, in seconds since 1970; 0: not known."""

    def expired(self, now: int) -> bool:
        """Whether the list that it belongs to began too long ago to go on as it was."""
        return self.revision != LATEST and 0 < self.begun < now - TOKEN_LASTS_S


class ListExpired(Expired):
    """A list at an exact revision that is gone. ``oldest``: the first that is left."""

    def __init__(self, oldest: int) -> None:
        super().__init__(_LIST_GONE)
        self.oldest = oldest


class ContinueExpired(Expired):
    """A list cannot go on as of its revision; the answer carries a token that goes on at the present."""

    def __init__(self, continue_token: str) -> None:
        super().__init__(_TOKEN_GONE)
        self.continue_token = continue_token

    def to_status(self) -> dict[str, Any]:
        return {**super().to_status(), "metadata": {"continue": self.continue_token}}


def encode_token(revision: int, start: str, begun: int = 0) -> str:
    """Write a continue token."""
    fields: dict[str, Any] = {"v": _TOKEN_VERSION, "rv": revision, "start": start}
    if begun:
        fields["begun"] = begun
    text = orjson.dumps(fields)
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decode_token(text: str) -> Token:
    """Read a continue token. Raises BadRequest."""
    token = _fields_of(text)
    version = token.get("v") or ""
    if version != _TOKEN_VERSION:
        raise _no_token(f"server does not recognize this encoded version {version}")
    revision, start = token.get("rv") or 0, token.get("start") or ""
    if revision == 0:
        raise _no_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _no_token("encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else "/" + start
    if key.startswith("//") or posixpath.normpath(key) != key:
        raise _no_token(start)
    begun = token.get("begun")
    return Token(max(revision, LATEST), key[1:], begun if isinstance(begun, int) else 0)


def _fields_of(text: str) -> dict[str, Any]:
    """Return what is encoded in a token, each field of its type. Raises BadRequest."""
    bad = next((at for at, char in enumerate(text) if char not in _BASE64), None)
    if bad is None and len(text) % 4 == 1:
        bad = len(text) - 1
    if bad is not None:
        raise _no_token(f"illegal base64 data at input byte {bad}")
    try:
        token = strict_json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except strict_json.JsonError as error:
        raise _no_token(str(error)) from error
    if token is None:
        return {}
    if not isinstance(token, dict):
        kind = json_kind(token)
        raise _no_token(f"json: cannot unmarshal {kind} into Go value of type storage.continueToken")
    for name, (type_, go_type) in _TOKEN_FIELDS.items():
        value = token.get(name)
        if value is not None and type(value) is not type_:
            shown = f"number {value}" if type(value) is float else json_kind(value)
            raise _no_token(
                f"json: cannot unmarshal {shown} into Go struct field continueToken.{name} of type {go_type}"
            )
    return token


def _no_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")


def is_number(text: str) -> bool:
    """Tell whether a text is a number as large as a resourceVersion can be."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) < 1 << 64


def parse_version(text: str) -> int:
    """Read a resourceVersion; 0 for none. Raises BadRequest."""
    if not text:
        return 0
    if not is_number(text):
        raise BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def too_large(wanted: int, current: int) -> Timeout:
    """The revision asked for lies ahead of this server."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": 1},
    )


def watch_expired(wanted: int, oldest: int) -> Expired:
    """A watch from a revision whose history is gone."""
    return Expired(f"too old resource version: {wanted} ({oldest})")
