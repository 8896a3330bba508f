"""The rules of a status's standard conditions, by upstream's table."""

import pytest

from tiphys.apis.value_validation import conditions

GOOD = {
    "type": "First", "status": "True", "reason": "Ok", "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}  # fmt: skip
REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric"
    " characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',"
    "  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is"
    " '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)


def faults(*given):
    return [str(fault) for fault in conditions({"conditions": list(given)}, "status.conditions")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        (
            {"status": "unknown"},
            ['status: Unsupported value: "unknown": supported values: "False", "True", "Unknown"'],
        ),
        (
            {"observedGeneration": -1},
            ["observedGeneration: Invalid value: -1: must be greater than or equal to zero"],
        ),
        ({"lastTransitionTime": None}, ["lastTransitionTime: Required value: must be set"]),
        ({"reason": ""}, ["reason: Required value: must be set"]),
        ({"reason": "valid:val"}, []),
        ({"reason": "valid,val"}, []),
        ({"reason": "valid,val:"}, [f'reason: Invalid value: "valid,val:": {REASON}']),
        ({"reason": "invalid;val"}, [f'reason: Invalid value: "invalid;val": {REASON}']),
        ({"message": "é" * 16384}, []),
        ({"message": "é" * 16385}, ["message: Too long: may not be more than 32768 bytes"]),
    ],
)
def test_one(change, expected):
    assert faults({**GOOD, **change}) == [f"status.conditions[0].{text}" for text in expected]


def test_a_type_stands_once():
    assert faults(GOOD, {**GOOD, "type": "Second"}, GOOD) == [
        'status.conditions[2].type: Duplicate value: "First"'
    ]
