"""For every test: what is left out where this machine lacks something."""

import gc
import os
import shutil

import pytest

# What the end-to-end tests share checks things too, and should say what it saw.
pytest.register_assert_rewrite("cluster", "pod_table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs etcd where there is none; with ``CI`` set it has to be there, and tests say so."""
    if shutil.which("etcd") is None and not os.environ.get("CI"):
        lacking = [item for item in items if item.get_closest_marker("etcd")]
        if lacking:
            items[:] = [item for item in items if not item.get_closest_marker("etcd")]
            config.hook.pytest_deselected(items=lacking)


def pytest_collection_finish() -> None:
    """Take what collecting made (items, modules, schemas) out of the garbage collector's sight: it stays.

    Ten thousand items make one full collection take half a second, and a run had fifty of them.
    """
    gc.collect()
    gc.freeze()
