"""The cluster that the stories share, its kubectls, and a namespace for each test."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import RunningCluster
from images import (
    BUSYBOX,
    busybox_image,
    data_image,
    entry_image,
    named_image,
    static_image,
    web_image,
)
from kubectls import NEWEST, OLDEST, client_version, debian_kubectl, newest_tools
from leftovers import machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the checks of an untouched machine before the cluster that the stories share."""
    shared = "session_cluster"  # what a test asks for by way of others is listed too
    items.sort(key=lambda item: shared in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[RunningCluster]:
    """Two nodes, with the test images on both; ended in every case, and then nothing of it may be left."""
    home = Path(tempfile.mkdtemp(prefix="tiphys-e2e-"))
    made = RunningCluster(home)
    index = None
    try:
        store = os.environ.get("TIPHYS_E2E_STORE", "sqlite")
        made.tiphys("up", "--nodes", "2", "--no-install", "--store", store)
        index = made.index
        files = {
            "busybox": busybox_image(),
            "web1": web_image(1),
            "web2": web_image(2),
            "entry": entry_image(),
            "data": data_image(),
            "static": static_image(),
            "named": named_image(),
        }
        for name, data in files.items():
            (home / f"{name}.tar").write_bytes(data)
        assert BUSYBOX in made.tiphys("images", "import", *(str(home / f"{name}.tar") for name in files)).out
        yield made
        if os.environ.get("TIPHYS_E2E_LOGS"):
            shutil.copytree(made.folder / "logs", os.environ["TIPHYS_E2E_LOGS"], dirs_exist_ok=True)
    finally:
        made.tiphys("down")
        left = machine(home, index) if index is not None else set()
        shutil.rmtree(home)
    assert not left


@pytest.fixture(scope="session")
def old_kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's kubectl, unpacked and not installed."""
    found = shutil.which("kubectl")
    if found and OLDEST in client_version(found):
        return found
    return str(debian_kubectl(tmp_path_factory.mktemp("kubectl")))


@pytest.fixture(scope="session")
def new_kubectl() -> str:
    """The newest kubectl, downloaded once for this machine."""
    binary = newest_tools() / "kubectl"
    assert NEWEST in client_version(binary)
    return str(binary)


@pytest.fixture
def cluster(session_cluster: RunningCluster, request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """The shared cluster seen from a namespace that goes with the test."""
    label = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:50].strip("-")
    made = replace(session_cluster, namespace=label)
    made.kubectl("create", "namespace", label)
    yield made
    made.try_kubectl("delete", "namespace", label, "--wait=false")


@pytest.fixture
def newest(cluster: RunningCluster, new_kubectl: str) -> RunningCluster:
    """The cluster through the newest kubectl."""
    return replace(cluster, binary=new_kubectl)


@pytest.fixture(params=["path", "1.20", "1.36"])
def any_kubectl(cluster: RunningCluster, request: pytest.FixtureRequest) -> RunningCluster:
    """The cluster through the kubectl on PATH, then through Debian's, then through the newest."""
    if request.param == "path":
        return cluster
    which = "old_kubectl" if request.param == "1.20" else "new_kubectl"
    return replace(cluster, binary=request.getfixturevalue(which))
