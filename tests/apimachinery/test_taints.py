import pytest

from tiphys.apimachinery.taints import covers, tolerates

TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}
FIVE = {"key": "k", "value": "5", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "taint", "matches"),
    [
        ({"key": "k", "operator": "Equal", "value": "v"}, TAINT, True),
        ({"key": "k", "value": "w"}, TAINT, False),
        ({"key": "other", "operator": "Exists"}, TAINT, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, TAINT, False),
        ({"operator": "Exists", "effect": "NoExecute"}, TAINT, True),
        ({}, TAINT, False),
        ({"key": "k", "operator": "Gt", "value": "4"}, FIVE, True),
        ({"key": "k", "operator": "Lt", "value": "5"}, FIVE, False),
        ({"key": "k", "operator": "Lt", "value": "5"}, TAINT | {"effect": "NoSchedule"}, False),
    ],
)
def test_what_a_toleration_covers(toleration, taint, matches):
    assert covers(toleration, taint) is matches
    assert tolerates([{"key": "j", "operator": "Exists"}, toleration], taint) is matches


def test_nothing_tolerates_by_itself():
    assert not tolerates([], TAINT)
