"""Any object says the same after it went to another version of its kind and back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.test_odd_objects import Maker

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.conversion import convert
from tiphys.apis.schemas import has_schema, schema_for
from tiphys.apis.table import TABLE

_OTHERS = sorted(
    {
        pair
        for row in TABLE
        if row.gvk != row.storage and has_schema(row.gvk)
        for pair in ((row.gvk, row.storage), (row.storage, row.gvk))
    },
    key=str,
)
_UNSAID: tuple[Any, ...] = (None, "", {}, [], "0001-01-01T00:00:00Z")
_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"


def _said(value: Any) -> Any:
    """What is left of a value without what is empty: not to say a thing and to say nothing is the same.

    Autoscalers of v1 say in an annotation too what v2 says of metrics, and in it amounts are written anew.
    """
    if value == "0.0000000001":
        return "1n"
    if isinstance(value, dict):
        kept = {key: _said(item) for key, item in value.items() if key != _METRICS}
        return {key: item for key, item in kept.items() if item not in _UNSAID}
    return [_said(item) for item in value] if isinstance(value, list) else value


def _shown(pair: tuple[GVK, GVK]) -> str:
    return f"{pair[0].kind}-{pair[0].version}-{pair[1].version}"


def test_kinds_have_other_versions() -> None:
    assert len(_OTHERS) > 30


@pytest.mark.parametrize("pair", _OTHERS, ids=_shown)
def test_there_and_back(pair: tuple[GVK, GVK]) -> None:
    here, there = pair
    for seed in range(20):
        obj = Maker(f"{here}{seed}").object(here)
        decode_check(obj, schema_for(here))
        before = copy_object(obj)
        back = convert(convert(obj, there), here)
        assert obj == before
        assert _said(back) == _said(obj)
        assert convert(convert(back, there), here) == back
