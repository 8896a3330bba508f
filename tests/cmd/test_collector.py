"""The collector is asked to look seldom."""

import gc

from tiphys.cmd.collector import collect_seldom


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
