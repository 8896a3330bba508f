"""What of a node's logs is asked for: upstream's own tables of queries, and the words of each fault."""

import pytest

from tiphys.kubelet.logs.node_query import NodeLogQuery, journal_arguments, read, told, validate

NEW_YEAR, LATER = "2023-01-04T02:00:00Z", "2023-02-04T02:00:00+01:00"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"unknown": ["true"]},
        {"sinceTime": [""]},
        {"untilTime": [""]},
        {"boot": [""]},
        {"tailLines": [""]},
    ],
)
def test_what_asks_for_nothing(query):
    assert read(query) == (None, [])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tailLines": ["100"]}, NodeLogQuery(tail_lines=100)),
        ({"pattern": ["foo"]}, NodeLogQuery(pattern="foo")),
        ({"boot": ["0"]}, NodeLogQuery(boot=0)),
        ({"boot": ["-23"]}, NodeLogQuery(boot=-23)),
        ({"query": ["foo"]}, NodeLogQuery(("foo",))),
        ({"query": ["foo", "bar", " "]}, NodeLogQuery(("foo", "bar"))),
        ({"query": ["foo", "/bar"]}, NodeLogQuery(("foo",), ("/bar",))),
        ({"query": ["/foo", "\\bar"]}, NodeLogQuery((), ("/foo", "\\bar"))),
    ],
)
def test_what_is_asked_for(query, expected):
    assert read(query) == (expected, [])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"sinceTime": ["2019-12-04 02:00:00"]},
         'sinceTime: Invalid value: "2019-12-04 02:00:00": invalid time format'),
        ({"untilTime": ["2019-12-04 02"]}, 'untilTime: Invalid value: "2019-12-04 02": invalid time format'),
        ({"tailLines": ["foo"]},
         'tailLines: Invalid value: "foo": strconv.Atoi: parsing "foo": invalid syntax'),
        ({"boot": [" "]}, 'boot: Invalid value: " ": strconv.Atoi: parsing " ": invalid syntax'),
        ({"query": [""]}, 'query: Invalid value: [""]: query cannot be empty'),
        ({"query": ["   ", "    "]}, 'query: Invalid value: ["   ","    "]: query cannot be empty'),
        ({"query": [""], "boot": ["x"]},
         '[query: Invalid value: [""]: query cannot be empty, '
         'boot: Invalid value: "x": strconv.Atoi: parsing "x": invalid syntax]'),
    ],
)  # fmt: skip
def test_what_cannot_be_read(query, text):
    asked, faults = read(query)
    assert asked is None
    assert told(faults) == text


def faults_of(query, stat=lambda name: ""):
    asked, faults = read(query)
    assert not faults
    return told(validate(asked, stat)) if validate(asked, stat) else ""


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"query": ["svc1"]}, ""),
        ({"query": ["svc1", "svc.foo", "svc_foo", "svc@foo:x"]}, ""),
        ({"query": ["svc\n"]}, 'query: Invalid value: "svc\\n": input contains unsupported characters'),
        ({"query": ["a" * 257]},
         f'query: Invalid value: "{"a" * 257}": length must be less than 100'),
        ({"query": ["a", "b", "c", "d", "e"]}, "query: Too many: 5: must have at most 4 items"),
        ({"boot": ["0"]}, "query: Required value: cannot be empty with options"),
        ({"query": ["svc1", "/t.log"]},
         'query: Invalid value: "[/t.log], [svc1]": cannot specify a file and service'),
        ({"query": ["/a", "/b"]}, 'query: Invalid value: ["/a","/b"]: cannot specify more than one file'),
        ({"query": ["/a"], "pattern": ["x"]},
         'query: Invalid value: ["/a"]: cannot specify file with options'),
        ({"query": ["/a"]}, ""),
        ({"query": ["s"], "pattern": ["foo\\"]},
         'pattern: Invalid value: "foo\\\\": error parsing regexp: '
         "trailing backslash at end of expression: ``"),
        ({"query": ["s"], "sinceTime": [NEW_YEAR], "untilTime": [LATER]}, ""),
        ({"query": ["s"], "sinceTime": [LATER], "untilTime": [NEW_YEAR]},
         f'untilTime: Invalid value: "{NEW_YEAR}": must be after `sinceTime`'),
        ({"query": ["s"], "boot": ["-1"]}, ""),
        ({"query": ["s"], "boot": ["1"]}, "boot: Invalid value: 1: must be less than 1"),
        ({"query": ["s"], "tailLines": ["100000"]}, ""),
        ({"query": ["s"], "tailLines": ["100001"]},
         "tailLines: Invalid value: 100001: must be between 0 and 100000, inclusive"),
        ({"query": ["s"], "tailLines": ["-1"]},
         "tailLines: Invalid value: -1: must be between 0 and 100000, inclusive"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(query, text):
    assert faults_of(query) == text


def test_a_file_that_is_not_there():
    why = "stat /var/log/a: no such file or directory"
    assert faults_of({"query": ["/a"]}, lambda name: why) == f'query: Invalid value: ["/a"]: {why}'


@pytest.mark.parametrize(
    ("query", "services", "expected"),
    [
        ({"query": ["x"]}, [], []),
        ({"query": ["x"]}, ["p1", "", "p2"], ["--unit=p1", "--unit=p2"]),
        ({"query": ["x"], "tailLines": ["5"], "pattern": ["a b"], "boot": ["-1"]}, ["x"],
         ["--pager-end", "--lines=5", "--unit=x", "--grep=a b", "--boot", "-1"]),
        ({"query": ["x"], "sinceTime": [NEW_YEAR], "untilTime": ["2023-10-14T22:05:09.5+02:00"]}, ["x"],
         ["--since=2023-1-4 02:0:0", "--until=2023-10-14 22:5:9", "--unit=x"]),
    ],
)  # fmt: skip
def test_what_the_journal_is_asked(query, services, expected):
    asked, _ = read(query)
    assert journal_arguments(asked, services) == ["--utc", "--no-pager", "--output=short-precise", *expected]
