"""Bytes in JSON: base64 as Go's decoder takes it, and which byte it stops at.

Pure. Line breaks count for nothing. Bits that the last letter has too many are dropped, not refused.
"""

from __future__ import annotations

import binascii
import string
from typing import Final

_ALPHABET: Final = frozenset((string.ascii_letters + string.digits + "+/").encode())
_BREAKS: Final = frozenset(b"\r\n")
_PAD: Final = ord("=")
_QUANTUM: Final = 4
_EVEN: Final = {1: frozenset("AEIMQUYcgkosw048"), 2: frozenset("AQgw")}
"""Letters that end a text, by how often it is padded: the others have bits of a byte that is not there."""


def canonical(text: str) -> str:
    """Return the base64 of the bytes that a text stands for.

    Raises:
        ValueError: it stands for none, in Go's words.
    """
    plain = text.replace("\n", "").replace("\r", "") if "\n" in text or "\r" in text else text
    try:
        data = binascii.a2b_base64(plain, strict_mode=True)
        if len(plain) % _QUANTUM:
            raise ValueError
    except ValueError:
        raise ValueError(f"illegal base64 data at input byte {stops_at(text.encode())}") from None
    padding = len(plain) - len(plain.rstrip("="))
    if padding and plain[-padding - 1] not in _EVEN[padding]:
        return binascii.b2a_base64(data, newline=False).decode()
    return plain


def stops_at(text: bytes) -> int:
    """Return the byte at which a decoder gives up; the length of a text that it takes."""
    at, size = 0, len(text)
    while True:
        place = 0  # within the four letters of three bytes
        while place < _QUANTUM:
            if at == size:
                return at - place
            letter = text[at]
            at += 1
            if letter in _ALPHABET:
                place += 1
            elif letter == _PAD:
                return _stops_in_padding(text, at, place)
            elif letter not in _BREAKS:
                return at - 1


def _stops_in_padding(text: bytes, at: int, place: int) -> int:
    """``at`` is behind the first sign of it, which comes after ``place`` letters."""
    if place < 2:
        return at - 1
    if place == 2:
        at = _skip(text, at)
        if at == len(text):
            return at
        if text[at] != _PAD:
            return at - 1
        at += 1
    return _skip(text, at)


def _skip(text: bytes, at: int) -> int:
    while at < len(text) and text[at] in _BREAKS:
        at += 1
    return at
