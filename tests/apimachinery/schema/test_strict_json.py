import pytest

from tiphys.apimachinery.schema import strict_json

CASES = [
    ("none", b'{"a": {"b": [1, "x:y"]}}', []),
    ("top", b'{"a": 1, "a": 2}', ['duplicate field "a"']),
    ("nested", b'{"spec": {"x": 1, "x": 1, "x": 3}}', ['duplicate field "spec.x"']),
    ("in lists", b'{"c": [{"n": 1}, {"n": 1, "n": 2}]}', ['duplicate field "c[1].n"']),
    ("colons in texts", b'{"a:b": "c:d", "e": ["f:"]}', []),
    ("escaped colons", b'{"a": "\\u003a"}', []),
    ("text alone", b'"a:b"', []),
]


@pytest.mark.parametrize(("body", "faults"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_duplicates(body: bytes, faults: list[str]) -> None:
    value, found = strict_json.loads_strict(body)
    assert found == faults
    assert value == strict_json.loads(body)


def test_escaped_colons_hide_no_duplicates() -> None:
    assert strict_json.loads_strict(b'{"a": "\\u003a", "a": "\\u003a"}')[1] == ['duplicate field "a"']


def test_the_last_of_duplicates_wins() -> None:
    assert strict_json.loads_strict(b'{"a": 1, "a": 2}')[0] == {"a": 2}


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"\xff"])
def test_no_json(body: bytes) -> None:
    with pytest.raises(strict_json.JsonError):
        strict_json.loads_strict(body)
