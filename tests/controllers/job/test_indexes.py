"""Index lists read and written as the API does."""

import pytest

from tiphys.controllers.job import indexes


@pytest.mark.parametrize(
    ("found", "text"),
    [(set(), ""), ({3}, "3"), ({1, 2}, "1,2"), ({0, 1, 2}, "0-2"), ({1, 3, 4, 5, 7}, "1,3-5,7")],
)
def test_round_trip(found, text):
    assert indexes.render(found) == text
    assert indexes.parse(text) == found


def test_rubbish_is_skipped():
    assert indexes.parse("x,1-y,2") == {2}
