"""resourceVersion and continue tokens: what clients send, and the errors that answer them.

Pure. Source: the API concepts on resource versions and chunked lists.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from typing import Any, Final, NamedTuple

import orjson

from tiphys.apimachinery.errors import BadRequest, Expired, Timeout

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
    try:
        token = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, orjson.JSONDecodeError, ValueError) as error:
        raise _no_token(str(error)) from error
    version = token.get("v") if isinstance(token, dict) else None
    if version != _TOKEN_VERSION:
        raise _no_token(f'server does not recognize this encoded version "{version or ""}"')
    revision, start = token.get("rv"), token.get("start")
    if not isinstance(revision, int) or revision == 0 or revision < LATEST:
        raise _no_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _no_token("no start key (version meta.k8s.io/v1)")
    if posixpath.normpath("/" + start) != "/" + start.rstrip("/"):
        raise _no_token("start key is not canonical")
    begun = token.get("begun")
    return Token(revision, start, begun if isinstance(begun, int) else 0)


def _no_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")


def parse_version(text: str) -> int:
    """Read a resourceVersion; 0 for none. Raises BadRequest."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX or int(text) >= 1 << 64:
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


def list_expired() -> Expired:
    """A list at an exact revision that is gone."""
    return Expired(_LIST_GONE)


def watch_expired(wanted: int, oldest: int) -> Expired:
    """A watch from a revision whose history is gone."""
    return Expired(f"too old resource version: {wanted} ({oldest})")
