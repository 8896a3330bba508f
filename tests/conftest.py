"""For every test: what is left out where this machine lacks something."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tiphys.apimachinery import verbosity
from tiphys.apimachinery.collector import collect_seldom

# What the end-to-end tests share checks things too, and should say what it saw.
pytest.register_assert_rewrite("cluster", "pod_table")
# How long an example takes says what else the machine does.
settings.register_profile(
    "tests", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")
PROGRAMS = ("etcd", "kubectl")
"""Markers of tests that run what a machine may not have."""


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file ``golden/NAME`` beside the test. ``make golden`` writes them all anew."""
    folder = request.path.parent / "golden"

    def compare(name: str, text: str) -> None:
        if os.environ.get("TIPHYS_GOLDEN") == "write":
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        assert text == (folder / name).read_text(), "meant so? `make golden`, and read what it changes"

    return compare


@pytest.fixture(autouse=True)
def usual_verbosity() -> Iterator[None]:
    """What one test asks the log to tell is asked of no other: servers that tell more take no short cuts."""
    yield
    verbosity.ask(0)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the stories of real containers where none of them is to run and nobody named them."""
    unwanted = collection_path == Path(__file__).parent / "e2e" and "not e2e" in config.option.markexpr
    return True if unwanted and not any("e2e" in argument for argument in config.args) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a program that is not there; with ``CI`` set it has to be, and tests say so."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")
    missing = [] if os.environ.get("CI") else [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking := [item for item in items if any(map(item.get_closest_marker, missing))]:
        items[:] = [item for item in items if not any(map(item.get_closest_marker, missing))]
        config.hook.pytest_deselected(items=lacking)


def pytest_collection() -> None:
    """Search nothing for garbage while items, modules and schemas are made: they stay until the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what collecting made alone and look for garbage as seldom as our components do.

    Ten thousand items make one full collection take half a second, and a run had fifty of them.
    """
    collect_seldom()
    gc.enable()
