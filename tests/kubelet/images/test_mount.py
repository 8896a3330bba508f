import sys
from pathlib import Path

import pytest

from tiphys.kubelet.images import mount as image_mount
from tiphys.kubelet.images.mount import mount_command, mount_image, snapshotter_of
from tiphys.kubelet.runtime import Image, RuntimeFailure

SOCKET, TARGET = Path("/run/c.sock"), Path("/v")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", "overlayfs"),
        ("/x/io.containerd.snapshotter.v1.native", "native"),
        ("/var/lib/containers/storage", ""),
        ("", ""),
    ],
)
def test_the_snapshotter_is_in_its_folders_name(folder, name):
    assert snapshotter_of(folder) == name


@pytest.mark.parametrize(
    ("image", "snapshotter", "end"),
    [
        (Image("sha256:1", ("a:1",), ("a@sha256:2",), 1), "native", ["--snapshotter", "native", "a:1", "/v"]),
        (Image("sha256:1", (), ("a@sha256:2",), 1), "", ["mount", "a@sha256:2", "/v"]),
        (Image("sha256:1", (), (), 1), "", ["mount", "sha256:1", "/v"]),
    ],
    ids=["by name", "by digest", "by id"],
)
def test_command(image, snapshotter, end):
    command = mount_command(SOCKET, image, snapshotter, TARGET)
    assert command[:3] == ["ctr", "--address", "/run/c.sock"]
    assert command[-len(end) :] == end


async def test_what_the_tool_says_is_passed_on(tmp_path, monkeypatch):
    said = [sys.executable, "-c", "import sys; print('no such image'); sys.exit(1)"]
    monkeypatch.setattr(image_mount, "mount_command", lambda *args: said)
    with pytest.raises(RuntimeFailure, match="failed to mount image: no such image"):
        await mount_image(SOCKET, Image("i", ("a:1",), (), 1), "", tmp_path / "v")
    assert (tmp_path / "v").is_dir()
