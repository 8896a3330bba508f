"""HPACK's Huffman code (RFC 7541, section 5.2), read four bits at a time. Pure.

Owns the steps, which are made when the first coded string comes, and what lately came decoded: clients repeat
themselves. Texts are Latin-1, as headers are everywhere here.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tiphys.wire.http2.errors import ConnectionFault, ErrorCode
from tiphys.wire.http2.tables import LENGTHS

_REMEMBERED: Final = 2048
_LONGEST_BYTES: Final = 512
_SEEN: dict[bytes, str] = {}
_ENDS: Final = 16
"""Where a state has whether a text may end in it."""
_MAX_PADDING_BITS: Final = 7
_EOS_BITS: Final = 30


def decode(data: bytes) -> str:
    """Return the text. Raises ConnectionFault."""
    text = _SEEN.get(data)
    if text is None:
        text = _decode(data)
        if len(data) <= _LONGEST_BYTES:
            if len(_SEEN) >= _REMEMBERED:
                _SEEN.clear()
            _SEEN[data] = text
    return text


def _decode(data: bytes) -> str:
    state, parts = _first_state(), []
    for byte in data:
        state, text = state[byte >> 4]
        if text:
            parts.append(text)
        state, text = state[byte & 15]
        if text:
            parts.append(text)
    if not state[_ENDS]:
        raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "bad end of a Huffman-coded string")
    return "".join(parts)


@cache
def codes() -> dict[str, str]:
    """Return the code of each bit string (``"00000"``): what it stands for, one character."""
    found: dict[str, str] = {}
    code = before = 0
    for length, symbols in LENGTHS.items():
        for symbol in bytes.fromhex(symbols):
            code <<= length - before
            before = length
            found[f"{code:0{length}b}"] = chr(symbol)
            code += 1
    return found


@cache
def _first_state() -> list[Any]:
    """Make the steps: of each state and four bits the next state and what has been read."""
    known = codes()
    prefixes = {""} | {code[:length] for code in known for length in range(1, len(code))}
    trap: list[Any] = []
    trap += [(trap, "")] * 16 + [False]
    ones = "1" * _EOS_BITS
    prefixes |= {ones[:length] for length in range(_EOS_BITS)}
    states: dict[str, list[Any]] = {prefix: [] for prefix in prefixes}
    for prefix, state in states.items():
        for four in range(16):
            rest, text = prefix, ""
            for bit in f"{four:04b}":
                rest += bit
                if rest in known:
                    rest, text = "", known[rest]
                elif rest == ones:
                    break
            state.append((states.get(rest, trap), text))
        state.append(len(prefix) <= _MAX_PADDING_BITS and prefix == ones[: len(prefix)])
    return states[""]
