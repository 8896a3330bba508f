import pytest

from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.node import Schema

CASES = [
    ("none", b'{"a": {"b": [1, "x:y"]}}', []),
    ("top", b'{"a": 1, "a": 2}', ['duplicate field "a"']),
    ("nested", b'{"spec": {"x": 1, "x": 1, "x": 3}}', ['duplicate field "spec.x"']),
    ("in lists", b'{"c": [{"n": 1}, {"n": 1, "n": 2}]}', ['duplicate field "c[1].n"']),
    (
        "as they come",
        b'{"a": {"n": 1, "n": 2}, "b": 1, "b": 2}',
        ['duplicate field "a.n"', 'duplicate field "b"'],
    ),
    (
        "also in what is lost",
        b'{"a": {"n": 1, "n": 2}, "a": 1}',
        ['duplicate field "a.n"', 'duplicate field "a"'],
    ),
    ("lists in lists", b'{"a": [[{"n": 1, "n": 2}]]}', ['duplicate field "a[0][0].n"']),
    ("colons in texts", b'{"a:b": "c:d", "e": ["f:"]}', []),
    ("escaped colons", b'{"a": "\\u003a"}', []),
    ("text alone", b'"a:b"', []),
]


@pytest.mark.parametrize(("body", "faults"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_duplicates(body: bytes, faults: list[str]) -> None:
    value, found = strict_json.loads_strict(body)
    assert found == faults
    assert value == strict_json.loads(body)


TYPE = Schema(
    "object",
    properties={
        "text": Schema("string"),
        "texts": Schema("object", additional=Schema("string")),
        "list": Schema("array", items=Schema("object", properties={"n": Schema("integer")})),
        "raw": Schema(preserve_unknown=True),
        "free": Schema(any_value=True),
    },
)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ('{"odd": 1, "odd": 2, "text": "a", "text": "b"}', ['unknown field "odd"', 'duplicate field "text"']),
        ('{"odd": {"a": 1, "a": 2}}', ['unknown field "odd"']),
        ('{"raw": {"a": 1, "a": 2}, "raw": {}}', ['duplicate field "raw"']),
        ('{"free": {"a": [{"b": 1, "b": 2}]}}', ['duplicate field "free.a[0].b"']),
        ('{"texts": {"a": "1", "a": "2"}}', ['duplicate field "texts.a"']),
        (
            '{"list": [{"m": 1}, {"n": 1, "n": 2}], "odd": 1}',
            ['unknown field "list[0].m"', 'duplicate field "list[1].n"', 'unknown field "odd"'],
        ),
        ('{"text": [{"a": 1, "a": 2}]}', []),
    ],
)
def test_what_is_typed_is_looked_at_where_it_is_read(body: str, faults: list[str]) -> None:
    assert strict_json.faults_of(body.encode(), TYPE) == faults


def test_who_knows_better_says_what_is_unknown() -> None:
    body = b'{"odd": 1, "even": 1, "text": "", "text": ""}'
    found = strict_json.faults_of(body, TYPE, {'unknown field "even"'})
    assert found == ['unknown field "even"', 'duplicate field "text"']


def test_a_hundred_faults_are_enough() -> None:
    body = "{" + ",".join(f'"k{at}": 1, "k{at}": 2' for at in range(200)) + "}"
    assert len(strict_json.loads_strict(body.encode())[1]) == 100


def test_escaped_colons_hide_no_duplicates() -> None:
    assert strict_json.loads_strict(b'{"a": "\\u003a", "a": "\\u003a"}')[1] == ['duplicate field "a"']


def test_the_last_of_duplicates_wins() -> None:
    assert strict_json.loads_strict(b'{"a": 1, "a": 2}')[0] == {"a": 2}


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"\xff"])
def test_no_json(body: bytes) -> None:
    with pytest.raises(strict_json.JsonError):
        strict_json.loads_strict(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xe2\x82"', "\ufffd\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'["\\ud800", "\\ud800\\u0041", "\\udc00\\ud800", "\\ud83d\\ude00"]',
         ["\ufffd", "\ufffdA", "\ufffd\ufffd", "😀"]),
        (b'{"\\ud800": {"a\xff": 1, "b": [1.5, 18446744073709551616]}}',
         {"\ufffd": {"a\ufffd": 1, "b": [1.5, 1.8446744073709552e19]}}),
    ],
)  # fmt: skip
def test_bytes_that_are_no_characters(body: bytes, value: object) -> None:
    assert strict_json.loads_strict(body) == (value, [])


def test_bytes_that_are_no_characters_in_a_long_body() -> None:
    text = "x" * 100_000
    assert strict_json.loads(f'["{text}", "\\udead"]'.encode()) == [text, "\ufffd"]
    with pytest.raises(strict_json.JsonError):
        strict_json.loads(f'["{text}", "\\udead", NaN]'.encode())


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1" + "0" * 5000, "[1, 2e999]", '{"a": 1e309}'])
def test_numbers_beyond_any(text: str) -> None:
    with pytest.raises(
        strict_json.TooLarge, match=r"^json: cannot unmarshal number -?[12][e0-9]+ into Go value of"
    ):
        strict_json.loads(text.encode())


def test_numbers_as_they_were_written() -> None:
    one, two, three, four = strict_json.exact(b"[1, 1.50, 1e3, 123456789012345678901]")
    assert [str(number) for number in (one, two, three, four)] == [
        "1",
        "1.50",
        "1e3",
        "123456789012345678901",
    ]
    assert (type(one), two, three) == (int, 1.5, 1000)
