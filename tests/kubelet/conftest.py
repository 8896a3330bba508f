"""Makes the fakes that lie beside the tests importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def no_cgroups(monkeypatch):
    """Tests must not touch the machine's tree."""
    from fake_node import NoCgroups

    monkeypatch.setattr("tiphys.kubelet.kubelet.Cgroups", NoCgroups)
