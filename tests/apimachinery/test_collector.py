"""The collector is asked to look seldom, and not at modules."""

import gc
import importlib

import pytest

from tiphys.apimachinery.collector import collect_seldom, unseen


def test_the_collector_looks_seldom_and_leaves_what_start_up_made():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        gc.set_threshold(700, 10, 10)  # Python's own
        collect_seldom()
        assert min(gc.get_threshold()) > 10
        assert gc.get_threshold()[0] > 10_000
        assert gc.get_freeze_count() > frozen
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("collecting", [True, False])
def test_what_is_imported_unseen_is_left_alone(collecting: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        frozen = gc.get_freeze_count()
        with unseen():
            assert not gc.isenabled()
            made: list[object] = [[]]
        assert gc.isenabled() is collecting
        assert gc.get_freeze_count() > frozen
        assert not any(one is made for one in gc.get_objects())
        with pytest.raises(ImportError), unseen():
            importlib.import_module("tiphys.nothing")
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if before else gc.disable)()
