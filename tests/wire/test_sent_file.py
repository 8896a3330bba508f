"""What of a file a request gets, and under which type."""

import pytest

from tiphys.wire.sent_file import Part, asked_part, kind_of, last_modified

NEVER = 0
MADE = 1_700_000_000
AT = "Tue, 14 Nov 2023 22:13:20 GMT"
BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"
WHOLE = Part(200, (range(10),))
INVALID = Part(416, why="invalid range")
BEHIND = Part(416, why="invalid range: failed to overlap")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WHOLE),
        ({"range": "bytes=0-3"}, Part(206, (range(4),))),
        ({"range": "bytes=4-"}, Part(206, (range(4, 10),))),
        ({"range": "bytes= 4 - 99 "}, Part(206, (range(4, 10),))),
        ({"range": "bytes=-3"}, Part(206, (range(7, 10),))),
        ({"range": "bytes=-99"}, Part(206, (range(10),))),
        ({"range": "bytes=,1-1,10-12"}, Part(206, (range(1, 2),))),
        ({"range": "bytes=0-1,4-5"}, Part(206, (range(2), range(4, 6)))),
        ({"range": "bytes=-1, 20-, 0-0"}, Part(206, (range(9, 10), range(1)))),
        ({"range": "bytes=0-4,5-9"}, Part(206, (range(5), range(5, 10)))),
        ({"range": "bytes=0-4,4-9"}, WHOLE),
        ({"range": "bytes=0-1,4-5,x"}, INVALID),
        ({"range": "bytes="}, WHOLE),
        ({"range": "bytes=10-"}, BEHIND),
        ({"range": "bytes=3"}, INVALID),
        ({"range": "bytes=3-2"}, INVALID),
        ({"range": "bytes=-"}, INVALID),
        ({"range": "bytes=--1"}, INVALID),
        ({"range": "bytes=a-"}, INVALID),
        ({"range": "lines=1-2"}, INVALID),
        ({"range": "bytes=0-3", "if-range": AT}, Part(206, (range(4),))),
        ({"range": "bytes=0-3", "if-range": BEFORE}, WHOLE),
        ({"range": "bytes=0-3", "if-range": '"tag"'}, WHOLE),
        ({"if-modified-since": AT}, Part(304)),
        ({"if-modified-since": BEFORE}, WHOLE),
        ({"if-modified-since": "lately"}, WHOLE),
        ({"if-none-match": "*"}, Part(304)),
        ({"if-none-match": '"tag"', "if-modified-since": AT}, WHOLE),
        ({"if-unmodified-since": AT}, WHOLE),
        ({"if-unmodified-since": BEFORE}, Part(412)),
        ({"if-match": '"tag"'}, Part(412)),
        ({"if-match": '"tag", *', "if-unmodified-since": BEFORE}, WHOLE),
    ],
)
def test_what_is_asked(headers, expected):
    assert asked_part(headers, MADE, 10) == expected


def test_files_without_a_time():
    assert asked_part({"if-modified-since": AT, "if-unmodified-since": BEFORE}, NEVER, 10) == WHOLE
    assert asked_part({"range": "bytes=0-3", "if-range": AT}, NEVER, 10) == WHOLE
    assert last_modified(NEVER) == {}
    assert last_modified(MADE) == {"last-modified": AT}


def test_nothing_of_an_empty_file():
    assert asked_part({"range": "bytes=0-"}, MADE, 0) == Part(200, (range(0),))


@pytest.mark.parametrize(
    ("name", "begin", "kind"),
    [
        ("syslog", b"Nov 14 node systemd[1]\n", "text/plain; charset=utf-8"),
        ("syslog", b"", "text/plain; charset=utf-8"),
        ("syslog.1", b"\x1b[31mred", "text/plain; charset=utf-8"),
        ("wtmp", b"\x08\x00", "application/octet-stream"),
        ("dmesg.0", b"\x1f\x8b\x08\x00", "application/x-gzip"),
        ("page", b" <html>", "text/html; charset=utf-8"),
        ("page", b"<htmlish>", "text/plain; charset=utf-8"),
        ("page", b"\n<?xml version", "text/xml; charset=utf-8"),
        ("a.JSON", b"\x00", "application/json"),
        ("a.html", b"\x00", "text/html; charset=utf-8"),
        (".json", b"{}", "application/json"),
    ],
)
def test_types(name, begin, kind):
    assert kind_of(name, begin) == kind
