"""A webhook's answer, read whole: what counts as its body, and what is none.

Owns: size, compression, the statuses of answers that count, and where another request is asked for. Refuses:
the connection (``webhook_call``), and what the body says (``typed_answers``).
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apiserver.outgoing.foreign_answers import MOST_BYTES, is_refused, refusal, silence
from tiphys.wire import client

_GZIP: Final = b"\x1f\x8b\x08"
_WITH_GZIP_HEAD: Final = 31
"""As zlib calls it."""
_TURNED_INTO_GET: Final = (301, 302, 303)
_SENT_AGAIN: Final = (307, 308)
_WHOLE: Final = re.compile("[+-]?[0-9]{1,18}")


class Unusable(TiphysError):
    """What has come is no answer."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer with its body."""

    status: int
    kind: str
    """Its content type as sent."""
    location: str
    retry_after: str
    body: bytes

    @property
    def counts(self) -> bool:
        return not is_refused(self.status)

    @property
    def turns_into_get(self) -> bool:
        """Tell whether what it leads to is asked for without a body."""
        return self.status in _TURNED_INTO_GET

    @property
    def leads_on(self) -> bool:
        """Tell whether the answer is elsewhere."""
        return bool(self.location) and (self.turns_into_get or self.status in _SENT_AGAIN)

    @property
    def wait_s(self) -> int | None:
        """After how many seconds to ask once more; None: never."""
        if self.status != 429 and self.status < 500:
            return None
        return int(self.retry_after) if _WHOLE.fullmatch(self.retry_after) else None

    def counted(self) -> bytes:
        """Return the body of an answer that counts. Raises Unusable."""
        told = {"content-type": self.kind}
        if not self.counts:
            raise Unusable(refusal(self.status, told, self.body))
        if not self.body:
            raise Unusable(silence(self.status, told))
        return self.body


async def read_whole(answer: client.Answer) -> Whole:
    """Read an answer to its end. Raises Unusable."""
    parts, size = [], 0
    try:
        async for chunk in answer.body():
            parts.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise _too_large()
    except client.ConnectFailed as error:
        raise cut_off(str(error)) from error
    body = b"".join(parts)
    if body and answer.header("content-encoding").lower() == "gzip":
        body = _unpacked(body)
    return Whole(
        answer.status, answer.header("content-type"), answer.header("location"),
        answer.header("retry-after"), body,
    )  # fmt: skip


def cut_off(why: str) -> Unusable:
    """Say of a body that its end has not come."""
    return Unusable(f"unexpected error when reading response body. Please retry. Original error: {why}")


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(_GZIP):
        raise cut_off("gzip: invalid header")
    unpacking = zlib.decompressobj(_WITH_GZIP_HEAD)
    try:
        whole = unpacking.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise cut_off("gzip: invalid checksum") from error
    if len(whole) > MOST_BYTES:
        raise _too_large()
    if not unpacking.eof:
        raise cut_off("unexpected EOF")
    return whole


def _too_large() -> Unusable:
    return Unusable(f"the response is larger than {MOST_BYTES} bytes")
