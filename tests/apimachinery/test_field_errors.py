"""Texts of validation faults."""

from __future__ import annotations

import pytest

from tiphys.apimachinery import field_errors as fe
from tiphys.apimachinery.errors import FieldError

CASES = {
    "required": (fe.required("a.b"), "FieldValueRequired", "a.b: Required value"),
    "required why": (fe.required("a", "must be set"), "FieldValueRequired", "a: Required value: must be set"),
    "string": (fe.invalid("a", 'x"y', "bad"), "FieldValueInvalid", 'a: Invalid value: "x\\"y": bad'),
    "letters that cannot be shown": (
        fe.not_supported("a", "\x00é\a\n\x7f\u200b\U000e0001<", ["\xa0"]),
        "FieldValueNotSupported",
        r'a: Unsupported value: "\x00é\a\n\x7f\u200b\U000e0001<": supported values: "\u00a0"',
    ),
    "letters of HTML": (
        fe.invalid("a", ["<&>"], "bad"),
        "FieldValueInvalid",
        r'a: Invalid value: ["\u003c\u0026\u003e"]: bad',
    ),
    "number": (fe.invalid("a", -1, "bad"), "FieldValueInvalid", "a: Invalid value: -1: bad"),
    "boolean": (fe.invalid("a", True, "bad"), "FieldValueInvalid", "a: Invalid value: true: bad"),
    "null": (fe.invalid("a", None, "bad"), "FieldValueInvalid", "a: Invalid value: null: bad"),
    "map": (
        fe.invalid("a", {"b": 1, "a": "x"}, "bad"),
        "FieldValueInvalid",
        'a: Invalid value: {"a":"x","b":1}: bad',
    ),
    "list": (fe.invalid("a", ["x"], "bad"), "FieldValueInvalid", 'a: Invalid value: ["x"]: bad'),
    "whole float": (fe.invalid("a", 2.0, "bad"), "FieldValueInvalid", "a: Invalid value: 2: bad"),
    "large": (fe.invalid("a", 1e20, "bad"), "FieldValueInvalid", "a: Invalid value: 1e+20: bad"),
    "fraction": (fe.invalid("a", 1e6 + 0.5, "b"), "FieldValueInvalid", "a: Invalid value: 1.0000005e+06: b"),
    "beyond 64 bits": (
        fe.invalid("a", 2**63, "bad"),
        "FieldValueInvalid",
        "a: Invalid value: 9.223372036854776e+18: bad",
    ),
    "numbers inside": (
        fe.invalid("a", [1e-7, 1e20, 2.0, "1e-07"], "bad"),
        "FieldValueInvalid",
        'a: Invalid value: [1e-7,100000000000000000000,2,"1e-07"]: bad',
    ),
    "wrong type": (fe.type_invalid("a", 1, "bad"), "FieldValueTypeInvalid", "a: Invalid value: 1: bad"),
    "not supported": (
        fe.not_supported("a", "x", ["A", "B"]),
        "FieldValueNotSupported",
        'a: Unsupported value: "x": supported values: "A", "B"',
    ),
    "forbidden": (fe.forbidden("a", "no"), "FieldValueForbidden", "a: Forbidden: no"),
    "duplicate": (fe.duplicate("a", "x"), "FieldValueDuplicate", 'a: Duplicate value: "x"'),
    "not found": (fe.not_found("a", "x"), "FieldValueNotFound", 'a: Not found: "x"'),
    "too long": (fe.too_long("a", 5), "FieldValueTooLong", "a: Too long: may not be more than 5 bytes"),
    "too many": (fe.too_many("a", 4, 3), "FieldValueTooMany", "a: Too many: 4: must have at most 3 items"),
    "too many one": (fe.too_many("a", 2, 1), "FieldValueTooMany", "a: Too many: 2: must have at most 1 item"),
    "internal": (fe.internal("a", "boom"), "InternalError", "a: Internal error: boom"),
}


@pytest.mark.parametrize(("fault", "reason", "text"), CASES.values(), ids=CASES)
def test_texts(fault: FieldError, reason: str, text: str) -> None:
    assert fault.type == reason
    assert str(fault) == text


def test_immutable_only_complains_of_change() -> None:
    assert fe.immutable("a", 1, 1) == []
    assert [str(f) for f in fe.immutable("a", 2, 1)] == ["a: Invalid value: 2: field is immutable"]
