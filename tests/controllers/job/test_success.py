import pytest

from tiphys.controllers.job.success import matched_rule


@pytest.mark.parametrize(
    ("rules", "done", "expected"),
    [
        ([], {0}, None),
        ([{"succeededCount": 2}], {0}, None),
        ([{"succeededCount": 2}], {0, 5}, 0),
        ([{"succeededIndexes": "0,2-3"}], {0, 2}, None),
        ([{"succeededIndexes": "0,2-3"}], {0, 2, 3, 9}, 0),
        ([{"succeededIndexes": "0-9", "succeededCount": 2}], {1, 20}, None),
        ([{"succeededIndexes": "0-9", "succeededCount": 2}], {1, 4}, 0),
        ([{"succeededIndexes": "7"}, {"succeededCount": 1}], {1}, 1),
    ],
)
def test_matched_rule(rules, done, expected):
    assert matched_rule({"spec": {"successPolicy": {"rules": rules}}}, done) == expected


def test_no_policy_matches_nothing():
    assert matched_rule({"spec": {}}, {0, 1}) is None
