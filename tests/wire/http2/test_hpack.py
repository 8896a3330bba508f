"""HPACK: the vectors of RFC 7541, bounds, and any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire.http2 import answers, hpack, huffman
from tiphys.wire.http2.errors import ConnectionFault, ErrorCode
from tiphys.wire.http2.hpack import Decoder
from tiphys.wire.http2.tables import STATIC

FIRST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
SECOND = [*FIRST, ("cache-control", "no-cache")]
THIRD = [
    (":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
]  # fmt: skip
# RFC 7541, appendix C: requests one after the other, plain (C.3) and Huffman-coded (C.4).
REQUESTS = {
    "plain": (
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ),
    "coded": (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ),
}
SINGLE = {
    "literal with indexing": (
        "400a637573746f6d2d6b65790d637573746f6d2d686561646572", ("custom-key", "custom-header"),
    ),
    "literal without": ("040c2f73616d706c652f70617468", (":path", "/sample/path")),
    "literal never indexed": ("100870617373776f726406736563726574", ("password", "secret")),
    "indexed": ("82", (":method", "GET")),
}  # fmt: skip


@pytest.mark.parametrize("blocks", REQUESTS.values(), ids=REQUESTS.keys())
def test_requests_one_after_the_other(blocks: tuple[str, ...]) -> None:
    decoder = Decoder(4096)
    for block, expected in zip(blocks, (FIRST, SECOND, THIRD), strict=True):
        assert decoder.decode(bytes.fromhex(block)) == (expected, True)
    assert decoder._table_bytes == 57 + 53 + 54


@pytest.mark.parametrize(("block", "field"), SINGLE.values(), ids=SINGLE.keys())
def test_single_fields(block: str, field: tuple[str, str]) -> None:
    assert Decoder(4096).decode(bytes.fromhex(block)) == ([field], True)


def test_the_oldest_fields_make_room() -> None:
    decoder = Decoder(1 << 20)
    for at in range(200):
        decoder.decode(b"\x40" + hpack.string(b"name-%03d" % at) + hpack.string(b"v" * 60))
    kept = len(decoder._table)
    assert kept == 4096 // (32 + 8 + 60)
    assert decoder.decode(b"\xbe")[0] == [("name-199", "v" * 60)]
    assert decoder.decode(hpack.number(61 + kept, 0x7F, 0x80))[0] == [(f"name-{200 - kept}", "v" * 60)]


def test_a_table_may_be_made_smaller() -> None:
    decoder = Decoder(4096)
    decoder.decode(bytes.fromhex(REQUESTS["plain"][0]))
    changes = decoder.changes
    decoder.decode(b"\x20\x3f\xe1\x1f\x82")  # none, then 4096 again
    assert decoder.changes > changes
    with pytest.raises(ConnectionFault):
        decoder.decode(b"\xbe")


def test_equal_blocks_mean_the_same_while_the_table_does_not_change() -> None:
    decoder = Decoder(4096)
    decoder.decode(bytes.fromhex(REQUESTS["plain"][0]))
    changes = decoder.changes
    assert decoder.decode(b"\x82\x86\x84\xbe") == decoder.decode(b"\x82\x86\x84\xbe")
    assert decoder.changes == changes


FAULTS = {
    "the index 0": "80",
    "an index beyond the table": "be",
    "a name beyond the table": "7e0161",
    "the end within a number": "ff",
    "a number without an end": "ffffffffffffffff",
    "the end within a string": "400a6375",
    "no value": "4001",
    "a table larger than allowed": "3fe21f",
    "a table's size behind a field": "8220",
    "padding that is not all ones": "0481" + "18" + "0161",
    "padding of a whole byte": "0483" + "18ffff",
    "the end of strings within one": "0484" + "ffffffff",
}


@pytest.mark.parametrize("block", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_header_block(block: str) -> None:
    with pytest.raises(ConnectionFault) as raised:
        Decoder(4096).decode(bytes.fromhex(block))
    assert raised.value.code == ErrorCode.COMPRESSION_ERROR


def test_fields_beyond_the_limit_are_left_out_but_known() -> None:
    decoder = Decoder(100)
    fields, whole = decoder.decode(b"\x40\x01a" + hpack.string(b"x" * 50) + b"\x40\x01b\x7f\x00" + b"y" * 127)
    assert ([name for name, _ in fields], whole) == (["a"], False)
    assert decoder._table[-1] == ("b", "y" * 127)


def test_a_bomb_ends_the_connection() -> None:
    decoder = Decoder(4096)
    decoder.decode(b"\x40\x01a" + hpack.string(b"x" * 4000))
    with pytest.raises(ConnectionFault) as raised:
        decoder.decode(b"\xbe" * 4000)
    assert raised.value.code == ErrorCode.ENHANCE_YOUR_CALM


def test_the_code_is_complete() -> None:
    codes = huffman.codes()
    assert sorted(map(ord, codes.values())) == list(range(256))
    assert sum(2 ** -len(code) for code in codes) + 2**-30 == 1.0
    assert codes["00000"] == "0"
    assert codes["1111111111111111111111111111" + "10"] == "\x16"


@given(st.binary(max_size=60))
def test_any_text_is_coded_and_read(data: bytes) -> None:
    by_text = {text: code for code, text in huffman.codes().items()}
    bits = "".join(by_text[chr(byte)] for byte in data)
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    assert huffman.decode(coded) == data.decode("latin-1")


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_are_fields_or_a_fault(blocks: list[bytes]) -> None:
    decoder = Decoder(4096)
    for block in blocks:
        try:
            fields, whole = decoder.decode(block)
        except ConnectionFault:
            return
        assert sum(len(name) + len(value) + 32 for name, value in fields) <= 4096 or not whole
        assert decoder._table_bytes <= 4096


TEXT = st.text(st.characters(codec="ascii", min_codepoint=32), max_size=200)


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in STATIC]) | TEXT, TEXT), max_size=8))
def test_what_is_encoded_is_read(fields: list[tuple[str, str]]) -> None:
    encoded = b"".join(hpack.encode_field(*field) for field in fields)
    assert Decoder(1 << 20).decode(encoded) == (fields, True)


def test_heads_of_answers() -> None:
    headers = {"Content-Type": "a", "x": "1\r\ninjected: 2", "Connection": "close", "audit-id": "u", "é": "é"}
    encoded = answers.block(200, headers) + answers.length(1234567) + answers.date("Fri")
    assert encoded[0] == 0x88, "one byte for the status"
    assert Decoder(4096).decode(encoded)[0] == [
        (":status", "200"), ("content-type", "a"), ("x", "1  injected: 2"), ("audit-id", "u"),
        ("é".encode().decode("latin-1"), "é".encode().decode("latin-1")),
        ("content-length", "1234567"), ("date", "Fri"),
    ]  # fmt: skip
    assert answers.block(200, headers) == answers.block(200, headers)


def test_what_is_remembered_of_answers_is_bounded() -> None:
    for at in range(5000):
        answers.block(200, {"etag": str(at), "warning": str(at)})
    assert len(answers._fields) <= answers._REMEMBERED
