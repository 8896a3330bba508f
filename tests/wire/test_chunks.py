"""Bodies in chunks: what Go's server takes and refuses, however they are cut."""

import random

import pytest

from tiphys.wire.chunks import MAX_EXCESS_BYTES, MAX_LINE_BYTES, ChunkReader
from tiphys.wire.request_head import HeadFault

REST = b"GET / HTTP/1.1\r\n"


def whole(data: bytes, sizes: int = 0) -> tuple[bytes, bytes | None]:
    """Read data in pieces of some size (0: at once) up to the end of the body."""
    reader, body = ChunkReader(), []
    step = sizes or len(data)
    for at in range(0, len(data), step):
        pieces, rest = reader.feed(data[at : at + step])
        body += pieces
        if rest is not None:
            return b"".join(body), rest + data[at + step :]
    return b"".join(body), None


@pytest.mark.parametrize("sizes", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"1\r\na\r\n0\r\n\r\n", b"a"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"0000000000000003\r\na\r\n\r\n0\r\n\r\n", b"a\r\n"),
        (b"1 \t\r\na\r\n0\r\n\r\n", b"a"),
        (b'1;x=y\r\na\r\n0;;= " \r\n\r\n', b"a"),
        (b"2\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\nC:\r\n\r\n", b"abc"),
    ],
)
def test_bodies(data: bytes, body: bytes, sizes: int) -> None:
    assert whole(data + REST, sizes) == (body, REST)


@pytest.mark.parametrize("sizes", [0, 1, 5])
@pytest.mark.parametrize(
    "data",
    [
        b"1\na\r\n0\r\n\r\n", b"1\r\na\n0\r\n\r\n", b"1\r\na\r\n0\n\r\n", b"1\r\na\r\n0\r\n\n\r\n\r\n",
        b"1;x\na\r\n0\r\n\r\n", b"1;\rx\r\na\r\n0\r\n\r\n", b"\r\n", b" 1\r\na\r\n0\r\n\r\n",
        b"1 ;x\r\na\r\n0\r\n\r\n", b"-1\r\n", b"0x1\r\na\r\n", b"g\r\n", b"1_0\r\n", b";\r\n",
        b"00000000000000001\r\na\r\n", b"1\r\nab\r\n0\r\n\r\n", b"2\r\na\r\n0\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n", b"0\r\nA b\r\n\r\n", b"0\r\n: b\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: \x01\r\n\r\n",
        b"1;" + b"x" * MAX_LINE_BYTES, b"0\r\nA: " + b"x" * MAX_LINE_BYTES + b"\r\n\r\n",
    ],
)  # fmt: skip
def test_bodies_that_are_refused(data: bytes, sizes: int) -> None:
    with pytest.raises(HeadFault) as caught:
        whole(data, sizes)
    assert (caught.value.status, caught.value.text) == (400, "400 Bad Request")


def test_chunks_may_be_small_but_not_say_more_than_they_carry() -> None:
    small = b"1\r\na\r\n" * 50_000
    assert whole(small + b"0\r\n\r\n") == (b"a" * 50_000, b"")
    talking = b"1;%b\r\na\r\n" % (b"x" * 1000)
    assert whole(talking * 16 + b"0\r\n\r\n") == (b"a" * 16, b"")
    with pytest.raises(HeadFault):
        whole(talking * (MAX_EXCESS_BYTES // 1000 + 2))


@pytest.mark.parametrize(
    ("line", "fits"), [(MAX_LINE_BYTES, True), (MAX_LINE_BYTES + 1, False)], ids=["just", "no more"]
)
def test_lines_have_an_end(line: int, fits: bool) -> None:
    data = b"1;" + b"x" * (line - 4) + b"\r\na\r\n0\r\n\r\n"
    if fits:
        assert whole(data) == (b"a", b"")
    else:
        with pytest.raises(HeadFault):
            whole(data)


def test_any_bytes_are_read_or_refused_however_they_are_cut() -> None:
    rng = random.Random(5)
    seeds = [
        b"5\r\nhello\r\n0\r\n\r\nrest",
        b"3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n",
        b"10\r\n0123456789abcdef\r\n0\r\n\r\n",
    ]
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.choice((b"\r", b"\n", b"0", b";", b"x", rng.randbytes(1)))
        found = []
        for sizes in (0, 1, 4):
            try:
                found.append(whole(bytes(data), sizes))
            except HeadFault:
                found.append((b"", b"refused"))
        assert found[0] == found[1] == found[2], bytes(data)
