"""Header blocks of HTTP/2: HPACK (RFC 7541). Pure.

Owns the dynamic table of what a client has sent, and how fields are written: as literals that change no
table, so that what is encoded once may be sent on any connection.
"""

from __future__ import annotations

from typing import Final

from tiphys.wire.http2 import huffman
from tiphys.wire.http2.errors import ConnectionFault, ErrorCode
from tiphys.wire.http2.tables import STATIC

Field = tuple[str, str]
"""Name and value, both Latin-1."""

TABLE_BYTES: Final = 4096
"""What the dynamic table holds at most."""
FIELD_BYTES: Final = 32
"""What a field counts beside its name and its value."""
EMPTY_TABLE: Final = b"\x20"
"""Tells the peer that no table is used: before the first block after it wanted a smaller one."""
_MOST_BYTES_OF_A_NUMBER: Final = 5
_TOO_LONG: Final = 16
"""A list so many times as long as it may be ends the connection."""


class Decoder:
    """Decodes the blocks of one connection, which must all be given to it, in order."""

    def __init__(self, max_list_bytes: int) -> None:
        self.max_list_bytes = max_list_bytes
        self.changes = 0
        """So often has the table changed: equal blocks mean the same while it does not."""
        self._table: list[Field] = []  # the newest is the last
        self._table_bytes = 0
        self._max_table_bytes = TABLE_BYTES

    def decode(self, block: bytes) -> tuple[list[Field], bool]:
        """Return the fields, and whether all of them: those beyond the limit are left out.

        Raises:
            ConnectionFault: it is no header block; nothing that follows can be understood.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise _fault("a header block ends early, or names a field that is not there") from None

    def _decode(self, block: bytes) -> tuple[list[Field], bool]:
        fields: list[Field] = []
        size, limit = 0, self.max_list_bytes
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _number(block, at, 0x7F)
                field = self._field(index)
            elif first & 0x40:
                field, at = self._literal(block, at, 0x3F)
                self._insert(field)
            elif first & 0x20:
                if fields:
                    raise _fault("a table's size in the midst of a header block")
                wanted, at = _number(block, at, 0x1F)
                self._resize(wanted)
                continue
            else:
                field, at = self._literal(block, at, 0x0F)
            size += len(field[0]) + len(field[1]) + FIELD_BYTES
            if size <= limit:
                fields.append(field)
            elif size > limit * _TOO_LONG:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header list much too long")
        return fields, size <= limit

    def _field(self, index: int) -> Field:
        if index <= len(STATIC):
            if index == 0:
                raise _fault("no field has the index 0")
            return STATIC[index - 1]
        return self._table[-(index - len(STATIC))]

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[Field, int]:
        index, at = _number(block, at, mask)
        if index:
            name = self._field(index)[0]
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        return (name, value), at

    def _insert(self, field: Field) -> None:
        self.changes += 1
        self._table.append(field)
        self._table_bytes += len(field[0]) + len(field[1]) + FIELD_BYTES
        if self._table_bytes > self._max_table_bytes:
            self._evict()

    def _resize(self, wanted: int) -> None:
        if wanted > TABLE_BYTES:
            raise _fault("a table larger than was allowed")
        if wanted != self._max_table_bytes:
            self.changes += 1
            self._max_table_bytes = wanted
            self._evict()

    def _evict(self) -> None:
        gone = 0
        while self._table_bytes > self._max_table_bytes:
            name, value = self._table[gone]
            self._table_bytes -= len(name) + len(value) + FIELD_BYTES
            gone += 1
        del self._table[:gone]


def _fault(text: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, text)


def _number(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Read a number whose first bits are those of the mask; return it and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 7 * _MOST_BYTES_OF_A_NUMBER, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _fault("a number too large")


def _string(block: bytes, at: int) -> tuple[str, int]:
    coded = block[at] & 0x80
    length, at = _number(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise _fault("a header block ends within a string")
    data = block[at:end]
    return (huffman.decode(data) if coded else data.decode("latin-1")), end


# -- what is sent

_NAMES: Final = {name: at for at, (name, _) in reversed(list(enumerate(STATIC, 1)))}
_FIELDS: Final = {field: at for at, field in enumerate(STATIC, 1) if field[1]}


def number(value: int, mask: int, flags: int = 0) -> bytes:
    """Encode a number whose first bits are those of the mask."""
    if value < mask:
        return bytes((flags | value,))
    encoded = bytearray((flags | mask,))
    value -= mask
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(data: bytes) -> bytes:
    """Encode a string, as it is."""
    return number(len(data), 0x7F) + data


def encode_name(name: str) -> bytes:
    """Encode a field up to its value, which ``string`` encodes."""
    index = _NAMES.get(name)
    return number(index, 0x0F) if index else b"\x00" + string(name.encode("utf-8", "replace"))


def encode_field(name: str, value: str) -> bytes:
    """Encode a field that no table will have."""
    index = _FIELDS.get((name, value))
    if index:
        return number(index, 0x7F, 0x80)
    return encode_name(name) + string(value.encode("utf-8", "replace"))
