"""containerd's configuration."""

import tomllib

import pytest

from tiphys.kubelet.cri import containerd as node_runtime
from tiphys.kubelet.cri.containerd import ContainerdPaths, HostFacts, containerd_arguments, containerd_config

CRI = "io.containerd.grpc.v1.cri"


@pytest.mark.parametrize(
    ("facts", "restricted", "apparmor_off"),
    [(HostFacts(True, True, "overlayfs"), False, False), (HostFacts(False, False, "native"), True, True)],
)
def test_config(tmp_path, facts, restricted, apparmor_off):
    paths = ContainerdPaths.under(tmp_path)
    config = tomllib.loads(containerd_config(paths, facts, sandbox_image="p:1"))
    cri = config["plugins"][CRI]
    assert config["version"] == 2
    assert config["grpc"]["address"] == str(tmp_path / "containerd.sock")
    assert cri["restrict_oom_score_adj"] is restricted
    assert cri["disable_apparmor"] is apparmor_off
    assert cri["sandbox_image"] == "p:1"
    assert (cri["stream_server_address"], cri["stream_server_port"]) == ("127.0.0.1", "0")
    assert cri["containerd"]["snapshotter"] == facts.snapshotter
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False
    assert cri["cni"]["conf_dir"] == str(tmp_path / "cni")
    assert cri["registry"]["config_path"] == str(tmp_path / "registry")
    assert containerd_arguments(paths) == ["containerd", "--config", str(tmp_path / "containerd.toml")]


async def test_a_containerd_that_does_not_answer(tmp_path, monkeypatch):
    (tmp_path / "ctr").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ctr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(node_runtime, "_IMPORT_TIMEOUT_S", 0.05)
    with pytest.raises(RuntimeError, match="ctr: no answer"):
        await node_runtime.ensure_pause_image(tmp_path / "containerd.sock")
