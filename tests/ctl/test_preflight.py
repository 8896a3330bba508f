"""What ``up`` refuses, in words that help."""

from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from tiphys.ctl import preflight
from tiphys.ctl.layout import Cluster, CtlError


def test_missing_packages_by_their_debian_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "cni_bin_dir", lambda: None)
    absent = {"nft", "runc"}
    found = preflight.missing_packages(which=lambda command: None if command in absent else f"/bin/{command}")
    assert found == ["containernetworking-plugins", "nftables", "runc"]


def test_no_install_refuses_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "missing_packages", lambda extra: ["runc"])
    with pytest.raises(CtlError, match="missing packages: runc"):
        preflight.ensure_packages(lambda text: None, install=False)


def test_port_taken() -> None:
    cluster = Cluster("x", 57, Path("/x"))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", cluster.api_port))
        listener.listen()
        with pytest.raises(CtlError, match="port 6500"):
            preflight.check_port(cluster)
    preflight.check_port(cluster)


def test_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 2**20))
    with pytest.raises(CtlError, match="TIPHYS_HOME"):
        preflight.check_disk(tmp_path)
