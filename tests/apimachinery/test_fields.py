import pytest

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.fields import FieldRequirement, parse_field_selector

CASES = [
    ("", []),
    ("a=b", [FieldRequirement("a", "b", False)]),
    ("a==b,c!=", [FieldRequirement("a", "b", False), FieldRequirement("c", "", True)]),
    (r"a=x\,y\=z\\", [FieldRequirement("a", r"x,y=z" + "\\", False)]),
    ("a=b,,", [FieldRequirement("a", "b", False)]),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_parse(text: str, expected: list[FieldRequirement]) -> None:
    found = parse_field_selector(text)
    assert found == expected
    assert parse_field_selector(",".join(map(str, found))) == expected


ERRORS = [
    ("spec", "invalid selector: 'spec'; can't understand 'spec'"),
    (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
    ("a=b=c", "invalid field selector: unescaped character in value: 61"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_field_selector(text)
    assert caught.value.message == message


def test_matches() -> None:
    assert FieldRequirement("a", "b", False).matches({"a": "b"})
    assert FieldRequirement("a", "b", True).matches({})
    assert not FieldRequirement("a", "", True).matches({})
