"""Reading what the runtime wrote."""

from datetime import UTC, datetime

import pytest

from tiphys.kubelet.logs.files import LogLine, LogOptions, last_lines, parse_line, read_log, rotate

LINES = [
    f"2026-01-01T00:00:0{i}.000000000Z {'stderr' if i == 3 else 'stdout'} F line {i}\n" for i in range(6)
]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "0.log"
    path.write_text("".join(LINES))
    return path


async def read(path, alive=lambda: False, **options):
    return b"".join([piece async for piece in read_log(path, LogOptions(**options), alive)]).decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"t stdout F a b", LogLine(b"t", b"stdout", False, b"a b")),
        (b"t stderr P x", LogLine(b"t", b"stderr", True, b"x")),
        (b"t stdout F ", LogLine(b"t", b"stdout", False, b"")),
        (b"t stdout F:x y", LogLine(b"t", b"stdout", False, b"y")),
        (b"garbage", None),
        (b"t nowhere F x", None),
        (b"", None),
    ],
)
def test_parse(line, expected):
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "".join(f"line {i}\n" for i in range(6))),
        ({"tail_lines": 2}, "line 4\nline 5\n"),
        ({"tail_lines": 0}, ""),
        ({"tail_lines": 100}, "".join(f"line {i}\n" for i in range(6))),
        ({"limit_bytes": 9}, "line 0\nli"),
        ({"stream": "stderr"}, "line 3\n"),
        ({"since": datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC)}, "line 4\nline 5\n"),
        ({"timestamps": True, "tail_lines": 1}, "2026-01-01T00:00:05.000000000Z line 5\n"),
    ],
)
async def test_options(log, options, expected):
    assert await read(log, **options) == expected


async def test_parts_make_one_line(tmp_path):
    path = tmp_path / "l"
    path.write_text("t stdout F first\nt stdout P ab\nt stdout P cd\nt stdout F ef\n")
    assert await read(path) == "first\nabcdef\n"
    assert await read(path, tail_lines=1) == "abcdef\n"


async def test_follow_until_the_end(log):
    rounds = iter(["t stdout F more\n", "t stdout F last\n"])

    def alive():
        text = next(rounds, None)
        if text is None:
            return False
        with log.open("a") as file:
            file.write(text)
        return True

    assert (await read(log, alive, follow=True, tail_lines=1)) == "line 5\nmore\nlast\n"


async def test_follow_across_rotation(log):
    done = []

    def alive():
        if not done:
            rotate(log, 5, "1")
            log.write_text("t stdout F fresh\n")
            done.append(1)
            return True
        return False

    assert (await read(log, alive, follow=True, tail_lines=1)) == "line 5\nfresh\n"


def test_last_lines(log, tmp_path):
    assert last_lines(log, 2, 100) == "line 4\nline 5\n"
    assert last_lines(log, 2, 4) == "e 5\n"
    assert last_lines(tmp_path / "none", 2, 4) == ""


def test_rotation_keeps_few(log):
    for stamp in "123456":
        rotate(log, 3, stamp)
        log.write_text("x")
    assert sorted(path.name for path in log.parent.iterdir()) == ["0.log", "0.log.5.gz", "0.log.6"]
