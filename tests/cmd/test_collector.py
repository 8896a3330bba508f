"""The collector is asked to look seldom."""

import gc

from tiphys.cmd.collector import collect_seldom


def test_the_collector_looks_seldom_and_leaves_what_start_up_made():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        collect_seldom()
        assert gc.get_threshold()[0] > 10 * before[0]
        assert gc.get_freeze_count() > frozen
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
