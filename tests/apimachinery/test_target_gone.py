"""Errors that say: the object that was meant is no more."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.errors import Conflict, Forbidden, Invalid, NotFound, StatusError
from tiphys.apimachinery.field_errors import invalid

CASES: dict[str, tuple[StatusError, bool]] = {
    "not there": (NotFound.of("", "pods", "p"), True),
    "changed": (Conflict.of("", "pods", "p"), True),
    "another uid": (Invalid.of("", "Pod", "p", [invalid("metadata.uid", "u", "field is immutable")]), True),
    "faulty": (Invalid.of("", "Pod", "p", [invalid("spec.nodeName", "u", "no")]), False),
    "forbidden": (Forbidden("no"), False),
}


@pytest.mark.parametrize(("error", "gone"), CASES.values(), ids=CASES)
def test_target_gone(error: StatusError, gone: bool) -> None:
    assert error.target_gone is gone
