"""A new cluster that is refused leaves nothing: no folder, no bridge, no shape for the next ``up``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl import network, preflight, state
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.progress import Progress
from tiphys.ctl.up import UpOptions, _new_or_same


@pytest.fixture
def destroyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cluster]:
    gone: list[Cluster] = []
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    monkeypatch.setattr(network, "claim_index", lambda folder, name: 3)
    monkeypatch.setattr(network, "destroy", gone.append)
    (tmp_path / "dev").mkdir()
    return gone


def refuse(cluster: Cluster) -> None:
    raise CtlError(f"port {cluster.api_port} on 127.0.0.1 is taken")


def test_a_taken_port(tmp_path: Path, destroyed: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check_port", refuse)
    with pytest.raises(CtlError, match="port 6446"):
        _new_or_same(None, UpOptions("dev", nodes=1), Progress())
    assert [cluster.index for cluster in destroyed] == [3]
    assert list(tmp_path.iterdir()) == []


def test_a_free_port(destroyed: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check_port", lambda cluster: None)
    made = _new_or_same(None, UpOptions("dev", nodes=2), Progress())
    assert destroyed == []
    assert state.load("dev") == made
    assert made.node_count == 2


def test_one_that_exists_is_kept(destroyed: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data is worth more than a port: it is refused later, with everything in its place."""
    monkeypatch.setattr(preflight, "check_port", refuse)
    kept = Cluster("dev", 3, state.cluster_folder("dev"), 2)
    assert _new_or_same(kept, UpOptions("dev", nodes=5), Progress()) is kept
    assert destroyed == []
